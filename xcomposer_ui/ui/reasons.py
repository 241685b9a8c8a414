"""The reasons that records carry in English, in Chinese."""

from __future__ import annotations

import re

# The reasons that the runner gives for its choices, in English as records carry them; {name} is a device's, {part}
# "CPU" or "GPU", {half} a type's.
REASONS = {
    "you asked for it": "按你的选择",
    "no CUDA device was found": "未找到 CUDA 设备",
    "no CUDA device was found; Apple's GPU, where memory is not measured, is used when mps is asked for": (
        "未找到 CUDA 设备；Apple GPU 上无法测量内存，选择 mps 时才使用"
    ),
    "{name} is there": "检测到 {name}",
    "the type of the published weights and of the reported error; every device computes it": (
        "发布的权重和所报错误都用此类型，所有设备都能计算"
    ),
    "the type of the published weights and of the reported error; native on this {part}": (
        "发布的权重和所报错误都用此类型；此 {part} 原生支持"
    ),
    "the type of the published weights and of the reported error; "
    "on this {part} only bfloat16 is native, and quicker": (
        "发布的权重和所报错误都用此类型；此 {part} 仅原生支持 bfloat16，且更快"
    ),
    "the type of the published weights and of the reported error; no 16-bit type is native on this {part}": (
        "发布的权重和所报错误都用此类型；此 {part} 不原生支持任何 16 位类型"
    ),
    "this {part} has no native {half}: float32 is faster here, and its weights fit in memory": (
        "此 {part} 不原生支持 {half}：float32 更快，且内存足够"
    ),
    "this {part} has no native {half}, but float32 weights may not fit in memory": (
        "此 {part} 不原生支持 {half}，但内存可能放不下 float32 权重"
    ),
    "this {part} computes {half} natively, and autocast takes the float32 picture as it is": (
        "此 {part} 原生支持 {half}，且自动混合精度可直接使用 float32 图片"
    ),
    "it works on every machine": "在任何机器上都能回答",
}


def reason(said: str, language: str) -> str:
    """`said` in `language`, where its Chinese is known; as it is otherwise."""
    if language == "en":
        return said
    for english, chinese in REASONS.items():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(english))
        if found := re.fullmatch(pattern, said):
            return chinese.format(**found.groupdict())
    return said
