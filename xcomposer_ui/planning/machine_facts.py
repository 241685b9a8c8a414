"""Facts about a machine, as records: what `hardware` judges and a backend fills in."""

from __future__ import annotations

from dataclasses import dataclass


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
        """Whether the processor is an ARM one."""
        return self.processor.lower().startswith(("arm", "aarch"))
