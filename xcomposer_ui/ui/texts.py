"""Every text of the page: key -> (English, Chinese). The sentences for a user's mistakes are in `messages`."""

from __future__ import annotations

import re
from typing import Any

from xcomposer_ui.ui.compare_texts import COMPARE_TEXTS
from xcomposer_ui.ui.flow_texts import FLOW_TEXTS
from xcomposer_ui.ui.model_texts import MODEL_TEXTS
from xcomposer_ui.ui.plan_texts import PLAN_TEXTS

LANGUAGES = ("en", "zh")

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("XComposer precision lab", "XComposer 精度实验室"),
    "subtitle": (
        "What floating-point precision does to a vision-language model",
        "浮点精度如何影响视觉语言模型",
    ),
    "language": ("Language", "语言"),
    "tab.ask": ("Ask", "提问"),
    "tab.explain": ("Explain", "解释报错"),
    # Head line
    "head.label": ("Model, device and 16-bit type in use", "当前模型、设备与 16 位类型"),
    "head.pending": ("starting…", "启动中…"),
    "head.why": ("why?", "为什么？"),
    "head.model": ("model", "模型"),
    "head.device": ("device", "设备"),
    "head.half": ("16-bit type", "16 位类型"),
    "head.memory": ("in memory", "已载入"),
    "head.nothing_loaded": ("no weights yet", "尚未载入权重"),
    # Picture
    "picture.upload": ("Picture", "图片"),
    "picture.draw": ("Draw", "手绘"),
    "picture.placeholder": (
        "# Drop a picture here\nor click to choose one, or paste it",
        "# 将图片拖到这里\n或点击选择，也可粘贴",
    ),
    "picture.alt": ("The picture that the model is shown", "展示给模型的图片"),
    "draw.label": ("Draw shapes on white", "在白色画布上画图形"),
    "examples": ("Examples: a click fills in picture and question", "示例：点击即填入图片和问题"),
    "examples.questions": ("Questions about it", "可以这样问"),
    # Question
    "question": ("Question", "问题"),
    "question.placeholder": ("Ask about the picture", "就图片提问"),
    "question.info": (
        "Enter runs. Asking the same again repeats the turn.",
        "回车运行。再次提交同一问题会重做这一轮。",
    ),
    "strategy": ("Strategy: what gets which type", "策略：谁用哪种类型"),
    "strategy.as_is": ("As reported", "原样运行"),
    "strategy.autocast": ("Autocast", "自动混合精度"),
    "strategy.unified": ("Unified", "统一类型"),
    "strategy.full": ("Full precision", "全精度"),
    "strategy.as_is.line": (
        "16-bit weights, float32 picture. Nothing is cast: the two meet and clash.",
        "16 位权重，float32 图片。不做转换：两者相遇即冲突。",
    ),
    "strategy.autocast.line": (
        "16-bit weights, float32 picture. torch.autocast casts the inputs of each matrix product to 16 bits.",
        "16 位权重，float32 图片。torch.autocast 在每次矩阵乘法前把输入转为 16 位。",
    ),
    "strategy.unified.line": (
        "16-bit weights. The picture is cast to the weights' type once, before the model sees it.",
        "16 位权重。图片在进入模型之前，一次性转为权重的类型。",
    ),
    "strategy.full.line": (
        "float32 weights, float32 picture. Nothing is cast; the weights take twice the memory.",
        "float32 权重，float32 图片。无需转换；权重占用两倍内存。",
    ),
    "half": ("16-bit type", "16 位类型"),
    "choice.auto": ("automatic", "自动"),
    "run": ("Run", "运行"),
    "stop": ("Stop", "停止"),
    "clear": ("Clear", "清空"),
    # Advanced
    "advanced": ("Advanced", "高级设置"),
    "max_new_tokens": ("New tokens, at most", "最多生成词元数"),
    "temperature": ("Temperature", "温度"),
    "temperature.info": ("0 always takes the likeliest token", "0：总取概率最高的词元"),
    "top_p": ("Top-p", "Top-p"),
    "top_p.info": ("counts above temperature 0 only", "仅在温度大于 0 时起作用"),
    "repetition_penalty": ("Repetition penalty", "重复惩罚"),
    "repetition_penalty.info": ("1 is none", "1 表示不惩罚"),
    "seed": ("Seed", "随机种子"),
    "model": ("Model", "模型"),
    "device": ("Device", "设备"),
    # Conversation
    "chat": ("Conversation", "对话"),
    "chat.placeholder": (
        "Choose an example, then Run. The answer appears here.",
        "选择一个示例，然后点“运行”。回答会显示在这里。",
    ),
    "chat.failed": ("No answer: {type}. What happened is explained below.", "没有回答：{type}。原因见下方。"),
    "chat.stopped": ("(stopped)", "（已停止）"),
    "chat.thinking": ("…", "…"),
    # Tiles
    "tile.latency": ("Latency", "总延迟"),
    "tile.latency.kind": ("picture to last token", "从图片到最后一个词元"),
    "tile.first": ("First token", "首个词元"),
    "tile.first.kind": ("picture to first token", "从图片到首个词元"),
    "tile.rate": ("Tokens/s", "词元/秒"),
    "tile.rate.kind": ("decoding only", "仅解码阶段"),
    "tile.memory": ("Peak memory", "峰值内存"),
    "memory.cuda_allocated": ("CUDA, allocated, with cuBLAS workspace", "CUDA 已分配，含 cuBLAS 工作区"),
    "memory.cuda_allocated.more": (
        "torch.cuda.max_memory_allocated during the run: weights, activations and KV cache, and the workspace that "
        "cuBLAS takes for matrix products (32 MiB on Hopper cards, 8 MiB on earlier ones), whatever the model's size.",
        "运行期间的 torch.cuda.max_memory_allocated：权重、激活、KV 缓存，以及 cuBLAS 矩阵乘法的工作区"
        "（Hopper 为 32 MiB，更早的显卡为 8 MiB），与模型大小无关。",
    ),
    "memory.cpu_tensors": ("CPU, live tensors", "CPU 存活张量"),
    "memory.none": ("weights included", "含权重"),
    "not_measured": ("not measured", "未测量"),
    "tiles": ("Measurements of the last run", "上次运行的测量结果"),
    # What happened
    "happened": ("What happened", "运行过程"),
    "happened.empty": (
        "After a run you see here which number type the picture, the weights and the arithmetic had.",
        "运行之后，这里显示图片、权重和运算各用了哪种数值类型。",
    ),
    "happened.waiting": (
        "Another run holds the model. This one starts when it is done.",
        "模型正被占用，稍后自动开始。",
    ),
    "happened.loading": ("Loading {model} in {dtype}", "正在以 {dtype} 载入 {model}"),
    "happened.downloading": ("Downloading {model} from the hub", "正在从模型库下载 {model}"),
    "happened.running": ("Running: {strategy}", "运行中：{strategy}"),
    "happened.stopped": ("Stopped. What had come by then is kept.", "已停止，保留已生成的内容。"),
    "path": ("The way of the number types", "数值类型的流向"),
    "path.picture": ("picture", "图片"),
    "path.weights": ("weights", "权重"),
    "path.products": ("matrix products", "矩阵乘法"),
    "path.cast_before": ("cast once", "一次转换"),
    "path.cast_by_autocast": ("autocast", "自动转换"),
    "path.uncast": ("not cast", "不转换"),
    "path.as_is": (
        "Nothing was cast and nothing clashed.",
        "没有任何转换，也没有发生冲突。",
    ),
    "path.as_is.text_only": (
        "Without a picture there is nothing in float32 to clash with: text alone runs in {half}.",
        "没有图片就没有 float32 输入，因此不会冲突：纯文本以 {half} 运行。",
    ),
    "path.autocast": (
        "autocast turned the inputs of each matrix product into {half}; the picture itself stayed float32.",
        "autocast 把每次矩阵乘法的输入转为 {half}；图片本身仍为 float32。",
    ),
    "path.unified": (
        "The picture became {half} before the model saw it; weights and arithmetic are {half} throughout.",
        "图片在进入模型前转为 {half}；权重与运算始终为 {half}。",
    ),
    "path.full": (
        "Weights, picture and arithmetic are float32 throughout; nothing was cast.",
        "权重、图片与运算始终为 float32；没有转换。",
    ),
    "facts.load": ("loading took {sec}", "载入用时 {sec}"),
    "facts.prompt": ("{n} prompt tokens", "提示 {n} 个词元"),
    "facts.reused": ("{n} of them kept from earlier turns", "其中 {n} 个沿用自前几轮"),
    "facts.reused_picture": ("picture not encoded again", "图片未重新编码"),
    "facts.new": ("{n} new tokens", "生成 {n} 个词元"),
    "facts.hd_num": ("at most {n} tiles", "最多 {n} 个分块"),
    "facts.seed": ("seed {n}", "种子 {n}"),
    # Failure
    "failure": ("The run failed", "运行失败"),
    "failure.message": ("The exact message", "完整报错信息"),
    "copy": ("Copy", "复制"),
    "copied": ("Copied", "已复制"),
    "failure.type": ("Error", "错误类型"),
    "failure.module": ("Module", "模块"),
    "failure.operation": ("Operation", "运算"),
    "failure.operands": ("What met there", "相遇的张量"),
    "operand.name": ("Operand", "张量"),
    "operand.dtype": ("Type", "类型"),
    "operand.shape": ("Shape", "形状"),
    "operand.origin": ("Has its type from", "类型来源"),
    "failure.unseen": ("could not be seen", "无法观察到"),
    "failure.cause": ("Why", "原因"),
    "failure.fixes": ("What cures it", "如何解决"),
    "fix.true": ("cures it", "可解决"),
    "fix.false": ("does not", "无法解决"),
    "fix.none": ("depends", "视情况而定"),
    "fix.answered": ("tried: answers", "已实测：能回答"),
    "fix.failed": ("tried: fails, with “{message}”", "已实测：失败，报错“{message}”"),
    "fix.failed.too": ("tried: fails too, with “{message}”", "已实测：同样失败，报错“{message}”"),
    "fix.untried": ("not tried", "未实测"),
    "fix.try": ("Try “{strategy}”", "改用“{strategy}”"),
    "clash": ("clash", "冲突"),
    "dtypes": ("Types named", "涉及的类型"),
    "references": ("More", "参考资料"),
    # Runs
    "runs": ("Runs so far", "运行记录"),
    "runs.none": ("No runs yet.", "尚无运行记录。"),
    "runs.csv": ("Download as CSV", "下载 CSV"),
    "runs.question": ("Question", "问题"),
    "runs.strategy": ("Strategy", "策略"),
    "runs.weights": ("Weights", "权重"),
    "runs.answer": ("Answer", "回答"),
    "runs.latency": ("Latency", "总延迟"),
    "runs.first": ("First token", "首个词元"),
    "runs.rate": ("Tokens/s", "词元/秒"),
    "runs.memory": ("Peak memory", "峰值内存"),
    "runs.stopped": ("stopped", "已停止"),
    # Explain
    "explain.input": ("A pasted error or traceback", "粘贴报错或完整 traceback"),
    "explain.placeholder": (
        "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half",
        "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half",
    ),
    "explain.run": ("Explain", "解释"),
    "explain.empty": (
        "Paste an error from your own model: a message, a traceback, a notebook's output.",
        "粘贴你自己模型的报错：一行信息、完整 traceback 或笔记本输出均可。",
    ),
    "explain.where": ("Where", "位置"),
    "explain.unknown": ("Not recognised", "未能识别"),
}


TEXTS |= COMPARE_TEXTS | MODEL_TEXTS | FLOW_TEXTS | PLAN_TEXTS

# A strategy's choice: its name, and below it the line that says what is cast where.
TEXTS |= {
    f"strategy.{name}.choice": tuple(  # type: ignore[misc]
        f"{title}\n{line}"
        for title, line in zip(TEXTS[f"strategy.{name}"], TEXTS[f"strategy.{name}.line"], strict=True)
    )
    for name in ("as_is", "autocast", "unified", "full")
}


def text(key: str, language: str, **facts: Any) -> str:
    """The text called `key` in `language` ("en" or "zh"), its placeholders filled. KeyError: a bug in the caller."""
    sentence = TEXTS[key][LANGUAGES.index(language)]
    return sentence.format(**facts) if facts else sentence


def language_of(accepted: str) -> str:
    """The page's language for a browser's list such as "zh-CN,zh;q=0.9,en;q=0.8": "zh" where Chinese leads."""
    return "zh" if accepted.strip().lower().startswith("zh") else "en"


# The reasons that the runner gives for its choices, in English as records carry them; {name} is a device's, {part}
# "CPU" or "GPU", {half} a type's.
REASONS = {
    "you asked for it": "按你的选择",
    "no CUDA device was found": "未找到 CUDA 设备",
    "no CUDA device was found; Apple's GPU, where memory is not measured, is used when mps is asked for": (
        "未找到 CUDA 设备；Apple GPU 上无法测量内存，选择 mps 时才使用"
    ),
    "{name} is there": "检测到 {name}",
    "the type of the published weights and of the reported error; every device computes it": (
        "发布的权重和所报错误都用此类型，所有设备都能计算"
    ),
    "the type of the published weights and of the reported error; native on this {part}": (
        "发布的权重和所报错误都用此类型；此 {part} 原生支持"
    ),
    "the type of the published weights and of the reported error; "
    "on this {part} only bfloat16 is native, and quicker": (
        "发布的权重和所报错误都用此类型；此 {part} 仅原生支持 bfloat16，且更快"
    ),
    "the type of the published weights and of the reported error; no 16-bit type is native on this {part}": (
        "发布的权重和所报错误都用此类型；此 {part} 不原生支持任何 16 位类型"
    ),
    "this {part} has no native {half}: float32 is faster here, and its weights fit in memory": (
        "此 {part} 不原生支持 {half}：float32 更快，且内存足够"
    ),
    "this {part} has no native {half}, but float32 weights may not fit in memory": (
        "此 {part} 不原生支持 {half}，但内存可能放不下 float32 权重"
    ),
    "this {part} computes {half} natively, and autocast takes the float32 picture as it is": (
        "此 {part} 原生支持 {half}，且自动混合精度可直接使用 float32 图片"
    ),
    "it works on every machine": "在任何机器上都能回答",
}


def reason(said: str, language: str) -> str:
    """`said` in `language`, where its Chinese is known; as it is otherwise."""
    if language == "en":
        return said
    for english, chinese in REASONS.items():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(english))
        if found := re.fullmatch(pattern, said):
            return chinese.format(**found.groupdict())
    return said
