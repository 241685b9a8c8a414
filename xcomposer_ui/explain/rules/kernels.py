"""Rules for kernels and hardware that lack a dtype."""

from __future__ import annotations

import re

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.dtype_names import EIGHT_BITS, HALVES
from xcomposer_ui.explain.references import AUTOCAST, NUMERICS, xcomposer
from xcomposer_ui.explain.rule import STATED, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import (
    AS_IS,
    FLOAT32_RUNS,
    IF_PICTURE,
    INTEGERS_UNCHANGED,
    NO_DOUBLE,
    ONLY_FLOATS,
    STAYS_COMPLEX,
    STAYS_INTEGER,
    WITHOUT_BFLOAT16,
    same_for_all,
    verdicts,
)

_NOTHING_CAST = Text(
    "It casts nothing: in this half type the kernel stays missing, and a float32 picture clashes with half weights.",
    "它不做任何转换：用这种半精度时内核依旧缺失，而 float32 的图片会与半精度权重冲突。",
)
_OTHER_HALF = Text(
    "In this half type the kernel stays missing; the other half type may have it.",
    "用这种半精度时内核依旧缺失；另一种半精度类型也许有。",
)
_NEITHER_HALF = Text("Neither half type has this kernel.", "两种半精度类型都没有这个内核。")
_SOME_CAST = Text(
    "It depends on the operation: torch.autocast runs some in float32 (on the CPU cubic resizing, FFTs and most "
    "linear algebra) and knows nothing of others.",
    "取决于运算：torch.autocast 以 float32 计算其中一些（在 CPU 上如三次插值、FFT 和多数线性代数），"
    "对另一些则没有规则。",
)
_HAS_FLOAT32 = Text("Every kernel exists for float32.", "所有内核都支持 float32。")

_NOT_IMPLEMENTED = (
    r"\"[^\"]{1,120}\" not implemented for '([\w.]+)'",
    # PyTorch 0.4 to 1.4, and code that words it by hand
    r"\b\w*_\w{1,80} not implemented for '?((?:torch\.(?:cuda\.)?)?(?:Half|BFloat16|Float|Double|Long|Int|Byte)"
    r"(?:Tensor)?)\b",
    r"\b\w*_\w{1,80} is not[ _]implemented for type (torch\.(?:cuda\.)?\w+Tensor)",
    r"\b\w*_\w{1,80} not supported on \w+Type for (\w+)",
)


def _is_half(facts: Facts) -> bool:
    return not HALVES.isdisjoint(facts.dtypes)


# Linear algebra, and FFTs on the CPU: kernels that exist for float32 and float64 only.
_LINEAR_ALGEBRA = re.compile(
    r"linalg|MKL FFT|\"(?:cholesky|eigh?|geqrf|inverse|ldl|lstsq|lu|orgqr|ormqr|svd|symeig|triangular_solve)(?:_\w*)?\""
)


def _no_half_kernel(facts: Facts) -> Verdicts:
    neither = _LINEAR_ALGEBRA.search(facts.match.group())
    unified = (False, _NEITHER_HALF) if neither else (None, _OTHER_HALF)
    return verdicts((False, _NOTHING_CAST), (None, _SOME_CAST), unified, (True, _HAS_FLOAT32))


NO_HALF_KERNEL = Rule(
    family="not_implemented_for_half",
    title=Text("PyTorch has no half kernel for this operation here", "PyTorch 在此处没有该运算的半精度内核"),
    cause=Text(
        "The named operation was called on {dtypes} and this build of PyTorch has no such kernel for this device. Old "
        "releases lack nearly all half kernels on the CPU (addmm and convolution came with 2.1 and 2.2), and the "
        "cubic resizing of position embeddings: upgrade PyTorch, or compute this part in float32 and halve afterwards.",
        "对 {dtypes} 调用了报错中的运算，而这个 PyTorch 版本在该设备上没有相应内核。旧版本的 CPU 几乎没有半精度内核"
        "（addmm 与卷积自 2.1、2.2 起才有），也没有位置编码的三次插值：请升级 PyTorch，"
        "或以 float32 计算这一步之后再转半精度。",
    ),
    verdicts=_no_half_kernel,
    patterns=(
        *_NOT_IMPLEMENTED,
        r"Unsupported dtype (Half|BFloat16)\b",
        r"MKL FFT doesn't support tensors of type: (\w+)",
        r"cuFFT doesn't support tensor of type: (\w+)",
        r"^(?:RuntimeError: )?(Half|BFloat16)Tensor is not supported",
        r"linalg\.\w+\((Half|BFloat16)\{[^}]{0,80}\}\): expected a tensor with 2 or more dimensions of float",
        r"linalg\.vander supports floating point, complex, and integer tensors, but got (\w+)",
        r"only supported for half, float and double tensors, but got a tensor of scalar type: (BFloat16)",
        r"Expected self to be a floating-point or complex tensor, but got (Half|BFloat16)",
        r"Expected both inputs to be Half, Float or Double tensors but got (BFloat16) and BFloat16",
    ),
    applies=_is_half,
    references=(AUTOCAST, xcomposer(141), xcomposer(185)),
)

_SIZE_STAYS = Text(
    "The transform stays in float16, and its size no power of two.",
    "变换仍以 float16 计算，尺寸依旧不是 2 的幂。",
)
_NO_FFT_ON_CUDA = Text(
    "On CUDA torch.autocast has no rule for FFTs: a float16 input stays one.",
    "在 CUDA 上 torch.autocast 没有 FFT 的规则：float16 的输入保持不变。",
)
_ANY_SIZE = Text("In float32 cuFFT takes every size.", "cuFFT 以 float32 计算时接受任意尺寸。")
HALF_FFT = Rule(
    family="half_fft_size",
    title=Text("cuFFT takes other sizes in half precision", "cuFFT 的半精度变换只接受特定尺寸"),
    cause=Text(
        "In {dtypes} cuFFT transforms only dimensions whose sizes are powers of two. Pad the signal to one, or compute "
        "this part in float32 (`x.float()`) and halve afterwards.",
        "以 {dtypes} 计算时，cuFFT 只变换尺寸为 2 的幂的维度。请补齐到 2 的幂，"
        "或以 float32（`x.float()`）计算这一步之后再转半精度。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _NO_FFT_ON_CUDA), (False, _SIZE_STAYS), (True, _ANY_SIZE)),
    patterns=(r"cuFFT only supports dimensions whose sizes are powers of two when computing in (half) precision",),
    references=(AUTOCAST,),
)

_IF_HALF = Text(
    "It depends on what it got: a half type is cured; integers stay integers, cast them where they are made.",
    "取决于它收到了什么：若是半精度则可解决；整数仍是整数，须在生成处转换。",
)


def _float32_only(facts: Facts) -> Verdicts:
    """By the dtype that met. A message that lists what the routine takes does not tell it."""
    if facts.has_complex:
        return same_for_all(False, STAYS_COMPLEX)
    unified = False, _NEITHER_HALF
    if facts.has_integers:
        return verdicts((False, STAYS_INTEGER), (False, ONLY_FLOATS), unified, (None, IF_PICTURE))
    if "float32" in facts.dtypes:
        return verdicts((False, _NOTHING_CAST), (None, _SOME_CAST), unified, (None, _IF_HALF))
    full = (None, IF_PICTURE) if facts.has_double else (True, _HAS_FLOAT32)
    return verdicts((False, _NOTHING_CAST), (None, _SOME_CAST), unified, full)


ONLY_FLOAT32 = Rule(
    family="float32_required",
    title=Text("This operation takes float32 or float64 only", "该运算只接受 float32 或 float64"),
    cause=Text(
        "A routine that exists for float32, or for float32 and float64, got something else: a half type or integers.",
        "一个只支持 float32（或还支持 float64）的例程收到了别的类型：半精度或整数。",
    ),
    verdicts=_float32_only,
    patterns=(
        r"Low precision dtypes not supported\. Got (\w+)",
        r"quantile\(\) input tensor must be either (float) or (double) dtype",
        r"This function doesn't handle types other than (float) and (double)",
        r"Quantize only works on Float Tensor, got (\w+)",
    ),
    references=(NUMERICS,),
)


def _other_kernel(facts: Facts) -> Verdicts:
    if facts.has_double:
        return verdicts((False, AS_IS), (False, NO_DOUBLE), (None, IF_PICTURE), (None, IF_PICTURE))
    if facts.has_integers:
        return verdicts((False, AS_IS), INTEGERS_UNCHANGED["autocast"], (None, IF_PICTURE), (None, IF_PICTURE))
    if any(dtype.startswith("q") for dtype in facts.dtypes):
        return same_for_all(False, _QUANTISED)
    return same_for_all(None, _CAST_BEFORE)


_QUANTISED = Text(
    "No strategy changes a quantised tensor: unpack it with `dequantize()` before.",
    "没有策略会改变量化张量：请先用 `dequantize()` 解包。",
)
_CAST_BEFORE = Text(
    "It depends on the dtype that it got: cast the tensor before this operation.",
    "取决于它收到的 dtype：请在该运算之前转换张量。",
)
_WANTS_INTEGERS = Text(
    "The kernel is missing for float32 itself: it works on integers or masks. Cast its argument.",
    "连 float32 都没有这个内核：它处理的是整数或掩码。请转换它的参数。",
)
INTEGER_KERNEL = Rule(
    family="not_implemented_for_dtype",
    title=Text("This operation works on integers or masks", "该运算处理整数或掩码"),
    cause=Text(
        "The named operation was called on {dtypes}; it exists for integers or masks only, as `&`, `|`, `~`, shifts "
        "and gcd do. A mask that was cast to floating point with everything else is the usual source: compare it "
        "(`mask != 0`) or keep it bool.",
        "对 {dtypes} 调用了报错中的运算，而它只支持整数或掩码，例如 `&`、`|`、`~`、移位和 gcd。"
        "常见来源是随其他张量一起被转换成浮点的掩码：请用比较（`mask != 0`），或保持 bool。",
    ),
    verdicts=same_for_all(False, _WANTS_INTEGERS),
    patterns=(
        r"\"(?:bitwise_(?:and|or|xor|not)|[lr]shift|__[lr]shift__|gcd|lcm)_\w{2,8}\" not implemented for "
        r"'(Half|BFloat16|Float|Double)'",
        r"\"[^\"]{1,120}\" not implemented for '(Float)'",
    ),
)

_STORED = EIGHT_BITS | {"complex32"}
_STORAGE_ONLY = Text(
    "8-bit floats and complex halves are for storing; few operations compute in them. Cure: cast before computing.",
    "8 位浮点和半精度复数用于存储，很少有运算直接用它们计算。请在计算前转换。",
)
STORED = Rule(
    family="not_implemented_for_dtype",
    title=Text("PyTorch stores this dtype and hardly computes in it", "PyTorch 只存储这种 dtype，很少用它计算"),
    cause=Text(
        "The named operation was called on {dtypes}, for which it does not exist. Cast 8-bit floats to a half type "
        "before computing, and half complex numbers to complex64.",
        "对 {dtypes} 调用了报错中的运算，而它不支持。计算前请把 8 位浮点转换为半精度，把半精度复数转换为 complex64。",
    ),
    verdicts=same_for_all(None, _STORAGE_ONLY),
    patterns=_NOT_IMPLEMENTED,
    applies=lambda facts: not _STORED.isdisjoint(facts.dtypes),
)

NO_KERNEL = Rule(
    family="not_implemented_for_dtype",
    title=Text("PyTorch has no kernel of this operation for this dtype", "PyTorch 没有该运算在这种 dtype 下的内核"),
    cause=Text(
        "The named operation was called on {dtypes}, for which it does not exist. Integers where numbers with a "
        "fraction are wanted are the usual case: a picture's bytes, or token ids in the place of features.",
        "对 {dtypes} 调用了报错中的运算，而它不支持。通常是在需要小数的地方给了整数：图片字节，或误作特征的词元编号。",
    ),
    verdicts=_other_kernel,
    patterns=(
        *_NOT_IMPLEMENTED,
        r"computation on CPU is not implemented for (\w+) \+ (\w+)",
        r"data type is not supported for \w+ process group: (\w+)",
        r"MPS does not support \w+ op with (\w+) input",
    ),
)

_DENIED = r"(?:(bf16|bfloat16|BFloat16) is not supported on|[Yy]our (?:GPU|device) does not support (?:bf16|bfloat16))"
NO_BFLOAT16 = Rule(
    family="bfloat16_unsupported",
    title=Text("This device has no bfloat16", "该设备不支持 bfloat16"),
    cause=Text(
        "bfloat16 needs an NVIDIA GPU of compute capability 8.0 (Ampere) or newer; a V100, T4 or older has none, nor "
        "have some CPUs and older macOS. Choose float16 as the half type.",
        "bfloat16 需要计算能力 8.0（Ampere）或更新的 NVIDIA GPU；V100、T4 及更早的型号没有，"
        "部分 CPU 和旧版 macOS 也没有。请选择 float16。",
    ),
    verdicts=WITHOUT_BFLOAT16,
    patterns=(
        r"Current CUDA Device does not support (bfloat16)",
        r"(Bfloat16) is only supported on GPUs with compute capability of at least [\d.]+\. "
        r"Your (?P<gpu>.{1,60}?) GPU has compute capability (?P<capability>\d+(?:\.\d+)?)",
        r"(Bfloat16) is only supported on GPUs with compute capability",
        r"Your setup doesn't support (bf16)/(?:gpu|cpu)",
        rf"{STATED}{_DENIED}",
        r"CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemm\w{0,40}\([^`]{0,300}CUDA_R_(16BF)",
        r"BFloat16 type is not supported on MPS",
        r"MPS (BFloat16) is only supported on MacOS",
        # oneDNN on a CPU without the instructions
        r"mkldnn_(bf16)\w*: (?:mkldnn_\w+ )?bf16 path needs the cpu support",
    ),
    whole=(rf"{_DENIED}[\w ()-]{{0,80}}",),
    references=(AUTOCAST,),
)

_HALF_AMP = Text(
    "Half weights on a CPU are no mixed precision; half arithmetic there works in current PyTorch.",
    "CPU 上的半精度权重不是混合精度；当前 PyTorch 在 CPU 上可以做半精度运算。",
)
NO_FP16_HERE = Rule(
    family="float16_unsupported",
    title=Text("Mixed precision in float16 was asked for without a GPU for it", "没有相应 GPU 却要求 float16 混合精度"),
    cause=Text(
        "A trainer or a library refuses float16 on this device. On the CPU choose bfloat16, or float32.",
        "训练器或库拒绝在该设备上使用 float16。在 CPU 上请选 bfloat16 或 float32。",
    ),
    verdicts=verdicts((None, _HALF_AMP), (None, _HALF_AMP), (None, _HALF_AMP), (True, FLOAT32_RUNS)),
    patterns=(
        r"FP16 Mixed precision training with AMP or APEX .{0,120}can only be used on CUDA",
        r"fp16 mixed precision requires a (?:GPU|CUDA)",
        r"Float16 arithmetic is not supported by the CPU",
    ),
    references=(AUTOCAST,),
)

RULES = (INTEGER_KERNEL, NO_HALF_KERNEL, HALF_FFT, ONLY_FLOAT32, STORED, NO_KERNEL, NO_BFLOAT16, NO_FP16_HERE)
