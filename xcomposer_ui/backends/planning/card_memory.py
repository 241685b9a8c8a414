"""What a rehearsed run would take on a CUDA card: the tensors, the allocator's rounding, workspace and context."""

from __future__ import annotations

from xcomposer_ui.backends.devices import CONTEXT_BYTES
from xcomposer_ui.backends.planning.caching_allocator import CachingAllocator, rounded
from xcomposer_ui.backends.planning.dry_run import DryRun, peaks
from xcomposer_ui.planning.plan import OnCard

MIB = 1 << 20

WORKSPACE_BYTES = 32 * MIB
"""cuBLAS's, which PyTorch takes from its own allocator: 32 MiB from Hopper on, 8,519,680 bytes before (the default of
CUBLAS_WORKSPACE_CONFIG in aten/src/ATen/cuda/CublasHandlePool.cpp). The larger is counted everywhere."""


def on_card(rehearsal: DryRun) -> OnCard:
    """The run's peak on a card, part by part."""
    highest = max(peak.live_bytes for peak in peaks(rehearsal, scratch=False, size=rounded).values())
    return OnCard(
        allocated_bytes=rehearsal.weights_bytes + highest + WORKSPACE_BYTES,
        workspace_bytes=WORKSPACE_BYTES,
        reserved_bytes=_idle_bytes(rehearsal),
        context_bytes=CONTEXT_BYTES,
    )


def _idle_bytes(rehearsal: DryRun) -> int:
    """What the allocator has reserved beyond its tensors at the end of the rehearsed layers.

    Weights are left out: transformers reserves their sum in one piece before it loads them. Layers beyond the
    rehearsed three use the same blocks over again, their cache aside, which is held whole.
    """
    allocator = CachingAllocator()
    most_allocated = 0
    for event in rehearsal.events:
        if event.bytes > 0:
            allocator.allocate(event.block, event.bytes)
        elif event.bytes < 0:
            allocator.give_back(event.block)
        most_allocated = max(most_allocated, allocator.allocated_bytes)
    return allocator.reserved_bytes - most_allocated
