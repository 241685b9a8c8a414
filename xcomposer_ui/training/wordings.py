"""How people ask about a picture of shapes, in English and Chinese: templates, filled by `questions`.

{a}, {b}: what is asked about, with its article where English wants one ("the red circle", "圆形").
{some}: the same, indefinite ("a red circle"). {many}: plural ("red circles"). {colour}: a colour's name.
{side}: left of, above and so on.
"""

from __future__ import annotations

Wordings = dict[str, dict[str, tuple[str, ...]]]

ASKED: Wordings = {
    "count": {
        "en": (
            "How many {many} are there?",
            "How many {many} are in the image?",
            "How many {many} are in the picture?",
            "How many {many} are there in the image?",
            "How many {many} are there in this picture?",
            "How many {many} do you see?",
            "How many {many} can you see?",
            "How many {many} can be seen?",
            "How many {many} does the picture show?",
            "How many {many} does the image contain?",
            "Count the {many}.",
            "Count all the {many} in the picture.",
            "Can you count the {many}?",
            "What is the number of {many}?",
            "Tell me how many {many} there are.",
            "The picture shows how many {many}?",
        ),
        "zh": (
            "图中有几个{many}？",
            "有几个{many}？",
            "图里有几个{many}？",
            "图中有多少个{many}？",
            "图片里有多少{many}？",
            "这张图里有几个{many}？",
            "一共有几个{many}？",
            "总共有多少个{many}？",
            "你看到几个{many}？",
            "能看到多少个{many}？",
            "数一数有几个{many}。",
            "请数一下图中的{many}。",
            "{many}有几个？",
            "{many}的数量是多少？",
        ),
    },
    "colour": {
        "en": (
            "What color is {a}?",
            "What colour is {a}?",
            "Which color is {a}?",
            "Which colour is {a}?",
            "What is the color of {a}?",
            "What's the colour of {a}?",
            "What color does {a} have?",
            "What colour has {a}?",
            "Tell me the color of {a}.",
            "Name the colour of {a}.",
            "Which color does {a} have?",
            "In what color is {a} drawn?",
            "Can you tell me what color {a} is?",
            "What color is {a} in the picture?",
            "{a} is what color?",
        ),
        "zh": (
            "{a}是什么颜色？",
            "{a}是什么颜色的？",
            "{a}的颜色是什么？",
            "{a}是哪种颜色？",
            "{a}什么颜色？",
            "图中的{a}是什么颜色？",
            "图里{a}是什么颜色的？",
            "请问{a}是什么颜色？",
            "告诉我{a}的颜色。",
            "请说出{a}的颜色。",
            "{a}是啥颜色？",
        ),
    },
    "shape": {
        "en": (
            "What shape is {colour}?",
            "Which shape is {colour}?",
            "What is the {colour} shape?",
            "What shape is the {colour} one?",
            "What shape is the {colour} object?",
            "What shape is the {colour} thing?",
            "What kind of shape is {colour}?",
            "What is the shape of the {colour} object?",
            "What's the {colour} shape?",
            "What {colour} shape is there?",
            "Name the {colour} shape.",
            "Tell me which shape is {colour}.",
            "What is the {colour} object?",
            "Which of the shapes is {colour}?",
            "What is {colour} in the picture?",
        ),
        "zh": (
            "{colour}的是什么形状？",
            "{colour}的图形是什么？",
            "{colour}的是什么图形？",
            "什么图形是{colour}的？",
            "什么形状是{colour}的？",
            "哪个图形是{colour}？",
            "哪个形状是{colour}的？",
            "{colour}图形是什么形状？",
            "{colour}的图形是什么形状的？",
            "图中{colour}的是什么形状？",
            "请问{colour}的图形是什么？",
            "{colour}的东西是什么形状？",
        ),
    },
    "place": {
        "en": (
            "Where is {a}?",
            "Where's {a}?",
            "Where is {a} in the image?",
            "Where is {a} in the picture?",
            "Where in the picture is {a}?",
            "Where is {a} located?",
            "Where can I find {a}?",
            "Where do you see {a}?",
            "In which part of the picture is {a}?",
            "In what part of the image is {a}?",
            "What is the position of {a}?",
            "What's the location of {a}?",
            "Tell me where {a} is.",
            "Find {a}.",
            "Can you tell me where {a} is?",
        ),
        "zh": (
            "{a}在哪里？",
            "{a}在哪儿？",
            "{a}在哪？",
            "{a}在图中的哪里？",
            "{a}在图中什么位置？",
            "{a}在图片的哪个位置？",
            "{a}的位置在哪里？",
            "{a}位于哪里？",
            "{a}位于图片的什么地方？",
            "图中的{a}在哪里？",
            "请问{a}在什么位置？",
            "告诉我{a}在哪里。",
            "{a}在什么地方？",
        ),
    },
    "presence": {
        "en": (
            "Is there {some}?",
            "Is there {some} in the image?",
            "Is there {some} in the picture?",
            "Is there {some} here?",
            "Do you see {some}?",
            "Can you see {some}?",
            "Can you find {some} in the picture?",
            "Does the image contain {some}?",
            "Does the picture show {some}?",
            "Does the picture have {some}?",
            "Are there any {many}?",
            "Are there {many} in the image?",
            "Do you see any {many}?",
            "Is {some} in the picture?",
        ),
        "zh": (
            "有{some}吗？",
            "图中有{some}吗？",
            "图里有{some}吗？",
            "图片中有{some}吗？",
            "这张图里有{some}吗？",
            "有没有{some}？",
            "图中有没有{some}？",
            "是否有{some}？",
            "图中是否有{some}？",
            "你看到{some}了吗？",
            "能看到{some}吗？",
            "存在{some}吗？",
        ),
    },
    "relation": {
        "en": (
            "Is {a} {side} {b}?",
            "Is {a} {side} {b}?",
            "Is {a} located {side} {b}?",
            "Is {a} {side} {b} in the picture?",
            "Does {a} lie {side} {b}?",
            "Is it true that {a} is {side} {b}?",
            "Tell me whether {a} is {side} {b}.",
            "Can you see {a} {side} {b}?",
        ),
        "zh": (
            "{a}在{b}的{side}吗？",
            "{a}在{b}{side}吗？",
            "{a}是在{b}的{side}吗？",
            "{a}是否在{b}的{side}？",
            "{a}是不是在{b}的{side}？",
            "{a}位于{b}的{side}吗？",
            "图中{a}在{b}的{side}吗？",
            "请问{a}在{b}{side}吗？",
        ),
    },
    "description": {
        "en": (
            "Describe the image.",
            "Describe the picture.",
            "Describe this image.",
            "Please describe this image.",
            "Please describe this image in detail.",
            "Describe what you see.",
            "Can you describe the picture?",
            "Give a description of the image.",
            "What do you see?",
            "What can you see in the picture?",
            "What is in the image?",
            "What's in the picture?",
            "What is in this image?",
            "What does the picture show?",
            "What is shown in the image?",
            "What is this?",
            "What shapes are there?",
            "What shapes do you see?",
            "Which shapes are in the picture?",
            "List the shapes.",
            "List all the shapes in the image.",
            "Name all the shapes.",
            "Tell me what is in the picture.",
            "Tell me about this picture.",
            "What is there in the image?",
        ),
        "zh": (
            "描述这张图片。",
            "描述一下这张图片。",
            "描述图片。",
            "描述这幅图。",
            "请描述这张图片。",
            "请描述一下这张图。",
            "请详细描述这张图片。",
            "图中有什么？",
            "图里有什么？",
            "这张图里有什么？",
            "这张图片里有什么？",
            "你看到了什么？",
            "你能看到什么？",
            "图中有哪些图形？",
            "有哪些图形？",
            "有什么图形？",
            "列出所有图形。",
            "列出图中的图形。",
            "这张图片是什么？",
            "这是什么？",
            "图片内容是什么？",
            "说说这张图。",
        ),
    },
}
"""Every kind of question, and how it is asked. The kind's answer has one wording only, in `questions`."""

SIDES = ("left", "right", "above", "below")
SIDE_ASKED: Wordings = {
    "left": {"en": ("left of", "left of", "to the left of", "on the left of"), "zh": ("左边", "左侧", "左面", "左方")},
    "right": {
        "en": ("right of", "right of", "to the right of", "on the right of"),
        "zh": ("右边", "右侧", "右面", "右方"),
    },
    "above": {"en": ("above", "above", "over", "higher than"), "zh": ("上面", "上方", "上边", "上面")},
    "below": {"en": ("below", "below", "under", "lower than", "beneath"), "zh": ("下面", "下方", "下边", "下面")},
}
SIDE_ANSWERED = {
    "left": {"en": "left of", "zh": "左边"},
    "right": {"en": "right of", "zh": "右边"},
    "above": {"en": "above", "zh": "上面"},
    "below": {"en": "below", "zh": "下面"},
}
PLACE_ANSWERED = {
    "en": ("at the", "at the", "at the", "on the", "in the", "on the", "at the", "at the", "at the"),
    "zh": ("",) * 9,
}
"""What stands in front of each of `world.PLACES`."""

NUMBERS = {
    "en": ("no", "one", "two", "three", "four", "five"),
    "zh": ("零", "一", "两", "三", "四", "五"),
}

ANY_SHAPE = {
    "en": ("shape", "shape", "shape", "object", "figure"),
    "zh": ("图形", "图形", "图形", "形状", "几何图形"),
}
"""How a question may call a shape of any kind."""

OPENINGS = {
    "en": (
        "Please tell me: ",
        "Look at the picture. ",
        "Hi! ",
        "Hello, ",
        "Question: ",
        "Now, ",
        "And ",
        "OK. ",
        "So, ",
    ),
    "zh": ("请告诉我，", "看图。", "你好，", "问题：", "那么，", "请问，", "现在，", "看这张图，"),
}
CLOSINGS = {
    "en": (" Answer briefly.", " Thanks!", " please", " Answer in one sentence."),
    "zh": ("请简短回答。", "谢谢！", "请用一句话回答。"),
}

REFUSAL = {"en": "I am a small model that only knows drawn shapes.", "zh": "我是一个只认识图形的小模型。"}
NO_SHAPES = {"en": "I see no shapes in this picture.", "zh": "我在图中没有看到图形。"}
NO_PICTURE = {"en": "Please show me a picture with drawn shapes.", "zh": "请给我一张画有图形的图片。"}
