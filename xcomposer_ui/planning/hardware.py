"""Is this machine fit for the lab: facts in, judged items out; and the choices that follow from them. No torch here.

What could not be found out is reported as unknown, and nothing is concluded from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from packaging.version import Version

from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.core.versions import NEEDED, release_of

OK, NOTE, SLOW, BAD, UNKNOWN = "ok", "note", "slow", "bad", "unknown"

HALF_STRATEGIES = ", ".join(s.name for s in STRATEGIES.values() if s.weights == "half" or s.autocast)

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
"""Compute capability -> results a clock and multiprocessor in float32 and float16: NVIDIA's table “Throughput of
Native Arithmetic Instructions” (CUDA C++ programming guide 5.4.1, today in the best practices guide 12.1.1,
https://docs.nvidia.com/cuda/cuda-c-best-practices-guide/#throughput-of-native-arithmetic-instructions). Capabilities
whose rows could not be looked up are left out."""

TENSOR_CORES_FROM = {"float16": (7, 0), "bfloat16": (8, 0)}
"""Half type -> first capability with tensor cores for its matrix products (CUDA C++ programming guide, “Warp matrix
functions”). Before 8.0 bfloat16 has no arithmetic of its own at all: PyTorch emulates it."""


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
    """What was found. None: could not be found out, or is not installed (versions).

    versions: name -> version. cuda: the toolkit that PyTorch was built with. cpu_flags: what the processor can, in the
    words of `torch.cpu.get_capabilities`. apple_gpu: its name, where PyTorch reaches one.
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
        """Whether the processor is an ARM one."""
        return self.processor.lower().startswith(("arm", "aarch"))


@dataclass(frozen=True)
class CheckItem:
    """verdict: ok, note (works, but know this), slow, bad (mend it), unknown. consequence: for the strategies."""

    name: str
    value: str
    verdict: str
    consequence: str


@dataclass(frozen=True)
class Check:
    """All items, in the order to read them in."""

    items: tuple[CheckItem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing is bad."""
        return all(item.verdict != BAD for item in self.items)


def this_machine() -> Check:
    """The machine that this runs on. The first call brings torch, which takes seconds."""
    from xcomposer_ui.backends.hardware_facts import check

    return check()


def check_as_json(check: Check) -> dict[str, Any]:
    """`check` in the field names that scripts rely on."""
    return {"ok": check.ok, "items": [dict(vars(item)) for item in check.items]}


def as_text(check: Check) -> str:
    """The items as lines for the person at the terminal, and for a log's first lines."""
    width = max((len(item.name) for item in check.items), default=0)
    return "\n".join(f"{item.verdict:<8}{item.name:<{width}}  {item.value}: {item.consequence}" for item in check.items)


def judged(facts: Facts) -> Check:
    """Every fact with its verdict, and what follows from it."""
    return Check(
        (
            *(_version(name, facts) for name in NEEDED),
            *_gpu(facts),
            *_cpu(facts),
            *_known_combinations(facts),
        )
    )


def _version(name: str, facts: Facts) -> CheckItem:
    found, needed = facts.versions.get(name), NEEDED[name]
    if found is None:
        if name == "accelerate" and facts.gpu is None:
            return CheckItem(name, "not installed", NOTE, "not needed on the CPU; a GPU loads weights with it")
        remedy = f"install {name} {needed.lowest} or later: pip install -r requirements.txt"
        return CheckItem(name, "not installed", BAD, remedy)
    release = release_of(found)
    if release is None:
        return CheckItem(name, found, UNKNOWN, "this is no version that can be compared")
    if release < Version(needed.lowest):
        said = f"older than {needed.lowest}: {needed.older}. pip install -r requirements.txt"
        return CheckItem(name, found, BAD, said)
    for refused, what in needed.refused.items():
        if release == Version(refused):
            return CheckItem(name, found, BAD, f"this version {what}. pip install -r requirements.txt")
    if release >= Version(needed.untried):
        return CheckItem(name, found, NOTE, "newer than what the lab was tried with; messages may read differently")
    return CheckItem(name, found, OK, "as needed")


def _gpu(facts: Facts) -> Iterator[CheckItem]:
    gpu = facts.gpu
    if gpu is None and facts.apple_gpu is not None:
        yield from _apple_gpu(facts.apple_gpu)
        return
    if gpu is None:
        if facts.cuda is None:
            yield CheckItem("GPU", "none", NOTE, "PyTorch is built without CUDA: every strategy runs on the CPU")
        else:
            yield CheckItem(
                "GPU", "none found", NOTE, f"PyTorch is built for CUDA {facts.cuda} and finds no card or no driver"
            )
        return
    yield CheckItem("GPU", gpu.name, OK, "runs go there unless the device is set to cpu")
    yield CheckItem(
        "driver and CUDA",
        f"driver {gpu.driver or 'unknown'}, CUDA {facts.cuda or 'unknown'}",
        OK if gpu.driver and facts.cuda else UNKNOWN,
        "PyTorch reaches the card with them",
    )
    yield CheckItem(
        "GPU memory", _of(gpu.free_bytes, gpu.total_bytes), OK, "what is free counts: `plan` says what fits"
    )
    yield _kernels(gpu)
    yield from _capability(gpu)


def _apple_gpu(name: str) -> Iterator[CheckItem]:
    yield CheckItem(
        "GPU", f"{name} (mps)", NOTE, "runs go there where the device is set to mps; peak memory is not measured there"
    )
    for half in HALF_DTYPES:
        yield CheckItem(
            f"GPU {half}", "speed unknown", UNKNOWN, f"{half} in {HALF_STRATEGIES}: runs; how fast was not tried here"
        )


def _kernels(gpu: Gpu) -> CheckItem:
    major, minor = gpu.capability
    name = "compute capability"
    if not gpu.kernels:
        return CheckItem(name, f"{major}.{minor}", UNKNOWN, "which cards this PyTorch was built for could not be told")
    built = [version for kernel in gpu.kernels if (version := _kernel_version(kernel))]
    # Machine code runs on later minor versions of its major one; code for a virtual card ("compute_") on all later.
    fits = any((m == major and n <= minor) if not virtual else (m, n) <= (major, minor) for (m, n), virtual in built)
    if fits:
        return CheckItem(name, f"{major}.{minor}", OK, "this PyTorch has kernels for it")
    return CheckItem(
        name,
        f"{major}.{minor}",
        BAD,
        f"this PyTorch was built for {', '.join(gpu.kernels)}: every strategy ends in “no kernel image is available”. "
        "Install a build for this card, or run on the CPU",
    )


def _kernel_version(name: str) -> tuple[tuple[int, int], bool] | None:
    """((major, minor), whether virtual) of "sm_86" or "compute_90"."""
    kind, _, digits = name.partition("_")
    digits = digits.rstrip("abcdefghijklmnopqrstuvwxyz")
    if not digits.isdigit() or len(digits) < 2:
        return None
    return (int(digits[:-1]), int(digits[-1])), kind == "compute"


def _capability(gpu: Gpu) -> Iterator[CheckItem]:
    yield _float16(gpu)
    if gpu.capability >= TENSOR_CORES_FROM["bfloat16"]:
        yield CheckItem(
            "GPU bfloat16",
            "native",
            OK,
            f"bfloat16 in {HALF_STRATEGIES}: runs natively, matrix products on tensor cores",
        )
    else:
        yield CheckItem("GPU bfloat16", "emulated", SLOW, f"bfloat16 in {HALF_STRATEGIES}: runs, emulated, slow")


def _float16(gpu: Gpu) -> CheckItem:
    name = "GPU float16"
    tensor_cores = gpu.capability >= TENSOR_CORES_FROM["float16"]
    runs = f"float16 in {HALF_STRATEGIES}: runs natively" + (", matrix products on tensor cores" * tensor_cores)
    if gpu.capability < min(RESULTS_PER_CLOCK):
        return CheckItem(name, "none", SLOW, f"float16 in {HALF_STRATEGIES}: runs, computed in float32, slow")
    speeds = RESULTS_PER_CLOCK.get(gpu.capability)
    if speeds is None:
        return CheckItem(name, "native, speed unknown", OK if tensor_cores else UNKNOWN, runs)
    wide, half = speeds
    ratio = f"{half / wide:g} × float32 ({half} against {wide} results a clock)"
    if half < wide:
        return CheckItem(name, ratio, SLOW, f"float16 in {HALF_STRATEGIES}: runs, slower than full")
    return CheckItem(name, ratio, OK, runs)


FAST_HALF = {
    "float16": {"avx512_fp16": "AVX512-FP16", "amx_fp16": "AMX-FP16", "fp16_arith": "ARM FP16"},
    "bfloat16": {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "ARM BF16"},
}
"""Half type -> PyTorch's word for the feature -> its own name: with one of them the CPU computes that type natively."""


ARM_FLAGS = frozenset({"fp16_arith", "bf16"})


def _cpu(facts: Facts) -> Iterator[CheckItem]:
    free = facts.free_bytes
    yield CheckItem(
        "free memory",
        "unknown" if free is None else f"{free / 2**30:.1f} GiB",
        UNKNOWN if free is None else OK,
        "for weights and activations on the CPU: `plan` says what fits",
    )
    for half, features in FAST_HALF.items():
        name = f"CPU {half}"
        if facts.cpu_flags is None:
            yield CheckItem(name, "unknown", UNKNOWN, "this PyTorch does not tell what the processor can")
            continue
        found = [label for flag, label in features.items() if flag in facts.cpu_flags]
        if found:
            yield CheckItem(name, ", ".join(found), OK, f"{half} in {HALF_STRATEGIES}: runs natively on the CPU")
        else:
            lacking = ", ".join(label for flag, label in features.items() if (flag in ARM_FLAGS) == facts.is_arm)
            yield CheckItem(
                name,
                f"no {lacking}",
                SLOW,
                f"{half} in {HALF_STRATEGIES}: runs, converted to float32, slower than full",
            )


def _known_combinations(facts: Facts) -> Iterator[CheckItem]:
    """Combinations that people reported, found here."""
    if facts.flash_attention:
        yield CheckItem(
            "flash-attn",
            "installed",
            NOTE,
            "the lab does not use it. With it, full ends in “FlashAttention only support fp16 and bf16 data type” "
            "(InternLM-XComposer#416): half weights, or PyTorch's own attention",
        )
    found = facts.versions.get("transformers") or ""
    release = release_of(found)
    if release is not None and release >= Version("4.50"):
        yield CheckItem(
            "published remote code",
            f"transformers {found}",
            NOTE,
            "the checkpoints' own code has no `generate` from 4.50 on (ms-swift#4324) and meets tensors of size 1377 "
            "against 1376 (InternLM-XComposer#143): do not pass trust_remote_code; the lab's classes load the weights",
        )


def _of(free: int, total: int) -> str:
    return f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


FIRST_STRATEGY = "autocast"
"""What is chosen while nothing is known: it works on every machine, with the picture as it comes."""

PUBLISHED_HALF = "the type of the published weights and of the reported error"


class Machine:
    """look: makes the check, which takes seconds where torch is not loaded yet. Safe from any thread."""

    def __init__(self, look: Callable[[], Check] = this_machine) -> None:
        self._look = look
        self._looking = threading.Lock()
        self.known: Check | None = None
        """The check, once it was made; reading it takes no time."""

    def check(self) -> Check:
        """The check; made at the first call."""
        with self._looking:
            if self.known is None:
                self.known = self._look()
            return self.known


def verdict_on(half: str, device: str, check: Check | None) -> str:
    """The check's verdict on arithmetic in `half` on "cpu", "cuda" or "mps"; "unknown" where it does not say."""
    name = f"{_part(device)} {half}"
    return next((item.verdict for item in check.items if item.name == name), UNKNOWN) if check else UNKNOWN


def half_for(device: str, check: Check | None) -> tuple[str, str]:
    """(the 16-bit type where none is asked for, why).

    It is float16 everywhere, so that the error that people report appears as they report it; what the machine makes
    of it is part of the reason.
    """
    float16, bfloat16 = (verdict_on(half, device, check) for half in HALF_DTYPES)
    if float16 == OK:
        return "float16", f"{PUBLISHED_HALF}; native on this {_part(device)}"
    if float16 == SLOW and bfloat16 == OK:
        return "float16", f"{PUBLISHED_HALF}; on this {_part(device)} only bfloat16 is native, and quicker"
    if float16 == SLOW:
        return "float16", f"{PUBLISHED_HALF}; no 16-bit type is native on this {_part(device)}"
    return "float16", f"{PUBLISHED_HALF}; every device computes it"


def strategy_for(half: str, device: str, check: Check | None, *, full_fits: bool) -> tuple[str, str]:
    """(the strategy to begin with, why). full_fits: whether float32 weights have room for sure."""
    verdict = verdict_on(half, device, check)
    if verdict == SLOW and full_fits:
        return (
            "full",
            f"this {_part(device)} has no native {half}: float32 is faster here, and its weights fit in memory",
        )
    if verdict == SLOW:
        return FIRST_STRATEGY, f"this {_part(device)} has no native {half}, but float32 weights may not fit in memory"
    if verdict == OK:
        return (
            FIRST_STRATEGY,
            f"this {_part(device)} computes {half} natively, and autocast takes the float32 picture as it is",
        )
    return FIRST_STRATEGY, "it works on every machine"


def _part(device: str) -> str:
    return "CPU" if device == "cpu" else "GPU"
