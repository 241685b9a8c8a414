"""Memory of a dry run on a CUDA card: tensors, the caching allocator's rounding and reserve, workspace, context."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from xcomposer_ui.backends.devices import CONTEXT_BYTES
from xcomposer_ui.backends.planning.dry_run import DryRun, peaks
from xcomposer_ui.core.units import MIB
from xcomposer_ui.planning.plan import OnCard

WORKSPACE_BYTES = 32 * MIB
"""cuBLAS's workspace, which PyTorch takes from its own allocator: 32 MiB from Hopper on, 8,519,680 bytes before (the
default of CUBLAS_WORKSPACE_CONFIG in aten/src/ATen/cuda/CublasHandlePool.cpp). The larger is counted for all cards."""

ROUNDING = 512
SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
LARGE_REQUEST, LARGE_SEGMENT, LARGE_ROUNDING = 10 * MIB, 20 * MIB, 2 * MIB


def on_card(run: DryRun) -> OnCard:
    """The run's peak on a card, part by part."""
    highest = max(peak.live_bytes for peak in peaks(run, scratch=False, size=rounded).values())
    return OnCard(
        allocated_bytes=run.weights_bytes + highest + WORKSPACE_BYTES,
        workspace_bytes=WORKSPACE_BYTES,
        reserved_bytes=_idle_bytes(run),
        context_bytes=CONTEXT_BYTES,
    )


def _idle_bytes(run: DryRun) -> int:
    """Bytes that the allocator has reserved beyond the tensors' peak at the end of the dry run.

    Weights are not counted: transformers reserves their sum in one piece before it loads them. Layers that the dry run
    leaves out reuse the same blocks, apart from their KV cache, which adds no idle memory.
    """
    allocator = CachingAllocator()
    most_allocated = 0
    for event in run.events:
        if event.bytes > 0:
            allocator.allocate(event.block, event.bytes)
        elif event.bytes < 0:
            allocator.free(event.block)
        most_allocated = max(most_allocated, allocator.allocated_bytes)
    return allocator.reserved_bytes - most_allocated


def rounded(size: int) -> int:
    """`size` in bytes, rounded up as the caching allocator rounds requests."""
    return -(-size // ROUNDING) * ROUNDING


@dataclass
class _Pool:
    """Free blocks as (size, address), ascending. small: whether it serves requests up to 1 MiB."""

    small: bool
    blocks: list[tuple[int, int]] = field(default_factory=list)

    def put(self, size: int, address: int, segments: set[int]) -> None:
        """Add a free block, merged with its free neighbours in the same segment."""
        for other_size, other in list(self.blocks):
            if other + other_size == address and address not in segments:
                self.blocks.remove((other_size, other))
                size, address = size + other_size, other
            elif address + size == other and other not in segments:
                self.blocks.remove((other_size, other))
                size += other_size
        insort(self.blocks, (size, address))

    def take(self, size: int) -> tuple[int, int] | None:
        """Remove and return the smallest block of at least `size` bytes; None if there is none."""
        at = bisect_left(self.blocks, (size, 0))
        return self.blocks.pop(at) if at < len(self.blocks) else None


class CachingAllocator:
    """A simulation of PyTorch's CUDA caching allocator: `reserved_bytes`, `allocated_bytes` as torch.cuda reports them.

    Constants and rules are from c10/cuda/CUDACachingAllocator.cpp (PyTorch 2.13). Requests are rounded up to 512 bytes.
    Up to 1 MiB they are cut from segments of 2 MiB, up to 10 MiB from segments of 20 MiB; a larger one gets a segment
    of its own, rounded up to 2 MiB. The best fitting free block is used, and split if enough of it is left; free
    neighbours are merged; segments are never returned to the driver.
    """

    def __init__(self) -> None:
        self.allocated_bytes = self.reserved_bytes = 0
        self._pools = (_Pool(small=True), _Pool(small=False))
        self._allocated: dict[int, tuple[int, int, _Pool]] = {}
        self._segments: set[int] = set()  # their addresses
        self._next_address = 0

    def allocate(self, block: int, size: int) -> None:
        """Serve the request numbered `block`, `size` bytes above 0."""
        size = rounded(size)
        pool = self._pools[size > SMALL_REQUEST]
        found_size, address = pool.take(size) or self._new_segment(size)
        left = found_size - size
        if left >= ROUNDING if pool.small else left > SMALL_REQUEST:
            insort(pool.blocks, (left, address + size))
        else:
            size = found_size
        self._allocated[block] = size, address, pool
        self.allocated_bytes += size

    def free(self, block: int) -> None:
        """Free the request numbered `block`; an unknown one is ignored."""
        if block not in self._allocated:
            return
        size, address, pool = self._allocated.pop(block)
        self.allocated_bytes -= size
        pool.put(size, address, self._segments)

    def _new_segment(self, size: int) -> tuple[int, int]:
        """(size, address) of a new segment for a request of `size` bytes."""
        if size <= SMALL_REQUEST:
            segment = SMALL_SEGMENT
        elif size < LARGE_REQUEST:
            segment = LARGE_SEGMENT
        else:
            segment = -(-size // LARGE_ROUNDING) * LARGE_ROUNDING
        address, self._next_address = self._next_address, self._next_address + segment
        self._segments.add(address)
        self.reserved_bytes += segment
        return segment, address
