"""Memory of a dry run on a CUDA card: tensors, the caching allocator's rounding and reserve, workspace, context."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import count

from xcomposer_ui.backends.devices import CONTEXT_BYTES
from xcomposer_ui.backends.planning.dry_run import DryRun
from xcomposer_ui.backends.planning.recording import peaks, repeated
from xcomposer_ui.backends.planning.training_dry_run import OptimizerMemory, TrainingDryRun
from xcomposer_ui.core.units import MIB
from xcomposer_ui.planning.plan import OnCard
from xcomposer_ui.planning.training_plan import UPDATE

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
        decoder_bytes=decoder_bytes(run),
    )


def decoder_bytes(run: DryRun) -> int:
    """What recorded decoding takes beside the run: its static caches, and cuBLAS's workspace for the graph's stream.

    A graph's own tensors, those of one step, are a few MiB at most.
    """
    return run.static_cache_bytes + WORKSPACE_BYTES if run.static_cache_bytes else 0


def _idle_bytes(run: DryRun) -> int:
    """Bytes that the allocator has reserved beyond the tensors' peak at the end of the dry run.

    Weights are not counted: transformers reserves their sum in one piece before it loads them. Layers that the dry run
    leaves out reuse the same blocks, apart from their KV cache, which adds no idle memory.
    """
    allocator = CachingAllocator()
    for event in run.events:
        allocator.serve(event.block, event.bytes)
    return allocator.reserved_bytes - allocator.most_allocated_bytes


def training_on_card(run: TrainingDryRun, update: OptimizerMemory) -> OnCard:
    """The peak of a training step on a card, part by part. update: with all parameters updated at once."""
    highest = {phase: peak.live_bytes for phase, peak in peaks(run, scratch=False, size=rounded).items()}
    highest[UPDATE] = run.left_bytes + update.gradients_bytes + update.scratch_bytes
    return OnCard(
        allocated_bytes=run.weights_bytes + update.state_bytes + max(highest.values()) + WORKSPACE_BYTES,
        workspace_bytes=WORKSPACE_BYTES,
        reserved_bytes=_split_bytes(run),
        context_bytes=CONTEXT_BYTES,
    )


def _split_bytes(run: TrainingDryRun) -> int:
    """The most free bytes in segments that hold a tensor, beyond those at the tensors' peak.

    Segments without one are not counted: the allocator returns them to the driver before it reports that memory is out.
    """
    allocator = CachingAllocator()
    for number, size in _numbered(run):
        allocator.serve(number, size)
    return allocator.most_occupied_bytes - allocator.most_allocated_bytes


def _numbered(run: TrainingDryRun) -> Iterator[tuple[int, int]]:
    """(number, bytes) of the whole model's allocations and frees: a repeated layer's blocks get numbers of their own.

    What the backward pass frees was allocated by the last of the layers that have not been through it.
    """
    numbers = count()
    live: dict[int, list[int]] = {}
    for event in repeated(run):
        if event.bytes > 0:
            live.setdefault(event.block, []).append(next(numbers))
            yield live[event.block][-1], event.bytes
        elif event.bytes < 0 and live.get(event.block):
            yield live[event.block].pop(), event.bytes


def rounded(size: int) -> int:
    """`size` in bytes, rounded up as the caching allocator rounds requests."""
    return -(-size // ROUNDING) * ROUNDING


class _Pool:
    """Free blocks by size. A block is its segment's number, its offset there, and its size.

    small: whether it serves requests up to 1 MiB.
    """

    def __init__(self, *, small: bool) -> None:
        self.small = small
        self._blocks: list[tuple[int, int, int]] = []  # (size, segment, offset), ascending
        self._sizes: dict[tuple[int, int], int] = {}  # by segment and offset
        self._starts: dict[tuple[int, int], int] = {}  # offsets, by segment and the offset where the block ends

    def put(self, size: int, segment: int, offset: int) -> None:
        """Add a free block, merged with its free neighbours in the same segment."""
        start = self._starts.get((segment, offset))
        if start is not None:
            size, offset = size + self._remove(segment, start), start
        if (segment, offset + size) in self._sizes:
            size += self._remove(segment, offset + size)
        insort(self._blocks, (size, segment, offset))
        self._sizes[segment, offset], self._starts[segment, offset + size] = size, offset

    def take(self, size: int) -> tuple[int, int, int] | None:
        """Remove and return (size, segment, offset) of the smallest block of at least `size` bytes, or None."""
        at = bisect_left(self._blocks, (size, 0, 0))
        if at == len(self._blocks):
            return None
        found = self._blocks[at]
        self._remove(*found[1:])
        return found

    def _remove(self, segment: int, offset: int) -> int:
        """Remove the block there; its size."""
        size = self._sizes.pop((segment, offset))
        del self._starts[segment, offset + size]
        del self._blocks[bisect_left(self._blocks, (size, segment, offset))]
        return size


class CachingAllocator:
    """A simulation of PyTorch's CUDA caching allocator: `reserved_bytes`, `allocated_bytes` as torch.cuda reports them.

    occupied_bytes: of the segments that hold at least one block in use. most_*: the most so far.

    Constants and rules are from c10/cuda/CUDACachingAllocator.cpp (PyTorch 2.13). Requests are rounded up to 512 bytes.
    Up to 1 MiB they are cut from segments of 2 MiB, up to 10 MiB from segments of 20 MiB; a larger one gets a segment
    of its own, rounded up to 2 MiB. The best fitting free block is used, and split if enough of it is left; free
    neighbours are merged; segments are never returned to the driver.
    """

    def __init__(self) -> None:
        self.allocated_bytes = self.reserved_bytes = self.occupied_bytes = 0
        self.most_allocated_bytes = self.most_occupied_bytes = 0
        self._pools = (_Pool(small=True), _Pool(small=False))
        self._allocated: dict[int, tuple[int, int, int, _Pool]] = {}  # request -> size, segment, offset and pool
        self._segments: list[int] = []  # their sizes
        self._in_use: list[int] = []  # blocks in use of each segment

    def serve(self, block: int, size: int) -> None:
        """An allocation (`size` above 0) or a free (below 0) of the request numbered `block`."""
        if size > 0:
            self.allocate(block, size)
        elif size < 0:
            self.free(block)

    def allocate(self, block: int, size: int) -> None:
        """Serve the request numbered `block`, `size` bytes above 0."""
        size = rounded(size)
        pool = self._pools[size > SMALL_REQUEST]
        found_size, segment, offset = pool.take(size) or self._new_segment(size)
        left = found_size - size
        if left >= ROUNDING if pool.small else left > SMALL_REQUEST:
            pool.put(left, segment, offset + size)
        else:
            size = found_size
        self._allocated[block] = size, segment, offset, pool
        self.allocated_bytes += size
        self._use(segment, 1)
        self.most_allocated_bytes = max(self.most_allocated_bytes, self.allocated_bytes)
        self.most_occupied_bytes = max(self.most_occupied_bytes, self.occupied_bytes)

    def free(self, block: int) -> None:
        """Free the request numbered `block`; an unknown one is ignored."""
        if block not in self._allocated:
            return
        size, segment, offset, pool = self._allocated.pop(block)
        self.allocated_bytes -= size
        self._use(segment, -1)
        pool.put(size, segment, offset)

    def _use(self, segment: int, change: int) -> None:
        """Count one more (1) or one fewer (-1) block in use of a segment."""
        self._in_use[segment] += change
        if self._in_use[segment] == max(0, change):  # its first, or its last
            self.occupied_bytes += change * self._segments[segment]

    def _new_segment(self, size: int) -> tuple[int, int, int]:
        """(size, segment, offset) of the one block of a new segment for a request of `size` bytes."""
        if size <= SMALL_REQUEST:
            segment = SMALL_SEGMENT
        elif size < LARGE_REQUEST:
            segment = LARGE_SEGMENT
        else:
            segment = -(-size // LARGE_ROUNDING) * LARGE_ROUNDING
        self._segments.append(segment)
        self._in_use.append(0)
        self.reserved_bytes += segment
        return segment, len(self._segments) - 1, 0
