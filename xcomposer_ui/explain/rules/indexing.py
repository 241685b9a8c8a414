"""Rules for writing into tensors by index or mask, and for the indices themselves."""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.autocast_operations import casts
from xcomposer_ui.explain.dtype_names import HALVES
from xcomposer_ui.explain.references import AUTOCAST, DTYPES
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import (
    ALL_FLOAT32,
    INTEGERS_UNCHANGED,
    NOT_LISTED,
    clash_unlisted,
    verdicts,
)

_WRITES = (
    rf"Index put requires the source and destination dtypes match, got {DTYPE} for the destination and {DTYPE} "
    r"for the source",
    r"masked_scatter_?: expected self and source to have same dtypes but got ?(\w+) and (\w+)",
    r"index_copy_\(\): self and source expected to have the same dtype, but got \(self\) (\w+) and \(source\) (\w+)",
    r"put_\(\): self and source expected to have the same dtype, but got self\.dtype = (\w+) and "
    r"source\.dtype = (\w+)",
    r"index_\w+_?\(\): self \((\w+)\) and source \((\w+)\) must have the same scalar type",
)

_AS_IS = Text(
    "It does not cast the values that are written, nor the tensor they go into.",
    "它既不转换写入的值，也不转换被写入的张量。",
)
_AUTOCAST_CAUSE = Text(
    "It is the cause where the weights are float32 (or the other half type): the embeddings keep the weights' dtype, "
    "what a linear layer computes becomes half. Load the weights in autocast's half type, or cast the values.",
    "若权重是 float32（或另一种半精度），它正是原因：嵌入保持权重的 dtype，而线性层的输出变成半精度。"
    "请以 autocast 的半精度类型加载权重，或转换写入的值。",
)
_UNIFIED = Text(
    "Weights and picture in one half type, and no autocast: what is written has the dtype it is written into.",
    "权重与图片同为一种半精度、且不用 autocast：写入的值与目标 dtype 一致。",
)

# Of these autocast knows the form that returns a new tensor, on some devices; index_copy_ and its kin it does not know.
_RETURNS_NEW = re.compile(r"\b(index_copy|index_put|scatter_add)\(")
_PROMOTED = Text(
    "index_copy, index_put and scatter_add without an underscore: on the CPU torch.autocast brings the first to the "
    "wider dtype, on CUDA the others.",
    "不带下划线的 index_copy、index_put 和 scatter_add：在 CPU 上 torch.autocast 会把前者统一到较宽的 dtype，"
    "在 CUDA 上则是后两者。",
)


def _promoted(facts: Facts) -> bool | None:
    """Whether autocast brings the operands of the call to one dtype; None where the device decides."""
    called = _RETURNS_NEW.search(facts.call)
    return casts(called[1], facts.device) if called else False


def _write(facts: Facts) -> Verdicts:
    found = clash_unlisted(facts)
    cures = _promoted(facts)
    if cures is False or found["autocast"][1] is not NOT_LISTED:
        return found
    # Autocast in one half type refuses a tensor of the other.
    return {**found, "autocast": (cures if facts.dtypes and facts.dtypes[0] not in HALVES else None, _PROMOTED)}


AUTOCAST_WRITE = Rule(
    family="autocast_index_write",
    title=Text(
        "Half values were written into a tensor of another dtype: autocast makes this",
        "把半精度的值写入另一种 dtype 的张量：由 autocast 造成",
    ),
    cause=Text(
        "Under torch.autocast linear layers answer in half, while an embedding or a cache keeps the weights' dtype. "
        "Writing image features into text embeddings by index or mask then meets two dtypes ({dtypes}: destination, "
        "source), and such a write never casts.",
        "在 torch.autocast 下线性层输出半精度，而嵌入或缓存保持权重的 dtype。按索引或掩码把图像特征写入文本嵌入时"
        "便遇到两种 dtype（{dtypes}：目标在前，来源在后），这种写入从不转换类型。",
    ),
    verdicts=verdicts((False, _AS_IS), (False, _AUTOCAST_CAUSE), (True, _UNIFIED), (True, ALL_FLOAT32)),
    patterns=_WRITES,
    applies=lambda facts: facts.source_is_half and _promoted(facts) is False,
    references=(AUTOCAST,),
)

WRITE = Rule(
    family="index_write_dtype_mismatch",
    title=Text("Values were written into a tensor of another dtype", "写入的值与目标张量 dtype 不同"),
    cause=Text(
        "A write by index or mask takes values of the tensor's own dtype only; it got {dtypes} (destination, source). "
        "Float32 image features going into half text embeddings, or float32 keys into a half cache, are the usual "
        "sources: cast the values to the destination's dtype.",
        "按索引或掩码写入时，值须与张量同一 dtype；这里是 {dtypes}（目标在前，来源在后）。常见情形是 float32 的图像特征"
        "写入半精度的文本嵌入，或 float32 的键写入半精度缓存：请先把值转换成目标的 dtype。",
    ),
    verdicts=_write,
    patterns=_WRITES,
    references=(DTYPES,),
)

SCATTER = replace(
    WRITE,
    title=Text("Values were scattered into a tensor of another dtype", "散布写入的值与目标张量 dtype 不同"),
    cause=Text(
        "scatter and its kin take values of the tensor's own dtype only. The message does not say which they were; "
        "print `.dtype` of the tensor and of `src`.",
        "scatter 一类运算要求值与张量同一 dtype。报错没有写明是哪两种；请打印张量和 `src` 的 `.dtype`。",
    ),
    patterns=(
        r"scatter\w*\(\): Expected self\.dtype to be equal to src\.dtype",
        r"index_\w+\(\): self and source must have the same scalar type",
    ),
)


def _indexes(facts: Facts) -> bool:
    """False for index_select and gather on half *values*, which old versions had no kernels for."""
    missing = "not implemented for" in facts.match.group()
    return not missing or "bincount" in facts.message or "repeat_interleave" in facts.message


INDEX = Rule(
    family="index_dtype",
    title=Text("Indices must be integers", "索引必须是整数"),
    cause=Text(
        "Something used as an index, as token ids or as an embedding's input is floating point (or an integer type "
        "that is not taken). Casting a whole batch to half casts the ids as well: cast the pixels only, and give "
        "indices as int64.",
        "用作索引、词元编号或嵌入输入的张量是浮点数（或不被接受的整数类型）。把整个批次转换成半精度会连编号一起转换："
        "只转换像素，索引请用 int64。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        r"Expected tensor for argument #\d+ '(?:indices|offsets|index)' to have (?:one of the following scalar types|"
        r"scalar type):? [\w, ]{1,80}; but got [\w.]+",
        r"tensors used as indices must be long, (?:int, )?byte or bool tensors",
        r"only integers, slices \(`:`\), ellipsis \(`\.\.\.`\), None and long or byte Variables are valid indices",
        r"\(\): Expected dtype int32(?:/| or )int64 for index(?: but got: \w+)?",
        r"\(\): Expected dtype int64 for index",
        r"\(\): Expected a long tensor for index, but got \w+",
        r"(?:gather|scatter|index_\w+)(?:_?\(\))?: Expected dtype int64 for index",
        r"dtype of indices should be Long but got \w+",
        r"elements in indices should be type int64(?: but got: \w+)?",
        r"expected 'indices' to be integer dtype, but got torch\.\w+",
        r"sorter must be a tensor of long dtype but got dtype \w+",
        r"expected tensor_indices_or_sections to have dtype of long, but got \w+",
        r"found unexpected index type \w+",
        r"one_hot is only applicable to index tensor of type LongTensor",
        r"repeats has to be Long or Int tensor",
        r"Expected object of scalar type Long but got scalar type \w+ for argument #\d+ '(?:index|indices|target)'",
        r"\"(?:index_select|gather|embedding|bincount|repeat_interleave)\w*\" not implemented for '(?:Float|Half|"
        r"BFloat16|Double)'",
    ),
    whole=(r"only integer tensors of a single element can be converted to an index",),
    applies=_indexes,
    references=(DTYPES,),
)


MASK = Rule(
    family="mask_dtype",
    title=Text("A mask must be boolean", "掩码必须是布尔型"),
    cause=Text(
        "masked_fill, masked_scatter and where take a bool mask; this one has another dtype, as a mask of ones and "
        "zeros has, or one that was cast to half with everything else. Compare it (`mask != 0`) or cast it to bool.",
        "masked_fill、masked_scatter 和 where 需要 bool 掩码；这里的掩码是别的 dtype，例如 0/1 掩码，或随其他张量一起"
        "被转换成了半精度。请用比较（`mask != 0`）或转换为 bool。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        rf"masked_\w+ only supports boolean masks, but got (?:mask with )?dtype {DTYPE}",
        rf"where expected condition to be a boolean tensor, but got a tensor with dtype {DTYPE}",
        r"masked_select: expected BoolTensor for mask",
        rf"Expected mask to be of ScalarType Bool, but got {DTYPE}",
        r"expected condition to be a boolean tensor",
    ),
    references=(DTYPES,),
)


TARGET = Rule(
    family="target_dtype",
    title=Text("A loss got targets of a dtype it does not take", "损失函数不接受目标的 dtype"),
    cause=Text(
        "cross_entropy and nll_loss take class numbers as int64, or class probabilities as floating point; they got "
        "{dtypes}.",
        "cross_entropy 和 nll_loss 需要 int64 的类别编号，或浮点的类别概率；这里得到的是 {dtypes}。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        r"expected target dtype to be Long or Byte, but got (\w+)",
        r"Expected floating point type for target with class probabilities, got (\w+)",
        # CUDA's kernels of this name dispatch on the targets; the others, and the CPU's, on the scores.
        r"\"nll_loss\w*_index\" not implemented for '(Int|Float|Half|BFloat16|Double|Short)'",
    ),
    references=(DTYPES,),
)

RULES = (AUTOCAST_WRITE, WRITE, SCATTER, INDEX, MASK, TARGET)
