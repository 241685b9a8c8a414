"""The check's sentences in Chinese. Its records carry them in English; here each has its template in both."""

from __future__ import annotations

import re
from functools import cache

CHECK_TEXTS: dict[str, str] = {
    # Names
    "driver and CUDA": "驱动与 CUDA",
    "GPU memory": "显存",
    "compute capability": "计算能力",
    "free memory": "空闲内存",
    "published remote code": "发布的远程代码",
    # What was found
    "not installed": "未安装",
    "installed": "已安装",
    "none": "无",
    "none found": "未找到",
    "unknown": "未知",
    "native": "原生支持",
    "native, speed unknown": "原生支持，速度未知",
    "speed unknown": "速度未知",
    "emulated": "软件模拟",
    "no {features}": "无 {features}",
    "driver {driver}, CUDA {cuda}": "驱动 {driver}，CUDA {cuda}",
    "{free} of {total} GiB free": "{total} GiB 中空闲 {free} GiB",
    "{ratio} × float32 ({half} against {wide} results a clock)": (
        "float32 的 {ratio} 倍（每时钟 {half} 对 {wide} 个结果）"
    ),
    # What follows: versions
    "as needed": "符合要求",
    "not needed on the CPU; a GPU loads weights with it": "CPU 上不需要；GPU 用它载入权重",
    "install {name} {wanted} or later: pip install -r requirements.txt": (
        "请安装 {name} {wanted} 或更新版本：pip install -r requirements.txt"
    ),
    "older than {wanted}: {what}. pip install -r requirements.txt": (
        "低于 {wanted}：{what}。请执行 pip install -r requirements.txt"
    ),
    "this version {what}. pip install -r requirements.txt": "此版本{what}。请执行 pip install -r requirements.txt",
    "refuses the published checkpoints' tokenizer (“{message}”)": "会拒绝已发布检查点的分词器（“{message}”）",
    "this is no version that can be compared": "无法比较这一版本号",
    "newer than what the lab was tried with; messages may read differently": (
        "比本实验室测试过的版本新；报错措辞可能不同"
    ),
    "the code is written for 3.10 and later": "代码面向 3.10 及更新版本",
    "half on the CPU then lacks operations ({messages}) or AutocastCPU only supports bfloat16": (
        "CPU 上的半精度缺少算子（{messages}），或 AutocastCPU 仅支持 bfloat16"
    ),
    "the model classes and the KV cache are written against 5.20 and later": "模型类与 KV 缓存基于 5.20 及更新版本编写",
    "the page uses what 6.31 brought": "页面用到 6.31 引入的功能",
    "it was not tried, and has no build for Python 3.13": "未经测试，也没有适用于 Python 3.13 的构建",
    "weights cannot be loaded straight onto a GPU": "权重无法直接载入 GPU",
    # What follows: the card
    "PyTorch is built without CUDA: every strategy runs on the CPU": "PyTorch 未带 CUDA：所有策略都在 CPU 上运行",
    "PyTorch is built for CUDA {cuda} and finds no card or no driver": "PyTorch 面向 CUDA {cuda}，但未找到显卡或驱动",
    "runs go there where the device is set to mps; peak memory is not measured there": (
        "设备设为 mps 时在此运行；此处不测量内存峰值"
    ),
    "{half} in {strategies}: runs; how fast was not tried here": "{strategies} 中的 {half}：可运行；速度未在此测试",
    "runs go there unless the device is set to cpu": "除非设备设为 cpu，否则在此运行",
    "PyTorch reaches the card with them": "PyTorch 通过它们访问显卡",
    "what is free counts: `plan` says what fits": "以空闲部分为准：`plan` 可预估放得下什么",
    "which cards this PyTorch was built for could not be told": "无法得知此 PyTorch 面向哪些显卡",
    "this PyTorch has kernels for it": "此 PyTorch 有对应的内核",
    "this PyTorch was built for {kernels}: every strategy ends in “no kernel image is available”. "
    "Install a build for this card, or run on the CPU": (
        "此 PyTorch 面向 {kernels}：所有策略都会以 “no kernel image is available” 结束。"
        "请安装适合此显卡的版本，或在 CPU 上运行"
    ),
    "{half} in {strategies}: runs natively, matrix products on tensor cores": (
        "{strategies} 中的 {half}：原生运行，矩阵乘法使用张量核心"
    ),
    "{half} in {strategies}: runs natively": "{strategies} 中的 {half}：原生运行",
    "{half} in {strategies}: runs, emulated, slow": "{strategies} 中的 {half}：可运行，软件模拟，较慢",
    "{half} in {strategies}: runs, computed in float32, slow": (
        "{strategies} 中的 {half}：可运行，以 float32 计算，较慢"
    ),
    "{half} in {strategies}: runs, slower than full": "{strategies} 中的 {half}：可运行，比 full 慢",
    # What follows: the processor
    "for weights and activations on the CPU: `plan` says what fits": (
        "供 CPU 上的权重与激活使用：`plan` 可预估放得下什么"
    ),
    "this PyTorch does not tell what the processor can": "此 PyTorch 不提供处理器特性",
    "{half} in {strategies}: runs natively on the CPU": "{strategies} 中的 {half}：在 CPU 上原生运行",
    "{half} in {strategies}: runs, converted to float32, slower than full": (
        "{strategies} 中的 {half}：可运行，先转为 float32，比 full 慢"
    ),
    # What follows: combinations
    "the lab does not use it. With it, full ends in “FlashAttention only support fp16 and bf16 data type” "
    "(InternLM-XComposer#416): half weights, or PyTorch's own attention": (
        "本实验室不使用它。若使用，full 会以 “FlashAttention only support fp16 and bf16 data type” 结束"
        "（InternLM-XComposer#416）：请用半精度权重，或 PyTorch 自带的注意力"
    ),
    "the checkpoints' own code has no `generate` from 4.50 on (ms-swift#4324) and meets tensors of size 1377 "
    "against 1376 (InternLM-XComposer#143): do not pass trust_remote_code; the lab's classes load the weights": (
        "检查点自带的代码自 4.50 起没有 `generate`（ms-swift#4324），并会遇到 1377 对 1376 的张量"
        "（InternLM-XComposer#143）：请勿传 trust_remote_code；本实验室的类可载入这些权重"
    ),
}
"""English template -> Chinese template, with the same placeholders."""


def in_language(said: str, language: str) -> str:
    """A sentence of the check in `language`; figures and names that need no translation stay as they are."""
    if language == "en":
        return said
    for english, chinese in CHECK_TEXTS.items():
        if found := _pattern(english).fullmatch(said):
            return chinese.format(**{name: in_language(part, language) for name, part in found.groupdict().items()})
    return said


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    literal, names = parts[::2], parts[1::2]
    whole = re.escape(literal[0])
    for name, after in zip(names, literal[1:], strict=True):
        whole += f"(?P<{name}>.+?){re.escape(after)}"
    return re.compile(whole)
