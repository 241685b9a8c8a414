"""Rules for operations whose message names two dtypes and no operation."""

from __future__ import annotations

import re

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import AUTOCAST, DTYPES, MPS
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import (
    AS_IS,
    FLOAT32_AND_FLOAT64,
    FLOATS_CLASH,
    IN_AN_EXTENSION,
    NO_FLOAT64,
    clash,
    clash_promoted_on_cuda,
    clash_unlisted,
    same_for_all,
    verdicts,
    where_cured,
)

_SOME_OPERATIONS = Text(
    "It depends on the operation, which the message does not name: of a batched matrix product, einsum or a "
    "convolution torch.autocast casts the operands; of batch_norm, embedding_bag and a compiled extension it does not.",
    "取决于报错未写明的运算：批量矩阵乘法、einsum、卷积的操作数会被 torch.autocast 转换；"
    "batch_norm、embedding_bag 和编译扩展则不会。",
)


def _listed(facts: Facts) -> Verdicts:
    """The verdicts of the operation in the facts; without one, the verdict on autocast is None."""
    found = clash(facts)
    if facts.operation in ("cdist", "aten._cdist_forward"):
        return where_cured(found, "unified", False, FLOAT32_AND_FLOAT64)
    return where_cured(found, "autocast", None, _SOME_OPERATIONS) if facts.operation is None else found


def _is_one_operation_s(facts: Facts) -> bool:
    """Whether two dtypes met on one device, in an operation of the model."""
    return len(facts.dtypes) != 1 and not facts.in_optimizer and not facts.on_two_devices


OPERANDS = Rule(
    family="operand_dtype_mismatch",
    title=Text("One operation was given two dtypes", "一个运算收到了两种 dtype"),
    cause=Text(
        "An operation expected the first dtype and found the second: {dtypes}. A batched matrix product, einsum, a "
        "convolution without bias, grid_sample and a loss with class weights say it in these words; on CUDA so does "
        "LayerNorm with a half input and float32 weights, which the CPU accepts.",
        "某个运算期望前一种 dtype，却得到后一种：{dtypes}。批量矩阵乘法、einsum、不带偏置的卷积、grid_sample、"
        "带类别权重的损失函数都会这样报错；在 CUDA 上，半精度输入遇到 float32 权重的 LayerNorm 也会，而 CPU 接受它。",
    ),
    verdicts=_listed,
    patterns=(
        rf"\bscalar type {DTYPE} but found {DTYPE}",
        rf"Expected object of scalar type {DTYPE} but got scalar type {DTYPE} for (?:argument|sequence element)",
        r"Expected object of type ([\w.]+Tensor) but found type ([\w.]+Tensor) for (?:argument|sequence element)",
        r"Expected object of data type \w+ but got data type \w+",
        rf"prelu: Type promoting not supported\. Got {DTYPE} and {DTYPE}",
        # PyTorch before 1.13
        rf"expected input and grid to have same dtype, but input has {DTYPE} and grid has {DTYPE}",
    ),
    applies=_is_one_operation_s,
    references=(AUTOCAST,),
)

_ONLY_FLOAT32 = Text(
    "A quantised layer takes float32 only: cast its input (`x.float()`).",
    "量化层只接受 float32：请转换它的输入（`x.float()`）。",
)
_FLOAT32_IN = Text("A quantised layer takes float32.", "量化层接受 float32。")
QUANTISED_LAYER = Rule(
    family="operand_dtype_mismatch",
    title=Text("A quantised layer was given a half tensor", "量化层收到了半精度张量"),
    cause=Text(
        "A layer of torch.ao's quantisation expected the first dtype and found the second: {dtypes}. It quantises its "
        "input itself, and answers in float32: keep the model around it in float32.",
        "torch.ao 的量化层期望前一种 dtype，却得到后一种：{dtypes}。它自行量化输入，并输出 float32："
        "请让它周围的模型保持 float32。",
    ),
    verdicts=verdicts((False, AS_IS), (False, IN_AN_EXTENSION), (False, _ONLY_FLOAT32), (True, _FLOAT32_IN)),
    patterns=(rf"\bscalar type {DTYPE} but found {DTYPE}",),
    applies=lambda facts: facts.dtypes[:1] == ("float32",) and not facts.has_integers and _is_quantised(facts),
    references=(DTYPES,),
)


def _is_quantised(facts: Facts) -> bool:
    return any(re.search(r"[/\\]nn[/\\]quantized[/\\]", frame.file) for frame in facts.frames[-2:])


_TORCHVISION = Text(
    "torchvision registers an autocast kernel for this operation, which computes it in float32.",
    "torchvision 为该运算注册了 autocast 内核，会以 float32 计算。",
)
TORCHVISION = Rule(
    family="operand_dtype_mismatch",
    title=Text("A torchvision operation was given two dtypes", "torchvision 的运算收到了两种 dtype"),
    cause=Text(
        "The features and the boxes of a torchvision operation are {dtypes}; both must have one dtype.",
        "torchvision 运算的特征与框是 {dtypes}；两者须为同一种 dtype。",
    ),
    verdicts=lambda facts: {**clash_unlisted(facts), "autocast": (True, _TORCHVISION)},
    patterns=(
        rf"to have the same type as tensor for argument #\d+ '\w+'; but type {DTYPE} does not equal {DTYPE} "
        r"\(while checking arguments for (?:ps_)?(?:roi_(?:align|pool)|nms|deform_conv2d)\w*\)",
    ),
    applies=lambda facts: len(facts.dtypes) == 2 and not facts.has_integers and not facts.has_double,
    references=(AUTOCAST,),
)

UNLISTED = Rule(
    family="operand_dtype_mismatch",
    title=OPERANDS.title,
    cause=Text(
        "An operation that does not promote its operands got {dtypes}. Cast one of them where it is made.",
        "一个不会自动提升 dtype 的运算收到了 {dtypes}。请在生成处转换其中之一。",
    ),
    verdicts=clash_unlisted,
    patterns=(
        rf"expected dtype {DTYPE} for `\w+` but got dtype {DTYPE}",
        # additions and comparisons on PyTorch 1.0 to 1.4, before type promotion
        r"expected (?:device|backend) (\S+ and dtype \w+) but got (?:device|backend) (\S+ and dtype \w+)",
        r"expected type ((?:CPU|CUDA)\w+Type|torch\.[\w.]+Tensor) but got ((?:CPU|CUDA)\w+Type|torch\.[\w.]+Tensor)",
        rf"and input value tensor should have same dtype, but got boundary tensor dtype {DTYPE} and input value tensor "
        rf"dtype {DTYPE}",
        rf"to have the same type as tensor for argument #\d+ '\w+'; but type {DTYPE} does not equal {DTYPE}",
        rf"Expected tensor for argument #\d+ '\w+' to have scalar type {DTYPE}; but got {DTYPE}",
        rf"should have the same dtype, but got input with dtype {DTYPE} and bins for dimension \d+ with dtype {DTYPE}",
        rf"should have the same dtype, but got input\({DTYPE}\), and weight\({DTYPE}\)",
        # torch.testing
        r"The values for attribute 'dtype' do not match: (torch\.\w+) != (torch\.\w+)",
        rf"Promotion for uint16, uint32, uint64 types is not supported, "
        rf"attempted to promote {DTYPE} and {DTYPE}",
    ),
    whole=(
        rf"{DTYPE} did not match {DTYPE}",
        r"meshgrid expects all tensors to have the same dtype",
        r"heaviside is not yet implemented for tensors with different dtypes",
        r"_chunk_cat expects all input tensors with the same dtype",
        r"torch\.cross: inputs must have the same dtype",
        r"(?:\w+(?:\(\))?:? )?[Aa]ll (?:input )?tensors must have the same d?type",
        r"tensors must all have the same type",
        r"input and output tensors must have the same type",
        r"All dtypes must be the same",
        r"Expected self\.dtype\(\) == other\.dtype\(\)(?: to be true, but got false.*)?",
    ),
    applies=_is_one_operation_s,
    references=(DTYPES,),
)


def _mps(facts: Facts) -> Verdicts:
    why = Text(
        "On MPS torch.autocast casts products and convolutions; an addition of two dtypes it leaves alone.",
        "在 MPS 上 torch.autocast 会转换乘积和卷积；两种 dtype 的加法它不处理。",
    )
    return {**clash_promoted_on_cuda(facts), "autocast": (None, why)}


MPS_ELEMENTS = Rule(
    family="mps_dtype_mismatch",
    title=Text("An operation on Apple's GPU was given two dtypes", "Apple GPU 上的运算收到了两种 dtype"),
    cause=Text(
        "Metal compiles one kernel for one element type and got {dtypes}.",
        "Metal 只为单一元素类型编译内核，却收到了 {dtypes}。",
    ),
    verdicts=_mps,
    patterns=(
        r"input types '(tensor<[^']{1,80}>)' and '(tensor<[^']{1,80}>)' are not broadcast compatible",
        r"'mps\.\w+' op requires the same element type for all operands and results",
    ),
    references=(MPS,),
)

FLOAT64_ON_MPS = Rule(
    family="float64_unsupported",
    title=Text("This device has no float64", "该设备没有 float64"),
    cause=Text(
        "A float64 tensor was to be moved to Apple's GPU, which has none. NumPy arrays and Python floats become "
        "float64 easily: cast with `.float()` before moving.",
        "要把 float64 张量移到 Apple GPU，而它不支持 float64。NumPy 数组和 Python 浮点数很容易变成 float64："
        "移动之前先用 `.float()` 转换。",
    ),
    verdicts=verdicts((False, NO_FLOAT64), (False, NO_FLOAT64), FLOATS_CLASH["unified"], FLOATS_CLASH["full"]),
    patterns=(r"Cannot convert a MPS Tensor to (float64) dtype",),
    references=(MPS,),
)

_ONNX = Text(
    "An exported graph has its dtypes built in: feed it what it names, or export it again in another dtype.",
    "导出的计算图已固定 dtype：按它所写的类型输入，或以另一种 dtype 重新导出。",
)
ONNX = Rule(
    family="onnx_input_dtype",
    title=Text(
        "ONNX Runtime got another dtype than the graph was exported with", "ONNX Runtime 收到的 dtype 与导出时不同"
    ),
    cause=Text(
        "The graph's input is declared in one dtype and was fed another: {dtypes}.",
        "计算图的输入声明为一种 dtype，实际送入的是另一种：{dtypes}。",
    ),
    verdicts=same_for_all(None, _ONNX),
    patterns=(r"Unexpected input data type\. Actual: \((tensor\(\w+\))\) ?, expected: \((tensor\(\w+\))\)",),
)

RULES = (TORCHVISION, QUANTISED_LAYER, OPERANDS, UNLISTED, MPS_ELEMENTS, FLOAT64_ON_MPS, ONNX)
