"""Rules for failures without an exception, by the lab's own messages."""

from __future__ import annotations

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import NUMERICS, xcomposer
from xcomposer_ui.explain.rule import Rule
from xcomposer_ui.explain.verdicts import same_for_all, verdicts

_SAME_HALF = Text(
    "It computes in the same half type: what overflowed there overflows again.",
    "它用同一种半精度计算：之前溢出的地方还会溢出。",
)
_OTHER_HALF = Text(
    "With bfloat16 as the half type it holds if float16 overflowed: bfloat16 reaches as far as float32.",
    "若是 float16 溢出，改用 bfloat16 即可：它的范围与 float32 一样大。",
)
_FLOAT32 = Text(
    "float32 reaches 3.4e38; only weights that hold NaN themselves are not cured by it.",
    "float32 的范围到 3.4e38；除非权重本身含有 NaN，否则可以解决。",
)
NON_FINITE = Rule(
    family="non_finite_logits",
    title=Text("The answer rests on numbers that are not finite", "答案建立在非有限的数值之上"),
    cause=Text(
        "Somewhere in the model a value outgrew its dtype, and NaN or infinity reached the logits: the text that comes "
        "out means nothing. float16 ends at 65504.",
        "模型中某处的数值超出了 dtype 的范围，NaN 或无穷传到了 logits：输出的文字没有意义。float16 的上限是 65504。",
    ),
    verdicts=verdicts((None, _OTHER_HALF), (None, _SAME_HALF), (None, _OTHER_HALF), (True, _FLOAT32)),
    patterns=(r"the logits are not finite", r"logits 不是有限值"),
    references=(NUMERICS, xcomposer(474)),
)

_NOT_ALWAYS_PRECISION = Text(
    "If another strategy answers, precision is the cause; if none does, the model or the prompt is.",
    "若另一种策略能正常回答，则原因是精度；若都不能，则是模型或提示的问题。",
)
REPEATED = Rule(
    family="repeated_token",
    title=Text("The answer repeats one token to its end", "答案一直重复同一个词元"),
    cause=Text(
        "The model got caught in one token. Lost precision does this to some models, and so does greedy decoding of a "
        "prompt it does not know; a higher repetition penalty or some temperature tells which.",
        "模型陷入了同一个词元。精度不足会使某些模型如此，对陌生提示做贪心解码也会；提高重复惩罚或温度即可分辨。",
    ),
    verdicts=same_for_all(None, _NOT_ALWAYS_PRECISION),
    patterns=(r"the answer repeats one token \d+ times to its end", r"答案到结尾一直重复同一个词元"),
    references=(xcomposer(474),),
)
EMPTY = Rule(
    family="empty_answer",
    title=Text("The answer is empty", "答案为空"),
    cause=Text(
        "The model ended its turn before its first word. It may have nothing to say to this prompt, or its numbers may "
        "have gone wrong on the way.",
        "模型在说出第一个词之前就结束了。可能是对此提示无话可说，也可能是数值在途中出了错。",
    ),
    verdicts=same_for_all(None, _NOT_ALWAYS_PRECISION),
    patterns=(r"the model ended its answer before its first word", r"模型在写出第一个字之前就结束了答案"),
)

_OTHER_RECIPE = Text(
    "A strategy decides how a model answers; how it is trained is decided by the recipe.",
    "策略决定模型如何回答；如何训练由训练方案决定。",
)
UPDATE_NOT_FINITE = Rule(
    family="non_finite_update",
    title=Text("The optimizer's update is not finite", "优化器的更新不是有限值"),
    cause=Text(
        "The gradients were finite; the optimizer's arithmetic was not. Adam divides by sqrt(v) + epsilon, where v "
        "averages the gradients' squares. In float16 v is zero for gradients below 5e-3, and so is the usual epsilon, "
        "1e-8: the quotient is infinite. Give the optimizer float32 weights (autocast, or master weights), or an "
        "epsilon that float16 can hold, such as 1e-4.",
        "梯度是有限的，出问题的是优化器的运算。Adam 要除以 √v + ε，其中 v 是梯度平方的平均。在 float16 中，"
        "梯度小于 5e-3 时 v 为零，常用的 ε（1e-8）也为零，商便是无穷。请让优化器使用 float32 权重"
        "（autocast 或主权重），或使用 float16 能表示的 ε，例如 1e-4。",
    ),
    verdicts=same_for_all(None, _OTHER_RECIPE),
    patterns=(r"the optimizer's update of `[\w.]+` is infinite or NaN",),
    references=(NUMERICS,),
)
TRAINING_NOT_FINITE = Rule(
    family="non_finite_training",
    title=Text("A number of the training outgrew its dtype", "训练中的数值超出了 dtype 的范围"),
    cause=Text(
        "A value of the forward or the backward pass became infinite or NaN, and nothing kept it from the weights. "
        "float16 ends at 65504; bfloat16 reaches as far as float32. GradScaler skips such a step and lowers its scale; "
        "a smaller learning rate or clipped gradients help where the training itself diverges.",
        "前向或反向传播中的某个值变为无穷或 NaN，并进入了权重。float16 的上限是 65504，bfloat16 的范围与 float32 相同。"
        "GradScaler 会跳过这样的一步并降低缩放系数；若训练本身发散，请降低学习率或裁剪梯度。",
    ),
    verdicts=same_for_all(None, _OTHER_RECIPE),
    patterns=(r"[Tt]raining is not finite",),
    references=(NUMERICS,),
)

RULES = (NON_FINITE, REPEATED, EMPTY, UPDATE_NOT_FINITE, TRAINING_NOT_FINITE)
