"""Rules for errors that autocast itself causes, for training under it, and for values out of range."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.references import AUTOCAST, FSDP, NUMERICS, xcomposer
from xcomposer_ui.explain.rule import DTYPE, Rule
from xcomposer_ui.explain.verdicts import (
    ALL_FLOAT32,
    AS_IS,
    GRADIENTS_ARE_HALF,
    IF_OVERFLOW,
    ONE_HALF,
    clash_partly_listed,
    same_for_all,
    verdicts,
)

_OWN_CLASH = Text(
    "Without autocast this error goes, and the float32 picture meets the half weights instead.",
    "没有 autocast 就没有这个错误，但 float32 图片会与半精度权重冲突。",
)
_IT_IS_THE_CAUSE = Text(
    "It is the cause. Set autocast's dtype to the dtype the weights have, or leave autocast off.",
    "它正是原因。请把 autocast 的 dtype 设为权重的 dtype，或关闭 autocast。",
)
MIXED_HALVES = Rule(
    family="autocast_mixed_half",
    title=Text("autocast met the other half type", "autocast 遇到了另一种半精度类型"),
    cause=Text(
        "Autocast in one half type ran over tensors of the other (or of float64) in an operation that brings its "
        "operands to the widest dtype: cat, stack or index_copy. bfloat16 weights under float16 autocast are the "
        "usual case; where nothing raises, the same mixture overflows in silence.",
        "autocast 用一种半精度，而张量是另一种（或 float64），发生在会统一到最宽 dtype 的运算里："
        "cat、stack 或 index_copy。"
        "常见情形是 bfloat16 权重配 float16 的 autocast；即使不报错，这种混用也会悄悄溢出。",
    ),
    verdicts=verdicts((False, _OWN_CLASH), (False, _IT_IS_THE_CAUSE), (True, ONE_HALF), (True, ALL_FLOAT32)),
    patterns=(
        r"Unexpected floating ScalarType in at::autocast::prioritize",
        r"promote type is double in at::autocast::prioritize",
    ),
    names_dtypes=False,
    references=(AUTOCAST, xcomposer(474)),
)

_NOT_HERE = Text(
    "Autocast is switched off for this dtype, and the run goes on uncast.",
    "autocast 对这种 dtype 不起作用，运行时不做转换。",
)
_NO_AUTOCAST = Text("It needs no autocast.", "它不需要 autocast。")
UNSUPPORTED = Rule(
    family="autocast_dtype_unsupported",
    title=Text("This autocast does not take this dtype here", "此处的 autocast 不支持这种 dtype"),
    cause=Text(
        "Each device's autocast knows certain dtypes: the CPU's bfloat16 only before PyTorch 2.2, then float16 too. "
        "Upgrade PyTorch, or choose the half type it knows.",
        "各设备的 autocast 只支持特定 dtype：CPU 在 PyTorch 2.2 之前只支持 bfloat16，之后也支持 float16。"
        "请升级 PyTorch，或选择它支持的半精度类型。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _NOT_HERE), (True, _NO_AUTOCAST), (True, _NO_AUTOCAST)),
    patterns=(
        r"AutocastCPU only supports? \w+ as the autocast_cpu_dtype",
        r"In (?:CPU|CUDA|MPS|XPU) autocast, but the target dtype is not supported\. Disabling autocast\.",
        r"User specified (?:an unsupported )?autocast device_type",
    ),
    references=(AUTOCAST,),
)

_UNSAFE = Text(
    "It is the cause: the loss's input would be half. Use binary_cross_entropy_with_logits, or leave autocast for it.",
    "它正是原因：损失函数的输入会是半精度。请用 binary_cross_entropy_with_logits，或在计算损失时关闭 autocast。",
)
_NO_AUTOCAST_NO_ERROR = Text("Without autocast the loss is computed.", "没有 autocast 就会正常计算损失。")
UNSAFE_LOSS = Rule(
    family="autocast_unsafe_loss",
    title=Text("autocast refuses this loss", "autocast 拒绝这个损失函数"),
    cause=Text(
        "binary_cross_entropy takes probabilities, which half types cannot resolve near 0 and 1, so CUDA's autocast "
        "refuses it.",
        "binary_cross_entropy 的输入是概率，半精度在 0 和 1 附近分辨不清，因此 CUDA 的 autocast 拒绝它。",
    ),
    verdicts=verdicts(
        (None, _NO_AUTOCAST_NO_ERROR),
        (False, _UNSAFE),
        (True, _NO_AUTOCAST_NO_ERROR),
        (True, _NO_AUTOCAST_NO_ERROR),
    ),
    patterns=(r"binary_cross_entropy and torch\.nn\.BCELoss are unsafe to autocast",),
    references=(AUTOCAST,),
)

_FLOAT32_WEIGHTS = Text(
    "Float32 weights have float32 gradients. For mixed precision keep these weights and put autocast around the "
    "forward pass.",
    "float32 权重的梯度是 float32。混合精度训练应保持这样的权重，并在前向传播外套上 autocast。",
)
HALF_GRADIENTS = Rule(
    family="half_gradients",
    title=Text("GradScaler met half gradients", "GradScaler 遇到了半精度梯度"),
    cause=Text(
        "Mixed-precision training keeps its weights in float32; these were loaded in float16, or called `.half()`.",
        "混合精度训练的权重应保持 float32；这里的权重以 float16 加载，或调用过 `.half()`。",
    ),
    verdicts={**same_for_all(False, GRADIENTS_ARE_HALF), "full": (True, _FLOAT32_WEIGHTS)},
    patterns=(r"Attempting to unscale (FP16) gradients",),
    references=(AUTOCAST,),
)

_LOSS = Text(
    "It depends on the operation: most losses are computed in float32 under torch.autocast, their targets too; a "
    "gradient of another dtype it leaves alone.",
    "取决于运算：在 torch.autocast 下，多数损失函数连同目标以 float32 计算；别的 dtype 的梯度它不处理。",
)
BACKWARD = Rule(
    family="backward_dtype_mismatch",
    title=Text("A loss or a gradient has another dtype than its tensor", "损失或梯度的 dtype 与张量不同"),
    cause=Text(
        "A loss compares two dtypes, or a gradient came back in another dtype than its tensor: {dtypes}. Cast the "
        "target to the prediction's dtype.",
        "损失函数比较了两种 dtype，或传回的梯度与张量 dtype 不同：{dtypes}。请把目标转换成预测值的 dtype。",
    ),
    verdicts=lambda facts: clash_partly_listed(facts, _LOSS),
    patterns=(
        rf"Found dtype {DTYPE} but expected {DTYPE}",
        rf"expected dtype {DTYPE} but got dtype {DTYPE}",  # PyTorch 1.5
        rf"assign a gradient with dtype '{DTYPE}' to a tensor with (?:grad_)?dtype '{DTYPE}'",  # none in PyTorch 2.8
        r"assigned grad has data of a different type",
        rf"expected input and grad types to match, or input to be {DTYPE} and grad to be {DTYPE}",
        r"returned an invalid gradient at index \d+ - expected type ([\w.]+) but got ([\w.]+)",
    ),
    applies=lambda facts: "invalid gradient" not in facts.match[0] or len(facts.dtypes) == 2,
    references=(AUTOCAST,),
)

_STATE_STAYS = Text(
    "It casts what operations compute with; weights, gradients and the optimizer's state keep their dtypes.",
    "它转换的是运算的操作数；权重、梯度和优化器状态的 dtype 不变。",
)
_MADE_AFTERWARDS = Text(
    "Cured if the optimizer is made after the weights have this dtype, and its state is loaded in it.",
    "若在权重转换为该 dtype 之后再创建优化器，并以同一 dtype 加载其状态，则可解决。",
)
OPTIMIZER_STATE = Rule(
    family="optimizer_state_dtype_mismatch",
    title=Text(
        "The optimizer's state has another dtype or device than its weights", "优化器状态与权重的 dtype 或设备不同"
    ),
    cause=Text(
        "An optimizer's step computes with weights, gradients and its own averages: they must have one dtype and one "
        "device. The usual causes are a model that was cast or moved after the optimizer was made, and a state that "
        "was loaded from a training in another dtype. Make the optimizer last, or cast its state.",
        "优化器的一步用到权重、梯度与它自己的平均值：它们须为同一种 dtype，并在同一设备上。"
        "常见原因是创建优化器之后又转换或移动了模型，或加载了以另一种 dtype 训练的状态。"
        "请最后创建优化器，或转换其状态。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _STATE_STAYS), (None, _MADE_AFTERWARDS), (None, _MADE_AFTERWARDS)),
    patterns=(
        r"params, grads, exp_avgs, and exp_avg_sqs must have same dtype",
        r"Tensors of the same index must be on the same device and the same dtype",
    ),
    references=(AUTOCAST,),
)

# Words of many operations; that the optimizer's own step raised tells what they are about.
OPTIMIZER_STEP = replace(
    OPTIMIZER_STATE,
    patterns=(
        rf"\bscalar type {DTYPE} but found {DTYPE}",
        rf"expected dtype {DTYPE} for `\w+` but got dtype {DTYPE}",
    ),
    applies=lambda facts: facts.in_optimizer,
)

_ONE_DTYPE = Text("All weights have one dtype.", "所有权重是同一种 dtype。")
_ADAPTERS = Text(
    "It depends on what was added after loading: adapters are float32 unless cast.",
    "取决于加载之后添加了什么：适配器若不转换就是 float32。",
)
FLATTENED = Rule(
    family="sharded_dtype_mismatch",
    title=Text("Sharding needs weights of one dtype", "分片要求权重为同一种 dtype"),
    cause=Text(
        "FSDP lays a layer's weights into one flat tensor and found {dtypes} among them: a LoRA adapter or a norm in "
        "float32 beside half weights. Cast them to one dtype before wrapping.",
        "FSDP 把一层的权重拼成一个扁平张量，其中却有 {dtypes}：例如半精度权重旁的 float32 LoRA 适配器或归一化层。"
        "请在包装之前统一 dtype。",
    ),
    verdicts=verdicts((None, _ADAPTERS), (None, _ADAPTERS), (None, _ADAPTERS), (True, _ONE_DTYPE)),
    patterns=(
        rf"Must flatten tensors with (?:uniform|the same) dtype but got {DTYPE} and {DTYPE}",
        rf"`FlatParameter` requires uniform dtype but got {DTYPE} and {DTYPE}",
        r"All parameters in a bucket must have the same dtype",
    ),
    references=(FSDP,),
)

EXCHANGED = replace(
    FLATTENED,
    title=Text("Ranks exchange tensors of one dtype only", "各进程之间只能交换同一种 dtype 的张量"),
    cause=Text(
        "A collective call of torch.distributed got a list with {dtypes}: weights or gradients of which a part was "
        "cast and the rest was not. Cast them to one dtype before the call.",
        "torch.distributed 的集合通信收到的列表中有 {dtypes}：权重或梯度只转换了一部分。请在调用前统一 dtype。",
    ),
    patterns=(rf"Invalid usage of tensors with different dtypes ?Found {DTYPE} and +{DTYPE}",),
)

_OVERFLOWS = Text(
    "float16 ends at 65504 and overflows; with bfloat16 as the half type it may hold. Look upstream for the first "
    "module with an infinite value.",
    "float16 的上限是 65504，会溢出；改用 bfloat16 也许可以。请向上游查找第一个出现无穷值的模块。",
)
_NO_CAST_HELPS = Text(
    "It computes products in a half type: what overflowed there overflows again. Look upstream.",
    "它以半精度计算乘积：之前溢出的地方还会溢出。请向上游查找。",
)
NOT_FINITE = Rule(
    family="sampling_not_finite",
    title=Text("The model's scores are not finite", "模型的分数不是有限值"),
    cause=Text(
        "Sampling got probabilities that are NaN, infinite or negative: something upstream overflowed. Half weights "
        "in another half type than the one they were trained in, or two half types mixed, are the usual causes.",
        "采样得到的概率是 NaN、无穷或负数：上游某处溢出了。常见原因是权重用了与训练时不同的半精度，或混用两种半精度。",
    ),
    verdicts=verdicts((False, AS_IS), (False, _NO_CAST_HELPS), (None, _OVERFLOWS), (None, IF_OVERFLOW)),
    patterns=(
        r"probability tensor contains either `?inf`?, `?nan`? or element < 0",
        r"invalid multinomial distribution \(sum of probabilities <= 0\)",
        r"invalid multinomial distribution \(encountering probability entry (?:< 0|= infinity or NaN)\)",
    ),
    references=(NUMERICS, xcomposer(474)),
)

LOSS_SCALE = Rule(
    family="loss_scale_exhausted",
    title=Text("Training in float16 overflows at every loss scale", "float16 训练在每个损失缩放下都溢出"),
    cause=Text(
        "The loss scale was halved until nothing was left: some gradient is infinite or NaN whatever the scale.",
        "损失缩放一再减半直至下限：无论如何缩放，总有梯度是无穷或 NaN。",
    ),
    verdicts=same_for_all(None, IF_OVERFLOW),
    patterns=(r"Current loss scale already at minimum - cannot decrease scale anymore",),
    references=(NUMERICS,),
)

_SCALE_SETTLES = Text(
    "Nothing is to be cured while the scale settles. bfloat16 and float32 need no loss scaling.",
    "缩放系数调整期间无需处理。bfloat16 和 float32 不需要损失缩放。",
)
STEP_SKIPPED = Rule(
    family="loss_scale_lowered",
    title=Text("A training step was skipped to lower the loss scale", "为降低损失缩放系数跳过了一步训练"),
    cause=Text(
        "The loss scale begins high; where the scaled gradients overflow float16, the step is left out and the scale "
        "lowered. That is normal in the first steps and now and then later. Only if it goes on step after step is some "
        "gradient infinite or NaN whatever the scale.",
        "损失缩放系数从高处开始；缩放后的梯度超出 float16 的范围时，跳过这一步并降低系数。"
        "训练之初以及之后偶尔出现都属正常。只有每一步都如此，才说明无论如何缩放总有梯度是无穷或 NaN。",
    ),
    verdicts=same_for_all(None, _SCALE_SETTLES),
    patterns=(r"OVERFLOW! (?:Rank \d+ )?Skipping step\. Attempted loss scale",),
    references=(NUMERICS,),
)

RULES = (
    MIXED_HALVES, UNSUPPORTED, UNSAFE_LOSS, HALF_GRADIENTS, BACKWARD, OPTIMIZER_STATE, OPTIMIZER_STEP, FLATTENED,
    EXCHANGED, NOT_FINITE, LOSS_SCALE, STEP_SKIPPED,
)  # fmt: skip
