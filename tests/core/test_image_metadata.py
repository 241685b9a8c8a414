"""Metadata never reaches a decoder, however much of it there is; the orientation is read without one."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.image_headers import MOST_PARTS
from xcomposer_ui.core.image_metadata import orientation_of, without_metadata
from xcomposer_ui.core.images import open_picture

MIB = 1 << 20


def saved(format: str, **more: Any) -> bytes:
    """A picture of 8 by 4 pixels, red on the left."""
    image = Image.new("RGB", (8, 4), "blue")
    image.paste("red", (0, 0, 4, 4))
    file = io.BytesIO()
    image.save(file, format, **more)
    return file.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block with as many entries as fit into a segment, each of which points at the whole block."""
    entries = [struct.pack(f"{order}HHII", tag, 7, 60_000, 8) for tag in range(0x1000, 0x1000 + 5000)]
    entries.insert(3, struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0))
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(entries)


def jpeg_of_metadata(size: int) -> bytes:
    data, segment = saved("JPEG"), b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    first = b"\xff\xe1" + struct.pack(">H", len(exif(6)) + 8) + b"Exif\0\0" + exif(6)
    return data[:2] + first + segment * (size // len(segment)) + data[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def gif_of_comments(size: int) -> bytes:
    data, block = saved("GIF"), b"\xff" + bytes(255)
    at = data.index(b"\x2c", 13 + (3 << ((data[10] & 7) + 1)))
    return data[:at] + b"\x21\xfe" + block * (size // len(block)) + b"\0" + data[at:]


def test_a_jpeg_that_is_all_exif_is_decoded_without_it() -> None:
    data = jpeg_of_metadata(40 * MIB)
    pixels, orientation = without_metadata(data, "JPEG")
    assert (len(pixels) < 2000, orientation) == (True, 6)
    picture = open_picture(data)
    assert picture.size == (4, 8)
    assert picture.getpixel((0, 0))[0] > 200  # type: ignore[index]


def test_a_gif_that_is_all_comments_is_decoded_without_them() -> None:
    data = gif_of_comments(40 * MIB)
    assert len(without_metadata(data, "GIF")[0]) < 2000
    assert open_picture(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_png_and_webp(order: str) -> None:
    for data, format in ((saved("PNG", exif=exif(6, order)), "PNG"), (saved("WEBP", exif=exif(6, order)), "WEBP")):
        pixels, orientation = without_metadata(data, format)
        assert (len(pixels) < 2000, orientation) == (True, 6), format
        assert open_picture(data).size == (4, 8)


def test_text_profiles_and_unknown_chunks_of_a_png_are_left_out() -> None:
    data = saved("PNG")
    extra = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(MIB))) + chunk(b"zTXt", b"k\0\0" + bytes(100)) * 1000
    assert without_metadata(data[:33] + extra + data[33:], "PNG") == (data, 1)


def test_a_file_of_too_many_parts_is_refused() -> None:
    data = saved("PNG")
    for made in (
        data[:33] + chunk(b"tEXt", b"") * (MOST_PARTS + 1),
        saved("JPEG")[:2] + b"\xff\xe2\0\2" * (MOST_PARTS + 1),
    ):
        with pytest.raises(ValueError, match="too many parts"):
            without_metadata(made, "PNG" if made.startswith(b"\x89") else "JPEG")
    with pytest.raises(UserError):
        open_picture(data[:33] + chunk(b"tEXt", b"") * (MOST_PARTS + 1) + data[33:])


@pytest.mark.parametrize(
    "damaged", [b"", b"II*\0", exif(6)[:12], b"MM\0*" + b"\xff" * 100, b"II*\0\x08\0\0\0\xff\xff" + bytes(30)]
)
def test_a_damaged_block_states_no_orientation(damaged: bytes) -> None:
    assert orientation_of(damaged) == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_every_beginning_of_a_file_is_read_without_an_error(format: str) -> None:
    data = saved(format, exif=exif(6)) if format in ("PNG", "WEBP") else saved(format)
    for length in (*range(0, 200, 3), *range(200, len(data), 997)):
        without_metadata(data[:length], format)
