"""Rules for memory and devices."""

from __future__ import annotations

import re
from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.core.units import BINARY_UNITS, GIB
from xcomposer_ui.explain.references import CUDA_MEMORY, LOADING, xcomposer
from xcomposer_ui.explain.rule import Facts, Rule
from xcomposer_ui.explain.verdicts import PRECISION_UNRELATED, same_for_all, verdicts

_BYTES = {**dict(BINARY_UNITS), "TiB": 1 << 40, "bytes": 1, "MB": 1_000_000, "GB": 1_000_000_000}
_LARGE_BYTES = 4 * GIB
"""A single allocation of this size or more is an operation's result: a 7B model's largest weight is 0.7 GiB."""

_OOM = (
    r"(?:CUDA|XPU|HIP|NPU) out of memory\. Tried to allocate (?P<asked>[\d.]+ \w+)",
    r"MPS backend out of memory \(.{0,200}?Tried to allocate (?P<asked>[\d.]+ \w+)",
    r"DefaultCPUAllocator: (?:can't allocate memory: you tried to allocate (?P<asked>\d+ bytes)|not enough memory)",
    r"Tried to allocate (?P<asked>[\d.]+ [KMGT]iB)\.? ?\(?GPU \d+",
    r"CUDA runtime error: out of memory",
    r"Invalid buffer size: (?P<asked>[\d.]+ [KMGT]i?B)",  # Metal
)


def _asks_much(facts: Facts) -> bool:
    asked = facts.match.groupdict().get("asked")
    found = re.match(r"([\d.]+) (\w+)", asked or "")
    return found is not None and float(found[1]) * _BYTES.get(found[2], 0) >= _LARGE_BYTES


_SMALLER = Text(
    "Half weights take half of the memory; the intermediate results of so many image tokens may still be too large.",
    "半精度权重占一半内存；但如此多图像词元的中间结果可能仍然过大。",
)
_LARGER = Text("It needs twice the memory, for weights and results alike.", "它需要两倍内存，权重与中间结果都是如此。")
LARGE_ALLOCATION = Rule(
    family="out_of_memory",
    title=Text("One intermediate result does not fit into memory", "单个中间结果放不进内存"),
    cause=Text(
        "One operation asked for several gigabytes at once. With a large picture that is attention over very many "
        "image tokens, computed whole: use SDPA or flash attention, or fewer image tokens (a smaller picture; for "
        "InternLM-XComposer a smaller `hd_num`).",
        "单个运算一次申请了数 GB。图片很大时，这通常是对大量图像词元整体计算的注意力："
        "请使用 SDPA 或 Flash Attention，或减少图像词元（缩小图片；InternLM-XComposer 可减小 `hd_num`）。",
    ),
    verdicts=verdicts((None, _SMALLER), (None, _SMALLER), (None, _SMALLER), (False, _LARGER)),
    patterns=_OOM,
    applies=_asks_much,
    references=(CUDA_MEMORY, xcomposer(436)),
)

IN_SDPA = replace(
    LARGE_ALLOCATION,
    title=Text("Attention does not fit into memory", "注意力放不进内存"),
    cause=Text(
        "scaled_dot_product_attention itself ran out of memory: the fallback kernel computes all scores at once where "
        "no other takes its operands (float32 with a mask, a head size, an old GPU). Fewer image tokens, a smaller "
        "batch, or half types without a mask, which the flash kernel takes.",
        "scaled_dot_product_attention 自身耗尽了内存：没有其他内核接受其操作数时（带掩码的 float32、头维度、旧 GPU），"
        "后备内核会一次算出全部分数。请减少图像词元或批大小，或使用半精度且不带掩码，由 flash 内核计算。",
    ),
    applies=lambda facts: any("scaled_dot_product_attention" in frame.code for frame in facts.frames[-2:]),
    references=(CUDA_MEMORY,),
)

_IF_FLOAT32 = Text(
    "Cured if the weights were loaded in float32 first: half weights of a 7B model take 13 GiB instead of 26.",
    "若之前是以 float32 加载权重则可解决：7B 模型的半精度权重占 13 GiB，而非 26 GiB。",
)
_AUTOCAST_MEMORY = Text(
    "Over half weights it needs what they need; over float32 weights autocast keeps a half copy beside them and needs "
    "more than float32 alone.",
    "配半精度权重时与之相当；配 float32 权重时 autocast 还会保留一份半精度副本，比单用 float32 更多。",
)
OUT_OF_MEMORY = Rule(
    family="out_of_memory",
    title=Text("The device ran out of memory", "设备内存不足"),
    cause=Text(
        "More memory was asked for than was free. Most often the weights were loaded in float32 (26 GiB for "
        "7 billion parameters) and were to be halved afterwards: give the half dtype when loading. Otherwise something "
        "else holds the device, or the picture and the conversation are too long.",
        "申请的内存超过了空闲的内存。最常见的是权重先以 float32 加载（70 亿参数需 26 GiB）再转半精度："
        "请在加载时就指定半精度。否则可能是设备被其他程序占用，或图片、对话过长。",
    ),
    verdicts=verdicts((None, _IF_FLOAT32), (None, _AUTOCAST_MEMORY), (None, _IF_FLOAT32), (False, _LARGER)),
    patterns=_OOM,
    whole=(
        r"torch\.(?:cuda\.)?OutOfMemoryError: .*",
        # without torch's name it may be another program's, such as Java's
        r"(?:cuda\.)?OutOfMemoryError: (?:Allocation on device|CUDA|HIP|ROCm|MPS|XPU|NPU|GPU|[Oo]ut of memory)\b.*",
        r"CUDA out of memory",
        r"CUDA error: out of memory",
    ),
    names_dtypes=False,
    references=(CUDA_MEMORY, LOADING, xcomposer(205)),
)


# Two tensors, each with its device: "torch.cuda.HalfTensor", "CPUFloatType", "cpu and dtype Float".
_TYPES = (
    r"Input type \(([\w.]+)\) and (?:weight|bias) type \(([\w.]+)\) should be (?:the )?same",
    r"Expected object of type ([\w.]+Tensor) but found type ([\w.]+Tensor)",
    r"(?<!- )expected type ((?:CPU|CUDA)\w+Type|torch\.[\w.]+Tensor) but got "  # "- expected" is said of gradients
    r"((?:CPU|CUDA)\w+Type|torch\.[\w.]+Tensor)",
    r"expected (?:device|backend) (\S+ and dtype \w+) but got (?:device|backend) (\S+ and dtype \w+)",
)

TYPES_TELL_DEVICES = Rule(
    family="device_mismatch",
    title=Text("Two tensors are on different devices", "两个张量在不同的设备上"),
    cause=Text(
        "The dtypes agree; one tensor is on the GPU (torch.cuda, MPS) and the other on the CPU. Move the picture to "
        "the device of the module that takes it first.",
        "dtype 一致，但一个张量在 GPU 上（torch.cuda、MPS），另一个在 CPU 上。请把图片移到首先接收它的模块所在的设备。",
    ),
    verdicts=PRECISION_UNRELATED,
    patterns=_TYPES,
    applies=lambda facts: len(facts.dtypes) == 1 and facts.on_two_devices,
)

_NO_CAST_MOVES = Text(
    "No cast moves a tensor to another device. Move it first; then this strategy may still be needed for the dtype.",
    "转换 dtype 不会把张量移到另一设备。请先移动；之后可能仍需本策略来统一 dtype。",
)
DEVICES_AND_DTYPES = replace(
    TYPES_TELL_DEVICES,
    title=Text("Two tensors differ in device and dtype", "两个张量的设备与 dtype 都不同"),
    cause=Text(
        "One tensor is on the GPU and the other on the CPU, and their dtypes are {dtypes}. Move and cast the input in "
        "one step: `x.to(weight.device, weight.dtype)`.",
        "一个张量在 GPU 上，另一个在 CPU 上，dtype 是 {dtypes}。"
        "请一步完成移动与转换：`x.to(weight.device, weight.dtype)`。",
    ),
    verdicts=same_for_all(False, _NO_CAST_MOVES),
    applies=lambda facts: len(facts.dtypes) == 2 and facts.on_two_devices,
)

DEVICES = Rule(
    family="device_mismatch",
    title=Text("Tensors are on different devices", "张量在不同的设备上"),
    cause=Text(
        "One operation got tensors of two devices. Usually the picture stayed on another device than the vision "
        "tower's, or a device map spread the model and the inputs went to the wrong part: move the picture to the "
        "device of the first module that takes it.",
        "一个运算收到了两个设备上的张量。通常是图片与视觉塔不在同一设备，或设备映射把模型拆开后输入送错了地方："
        "请把图片移到首先接收它的模块所在的设备。",
    ),
    verdicts=PRECISION_UNRELATED,
    patterns=(
        r"Expected all tensors to be on the same device, but (?:found|got)",
        r"Expected object of (?:device type|backend) \w+ but got (?:device type|backend) \w+",
        r"Tensor on device \S+ is not on the expected device",
        r"Cannot copy out of meta tensor; no data!",
        r"[Aa]ll input tensors must be on the same device",
        r"indices should be either on cpu or on the same device as the indexed tensor",
        r"Input, output and indices must be on the current device",
    ),
    names_dtypes=False,
    references=(xcomposer(274),),
)

DEVICE_MAP = Rule(
    family="device_map_incomplete",
    title=Text("The device map leaves out parameters", "设备映射遗漏了参数"),
    cause=Text(
        "A hand-made device map names no device for some parameters, for this family often plora_glb_GN and "
        'plora_sub_GN. Add them, or use `device_map="auto"`.',
        "手写的设备映射没有为某些参数指定设备，在本系列模型中常是 plora_glb_GN 和 plora_sub_GN。"
        '请补上，或使用 `device_map="auto"`。',
    ),
    verdicts=PRECISION_UNRELATED,
    patterns=(r"device_map provided does not give any device for the following parameters",),
    references=(LOADING, xcomposer(265)),
)

NO_CUDA = Rule(
    family="no_cuda",
    title=Text("There is no usable CUDA device", "没有可用的 CUDA 设备"),
    cause=Text(
        "The code asks for CUDA, and this PyTorch was built without it, or finds no driver, or has no kernels for this "
        "GPU. Choose the CPU, or install the PyTorch build that fits the GPU and its driver.",
        "代码要求 CUDA，而当前 PyTorch 不带 CUDA、找不到驱动，或没有适配该 GPU 的内核。"
        "请选择 CPU，或安装与 GPU 及驱动匹配的 PyTorch。",
    ),
    verdicts=PRECISION_UNRELATED,
    patterns=(
        r"Torch not compiled with CUDA enabled",
        r"Found no NVIDIA driver on your system",
        r"Attempting to deserialize object on a CUDA device but torch\.cuda\.is_available\(\) is False",
        r"CUDA error: no kernel image is available for execution on the device",
        r"CUDA error: no CUDA-capable device is detected",
        r"The NVIDIA driver on your system is too old",
    ),
    references=(CUDA_MEMORY,),
)

RULES = (IN_SDPA, LARGE_ALLOCATION, OUT_OF_MEMORY, TYPES_TELL_DEVICES, DEVICES_AND_DTYPES, DEVICES, DEVICE_MAP, NO_CUDA)
