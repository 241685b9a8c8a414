"""Rules for convolutions."""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import AUTOCAST
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, cut
from xcomposer_ui.explain.traceback_parser import Frame
from xcomposer_ui.explain.verdicts import clash_told


def _same_dtype_elsewhere(facts: Facts) -> bool:
    """Whether both operands have one dtype: then they are on two devices, which another rule explains."""
    return len(facts.dtypes) == 1 and facts.match.lastindex == 2


CONVOLUTION = Rule(
    family="conv_dtype_mismatch",
    title=Text("A convolution was given two dtypes", "卷积收到了两种 dtype"),
    cause=Text(
        "A convolution got {dtypes}: its input and its weights must have one dtype. In a vision model this is most "
        "often the patch embedding, the first layer that sees the picture; unsigned char is a picture that was never "
        "turned into floating-point numbers.",
        "卷积收到了 {dtypes}：输入与权重须为同一种 dtype。在视觉模型中，这往往是最先接触图片的 patch 嵌入层；"
        "unsigned char 表示图片从未被转换为浮点数。",
    ),
    verdicts=clash_told,
    patterns=(
        rf"\({DTYPE}\) and (?:weight|bias) type \({DTYPE}\) "
        rf"(?:should be (?:the )?same|{cut('should be the same')}\W*$)",
        rf"Expected object of scalar type {DTYPE} but got scalar type {DTYPE} for argument #\d+ '(?:weight|input)' "
        r"in call to _thnn_conv\w*",
    ),
    applies=lambda facts: not _same_dtype_elsewhere(facts) and not facts.on_two_devices,
    references=(AUTOCAST,),
)

_CONV_CALL = re.compile(
    r"(?<![\w.])(?:(?:F|functional|torch|nn\.functional|torch\.nn\.functional)\.)?conv(?:_tbc|(?:_transpose)?[123]d)\("
)
_CONV_FILE = re.compile(r"[/\\]nn[/\\]modules[/\\]conv\.py$")


def _is_a_convolution(frame: Frame) -> bool:
    """Whether `frame` is in torch's convolution layers, or its source line calls a convolution only."""
    if frame.function.rpartition(".")[2] == "_conv_forward" or _CONV_FILE.search(frame.file):
        return True
    calls_once = len(re.findall(r"\w\(", frame.code)) == 1 and "@" not in frame.code
    return calls_once and bool(_CONV_CALL.search(frame.code))


# The messages of convolutions without bias, and of all transposed ones, name no operation. For a bfloat16 input the
# message depends on the processor: "Input type (CPUBFloat16Type) and weight type …" where oneDNN has bfloat16 kernels
# (AVX-512 on x86), this one where it has none. The input's dtype is first in both.
IN_A_CONVOLUTION = replace(
    CONVOLUTION,
    patterns=(rf"\bscalar type {DTYPE} but found {DTYPE}",),
    applies=lambda facts: len(facts.dtypes) == 2 and any(map(_is_a_convolution, facts.frames[-2:])),
)

RULES = (CONVOLUTION, IN_A_CONVOLUTION)
