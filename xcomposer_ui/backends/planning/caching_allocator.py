"""PyTorch's CUDA caching allocator, as far as its size depends on what is asked of it.

Constants and rules from c10/cuda/CUDACachingAllocator.cpp (PyTorch 2.13): requests are rounded up to 512 bytes; up to
1 MiB they are cut from segments of 2 MiB, up to 10 MiB from segments of 20 MiB, above that each gets a segment rounded
up to 2 MiB; the best fitting free block is taken, and split if enough of it is left; neighbours merge when freed.
Segments are kept.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

MIB = 1 << 20
ROUNDING = 512
SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
LARGE_REQUEST, LARGE_SEGMENT, LARGE_ROUNDING = 10 * MIB, 20 * MIB, 2 * MIB


def rounded(size: int) -> int:
    """What a request of `size` bytes counts as."""
    return -(-size // ROUNDING) * ROUNDING


@dataclass
class _Pool:
    """Free blocks as (size, address), ascending. small: whether it serves requests up to 1 MiB."""

    small: bool
    free: list[tuple[int, int]] = field(default_factory=list)

    def put(self, size: int, address: int, segments: dict[int, int]) -> None:
        """Give a block back, merged with the free blocks beside it in its segment."""
        for other_size, other in list(self.free):
            if other + other_size == address and address not in segments:
                self.free.remove((other_size, other))
                size, address = size + other_size, other
            elif address + size == other and other not in segments:
                self.free.remove((other_size, other))
                size += other_size
        insort(self.free, (size, address))

    def take(self, size: int) -> tuple[int, int] | None:
        at = bisect_left(self.free, (size, 0))
        return self.free.pop(at) if at < len(self.free) else None


class CachingAllocator:
    """Follows requests by their number; `reserved_bytes` and `allocated_bytes` are what torch.cuda would say."""

    def __init__(self) -> None:
        self.allocated_bytes = self.reserved_bytes = 0
        self._pools = (_Pool(small=True), _Pool(small=False))
        self._held: dict[int, tuple[int, int, _Pool]] = {}
        self._segments: dict[int, int] = {}
        self._next_address = 0

    def allocate(self, block: int, size: int) -> None:
        """Serve the request numbered `block`, `size` bytes above 0."""
        size = rounded(size)
        pool = self._pools[size > SMALL_REQUEST]
        found = pool.take(size) or self._new_segment(size)
        left = found[0] - size
        if left >= ROUNDING if pool.small else left > SMALL_REQUEST:
            insort(pool.free, (left, found[1] + size))
        else:
            size = found[0]
        self._held[block] = size, found[1], pool
        self.allocated_bytes += size

    def give_back(self, block: int) -> None:
        """Free the request numbered `block`; one that was never made here is no concern of this allocator."""
        if block not in self._held:
            return
        size, address, pool = self._held.pop(block)
        self.allocated_bytes -= size
        pool.put(size, address, self._segments)

    def _new_segment(self, size: int) -> tuple[int, int]:
        if size <= SMALL_REQUEST:
            segment = SMALL_SEGMENT
        elif size < LARGE_REQUEST:
            segment = LARGE_SEGMENT
        else:
            segment = -(-size // LARGE_ROUNDING) * LARGE_ROUNDING
        address, self._next_address = self._next_address, self._next_address + segment
        self._segments[address] = address + segment
        self.reserved_bytes += segment
        return segment, address
