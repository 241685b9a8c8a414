"""The facts of this machine: versions, card, processor, free memory. `planning.hardware` judges them."""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from xcomposer_ui.backends.devices import free_bytes
from xcomposer_ui.core.hardware_names import nvidia_card, processor_name
from xcomposer_ui.core.versions import PACKAGES, installed
from xcomposer_ui.planning.hardware import Facts, Gpu


def facts() -> Facts:
    """The facts of this machine; None for those that cannot be determined.

    Takes milliseconds once torch is imported, and creates no CUDA context without a GPU.
    """
    return Facts(
        versions={
            "Python": "{}.{}.{}".format(*sys.version_info),
            **{name: installed(of) for name, of in PACKAGES.items()},
        },
        processor=platform.machine(),
        cpu_flags=cpu_flags(),
        free_bytes=free_bytes("cpu"),
        cuda=torch.version.cuda,
        gpu=gpu() if torch.cuda.is_available() else None,
        apple_gpu=apple_gpu(),
        flash_attention=find_spec("flash_attn") is not None,
    )


def cpu_flags() -> frozenset[str] | None:
    """Features of the processor, as PyTorch names them; None if PyTorch does not report them (2.8 does not)."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return frozenset(name for name, there in capabilities.items() if there is True) or None


def apple_gpu() -> str | None:
    """The name of Apple's GPU if PyTorch can use it, else None."""
    if not torch.backends.mps.is_available():
        return None
    get_name = getattr(torch.backends.mps, "get_name", processor_name)  # the GPU is part of the processor
    return get_name() or "Apple's GPU"


def gpu() -> Gpu:
    """The first card, as torch.cuda describes it."""
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    return Gpu(
        name=properties.name,
        capability=(properties.major, properties.minor),
        total_bytes=int(total),
        free_bytes=int(free),
        driver=driver_version(),
        kernels=tuple(torch.cuda.get_arch_list()),
    )


def driver_version(file: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """The NVIDIA driver's version: its kernel module's, where the system shows it, else nvidia-smi's."""
    try:
        words = file.read_text(encoding="ascii", errors="replace").splitlines()[0].split()
        return next(word for word in words if word.count(".") >= 1 and word.replace(".", "").isdigit())
    except (OSError, IndexError, StopIteration):
        return nvidia_card().driver
