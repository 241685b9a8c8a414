"""Rules for values and tensors that cannot be converted to the requested dtype."""

from __future__ import annotations

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.dtype_names import EIGHT_BITS, HALVES
from xcomposer_ui.explain.references import DTYPES, NUMERICS
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import (
    IF_PICTURE,
    INTEGERS_UNCHANGED,
    ONLY_FLOATS,
    STAYS_INTEGER,
    WITHOUT_BFLOAT16,
    same_for_all,
    verdicts,
)

_BY_VALUE = Text(
    "It depends on the value: float16 ends at 65504; bfloat16 as the half type reaches 3.39e38, which takes -1e9 but "
    "not float32's own minimum.",
    "取决于该值：float16 的上限是 65504；改用 bfloat16 则可到 3.39e38，容得下 -1e9，但容不下 float32 自己的最小值。",
)
_BY_VALUE_UNCAST = Text(
    "It depends on the value, as bfloat16 takes -1e9; but nothing is cast: a float32 picture clashes with half "
    "weights.",
    "取决于该值，bfloat16 容得下 -1e9；但不做任何转换：float32 的图片会与半精度权重冲突。",
)
_NO_HALF_HOLDS = Text(
    "The value is beyond bfloat16's 3.39e38, and float16 ends at 65504 already.",
    "该值超出 bfloat16 的 3.39e38，而 float16 的上限只有 65504。",
)
_BEYOND_FLOAT32 = Text(
    "The value is beyond float32's 3.4e38, which no strategy exceeds.",
    "该值超出 float32 的 3.4e38，没有策略能超过它。",
)
_IN_FLOAT32 = Text(
    "In float32 the value fits; float32's own minimum just so.",
    "在 float32 中放得下，float32 自己的最小值也刚好放得下。",
)
_OUT_OF_RANGE = Text(
    "It changes no integer dtype: the value itself is out of range.", "它不改变整数 dtype：值本身超出了范围。"
)


def _overflow(facts: Facts) -> Verdicts:
    if facts.has_integers:
        return same_for_all(False, _OUT_OF_RANGE)
    if not facts.dtypes or not (HALVES | EIGHT_BITS).isdisjoint(facts.dtypes):
        held = (False, _NO_HALF_HOLDS) if "bfloat16" in facts.dtypes else (None, _BY_VALUE)
        uncast = held if held[0] is False else (None, _BY_VALUE_UNCAST)
        return verdicts(uncast, held, held, (True, _IN_FLOAT32))
    return same_for_all(False, _BEYOND_FLOAT32)


OVERFLOW = Rule(
    family="overflow_conversion",
    title=Text("A value does not fit the tensor's dtype", "数值超出了张量 dtype 的范围"),
    cause=Text(
        "A number was put into a {dtypes} tensor that cannot hold it. The usual one is a mask filled with -1e9 or with "
        "float32's minimum: take `torch.finfo(tensor.dtype).min` or `-inf` instead.",
        "要把一个数放进 {dtypes} 张量，但它放不下。最常见的是用 -1e9 或 float32 的最小值填充掩码："
        "请改用 `torch.finfo(tensor.dtype).min` 或 `-inf`。",
    ),
    verdicts=_overflow,
    patterns=(rf"value cannot be converted to type {DTYPE} without overflow",),
    references=(NUMERICS,),
)

_STAYS_STORED = Text(
    "It casts nothing: the tensor stays in the type that NumPy lacks.",
    "它不做任何转换：张量仍是 NumPy 没有的类型。",
)
_IN_FLOAT16 = Text(
    "Cured with float16 as the half type, if the tensor comes from the weights or the picture; NumPy has no bfloat16.",
    "若张量来自权重或图片，用 float16 作半精度可解决；NumPy 没有 bfloat16。",
)
_COMPLEX_STAYS = Text(
    "No strategy changes a complex dtype: write `tensor.to(torch.complex64).numpy()`.",
    "没有策略会改变复数 dtype：请写 `tensor.to(torch.complex64).numpy()`。",
)
_NUMPY_FULL = Text("A float32 tensor becomes a NumPy array.", "float32 张量可以转换为 NumPy 数组。")


def _to_numpy(facts: Facts) -> Verdicts:
    if "complex32" in facts.dtypes:
        return same_for_all(False, _COMPLEX_STAYS)
    full = True, _NUMPY_FULL
    if EIGHT_BITS.isdisjoint(facts.dtypes):
        return {**WITHOUT_BFLOAT16, "full": full}
    return verdicts((False, _STAYS_STORED), (None, _IN_FLOAT16), (None, _IN_FLOAT16), full)


TO_NUMPY = Rule(
    family="numpy_bfloat16",
    title=Text("NumPy has no such dtype", "NumPy 没有这种 dtype"),
    cause=Text(
        "A {dtypes} tensor was to become a NumPy array, and NumPy has no such type: of floating-point ones it has "
        "float16, float32 and float64. Write `tensor.float().numpy()`.",
        "要把 {dtypes} 张量转换为 NumPy 数组，而 NumPy 没有这种类型：浮点类型它只有 float16、float32 和 float64。"
        "请写 `tensor.float().numpy()`。",
    ),
    verdicts=_to_numpy,
    patterns=(r"Got unsupported ScalarType (\w+)",),
    references=(DTYPES,),
)

FROM_NUMPY = Rule(
    family="numpy_dtype",
    title=Text("NumPy and torch do not share this dtype", "NumPy 与 torch 没有共同的这种 dtype"),
    cause=Text(
        "An array's dtype has no counterpart in torch, or NumPy will not narrow one, or a picture was made from "
        "floating-point pixels. Cast it at that place.",
        "数组的 dtype 在 torch 中没有对应类型，或 NumPy 不肯收窄它，或用浮点像素生成图片。请在该处转换。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        r"can't convert np\.ndarray of type numpy\.\w+\. The only supported types are:",
        r"Cannot cast ufunc '\w+' output from dtype\('(\w+)'\) to dtype\('(\w+)'\)",
        r"Cannot handle this data type: \([\d, ]+\), ([<|]\w\d)",
    ),
    references=(DTYPES,),
)

_RESULT = Text(
    "It does not change the tensor that is written to. Make that one floating point, or write the result elsewhere.",
    "它不改变被写入的张量。请把该张量改为浮点型，或把结果写到别处。",
)
_OUT_OF_ONE_DTYPE = Text(
    "With everything in one dtype the `out=` tensor, made from the inputs' dtype, has it too.",
    "全部为同一种 dtype 时，按输入 dtype 生成的 `out=` 张量也一致。",
)


def _result(facts: Facts) -> Verdicts:
    """A strategy may cure an `out=` tensor of another floating-point type, but not one of integers."""
    stays = same_for_all(False, _RESULT)
    two_floats = len(facts.dtypes) == 2 and not facts.has_integers and not facts.has_complex
    if "out" not in facts.match[0] or not two_floats:
        return stays
    one = True, _OUT_OF_ONE_DTYPE
    return {**stays, "unified": one, "full": one}


RESULT = Rule(
    family="result_dtype",
    title=Text("A result does not fit the tensor it is written to", "结果与写入的张量 dtype 不符"),
    cause=Text(
        "An in-place operation or an `out=` argument wants the result in a dtype that it cannot be cast to: {dtypes}. "
        "Floating-point results do not go into integer tensors, and most `out=` tensors need the very dtype.",
        "就地运算或 `out=` 参数要求的结果 dtype 无法转换：{dtypes}。浮点结果不能写入整数张量，"
        "多数 `out=` 要求 dtype 完全一致。",
    ),
    verdicts=_result,
    patterns=(
        rf"result type {DTYPE} can't be cast to the desired output type {DTYPE}",
        rf"input types can't be cast to the desired output type {DTYPE}",
        # PyTorch 1.2 to 1.4
        rf"output with (?:device|backend) [\w:]+ and dtype {DTYPE} doesn't match the desired (?:(?:device|backend) "
        rf"[\w:]+ and )?dtype {DTYPE}",
        rf"Expected out tensor to have dtype {DTYPE}, but got {DTYPE} instead",
        rf"Expected out type to be {DTYPE} but got {DTYPE}",
        rf"Bad in-place call: input tensor dtype {DTYPE} and output tensor dtype {DTYPE} should match",
        rf"result dtype {DTYPE} does not match input dtype {DTYPE}",
        r"Expected out tensor to have scalar type (\w+) but got scalar type ?(\w+)",
        rf"self and out expected to have the same dtype, but got self\.dtype = {DTYPE} and out\.dtype = {DTYPE}",
        r"(?:index_select|masked_select)\(\): self and result must have the same scalar type",
        rf"Expected the dtype for input and out to match, but got {DTYPE} for input's dtype and {DTYPE}",
        rf"multinomial expects {DTYPE} tensor out, got: {DTYPE}",
        rf"expects a complex output tensor, but got {DTYPE}",
        r"Integer division with addcdiv is no longer supported",
    ),
    references=(DTYPES,),
)

_INTEGER = "Long|Int|Short|Char|Byte|Bool"
FLOAT_NEEDED = Rule(
    family="floating_point_required",
    title=Text("This operation needs floating-point numbers", "该运算需要浮点数"),
    cause=Text(
        "An operation that has a meaning for floating-point numbers only got {dtypes}. A picture's bytes that were not "
        "converted, or token ids in the place of features, are the usual sources.",
        "一个只对浮点数有意义的运算收到了 {dtypes}。常见来源是未转换的图片字节，或误作特征的词元编号。",
    ),
    verdicts=verdicts((False, STAYS_INTEGER), (False, ONLY_FLOATS), (None, IF_PICTURE), (None, IF_PICTURE)),
    patterns=(
        r"[Cc]ould not infer output dtype\. (?:Input|Optional) dtype must be either a floating point or complex "
        r"dtype\. Got: ([\w.]+)",
        r"Expected a floating point or complex tensor as input\. Got (\w+)",
        # mean and std on PyTorch 0.4 to 1.10
        r"Can only calculate the (?:mean|std|var) of floating(?: point)? types\. Got (\w+) instead",
        r"mean\(\): input dtype should be either floating point or complex dtypes\. Got (\w+) instead",
        r"(?:var_mean|std_mean|std and var) only supports? floating point and complex dtypes",
        r"\w\(?\)? only supports floating-point dtypes(?: for input)?(?:, (?:\w+ )?got: (\w+))?",
        r"[Oo]nly Tensors of floating point (?:and complex )?dtype can require gradients",
        r"norm\(\): (?:input|the desired output) dtype should be either floating point or complex\. Got (\w+)",
        r"expected input to have floating point or complex dtype but got (\w+)",
        r"expected common dtype to be floating point, yet common dtype is (\w+)",
        rf"dtype must be a floating point but you specified {DTYPE}",
        r": expected a tensor of floating point or complex values",
        r"kl_div: Integral inputs not supported",
        r"torch\.finfo\(\) requires a floating point input type",
        r"Unknown Complex ScalarType for (\w+)",
        r"torch\.gradient does not support (uint8) input",
        rf"linalg\.\w+\(({_INTEGER})\{{[^}}]{{0,80}}\}}\): expected a tensor with 2 or more dimensions of float",
        r"Expected tensor for argument #\d+ 'weight' to have one of the following scalar types: [\w, ]{1,80}; "
        r"but got ([\w.]+)",
        rf"only supported for half, float and double tensors, but got a tensor of scalar type: ({_INTEGER})",
        rf"Expected both inputs to be Half, Float or Double tensors but got ({_INTEGER}) and ({_INTEGER})",
        rf"Expected self to be a floating-point or complex tensor, but got ({_INTEGER})",
        r"expected \w+ to have floating point dtype but got \w+ with (\w+) dtype",
        r"For integral input tensors, argument (?:beta|alpha) must not be a floating point number",
        r"Expected \w+ to have floating point type, but got ([\w.]+)",
    ),
    references=(DTYPES,),
)

_FLOATS_ONLY = Text(
    "It loads the weights in a floating-point type, which a module takes; integer weights come from a quantiser.",
    "它以浮点类型加载权重，模块可以接受；整数权重须由量化工具生成。",
)
MODULE_CAST = Rule(
    family="dtype_argument",
    title=Text("A module is not cast to integers", "模块不能转换为整数类型"),
    cause=Text(
        "A module's `.to` casts its parameters to floating-point or complex types only, and was asked for {dtypes}. "
        "8-bit weights are made by a quantiser with its scales (bitsandbytes, torchao), not by a cast.",
        "模块的 `.to` 只能把参数转换为浮点或复数类型，这里要求的是 {dtypes}。"
        "8 位权重须由量化工具（bitsandbytes、torchao）连同缩放系数一起生成，而不是靠转换。",
    ),
    verdicts=same_for_all(None, _FLOATS_ONLY),
    patterns=(r"nn\.Module\.to only accepts floating point or complex dtypes, but got desired dtype=(torch\.\w+)",),
    references=(DTYPES,),
)

INTEGER_NEEDED = Rule(
    family="integer_required",
    title=Text("This operation needs integers", "该运算需要整数"),
    cause=Text(
        "An operation that has a meaning for integers or masks only got {dtypes}.",
        "一个只对整数或掩码有意义的运算收到了 {dtypes}。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        r"~ \(operator\.invert\) is only implemented on (?:integer and Boolean)-type tensors",
        r"Expected pivots to be integers\. Got (\w+)",
        r"pivots (?:should be a Tensor of scalar type|is expected to be a contiguous tensor of) (torch\.int32)",
        r"expected fweights to have integral dtype but got fweights with (\w+) dtype",
        r"torch\.iinfo\(\) requires an integer input type",
        r"(?:input_lengths|target_lengths) must be integral",
    ),
    references=(DTYPES,),
)

ARGUMENT = Rule(
    family="dtype_argument",
    title=Text("A dtype was given in a form that is not taken", "dtype 参数的写法不被接受"),
    cause=Text(
        "torch takes its own dtypes, `torch.float16`, not names in quotes and not NumPy's; NumPy takes its own.",
        "torch 只接受自己的 dtype，如 `torch.float16`，不接受带引号的名称或 NumPy 的 dtype；NumPy 也只接受自己的。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(
        r"Cannot interpret '(torch\.\w+)' as a data type",
        r"argument 'dtype' must be torch\.dtype, not \w+",
        # PyTorch 2.8
        r"received an invalid combination of arguments - got \([^()]*\bdtype=(?!torch\.dtype|NoneType)(\w+)",
        r"Invalid device string: '(b?float(?:16|32|64)|half|u?int\d+)'",
    ),
    references=(DTYPES,),
)

BOOLEAN = Rule(
    family="boolean_arithmetic",
    title=Text("Boolean tensors do not subtract", "布尔张量不支持减法"),
    cause=Text(
        "`-` on bool tensors is not defined; a mask is inverted with `~`.",
        "bool 张量没有 `-` 运算；掩码取反请用 `~`。",
    ),
    verdicts=INTEGERS_UNCHANGED,
    patterns=(r"(?:Subtraction|Negation), the `-` operator, (?:with two bool tensors|on a bool tensor|with a bool)",),
    names_dtypes=False,
    references=(DTYPES,),
)

RULES = (OVERFLOW, TO_NUMPY, FROM_NUMPY, ARGUMENT, RESULT, FLOAT_NEEDED, MODULE_CAST, INTEGER_NEEDED, BOOLEAN)
