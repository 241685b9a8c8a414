"""Verdicts on the strategies by kind of failure: whether each cures it, and why.

The verdicts on autocast were found by provoking each error on PyTorch 2.13's CPU build and running it again under
torch.autocast in both half types. Those on CUDA follow from PyTorch's own lists of what autocast casts there:
https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
"""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.autocast_operations import METHODS, casts
from xcomposer_ui.explain.rule import Facts, Verdict, Verdicts

AS_IS = Text(
    "It casts nothing, so the same two dtypes meet again.",
    "它不做任何转换，同样的两种 dtype 还会相遇。",
)
CASTS = Text(
    "torch.autocast casts both operands of this operation to one half type.",
    "torch.autocast 会把这一运算的两个操作数都转换成同一种半精度类型。",
)
ONE_HALF = Text(
    "With picture and weights in one half type, nothing else reaches the operation.",
    "图片与权重同为一种半精度类型，运算处不会再出现别的 dtype。",
)
ALL_FLOAT32 = Text(
    "With weights and picture in float32 both operands agree, at twice the memory.",
    "权重和图片都是 float32，两个操作数一致，但内存占用翻倍。",
)
NOT_LISTED = Text(
    "torch.autocast has no rule for this operation: both operands stay as they are.",
    "torch.autocast 没有为这一运算制定规则：两个操作数保持原样。",
)
ONLY_FLOATS = Text(
    "torch.autocast casts float32 and the half types only; an integer tensor stays an integer tensor.",
    "torch.autocast 只转换 float32 和半精度类型；整数张量仍是整数。",
)
NO_DOUBLE = Text(
    "torch.autocast leaves float64 and complex numbers as they are.",
    "torch.autocast 不会转换 float64 和复数。",
)
IF_PICTURE = Text(
    "It depends on where the odd tensor comes from: if it is the picture, this strategy casts it; "
    "if the code makes it, cast it there.",
    "取决于这个不合群的张量从何而来：若是图片，本策略会转换它；若由代码生成，需在生成处转换。",
)
IF_OVERFLOW = Text(
    "Cured if a half type overflowed; not if the weights or the picture hold the NaN themselves.",
    "若是半精度溢出则可解决；若权重或图片本身含有 NaN 则不能。",
)
IF_FLOATS = Text(
    "Cured if the dtype that is missing here is a half type or float32; not if it is an integer type or float64.",
    "若此处缺失的 dtype 是半精度或 float32 则可解决；若是整数或 float64 则不能。",
)
IF_BOTH_FLOATS = Text(
    "It depends on the two dtypes, which the message does not name: two floating-point types become one, integers "
    "stay integers.",
    "取决于报错没有写明的两种 dtype：两种浮点类型会统一，整数仍是整数。",
)
FLOAT32_AND_FLOAT64 = Text(
    "PyTorch computes it in float32 and float64 only: with two half tensors a kernel is missing.",
    "PyTorch 只以 float32 和 float64 计算它：两个半精度张量会遇到缺失的内核。",
)
STAYS_COMPLEX = Text(
    "No strategy changes a complex dtype: take `.real`, `.abs()` or `torch.view_as_real` where it is made.",
    "没有策略会改变复数 dtype：请在生成处取 `.real`、`.abs()` 或 `torch.view_as_real`。",
)
NO_FLOAT64 = Text("It keeps the float64 tensor that the device lacks.", "它保留了设备所不支持的 float64 张量。")
NO_PART = Text(
    "Precision plays no part in this failure.",
    "这一失败与精度无关。",
)
STAYS_INTEGER = Text(
    "It changes floating-point dtypes only; this tensor must be cast where it is made.",
    "它只改变浮点 dtype；这个张量须在生成处转换。",
)


def verdicts(as_is: Verdict, autocast: Verdict, unified: Verdict, full: Verdict) -> Verdicts:
    return {"as_is": as_is, "autocast": autocast, "unified": unified, "full": full}


def same_for_all(cures: bool | None, why: Text) -> Verdicts:
    return dict.fromkeys(("as_is", "autocast", "unified", "full"), (cures, why))


PRECISION_UNRELATED = same_for_all(False, NO_PART)
INTEGERS_UNCHANGED = same_for_all(False, STAYS_INTEGER)
FLOATS_CLASH = verdicts((False, AS_IS), (True, CASTS), (True, ONE_HALF), (True, ALL_FLOAT32))
INTEGERS_CLASH = verdicts((False, AS_IS), (False, ONLY_FLOATS), (None, IF_PICTURE), (None, IF_PICTURE))
DOUBLES_CLASH = verdicts((False, AS_IS), (False, NO_DOUBLE), (None, IF_PICTURE), (None, IF_PICTURE))

_FLOAT16_INSTEAD = Text(
    "With bfloat16 it stays; with float16 as the half type this strategy runs.",
    "用 bfloat16 时依旧如此；改用 float16 则可以运行。",
)
_FLOAT16_UNCAST = Text(
    "With bfloat16 it stays. With float16 it goes, but nothing is cast: a float32 picture clashes with half weights.",
    "用 bfloat16 时依旧如此。改用 float16 后不再出现，但不做任何转换：float32 的图片会与半精度权重冲突。",
)
FLOAT32_RUNS = Text("float32 runs everywhere, at twice the memory.", "float32 处处可用，但内存占用翻倍。")
WITHOUT_BFLOAT16 = verdicts(
    (None, _FLOAT16_UNCAST), (None, _FLOAT16_INSTEAD), (None, _FLOAT16_INSTEAD), (True, FLOAT32_RUNS)
)

GRADIENTS_ARE_HALF = Text(
    "Its weights are half, so their gradients are half, which GradScaler does not unscale.",
    "它的权重是半精度，梯度也是半精度，而 GradScaler 不会还原。",
)
QUANTISED = Text(
    "The weight is stored quantised: its own layer must unpack it, no cast does.",
    "权重以量化形式存储：须由它自己的层来解包，转换 dtype 无济于事。",
)


IN_PLACE = re.compile(r"\b(?:addmm|addmv|addbmm|baddbmm|addr|addcmul|addcdiv)_\(")
# A tensor may be called `weight_cuda`: its methods are torch's own.
EXTENSION = re.compile(
    rf"\b(?:_?ext_module|_ext|_C|torch\.ops\.(?!aten\b)\w+)\.\w+\(|\b\w*(?:_cuda|_ext)\.(?!{METHODS}\()\w+\("
)

WRITES_IN_PLACE = Text(
    "torch.autocast casts no in-place product and no product with `out=`.",
    "torch.autocast 不转换就地乘法，也不转换带 `out=` 的乘法。",
)
IN_AN_EXTENSION = Text(
    "torch.autocast does not reach into a compiled extension: cast its arguments before the call.",
    "torch.autocast 不作用于编译扩展：请在调用前转换参数。",
)
WITHIN_AUTOCAST = Text(
    "The traceback runs through torch.autocast, which the code around this operation sets itself, on or off: another "
    "one further out changes nothing here.",
    "从回溯可见，这一运算所在的代码自己设置了 torch.autocast（开启或关闭）：在更外层再用它不起作用。",
)
_BY_DEVICE = Text(
    "It depends on the device: torch.autocast has a rule for this operation on the CPU or on CUDA, and not on both.",
    "取决于设备：对这一运算，torch.autocast 只在 CPU 或 CUDA 之一上有规则。",
)


def _writes_in_place(code: str) -> bool:
    """Whether `code` calls an in-place product, or passes `out=`; `out = torch.matmul(q, k)` names a result only."""
    depth = max(0, code.count(")") - code.count("("))  # of the lines before this one, where they are not shown
    for token in re.findall(r"[()]|\bout\s*=(?!=)", code):
        if token not in "()" and depth > 0:
            return True
        depth += {"(": 1, ")": -1}.get(token, 0)
    return IN_PLACE.search(code) is not None


def clash(facts: Facts) -> Verdicts:
    """Two dtypes in an operation that autocast casts on CPU and CUDA, unless the facts show another kind of call."""
    if unusual := _unusual(facts):
        return unusual
    cast = facts.operation is None or casts(facts.operation, facts.device)
    if cast is None:
        return {**FLOATS_CLASH, "autocast": (None, _BY_DEVICE)}
    for applies, why in (
        (not cast, NOT_LISTED),
        (_writes_in_place(facts.call), WRITES_IN_PLACE),
        (EXTENSION.search(facts.call), IN_AN_EXTENSION),
        (facts.under_autocast, WITHIN_AUTOCAST),
    ):
        if applies:
            return {**FLOATS_CLASH, "autocast": (False, why)}
    return FLOATS_CLASH


def clash_told(facts: Facts) -> Verdicts:
    """As `clash`, where the message itself tells the operation: a source line may show a call around it only."""
    seen_in_source = facts.operation is not None and not facts.operation.startswith("aten.")
    return clash(replace(facts, operation=None) if seen_in_source else facts)


def clash_unlisted(facts: Facts) -> Verdicts:
    """Two dtypes in an operation that autocast casts neither on the CPU nor on CUDA."""
    return clash_of_floats(facts, False, NOT_LISTED)


def clash_partly_listed(facts: Facts, why: Text) -> Verdicts:
    """As `clash_unlisted`, but whether autocast cures a clash of 16 and 32 bits depends on what `why` names."""
    return {**clash_unlisted(facts), **({} if _unusual(facts) else {"autocast": (None, why)})}


def clash_promoted_on_cuda(facts: Facts) -> Verdicts:
    """Two dtypes in an operation that autocast casts on CUDA but not on the CPU."""
    cures = {"cpu": False, "cuda": True}.get(facts.device or "")
    why = Text(
        "On CUDA torch.autocast brings both operands to one dtype; on the CPU it has no rule for this operation.",
        "在 CUDA 上 torch.autocast 会统一两个操作数的 dtype；在 CPU 上它没有这一运算的规则。",
    )
    return clash_of_floats(facts, cures, why)


def where_cured(found: Verdicts, strategy: str, cures: bool | None, why: Text) -> Verdicts:
    """`found`, with another verdict on `strategy` if that one is that it cures the failure."""
    return {**found, strategy: (cures, why)} if found[strategy][0] else found


def clash_of_floats(facts: Facts, cures: bool | None, why: Text) -> Verdicts:
    """Two dtypes in an operation, with the verdict on autocast for two floating-point ones of 16 or 32 bits."""
    if not facts.dtypes:
        unnamed = (None, IF_BOTH_FLOATS)
        return {**FLOATS_CLASH, "autocast": unnamed if cures else (cures, why), "unified": unnamed, "full": unnamed}
    return _unusual(facts) or {**FLOATS_CLASH, "autocast": (cures, why)}


def _unusual(facts: Facts) -> Verdicts | None:
    # The weight is the second dtype: 8-bit integers there are packed weights, in first place an input's, as pixels are.
    if facts.dtypes[1:] in (("int8",), ("uint8",)):
        return same_for_all(False, QUANTISED)
    if facts.has_integers:
        return INTEGERS_CLASH
    if facts.has_double or facts.has_complex:
        return DOUBLES_CLASH
    return None
