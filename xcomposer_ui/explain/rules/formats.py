"""Rules for special number formats: complex numbers, 8-bit floats, quantised weights."""

from __future__ import annotations

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import BITSANDBYTES, DTYPES
from xcomposer_ui.explain.rule import DTYPE, STATED, Rule
from xcomposer_ui.explain.verdicts import FLOATS_CLASH, STAYS_COMPLEX, same_for_all

_FLOAT8 = r"(Float8_\w+)"
_NO_PRONOUN = r"(?!(?:It|This|That|They|We|You|I)\b)"
_NO_COMPLEX = rf"{_NO_PRONOUN}[\w.]+(?:\(\))?:? (?:does not|do not|don't) support complex (?:inputs?|dtypes)"
COMPLEX = Rule(
    family="complex_unsupported",
    title=Text("This operation takes no complex numbers", "该运算不接受复数"),
    cause=Text(
        "A complex tensor ({dtypes}) reached an operation that does not exist for complex numbers, or was to become a "
        "real one. An FFT, or rotary position embeddings kept as complex numbers, are the usual sources.",
        "复数张量（{dtypes}）进入了不支持复数的运算，或要转换为实数。常见来源是 FFT，或以复数保存的旋转位置编码。",
    ),
    verdicts=same_for_all(False, STAYS_COMPLEX),
    patterns=(
        r"(?:not|not yet) (?:supported|implemented) for (?:complex (?:inputs|types|tensors)|(Complex\w+))",
        r"\"[^\"]{1,120}\" not implemented for '(ComplexFloat|ComplexDouble)'",
        rf"{STATED}{_NO_COMPLEX}",
        r"[Cc]omplex inputs not supported",
        r"expects a real(?:-valued)? input tensor, but got (Complex\w+)",
        r"Only supports floating-point dtypes, but found: (Complex\w+)",
        r"Converting complex Scalar to non-complex type is not supported",
        r"torch\.sign is not intended to support complex numbers",
        r"rtol tensor of complex type is not supported\. Got (Complex\w+)",
        r"Unsupported input type encountered for \w+\(\): (Complex\w+)",
        r"inferred dtype (c10::complex<\w+>) can't be safely cast to passed dtype (\w+)",
        r"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: "
        r"(Complex\w+)",
    ),
    whole=(rf"{_NO_COMPLEX}(?: on \w+)?",),
    references=(DTYPES,),
)

_MAKES_NO_COMPLEX = Text(
    "No strategy makes complex numbers: make them with `torch.view_as_complex` or `torch.complex`.",
    "没有策略会产生复数：请用 `torch.view_as_complex` 或 `torch.complex` 生成。",
)
COMPLEX_NEEDED = Rule(
    family="complex_required",
    title=Text("This operation needs complex numbers", "该运算需要复数"),
    cause=Text(
        "An operation on complex numbers got a real tensor.",
        "一个针对复数的运算收到了实数张量。",
    ),
    verdicts=same_for_all(False, _MAKES_NO_COMPLEX),
    patterns=(
        r"view_as_real is only supported for complex tensors",
        r"imag is not implemented for tensors with non-complex dtypes",
        r"istft requires a complex-valued input tensor",
        r"Only supports complex dtypes, but found: (\w+)",
    ),
    references=(DTYPES,),
)

_SOME_IN_HALF = Text(
    "It depends on the operation: torch.autocast casts 8-bit floats as it casts others in those that it knows (matrix "
    "products, convolutions, cat, losses), and leaves additions alone.",
    "取决于运算：torch.autocast 在它知道的运算（矩阵乘法、卷积、cat、损失函数）中会像其他浮点一样转换 8 位浮点，"
    "加法则不处理。",
)
_FLOAT8_VERDICTS = {**FLOATS_CLASH, "autocast": (None, _SOME_IN_HALF)}
FLOAT8 = Rule(
    family="float8_arithmetic",
    title=Text("8-bit floats are for storing", "8 位浮点只用于存储"),
    cause=Text(
        "An operation got {dtypes}. Few operations compute in 8-bit floats: cast to a half type before, or load the "
        "checkpoint in one.",
        "一个运算收到了 {dtypes}。很少有运算直接用 8 位浮点计算：请先转换为半精度，或以半精度加载检查点。",
    ),
    verdicts=_FLOAT8_VERDICTS,
    patterns=(
        rf"Low precision dtypes not supported\. Got {_FLOAT8}",
        rf"Unsupported dtype {_FLOAT8}",
        rf"Unknown Complex ScalarType for {_FLOAT8}",
        rf"only supported for half, float and double tensors, but got a tensor of scalar type: {_FLOAT8}",
        rf"Expected self to be a floating-point or complex tensor, but got {_FLOAT8}",
        rf"linalg\.\w+\({_FLOAT8}\{{[^}}]{{0,80}}\}}\): expected a tensor with 2 or more dimensions of float",
        rf"linalg\.vander supports floating point, complex, and integer tensors, but got {_FLOAT8}",
        r"torch\._scaled_mm is only supported on CUDA devices with compute capability",
        r"Expected \w+\.dtype\(\) == at::k(Float8_\w+)",
        rf"Trying to convert {_FLOAT8} to the MPS backend but it does not have support for that dtype",
        r"Expected mat_[ab] to be (?:Float8 or Float4_x2|Float8) matrix got (\w+)",
    ),
    references=(DTYPES,),
)

FLOAT8_MEETS = Rule(
    family="operand_dtype_mismatch",
    title=Text("8-bit floats met another dtype", "8 位浮点遇到了另一种 dtype"),
    cause=Text(
        "An operation got {dtypes}; PyTorch promotes 8-bit floats to nothing by itself. Cast them where they are made.",
        "一个运算收到了 {dtypes}；PyTorch 不会自动提升 8 位浮点。请在生成处转换。",
    ),
    verdicts=_FLOAT8_VERDICTS,
    patterns=(rf"Promotion for Float8 Types is not supported, attempted to promote {DTYPE} and {DTYPE}",),
    references=(DTYPES,),
)

_STAYS_PACKED = Text(
    "A quantised model keeps its packed weights; load it again in another dtype instead of casting it.",
    "量化模型保持打包的权重；请以另一种 dtype 重新加载，而不是转换它。",
)
QUANTISED = Rule(
    family="quantised_cast",
    title=Text("A quantised model cannot be cast", "量化模型不能转换 dtype"),
    cause=Text(
        "`.to(dtype)`, `.half()` or another quantisation was asked of weights that bitsandbytes holds in 8 or 4 bits. "
        "Give the dtype when loading (`bnb_4bit_compute_dtype`).",
        "对 bitsandbytes 以 8 位或 4 位保存的权重调用了 `.to(dtype)`、`.half()` 或再次量化。"
        "请在加载时指定 dtype（`bnb_4bit_compute_dtype`）。",
    ),
    verdicts=same_for_all(False, _STAYS_PACKED),
    patterns=(
        r"`\.to` is not supported for (?:`4-bit` or )?`[48]-bit` bitsandbytes models",
        r"You cannot cast a bitsandbytes model in a new `dtype`",
        r"`\.half\(\)` is not supported for quantized model",
        r"Blockwise (?:4-?bit )?quantization only supports 16/32-bit floats, but got (torch\.(?:uint8|int8))",
    ),
    references=(BITSANDBYTES,),
)

_ONLY_A_WARNING = Text(
    "It is a warning: the layer casts by itself and answers. With inputs in the layer's own type it goes.",
    "这只是警告：该层会自行转换并给出结果。输入与该层的计算类型一致时就不再出现。",
)
COMPUTE_TYPE = Rule(
    family="quantised_compute_dtype",
    title=Text("A quantised layer computes in another dtype than its input's", "量化层的计算 dtype 与输入不同"),
    cause=Text(
        "bitsandbytes unpacks the weights into one dtype and got its input in another: {dtypes}. Set "
        "`bnb_4bit_compute_dtype` to the input's, or cast the input; 8-bit layers compute in float16.",
        "bitsandbytes 把权重解包为一种 dtype，而输入是另一种：{dtypes}。请把 `bnb_4bit_compute_dtype` 设为输入的 "
        "dtype，或转换输入；8 位层以 float16 计算。",
    ),
    verdicts=same_for_all(None, _ONLY_A_WARNING),
    patterns=(
        r"Input type into Linear4bit is (torch\.\w+), but bnb_4bit_compute_dtype=(torch\.\w+)",
        r"MatMul8bitLt: inputs will be cast from (torch\.\w+) to (\w+) during quantization",
    ),
    references=(BITSANDBYTES,),
)

RULES = (COMPLEX, COMPLEX_NEEDED, FLOAT8, FLOAT8_MEETS, QUANTISED, COMPUTE_TYPE)
