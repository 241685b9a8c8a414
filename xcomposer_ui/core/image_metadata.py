"""A picture file without its metadata, and the orientation that its EXIF block states.

Decoders read metadata whole, before and after the pixels, in ways that take time with the square of its size. So what
reaches a decoder is only what pixels are made of: in a JPEG the JFIF and Adobe segments, in a PNG the critical chunks
and transparency, in a WebP the frames, in a GIF everything but comments and application blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from xcomposer_ui.core.image_headers import MOST_PARTS, jpeg_segments

LONGEST_EXIF = 65_536
"""Bytes that are looked at; a JPEG's segment has no more."""

_ORIENTATION = 0x0112
_SHORT = 3
_JPEG_KEPT = (0xE0, 0xEE)
"""APP0 (JFIF) and APP14 (Adobe), which says how colours are stored."""
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_WEBP_KEPT = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04
"""Of a VP8X chunk: ICC profile, EXIF, XMP."""


def without_metadata(data: bytes, format: str) -> tuple[bytes, int]:
    """(the file without its metadata, its EXIF orientation; 1 where there is none).

    format: Pillow's name, as of `ImageHeader`. A file that ends early keeps its last part, for the decoder to judge.
    Raises ValueError where the file has more than MOST_PARTS parts.
    """
    strip = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif}.get(format)
    return (data, 1) if strip is None else strip(data)


def orientation_of(exif: bytes) -> int:
    """The orientation (1 to 8) in a TIFF structure; 1 where it has none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for n in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * n)
            if tag == _ORIENTATION and kind == _SHORT:
                return int(value)
    except struct.error:
        pass
    return 1


def _parts(data: bytes, start: int, end_of: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """(start, end) of each part from `start` on. end_of: a part's start -> its end. Raises ValueError for too many."""
    for _ in range(MOST_PARTS):
        if start >= len(data):
            return
        end = end_of(start)
        yield start, end
        start = end
    raise ValueError("too many parts")


def _jpeg(data: bytes) -> tuple[bytes, int]:
    kept, orientation, end = [data[:2]], 1, 2
    for marker, start, end in jpeg_segments(data):
        if marker == 0xE1 and orientation == 1 and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = orientation_of(data[start + 10 : end])
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in _JPEG_KEPT:
            kept.append(data[start:end])
    return b"".join([*kept, data[end:]]), orientation


def _png(data: bytes) -> tuple[bytes, int]:
    kept, orientation = [data[:8]], 1
    for start, end in _parts(data, 8, lambda at: at + 12 + int.from_bytes(data[at : at + 4], "big")):
        kind = data[start + 4 : start + 8]
        if kind == b"eXIf":
            orientation = orientation_of(data[start + 8 : min(end - 4, start + 8 + LONGEST_EXIF)])
        elif kind in _PNG_KEPT or end > len(data):
            kept.append(data[start:end])
    return b"".join(kept), orientation


def _webp(data: bytes) -> tuple[bytes, int]:
    kept, orientation = [], 1

    def end_of(at: int) -> int:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        return at + 8 + size + size % 2

    for start, end in _parts(data, 12, end_of):
        kind = data[start : start + 4]
        if kind == b"EXIF":
            exif = data[start + 8 : min(end, start + 8 + LONGEST_EXIF)]
            orientation = orientation_of(exif.removeprefix(b"Exif\0\0"))
        elif kind == b"VP8X" and end <= len(data):
            flags = data[start + 8] & ~_WEBP_METADATA_FLAGS
            kept.append(data[start : start + 8] + bytes([flags]) + data[start + 9 : end])
        elif kind in _WEBP_KEPT or end > len(data):
            kept.append(data[start:end])
    body = b"WEBP" + b"".join(kept)
    declared = int.from_bytes(data[4:8], "little")
    # A file that was cut off still declares more than it has.
    size = len(body) if declared <= len(data) - 8 else len(body) + 2
    return b"RIFF" + struct.pack("<I", size) + body, orientation


def _gif(data: bytes) -> tuple[bytes, int]:
    table = 3 << ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0
    at = 13 + table
    kept = [data[:at]]
    while data[at : at + 1] == b"\x21":
        end = _blocks_end(data, at + 2)
        if data[at + 1 : at + 2] == b"\xf9":  # graphic control, which has the transparent colour
            kept.append(data[at:end])
        at = end
    # Only the first frame is decoded; what follows it is not looked at.
    return b"".join([*kept, data[at:]]), 1


def _blocks_end(data: bytes, at: int) -> int:
    """The end of the data blocks that start at `at`: a length and as many bytes each, up to a length of 0."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
