"""The messages of failures that raise nothing, in Chinese; records carry them in English (`backends.silent`).

PyTorch's own messages are shown as it words them; these are the lab's.
"""

from __future__ import annotations

import re

_ARISES = r"the logits are not finite: NaN or infinity arises first at (.+?)"
_BEFORE = r"; the largest value before it is (\S+) (?:at|going into) ([^,]+)"
_SHARE = r", (\S+%) of the largest that (\w+) holds \((.+)\)"
_CHINESE = (
    (
        _ARISES + _BEFORE + _SHARE,
        "logits 不是有限值：NaN 或无穷大最先出现在 {0}；此前的最大值是 {1}，在 {2}，为 {4} 最大值（{5}）的 {3}",
    ),
    (_ARISES + _BEFORE, "logits 不是有限值：NaN 或无穷大最先出现在 {0}；此前的最大值是 {1}，在 {2}"),
    (_ARISES, "logits 不是有限值：NaN 或无穷大最先出现在 {0}"),
    (
        r"the logits are not finite; run again with the trace on, they were",
        "logits 不是有限值；打开跟踪再运行一次时却是有限值",
    ),
    (
        r"the answer repeats one token (\d+) times to its end: “…(.*)”",
        "答案到结尾一直重复同一个词元，共 {0} 次：“…{1}”",
    ),
    (r"the model ended its answer before its first word", "模型在写出第一个字之前就结束了答案"),
)


def silent_message(message: str, language: str) -> str:
    """`message` in `language` where it is one of the lab's own; as it stands where it is not, or in English."""
    if language.startswith("zh"):
        for pattern, said in _CHINESE:
            if match := re.fullmatch(pattern, message, re.DOTALL):
                return said.format(*match.groups())
    return message
