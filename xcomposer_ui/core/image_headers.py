"""Format and size of a picture file, read from its header without a decoder.

A decoder may allocate for the declared size as soon as it opens a file; a compressed picture of 117 KB can declare
121 megapixels. So the size is read here first. The layouts are those of the formats' specifications: PNG (RFC 2083,
IHDR), JPEG (ITU-T T.81, SOF markers), WebP (RFC 9649, VP8, VP8L, VP8X), BMP (BITMAPINFOHEADER), GIF (89a, the logical
screen).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

UNSUPPORTED = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"PK\3\4", "ZIP"),
    (b"\x1f\x8b", "GZIP"),
    (b"\x1aE\xdf\xa3", "WebM"),
)
"""(first bytes, format) of common files that the lab does not read, to name them in the error."""

BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"hevc": "HEIC"}
"""Image brands of the ISO media container (bytes 8 to 11); any other brand is a video."""

JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that start a frame and carry its size: SOF0 to SOF15 without DHT, JPG and DAC."""

BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
"""Bytes; one for each version of the header. Distinguishes a BMP from a text that begins with BM."""

END_MARKS = {"PNG": b"IEND", "JPEG": b"\xff\xd9", "GIF": b"\x3b"}

JPEG_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length: TEM, RST0 to RST7, SOI."""

JPEG_SCAN = 0xDA
"""The marker of a scan: the rest of the file is pixels."""

MOST_PARTS = 100_000
"""Segments or chunks of a file; 50 MiB in a PNG's usual chunks of 8 KiB are 6,400."""


@dataclass(frozen=True)
class ImageHeader:
    """format: Pillow's name for it. width, height: declared, in pixels. bit_depth: of a PNG's samples, else None."""

    format: str
    width: int
    height: int
    bit_depth: int | None = None


def image_header(data: bytes) -> ImageHeader | None:
    """The header of `data`; None where its signature is of no supported format.

    Raises ValueError where the signature is of a supported format but the size cannot be found.
    """
    for signature, read in READERS:
        if data.startswith(signature) and (signature != b"RIFF" or data[8:12] == b"WEBP"):
            try:
                return read(data)
            except (struct.error, IndexError) as error:
                raise ValueError("the file ends before its size") from error
    return None


def unsupported_kind(data: bytes) -> str | None:
    """The kind of a file in an unsupported format: "SVG", "text", the format's name, or None where it is unknown."""
    for signature, kind in UNSUPPORTED:
        if data.startswith(signature):
            return kind
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], "MP4")
    start = data[:4096]
    if b"<svg" in start.lower():
        return "SVG"
    return "text" if _is_text(start) else None


def is_cut_off(data: bytes, header: ImageHeader) -> bool:
    """Whether the file's end is missing: its end marker, or bytes of its declared length."""
    if (mark := END_MARKS.get(header.format)) is not None:
        return mark not in data[-64:]
    declared: int = struct.unpack_from("<I", data, 4 if header.format == "WEBP" else 2)[0]
    return len(data) < declared


def _is_text(start: bytes) -> bool:
    if any(byte < 0x20 and byte not in b"\t\n\r\f\x1b" for byte in start):
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4  # the excerpt ends inside a character
    return True


def _png(data: bytes) -> ImageHeader:
    width, height, bit_depth = struct.unpack_from(">IIB", data, 16)
    return ImageHeader("PNG", width, height, bit_depth)


def _gif(data: bytes) -> ImageHeader:
    return ImageHeader("GIF", *struct.unpack_from("<HH", data, 6))


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size not in BMP_HEADER_SIZES:
        raise ValueError("unknown size of a BMP header")
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", width, abs(height))  # a negative height means rows from top to bottom


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WEBP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
        return ImageHeader("WEBP", width, height)
    raise ValueError("no VP8, VP8L or VP8X chunk in the WebP container")


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment before the scans, or before the first that is damaged.

    Raises ValueError where there are more than MOST_PARTS.
    """
    at = 2
    for _ in range(MOST_PARTS):
        while data[at : at + 2] == b"\xff\xff":  # fill before a marker
            at += 1
        if len(data) <= at + 4 or data[at] != 0xFF or data[at + 1] == JPEG_SCAN:
            return
        marker, start = data[at + 1], at
        length = 0 if marker in JPEG_WITHOUT_LENGTH else max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        at += 2 + length
        yield marker, start, at
    raise ValueError("too many parts")


def _jpeg(data: bytes) -> ImageHeader:
    for marker, start, _ in jpeg_segments(data):
        if marker in JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, start + 5)
            return ImageHeader("JPEG", width, height)
    raise ValueError("a JPEG without a frame")


READERS: tuple[tuple[bytes, Callable[[bytes], ImageHeader]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
    (b"BM", _bmp),
)
