"""Rules for products: matrices, vectors, recurrent cells."""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.dtype_names import HALVES
from xcomposer_ui.explain.references import AUTOCAST, MPS, xcomposer
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts, cut
from xcomposer_ui.explain.verdicts import (
    ALL_FLOAT32,
    AS_IS,
    IF_FLOATS,
    clash_of_floats,
    clash_promoted_on_cuda,
    clash_told,
    verdicts,
    where_cured,
)

_BIAS_OR_IN_PLACE = Text(
    "It depends on the call: of a linear layer whose bias differs torch.autocast casts all operands; of an in-place "
    "product (`addmm_`) it casts none.",
    "取决于调用：若是偏置不同的线性层，torch.autocast 会转换全部操作数；若是就地乘法（`addmm_`），则都不转换。",
)


_NORM_IS_NEXT = Text(
    "It casts this product, and its float32 residual then meets the layer's half LayerNorm: on the CPU that fails, on "
    "CUDA torch.autocast computes it in float32.",
    "它会转换这个乘法，但随后 float32 的残差会遇到该层半精度的 LayerNorm：在 CPU 上失败，"
    "在 CUDA 上 torch.autocast 以 float32 计算它。",
)


def _in_a_layer(facts: Facts) -> Verdicts:
    """The verdicts on a product; autocast does not cure a half Transformer layer of torch on the CPU."""
    found = clash_told(facts)
    layers = [frame for frame in facts.frames if re.search(r"nn[/\\]modules[/\\]transformer\.py$", frame.file)]
    # Attention over a decoder's memory leaves the residual's dtype alone.
    meets_norm = bool(layers) and "_mha_block" not in layers[-1].function and facts.dtypes[1:2] in _HALF_WEIGHT
    if not meets_norm or facts.device == "cuda":
        return found
    return where_cured(found, "autocast", False if facts.device == "cpu" else None, _NORM_IS_NEXT)


_HALF_WEIGHT = tuple((half,) for half in HALVES)


def _product(facts: Facts) -> Verdicts:
    found = _in_a_layer(facts)
    unclear = facts.operation is None and not facts.call and re.match("self and mat|(?:mat)?2 must", facts.match[0])
    return where_cured(found, "autocast", None, _BIAS_OR_IN_PLACE) if unclear else found


_INPUT_AND_WEIGHT = (
    rf"mat1 and mat2 must have the same dtype, but got {DTYPE} and {DTYPE}",
    rf"\b(?:m2|mat2) to have the same dtype, but got: ?{DTYPE}\s*!=\s*{DTYPE}",
)
MATMUL = Rule(
    family="matmul_dtype_mismatch",
    title=Text("A matrix product was given two dtypes", "矩阵乘法收到了两种 dtype"),
    cause=Text(
        "A linear layer or a matrix product got {dtypes}; PyTorch multiplies only what has one dtype.",
        "线性层或矩阵乘法收到了 {dtypes}；PyTorch 只计算 dtype 相同的乘法。",
    ),
    verdicts=_product,
    patterns=(
        *_INPUT_AND_WEIGHT,
        rf"(?:self|mat2) and mat[12] must have the same dtype, but got {DTYPE} and {DTYPE}",
        rf"(?<![\w.])(?:mat)?2 must have the same dtype, but got {DTYPE} and {DTYPE}",  # its beginning is cut
        rf"Input dtypes must be the same, got: input {DTYPE}, batch1: {DTYPE}, batch2: {DTYPE}",
        # PyTorch 1.0 to 1.6
        rf"Expected object of scalar type {DTYPE} but got scalar type {DTYPE} for argument #\d+ '(?:mat|batch|vec)\d?'",
    ),
    whole=(rf"mat1 and mat2 must have the same dtype(?:{cut(', but got ')}|, but got [A-Z]\w{{0,20}})",),
    references=(AUTOCAST, xcomposer(317)),
)

PICTURE_MATMUL = replace(
    MATMUL,
    cause=Text(
        "A linear layer or a matrix product got {dtypes}; PyTorch multiplies only what has one dtype. With half "
        "weights this is usually a float32 picture, or features that some module cast back to float32, meeting the "
        "next weight. The message names the input's dtype first and the weight's second.",
        "线性层或矩阵乘法收到了 {dtypes}；PyTorch 只计算 dtype 相同的乘法。使用半精度权重时，通常是 float32 的图片，"
        "或被某个模块转回 float32 的特征，遇到了下一层的权重。先出现的是输入的 dtype，后出现的是权重的。",
    ),
    verdicts=_in_a_layer,
    patterns=_INPUT_AND_WEIGHT,
    whole=(),
    applies=lambda facts: facts.dtypes[:1] == ("float32",) and facts.dtypes[1:] in _HALF_WEIGHT,
)
HALF_INPUT_MATMUL = replace(
    PICTURE_MATMUL,
    cause=Text(
        "A linear layer or a matrix product got {dtypes}; PyTorch multiplies only what has one dtype. The message "
        "names the input's dtype first and the weight's second: a half input, or features of a part that computes in "
        "half, met float32 weights, such as a head or an adapter that was left in float32.",
        "线性层或矩阵乘法收到了 {dtypes}；PyTorch 只计算 dtype 相同的乘法。先出现的是输入的 dtype，后出现的是权重的："
        "半精度的输入，或以半精度计算的部分的特征，遇到了 float32 的权重，例如仍是 float32 的输出层或适配器。",
    ),
    applies=lambda facts: facts.dtypes[:1] in _HALF_WEIGHT and facts.dtypes[1:] == ("float32",),
)


def _with_one_missing(facts: Facts) -> Verdicts:
    found = clash_told(facts)
    missing = dict.fromkeys(("autocast", "unified", "full"), (None, IF_FLOATS))
    return {**found, **missing} if found["autocast"][0] else found


CUT_MATMUL = replace(
    PICTURE_MATMUL,
    cause=Text(
        "A linear layer or a matrix product got {dtypes} and a second dtype, which this text does not tell; PyTorch "
        "multiplies only what has one dtype.",
        "线性层或矩阵乘法收到了 {dtypes} 和另一种 dtype，此处的文字没有写明后者；PyTorch 只计算 dtype 相同的乘法。",
    ),
    verdicts=_with_one_missing,
    whole=(
        rf"mat1 and mat2 must have the same dtype, but got {DTYPE}{cut(' and ')}",
        rf"expected (?:m1|mat1) and (?:m2|mat2) to have the same dtype, but got: ?{DTYPE}{cut(' != ')}",
    ),
    applies=lambda facts: len(facts.dtypes) == 1,
)

_IN_A_KERNEL = Text(
    "torch.autocast does not reach into a Triton kernel.",
    "torch.autocast 不作用于 Triton 内核内部。",
)
_IF_LOADED = Text(
    "Cured if the kernel's arguments have two dtypes; not if the kernel itself converts one operand.",
    "若两种 dtype 来自内核的参数则可解决；若是内核自身转换了一个操作数则不能。",
)
TRITON = Rule(
    family="matmul_dtype_mismatch",
    title=Text("A product in a Triton kernel was given two dtypes", "Triton 内核中的乘法收到了两种 dtype"),
    cause=Text(
        "`tl.dot` got {dtypes}: two arguments of the kernel differ, or the kernel computes one operand in float32 "
        "itself. Cast it in the kernel (`p.to(v.dtype)`).",
        "`tl.dot` 收到了 {dtypes}：内核的两个参数不同，或内核自身以 float32 计算了一个操作数。"
        "请在内核中转换（`p.to(v.dtype)`）。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _IN_A_KERNEL), (None, _IF_LOADED), (None, _IF_LOADED)),
    patterns=(
        rf"First input \({DTYPE}\) and second input \({DTYPE}\) must have the same dtype",
        rf"Both operands must be same dtype\. Got {DTYPE} and {DTYPE}",
    ),
)

OTHER_PRODUCTS = replace(
    MATMUL,
    verdicts=clash_promoted_on_cuda,
    patterns=(
        rf"Expected (?:mat1|result) and (?:mat2|self) to have the same dtype,? but got {DTYPE} and {DTYPE}",
        rf"mat1 dtype {DTYPE} does not match mat2 dtype {DTYPE}",
        rf"multi_dot\(\): all tensors must have be the same dtype but tensor 0 is {DTYPE} and tensor \d+ {DTYPE}",
    ),
    whole=("both inputs should have same dtype",),  # torch.tensordot, torch.inner
    references=(AUTOCAST,),
)

MATMUL_ON_MPS = Rule(
    family="matmul_dtype_mismatch",
    title=Text("A matrix product on Apple's GPU was given two dtypes", "Apple GPU 上的矩阵乘法收到了两种 dtype"),
    cause=Text(
        "Metal's matrix product got operands of different dtypes. On the CPU the same code names both; "
        "run it there once to see which they are.",
        "Metal 的矩阵乘法收到了不同 dtype 的操作数。在 CPU 上运行同样的代码，报错会写明是哪两种。",
    ),
    verdicts=clash_told,
    patterns=(
        r"Destination NDArray and Accumulator NDArray cannot have different datatype",
        r"'mps\.matmul' op detected operands' element types (.{1,80}?) do not match",
    ),
    references=(MPS, AUTOCAST),
)

_VECTORS = Text(
    "torch.matmul and `@` are cast; torch.mv on the CPU and torch.dot are not.",
    "torch.matmul 和 `@` 会被转换；CPU 上的 torch.mv 以及 torch.dot 不会。",
)
VECTORS = Rule(
    family="vector_product_dtype_mismatch",
    title=Text("A product with a vector was given two dtypes", "与向量的乘积收到了两种 dtype"),
    cause=Text(
        "A dot product or a matrix-vector product got {dtypes}; both must have one dtype.",
        "点积或矩阵与向量的乘积收到了 {dtypes}；两者须为同一种 dtype。",
    ),
    verdicts=lambda facts: clash_of_floats(facts, None, _VECTORS),
    patterns=(
        rf"addmv input tensors must have the same dtype, but got {DTYPE}, {DTYPE}, and {DTYPE}",
        rf"expected both vectors to have same dtype, but found {DTYPE} and {DTYPE}",
        rf"linalg\.vecdot: Expected x and y to have the same dtype, but found x of type {DTYPE} and y of type {DTYPE}",
    ),
    references=(AUTOCAST,),
)

BILINEAR = Rule(
    family="bilinear_dtype_mismatch",
    title=Text("A bilinear layer was given two dtypes", "双线性层收到了两种 dtype"),
    cause=Text(
        "torch.nn.Bilinear got {dtypes}: both inputs, the weight and the bias must have one dtype.",
        "torch.nn.Bilinear 收到了 {dtypes}：两个输入、权重和偏置须为同一种 dtype。",
    ),
    verdicts=clash_promoted_on_cuda,
    patterns=(
        rf"All tensors must have the same dtype, got input1: {DTYPE}, input2: {DTYPE}, weight: {DTYPE}"
        rf"(?:, bias: {DTYPE})?",
    ),
    references=(AUTOCAST,),
)


def _recurrent(facts: Facts) -> Verdicts:
    why = Text(
        "It casts the layer to a half type. On the CPU a float16 LSTM fails under it where gradients are recorded: "
        "use bfloat16 there, or torch.no_grad().",
        "它会把该层转换为半精度。在 CPU 上，若记录梯度，float16 的 LSTM 会在 autocast 下失败："
        "那里请用 bfloat16，或 torch.no_grad()。",
    )
    found = clash_told(facts)
    return found if facts.device == "cuda" else where_cured(found, "autocast", None, why)


RECURRENT = Rule(
    family="rnn_dtype_mismatch",
    title=Text("A recurrent layer was given two dtypes", "循环层收到了两种 dtype"),
    cause=Text(
        "An LSTM, GRU or RNN got {dtypes}: its input, its state and its weights must have one dtype.",
        "LSTM、GRU 或 RNN 收到了 {dtypes}：输入、状态与权重须为同一种 dtype。",
    ),
    verdicts=_recurrent,
    patterns=(
        rf"RNN input dtype \({DTYPE}\) does not match weight dtype \({DTYPE}\)",
        rf"[Ii]nput must have the type {DTYPE}, got type {DTYPE}",
        rf"Input and (?:parameter|hidden) tensors are not the same dtype, found input tensor with {DTYPE} and "
        rf"(?:parameter|hidden) tensor with {DTYPE}",
    ),
    references=(AUTOCAST,),
)

_NO_PRIMITIVE = Text(
    "With bfloat16 it answers, and with float16 where no gradients are recorded (torch.no_grad).",
    "用 bfloat16 可以；不记录梯度时（torch.no_grad）float16 也可以。",
)
NO_LSTM = Rule(
    family="rnn_dtype_mismatch",
    title=Text("The CPU has no such recurrent kernel", "CPU 没有这样的循环层内核"),
    cause=Text(
        "oneDNN could not make an LSTM for these dtypes: a float16 one under autocast that records gradients, or a "
        "state of another dtype than the input.",
        "oneDNN 无法为这些 dtype 构造 LSTM：可能是 autocast 下记录梯度的 float16，或状态与输入的 dtype 不同。",
    ),
    verdicts=verdicts((False, AS_IS), (None, _NO_PRIMITIVE), (None, _NO_PRIMITIVE), (True, ALL_FLOAT32)),
    patterns=(r"could not create a primitive descriptor for the (?:LSTM|GRU|RNN)",),
    references=(AUTOCAST,),
)

RULES = (
    PICTURE_MATMUL, HALF_INPUT_MATMUL, CUT_MATMUL, MATMUL, TRITON, OTHER_PRODUCTS, MATMUL_ON_MPS, VECTORS, BILINEAR,
    RECURRENT, NO_LSTM,
)  # fmt: skip
