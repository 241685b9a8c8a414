"""Rules for messages of libraries around PyTorch: attention kernels, quantisers, sharding, trainers, exporters."""

from __future__ import annotations

from xcomposer_ui.core.messages import Text
from xcomposer_ui.core.result import Reference
from xcomposer_ui.explain.references import AUTOCAST, BITSANDBYTES, FLASH_ATTENTION, FSDP, MPS, NUMERICS, ONNX
from xcomposer_ui.explain.rule import DTYPE, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import (
    AS_IS,
    FLOATS_CLASH,
    GRADIENTS_ARE_HALF,
    IF_OVERFLOW,
    NO_FLOAT64,
    NOT_LISTED,
    ONE_HALF,
    WITHOUT_BFLOAT16,
    same_for_all,
    verdicts,
)

_EXTENSION = Text(
    "torch.autocast does not reach the kernels of a compiled extension.",
    "torch.autocast 不作用于编译扩展中的内核。",
)
ROTARY = Rule(
    family="attention_dtype_mismatch",
    title=Text("Rotary embeddings and their tables have two dtypes", "旋转位置编码与其表的 dtype 不同"),
    cause=Text(
        "flash-attn's rotary kernel got {dtypes}: query or key in one dtype, the cos and sin tables in the other. Cast "
        "the tables to the query's dtype (`cos.to(q.dtype)`).",
        "flash-attn 的旋转编码内核收到了 {dtypes}：query 或 key 是一种，cos、sin 表是另一种。"
        "请把表转换为 query 的 dtype（`cos.to(q.dtype)`）。",
    ),
    verdicts={**FLOATS_CLASH, "autocast": (False, _EXTENSION)},
    patterns=(rf"[Ii]nput and cos/sin must have the same dtype, got {DTYPE} and {DTYPE}",),
    references=(FLASH_ATTENTION,),
)

_HALF_QUERIES = Text(
    "Under torch.autocast the projections before it give half queries, keys and values.",
    "在 torch.autocast 下，之前的投影层输出半精度的 query、key、value。",
)
_KERNEL_WANTS_HALF = Text(
    "The kernel takes half types only; with float32 use PyTorch's own scaled_dot_product_attention.",
    "该内核只接受半精度；float32 请使用 PyTorch 自带的 scaled_dot_product_attention。",
)
HALF_ATTENTION = Rule(
    family="flash_attention_dtype",
    title=Text("This attention kernel takes half types only", "该注意力内核只接受半精度"),
    cause=Text(
        "SageAttention, like flash attention, computes in float16 or bfloat16 and got something else, usually float32.",
        "SageAttention 与 Flash Attention 一样只计算 float16 或 bfloat16，却收到别的类型，通常是 float32。",
    ),
    verdicts=verdicts((False, AS_IS), (True, _HALF_QUERIES), (True, ONE_HALF), (False, _KERNEL_WANTS_HALF)),
    patterns=(r"Input tensors must be in dtype of (torch\.float16) or (torch\.bfloat16)",),
    references=(FLASH_ATTENTION,),
)


def _bfloat16_rule(title: Text, cause: Text, *patterns: str, references: tuple[Reference, ...] = (AUTOCAST,)) -> Rule:
    return Rule("bfloat16_unsupported", title, cause, WITHOUT_BFLOAT16, patterns, references=references)


XFORMERS_BFLOAT16 = _bfloat16_rule(
    Text("xformers has no bfloat16 kernel for this GPU", "xformers 在此 GPU 上没有 bfloat16 内核"),
    Text(
        "Memory-efficient attention in bfloat16 wants an A100 or newer (compute capability 8.0). Choose float16, or "
        "PyTorch's scaled_dot_product_attention.",
        "bfloat16 的内存高效注意力需要 A100 或更新的 GPU（计算能力 8.0）。请选 float16，或用 PyTorch 的 "
        "scaled_dot_product_attention。",
    ),
    r"No operator found for `memory_efficient_attention_\w+`.{0,1500}?(bf16) is only supported on A100\+ GPUs",
)
MPS_BFLOAT16 = _bfloat16_rule(
    Text("Apple's GPU has no bfloat16 here", "此处的 Apple GPU 不支持 bfloat16"),
    Text(
        "bfloat16 on MPS wants macOS 14 and a current PyTorch. Choose float16 or float32 as the dtype when loading.",
        "MPS 上的 bfloat16 需要 macOS 14 和较新的 PyTorch。加载时请选择 float16 或 float32。",
    ),
    r"Trying to convert (BFloat16) to the MPS backend but it does not have support for that dtype",
    references=(MPS,),
)
TRAINER_BFLOAT16 = _bfloat16_rule(
    Text("bfloat16 mixed precision was asked for on a device without it", "设备不支持却要求 bfloat16 混合精度"),
    Text(
        "accelerate or a trainer refuses bfloat16 here: the GPU is older than Ampere, or PyTorch is older than 1.10. "
        'Set `mixed_precision="fp16"`, or "no".',
        "accelerate 或训练器在此拒绝 bfloat16：GPU 早于 Ampere，或 PyTorch 早于 1.10。"
        '请设置 `mixed_precision="fp16"` 或 "no"。',
    ),
    r"(bf16) mixed precision requires PyTorch\s*>?=?\s*[\d.]+ and a supported device",
)
ASCEND = _bfloat16_rule(
    Text("The Ascend NPU has no such kernel for this dtype", "昇腾 NPU 没有这种 dtype 的内核"),
    Text(
        "CANN's operator lists the dtypes that it supports, and this one is not among them: bfloat16 wants an Atlas A2 "
        "or newer. Choose float16, or float32.",
        "CANN 算子列出了支持的 dtype，其中没有这一种：bfloat16 需要 Atlas A2 或更新的型号。请选 float16 或 float32。",
    ),
    r"call acl\w+ failed.{0,300}?not implemented for DT_(\w+), should be in dtype support list",
    r"\bnot implemented for DT_(BFLOAT16)\b",
)
EXTENSION_BFLOAT16 = _bfloat16_rule(
    Text("A compiled kernel does not take bfloat16", "编译的内核不接受 bfloat16"),
    Text(
        "A custom CUDA kernel checks its dtype by hand and knows no bfloat16. Choose float16, or convert around it.",
        "自定义 CUDA 内核自行检查 dtype，不支持 bfloat16。请选 float16，或在其前后转换。",
    ),
    r"un-?supported (?:input )?d?type:? ?'?(?:torch\.)?(bfloat16|BFloat16)\b",
)
TRITON_BFLOAT16 = _bfloat16_rule(
    Text("Triton compiled bfloat16 for a GPU that has none", "Triton 为不支持 bfloat16 的 GPU 编译了 bfloat16"),
    Text(
        "ptxas refuses bfloat16 below compute capability 8.0 (V100, T4, RTX 20). Choose float16, or leave out "
        "torch.compile and Triton's kernels out.",
        "计算能力低于 8.0 的 GPU（V100、T4、RTX 20）上 ptxas 拒绝 bfloat16。请选 float16，或不用 torch.compile 与 "
        "Triton 内核。",
    ),
    r"Feature '[^']{0,40}\.?(bf16)[^']{0,20}' requires \.target sm_80 or higher",
)
QUANTISE_BFLOAT16 = _bfloat16_rule(
    Text("This bitsandbytes cannot quantise bfloat16", "此版本的 bitsandbytes 无法量化 bfloat16"),
    Text(
        "Blockwise quantisation of bfloat16 came with bitsandbytes 0.39: upgrade it, or load the weights in float16 or "
        "float32 before they are quantised.",
        "对 bfloat16 的分块量化自 bitsandbytes 0.39 起支持：请升级，或在量化前以 float16 或 float32 加载权重。",
    ),
    r"Blockwise (?:4-?bit )?quantization only supports 16/32-bit floats, but got (torch\.bfloat16)",
    references=(BITSANDBYTES,),
)

_METHODS_DTYPE = Text(
    "The kernels of this quantisation compute in float16; pass float16 as the dtype when loading.",
    "该量化方法的内核以 float16 计算；加载时请指定 float16。",
)
QUANTISATION_METHOD = Rule(
    family="quantised_compute_dtype",
    title=Text("This quantisation computes in another dtype", "该量化方法以另一种 dtype 计算"),
    cause=Text(
        "GPTQ and AWQ kernels are written for certain dtypes, and the server was started with another: pass "
        "`--dtype=half` (vLLM) or `torch_dtype=torch.float16`.",
        "GPTQ、AWQ 的内核只支持特定 dtype，而服务以另一种启动：请传入 `--dtype=half`（vLLM）或 "
        "`torch_dtype=torch.float16`。",
    ),
    verdicts=verdicts((None, _METHODS_DTYPE), (None, _METHODS_DTYPE), (None, _METHODS_DTYPE), (False, _METHODS_DTYPE)),
    patterns=(r"(torch\.\w+) is not supported for quantization method \w+\. Supported dtypes",),
)

_GATHERED = Text(
    "It depends on what was cast after the model was built: parameters of one gather must have one dtype.",
    "取决于模型建好后转换了什么：一次聚合的参数须为同一种 dtype。",
)
_ONE_DTYPE = Text("All parameters have one dtype.", "所有参数是同一种 dtype。")
SHARDED = Rule(
    family="sharded_dtype_mismatch",
    title=Text("Sharding needs parameters of one dtype", "分片要求参数为同一种 dtype"),
    cause=Text(
        "A sharded group of parameters (FSDP 2, DeepSpeed ZeRO-3) holds two dtypes: often a norm, a router or a LoRA "
        "adapter in float32 beside half weights. Cast the model to one dtype before it is sharded, or give the adapter "
        "the dtype of its layer.",
        "同一分片组（FSDP 2、DeepSpeed ZeRO-3）的参数有两种 dtype：常见的是半精度权重旁的 float32 归一化层、路由层或 "
        "LoRA 适配器。请在分片之前统一 dtype，或让适配器与所在层一致。",
    ),
    verdicts=verdicts((None, _GATHERED), (False, NOT_LISTED), (None, _GATHERED), (True, _ONE_DTYPE)),
    patterns=(rf"FSDP expects uniform original parameter dtype but got \{{{DTYPE}, {DTYPE}\}}",),
    whole=(
        r"output tensor must have the same type as input tensor",
        r"expected there to be only one unique element in .{1,300}",  # DeepSpeed, of the parameters' dtypes
    ),
    references=(FSDP,),
)

_SCALER = Text(
    "bfloat16 has float32's range and needs no loss scaling: leave GradScaler out (`enabled=False`).",
    "bfloat16 的范围与 float32 相同，不需要损失缩放：请去掉 GradScaler（`enabled=False`）。",
)
_NO_SCALER_NEEDED = Text("Float32 gradients can be unscaled.", "float32 的梯度可以还原。")


def _unscaled(facts: Facts) -> Verdicts:
    if "float16" in facts.dtypes:
        return {**same_for_all(False, GRADIENTS_ARE_HALF), "full": (True, _NO_SCALER_NEEDED)}
    return verdicts((None, _SCALER), (None, _SCALER), (None, _SCALER), (True, _NO_SCALER_NEEDED))


NOT_UNSCALED = Rule(
    family="half_gradients",
    title=Text("GradScaler met gradients that it does not unscale", "GradScaler 遇到了它不还原的梯度"),
    cause=Text(
        "GradScaler's kernel unscales float32 gradients, and the gradients are {dtypes} because the weights are. "
        "bfloat16 wants no loss scaling at all; for float16 keep the weights in float32 under autocast.",
        "GradScaler 的内核只还原 float32 梯度，而这里的梯度与权重一样是 {dtypes}。"
        "bfloat16 不需要损失缩放；float16 请保持 float32 权重并使用 autocast。",
    ),
    verdicts=_unscaled,
    patterns=(r"\"_amp_foreach_non_finite_check_and_unscale_\w+\" not implemented for '(\w+)'",),
    references=(AUTOCAST,),
)

_IF_NOT_MADE = Text(
    "Cured unless the code itself makes a float64 tensor (from NumPy, `linspace`, a Python number).",
    "可解决，除非代码自身生成 float64 张量（来自 NumPy、`linspace` 或 Python 数值）。",
)
XPU_FLOAT64 = Rule(
    family="float64_unsupported",
    title=Text("This Intel GPU has no float64", "该 Intel GPU 没有 float64"),
    cause=Text(
        "A kernel in float64 was started on a GPU without it (Arc). Cast with `.float()` where the tensor is made, or "
        "set OverrideDefaultFP64Settings=1 and IGC_EnableDPEmulation=1 to emulate it.",
        "在没有 float64 的 GPU（Arc）上启动了 float64 内核。请在生成张量处用 `.float()` 转换，或设置 "
        "OverrideDefaultFP64Settings=1 与 IGC_EnableDPEmulation=1 来模拟。",
    ),
    verdicts=verdicts((False, NO_FLOAT64), (False, NO_FLOAT64), (None, _IF_NOT_MADE), (None, _IF_NOT_MADE)),
    patterns=(r"Required aspect (fp64) is not supported on the device",),
)

_EXPORT = Text(
    "The graph has its dtypes built in: convert it whole, its normalisation layers and inputs too, or export again.",
    "计算图已固定 dtype：请整体转换（包括归一化层与输入），或重新导出。",
)
ONNX_GRAPH = Rule(
    family="onnx_graph_dtype",
    title=Text("An ONNX graph binds one operator to two types", "ONNX 计算图的一个算子绑定了两种类型"),
    cause=Text(
        "One operator's inputs are {dtypes}: a converter to float16 left some of the graph in float32.",
        "一个算子的输入是 {dtypes}：转换为 float16 时有一部分仍留在 float32。",
    ),
    verdicts=same_for_all(None, _EXPORT),
    patterns=(
        r"Type parameter \(\w+\) of Optype \(\w+\) bound to different types \((tensor\(\w+\)) and (tensor\(\w+\))",
        r"Type Error: Type '(tensor\(\w+\))' of input parameter \([^)]{1,120}\) of operator \(\w+\) in node "
        r"\([^)]{0,120}\) is invalid",
    ),
    references=(ONNX,),
)

_OTHER_HALF = Text(
    "float16 ends at 65504; with bfloat16 as the half type it may hold.",
    "float16 的上限是 65504；改用 bfloat16 也许可以。",
)
NOT_FINITE = Rule(
    family="sampling_not_finite",
    title=Text("The numbers became NaN", "数值变成了 NaN"),
    cause=Text(
        "A distribution, a decoder or a training loop found NaN or infinity. Somewhere upstream a half type overflowed "
        "(float16 ends at 65504), or a checkpoint or an input holds NaN: look for the first module whose output is not "
        "finite.",
        "概率分布、解码器或训练循环发现了 NaN 或无穷。上游某处半精度溢出（float16 上限为 65504），"
        "或检查点、输入本身含有 NaN：请查找第一个输出非有限值的模块。",
    ),
    verdicts=verdicts((False, AS_IS), (None, _OTHER_HALF), (None, _OTHER_HALF), (None, IF_OVERFLOW)),
    patterns=(
        r"Expected parameter (?:logits|probs|loc|scale) .{0,200}? but found invalid values:.{0,200}?\bnan\b",
        r"\bA tensor with (?:all )?NaNs was produced in (?:Unet|VAE|\w+)",
        r"\bNansException\b",
        r"\b[Ll]oss is (?:nan|NaN|inf)\b, stopping training",
    ),
    names_dtypes=False,
    references=(NUMERICS,),
)

RULES = (
    ROTARY, HALF_ATTENTION, XFORMERS_BFLOAT16, MPS_BFLOAT16, TRAINER_BFLOAT16, ASCEND, TRITON_BFLOAT16,
    EXTENSION_BFLOAT16, QUANTISE_BFLOAT16, QUANTISATION_METHOD, SHARDED, NOT_UNSCALED, XPU_FLOAT64, ONNX_GRAPH,
    NOT_FINITE,
)  # fmt: skip
