"""Rules for normalisation layers."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import AUTOCAST
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import AS_IS, FLOATS_CLASH, IF_PICTURE, clash, verdicts, where_cured

_CPU_AUTOCAST = Text(
    "On the CPU torch.autocast does not touch normalisation layers; on CUDA it runs layer_norm in float32 and would "
    "cure it.",
    "在 CPU 上 torch.autocast 不处理归一化层；在 CUDA 上它以 float32 计算 layer_norm，可以解决。",
)
CPU_HALF_WEIGHTS = Rule(
    family="norm_dtype_mismatch",
    title=Text(
        "A normalisation layer on the CPU met an input that is not of its weights' dtype",
        "CPU 上的归一化层遇到了与权重 dtype 不同的输入",
    ),
    cause=Text(
        "LayerNorm, GroupNorm or BatchNorm has half weights and got a float32 input (or the other half type). The CPU "
        "accepts two pairs: one dtype for both, or a half input with float32 weights.",
        "LayerNorm、GroupNorm 或 BatchNorm 的权重是半精度，输入却是 float32（或另一种半精度）。"
        "CPU 只接受两种组合：两者 dtype 相同，或半精度输入配 float32 权重。",
    ),
    # The message of group_norm contains "(CPU)" on CUDA too, where autocast computes it in float32.
    verdicts=lambda facts: {**FLOATS_CLASH, "autocast": (facts.device == "cuda", _CPU_AUTOCAST)},
    patterns=(rf"mixed dtype \(CPU\): expect (?:\w+ )+to have scalar type of {DTYPE}",),
    references=(AUTOCAST,),
)

CPU_ODD_INPUT = Rule(
    family="norm_dtype_mismatch",
    title=Text(
        "A normalisation layer on the CPU met an input of another dtype", "CPU 上的归一化层遇到了另一种 dtype 的输入"
    ),
    cause=Text(
        "A normalisation layer's input is neither a half type nor its weights' dtype: float64, as NumPy makes it, or "
        "integers, as a picture's bytes are.",
        "归一化层的输入既不是半精度，也不是权重的 dtype：例如 NumPy 产生的 float64，或图片字节那样的整数。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _CPU_AUTOCAST), (None, IF_PICTURE), (None, IF_PICTURE)),
    patterns=(r"mixed dtype \(CPU\): all inputs must share same datatype",),
    references=(AUTOCAST,),
)


_ON_CUDA = Text(
    "On CUDA torch.autocast runs layer_norm and group_norm in float32 and cures it; on the CPU it does not touch them, "
    "and batch_norm on neither.",
    "在 CUDA 上 torch.autocast 以 float32 计算 layer_norm 和 group_norm，可以解决；在 CPU 上它不处理，"
    "batch_norm 在两者上都不处理。",
)
_CAST_ON_CUDA = {"layer_norm", "group_norm"}
_NORMS = {*_CAST_ON_CUDA, "batch_norm", "instance_norm"}
_FILES = {"normalization.py": "layer_norm", "batchnorm.py": "batch_norm"}


def _norms(facts: Facts) -> set[str]:
    """The normalisation in the traceback's last frame: torch's function for it, or the file of its module."""
    functions = {frame.function for frame in facts.frames[-2:]}
    file = facts.frames[-1].file if facts.frames else ""
    return functions & _NORMS or {norm for ending, norm in _FILES.items() if file.endswith(ending)}


def _by_device(facts: Facts) -> Verdicts:
    on_cuda = bool(_norms(facts) & _CAST_ON_CUDA)
    cures = {"cpu": False, "cuda": on_cuda}.get(facts.device or "", None if on_cuda else False)
    return where_cured(clash(facts), "autocast", cures, _ON_CUDA)


IN_A_NORM = Rule(
    family="norm_dtype_mismatch",
    title=Text("A normalisation layer was given two dtypes", "归一化层收到了两种 dtype"),
    cause=Text(
        "A normalisation layer got {dtypes}: its input and its weights must have one dtype. The CPU takes a half input "
        "with float32 weights; CUDA does not.",
        "归一化层收到了 {dtypes}：输入与权重须为同一种 dtype。CPU 接受半精度输入配 float32 权重，CUDA 不接受。",
    ),
    verdicts=_by_device,
    patterns=(rf"\bscalar type {DTYPE} but found {DTYPE}",),
    applies=lambda facts: bool(_norms(facts)),
    references=(AUTOCAST,),
)

_NO_RULE = Text(
    "torch.autocast has no rule for batch_norm: both operands stay as they are.",
    "torch.autocast 没有 batch_norm 的规则：两个操作数保持原样。",
)
NATIVE_BATCH_NORM = replace(
    IN_A_NORM,
    verdicts={**FLOATS_CLASH, "autocast": (False, _NO_RULE)},
    patterns=(rf"Expected (?:weight|bias|running_mean|running_var) to have type {DTYPE} but got {DTYPE}",),
    applies=None,
)


_SLOWER = Text(
    "It is a warning: the layer answers, by the slower way.", "这只是警告：该层仍会给出结果，只是走较慢的路径。"
)
FUSED = Rule(
    family="norm_dtype_mismatch",
    title=Text("A fused normalisation fell back to the slow way", "融合归一化退回到了较慢的实现"),
    cause=Text(
        "RMSNorm's input and weight have two dtypes, {dtypes}; the fused kernel takes one.",
        "RMSNorm 的输入与权重是两种 dtype：{dtypes}；融合内核只接受一种。",
    ),
    verdicts=lambda facts: {**clash(facts), "as_is": (None, _SLOWER)},
    patterns=(rf"Mismatch dtype between input and weight: input dtype = {DTYPE}, weight dtype = {DTYPE}",),
    references=(AUTOCAST,),
)

RULES = (CPU_HALF_WEIGHTS, CPU_ODD_INPUT, IN_A_NORM, NATIVE_BATCH_NORM, FUSED)
