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
    names_dtypes=False,
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
    names_dtypes=False,
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
    names_dtypes=False,
)

RULES = (NON_FINITE, REPEATED, EMPTY)
