"""The check of this machine: a verdict on each fact. A fact that could not be determined is reported as unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from packaging.version import Version

from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.core.versions import SUPPORTED, release_of

OK, NOTE, SLOW, BAD, UNKNOWN = "ok", "note", "slow", "bad", "unknown"

RESULTS_PER_CLOCK: dict[tuple[int, int], tuple[int, int]] = {
    (5, 3): (128, 256),
    (6, 0): (64, 128),
    (6, 1): (128, 2),
    (6, 2): (128, 256),
    (7, 0): (64, 128),
    (7, 2): (64, 128),
    (7, 5): (64, 128),
    (8, 0): (64, 256),
    (9, 0): (128, 256),
}
"""Compute capability -> results per clock and multiprocessor in float32 and float16: NVIDIA's table “Throughput of
Native Arithmetic Instructions” (CUDA C++ programming guide 5.4.1, now in the best practices guide 12.1.1,
https://docs.nvidia.com/cuda/cuda-c-best-practices-guide/#throughput-of-native-arithmetic-instructions). Capabilities
whose rows were not available are left out."""

TENSOR_CORES_FROM = {"float16": (7, 0), "bfloat16": (8, 0)}
"""Half type -> first capability with tensor cores for its matrix products (CUDA C++ programming guide, “Warp matrix
functions”). Before 8.0 the hardware has no bfloat16 arithmetic: PyTorch emulates it."""


@dataclass(frozen=True)
class Gpu:
    """The card in use. capability: (major, minor). kernels: capabilities that this PyTorch was built for, "sm_80"."""

    name: str
    capability: tuple[int, int]
    total_bytes: int
    free_bytes: int
    driver: str | None = None
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Facts about this machine. None: unknown, or not installed (versions).

    versions: name -> version. cuda: the toolkit that PyTorch was built with. cpu_flags: features of the processor, as
    `torch.cpu.get_capabilities` names them. apple_gpu: its name, where PyTorch can use one.
    """

    versions: dict[str, str | None]
    processor: str
    cpu_flags: frozenset[str] | None
    free_bytes: int | None
    cuda: str | None = None
    gpu: Gpu | None = None
    apple_gpu: str | None = None
    flash_attention: bool = False

    @property
    def is_arm(self) -> bool:
        return self.processor.lower().startswith(("arm", "aarch"))


@dataclass(frozen=True)
class CheckItem:
    """One fact and its verdict: ok, note (works with a limitation), slow, bad (must be repaired) or unknown.

    value: of the fact. consequence: for the strategies.
    """

    name: Sentence
    value: Sentence
    verdict: str
    consequence: Sentence


@dataclass(frozen=True)
class Check:
    """All items, in reading order."""

    items: tuple[CheckItem, ...] = ()

    @property
    def ok(self) -> bool:
        return all(item.verdict != BAD for item in self.items)


def this_machine() -> Check:
    """The check of this machine. The first call imports torch, which takes seconds."""
    from xcomposer_ui.backends.hardware_facts import facts

    return checked(facts())


def check_as_json(check: Check) -> dict[str, Any]:
    """`check` in the field names that scripts rely on."""
    return {"ok": check.ok, **record_as_data(check, "en")}


def as_text(check: Check) -> str:
    """The items as text, one per line, for the terminal and the log."""
    width = max((len(str(item.name)) for item in check.items), default=0)
    return "\n".join(
        f"{item.verdict:<8}{item.name!s:<{width}}  {item.value}: {item.consequence}" for item in check.items
    )


def checked(facts: Facts) -> Check:
    """The check of `facts`: each with its verdict and its consequence."""
    versions = (_version(name, facts) for name in SUPPORTED)
    return Check((*versions, *_gpu(facts), *_cpu(facts), *_known_combinations(facts)))


def _version(name: str, facts: Facts) -> CheckItem:
    found, needed = facts.versions.get(name), SUPPORTED[name]

    def item(verdict: str, case: str, **words: Any) -> CheckItem:
        return CheckItem(
            name, found or Message("check.value.not_installed"), verdict, Message(f"check.version.{case}", **words)
        )

    if found is None:
        if name == "accelerate" and facts.gpu is None:
            return item(NOTE, "not_needed")
        return item(BAD, "install", name=name, lowest=needed.lowest)
    release = release_of(found)
    if release is None:
        return item(UNKNOWN, "not_comparable")
    if release < Version(needed.lowest):
        return item(BAD, "older", lowest=needed.lowest, effect=Message(f"versions.older.{name}"))
    if release in map(Version, needed.refused):
        return item(BAD, "refused", effect=Message(f"versions.refused.{name}"))
    if release >= Version(needed.untried):
        return item(NOTE, "untried")
    return item(OK, "ok")


def _gpu(facts: Facts) -> Iterator[CheckItem]:
    gpu, unknown = facts.gpu, Message("check.value.unknown")
    if gpu is not None:
        yield CheckItem("GPU", gpu.name, OK, Message("check.gpu.used"))
        driver = Message("check.value.driver", driver=gpu.driver or unknown, cuda=facts.cuda or unknown)
        verdict = OK if gpu.driver and facts.cuda else UNKNOWN
        yield CheckItem(Message("check.name.driver"), driver, verdict, Message("check.gpu.driver"))
        free, total = joined(memory(gpu.free_bytes, 1)), joined(memory(gpu.total_bytes, 1))
        value = Message("check.value.free", free=free, total=total)
        yield CheckItem(Message("check.name.gpu_memory"), value, OK, Message("check.gpu.memory"))
        yield _kernels(gpu)
        yield _float16(gpu)
        native = gpu.capability >= TENSOR_CORES_FROM["bfloat16"]
        case = ("native", OK, "tensor_cores") if native else ("emulated", SLOW, "emulated")
        yield _half("GPU", "bfloat16", *case)
    elif facts.apple_gpu is not None:
        yield CheckItem("GPU", f"{facts.apple_gpu} (mps)", NOTE, Message("check.gpu.mps"))
        for half in HALF_DTYPES:
            yield _half("GPU", half, "speed_unknown", UNKNOWN, "speed_unknown")
    elif facts.cuda is None:
        yield CheckItem("GPU", Message("check.value.none"), NOTE, Message("check.gpu.no_cuda_build"))
    else:
        missing = Message("check.gpu.not_found", cuda=facts.cuda)
        yield CheckItem("GPU", Message("check.value.none_found"), NOTE, missing)


def _half(part: str, half: str, value: Sentence, verdict: str, case: str) -> CheckItem:
    """The item on arithmetic in `half` on "CPU" or "GPU". value: a Message, or the end of its key `check.value.…`."""
    strategies = ", ".join(strategy.name for strategy in STRATEGIES.values() if strategy.uses_half)
    consequence = Message(f"check.half.{case}", half=half, strategies=strategies)
    found = Message(f"check.value.{value}") if isinstance(value, str) else value
    return CheckItem(f"{part} {half}", found, verdict, consequence)


def _kernels(gpu: Gpu) -> CheckItem:
    major, minor = gpu.capability
    name, value = Message("check.name.capability"), f"{major}.{minor}"
    if not gpu.kernels:
        return CheckItem(name, value, UNKNOWN, Message("check.gpu.kernels_unknown"))
    built = [version for kernel in gpu.kernels if (version := _kernel_version(kernel))]
    # Machine code ("sm_") runs on its major version from its minor version on, PTX ("compute_") on all later versions.
    fits = any((m == major and n <= minor) if not virtual else (m, n) <= (major, minor) for (m, n), virtual in built)
    if fits:
        return CheckItem(name, value, OK, Message("check.gpu.kernels_there"))
    return CheckItem(name, value, BAD, Message("check.gpu.kernels_missing", kernels=", ".join(gpu.kernels)))


def _kernel_version(name: str) -> tuple[tuple[int, int], bool] | None:
    """((major, minor), whether it is PTX for a virtual architecture) of "sm_86" or "compute_90"."""
    found = re.fullmatch(r"([a-z]+)_(\d+)(\d)[a-z]*", name)
    return None if found is None else ((int(found[2]), int(found[3])), found[1] == "compute")


def _float16(gpu: Gpu) -> CheckItem:
    tensor_cores = gpu.capability >= TENSOR_CORES_FROM["float16"]
    native = "tensor_cores" if tensor_cores else "native"
    if gpu.capability < min(RESULTS_PER_CLOCK):
        return _half("GPU", "float16", "none", SLOW, "in_float32")
    speeds = RESULTS_PER_CLOCK.get(gpu.capability)
    if speeds is None:
        return _half("GPU", "float16", "native_speed_unknown", OK if tensor_cores else UNKNOWN, native)
    wide, half = speeds
    ratio = Message("check.value.ratio", ratio=f"{half / wide:g}", half=half, wide=wide)
    return _half("GPU", "float16", ratio, *((SLOW, "slower") if half < wide else (OK, native)))


FAST_HALF = {
    "float16": {"avx512_fp16": "AVX512-FP16", "amx_fp16": "AMX-FP16", "fp16_arith": "ARM FP16"},
    "bfloat16": {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "ARM BF16"},
}
"""Half type -> PyTorch's name of a CPU feature -> its usual name. With one of them the type is computed natively."""

ARM_FLAGS = frozenset({"fp16_arith", "bf16"})


def _cpu(facts: Facts) -> Iterator[CheckItem]:
    free, unknown = facts.free_bytes, Message("check.value.unknown")
    value, verdict = (unknown, UNKNOWN) if free is None else (joined(memory(free, 1)), OK)
    yield CheckItem(Message("check.name.free_memory"), value, verdict, Message("check.cpu.memory"))
    for half, features in FAST_HALF.items():
        name = f"CPU {half}"
        if facts.cpu_flags is None:
            yield CheckItem(name, unknown, UNKNOWN, Message("check.cpu.features_unknown"))
        elif found := [label for flag, label in features.items() if flag in facts.cpu_flags]:
            yield replace(_half("CPU", half, "native", OK, "native_cpu"), value=", ".join(found))
        else:
            lacking = ", ".join(label for flag, label in features.items() if (flag in ARM_FLAGS) == facts.is_arm)
            yield _half("CPU", half, Message("check.value.lacks", features=lacking), SLOW, "converted")


def _known_combinations(facts: Facts) -> Iterator[CheckItem]:
    """Installed combinations with known problems."""
    if facts.flash_attention:
        installed = Message("check.value.installed")
        yield CheckItem("flash-attn", installed, NOTE, Message("check.combination.flash_attention"))
    found = facts.versions.get("transformers") or ""
    release = release_of(found)
    if release is not None and release >= Version("4.50"):
        consequence = Message("check.combination.remote_code")
        yield CheckItem(Message("check.name.remote_code"), f"transformers {found}", NOTE, consequence)
