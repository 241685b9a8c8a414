"""Untrusted bytes to an upright RGB picture of bounded size, or a UserError that says what was found.

The size is checked before anything is decoded (see `image_headers`), only the decoder of the format that the first
bytes show reads the file, and it does so without the file's metadata (see `image_metadata`). Pillow's own limit,
`Image.MAX_IMAGE_PIXELS`, is a global that other threads read too; it is unchanged, above the limit here. ICC profiles
are not applied, because the model's own preprocessing, which the published answers come from, does not apply them.
"""

from __future__ import annotations

import base64
import errno
import io
import os
import stat
from pathlib import Path

from PIL import Image

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.image_headers import ImageHeader, image_header, is_cut_off, unsupported_kind
from xcomposer_ui.core.image_metadata import without_metadata
from xcomposer_ui.core.units import MIB, joined, memory

MAX_FILE_BYTES = 50 * MIB
"""The largest file that is read. A photo of 50 megapixels as a JPEG of high quality is about half as large."""

MAX_MEGAPIXELS = 50
"""The largest picture that is decoded. Memory measured while decoding 49 megapixels: JPEG 380 MiB, WebP 940 MiB."""

MAX_ASPECT = 100
"""Longer side to shorter. In the model's square of 490 pixels, a strip of 100 to 1 is under five pixels wide."""

MAX_SIDE = 4096
"""Pixels of the longer side after loading; larger pictures are scaled down. The family's highest resolution is 11 tiles
of 336 pixels in a row, 3696; that of the single-image models is 490. More pixels would cost memory only."""

FORMATS = "PNG, JPEG, WEBP, BMP, GIF"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the picture upright (EXIF 2.32, tag 0x0112)."""


def open_picture(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """The picture in a file or in `source` bytes: RGB, upright, at most MAX_SIDE pixels on a side, without metadata.

    Transparency becomes white, 16-bit samples are scaled to 8 bits, and an animation gives its first frame.

    Raises:
        UserError: the file is missing or cannot be read, is not a supported picture, or is too large.
    """
    if isinstance(source, bytes):
        name, data = "picture", source
        if len(data) > MAX_FILE_BYTES:
            raise too_many_bytes(name, len(data))
    else:
        name = _display_name(Path(source).name or "/")
        data = _read(source, name)
    header = _checked_header(data, name)
    return _bounded(as_rgb(_decoded(data, header, name), header.bit_depth))


def as_rgb(image: Image.Image, bit_depth: int | None = None) -> Image.Image:
    """`image` of any of Pillow's modes as RGB, uint8: transparent on white, 16-bit and float samples scaled to 8 bits.

    Modes I and I;16 are taken as 16-bit. F has no standard range: values up to 1.0 are taken as 0..1, else as 0..255.

    Args:
        bit_depth: of the file's samples where known; the image's transparent grey or colour is stored in it.
    """
    if image.mode == "F":
        image = _float_as_grey(image)
    if image.mode == "I" or image.mode.startswith("I;"):
        return _sixteen_bit_as_rgb(image)
    image = _with_scaled_transparency(image, bit_depth)
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer)
    return white


def thumbnail(image: Image.Image, side: int) -> str:
    """`image` (RGB) as a data: URL of a JPEG whose longer side has at most `side` pixels."""
    small = image.copy()
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _read(source: str | os.PathLike[str], name: str) -> bytes:
    """The file's bytes. Opens regular files only: reading a pipe would block, and a device may have no end."""
    try:
        found = os.stat(source)
        if stat.S_ISDIR(found.st_mode):
            raise UserError("picture_folder", name=name)
        if not stat.S_ISREG(found.st_mode):
            raise UserError("picture_no_file", name=name)
        if found.st_size > MAX_FILE_BYTES:
            raise too_many_bytes(name, found.st_size)
        with open(source, "rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise UserError("picture_missing", name=name) from error
        raise UserError("picture_unreadable", name=name, what=error.strerror or type(error).__name__) from error
    except ValueError as error:  # a NUL in the path
        raise UserError("picture_missing", name=name) from error


def _checked_header(data: bytes, name: str) -> ImageHeader:
    """The file's header. Raises UserError where the lab does not decode such a file; decodes nothing."""
    if not data:
        raise UserError("picture_empty", name=name)
    try:
        header = image_header(data)
    except ValueError as error:
        raise UserError("picture_corrupt", name=name) from error
    if header is None:
        raise _unsupported(unsupported_kind(data), name)
    if header.width < 1 or header.height < 1:
        raise UserError("picture_corrupt", name=name)
    _check_size(header.width, header.height, name)
    return header


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        megapixels = f"{width * height / 1e6:,.0f}" if width * height >= 60e6 else f"{width * height / 1e6:,.1f}"
        raise UserError(
            "picture_pixels", name=name, width=width, height=height, megapixels=megapixels, limit=MAX_MEGAPIXELS
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError("picture_strip", name=name, width=width, height=height, limit=MAX_ASPECT)


def _unsupported(kind: str | None, name: str) -> UserError:
    if kind in ("SVG", "text"):
        return UserError(f"picture_{kind.lower()}", name=name, formats=FORMATS)
    if kind is None:
        return UserError("picture_unknown", name=name, formats=FORMATS)
    return UserError("picture_kind", name=name, kind=kind, formats=FORMATS)


def _decoded(data: bytes, header: ImageHeader, name: str) -> Image.Image:
    """The first frame, decoded and turned upright. Raises UserError where the decoder fails."""
    try:
        pixels, orientation = without_metadata(data, header.format)
        image: Image.Image = Image.open(io.BytesIO(pixels), formats=(header.format,))
        # A GIF's first frame may be larger than the screen that its header declares.
        _check_size(*image.size, name)
        image.load()
    except UserError:
        raise
    except Exception as error:
        # Decoders raise many types on broken bytes (OSError, SyntaxError, struct.error, ValueError, zlib.error, …);
        # whichever it is, the file is at fault.
        raise UserError("picture_cut_off" if is_cut_off(data, header) else "picture_corrupt", name=name) from error
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _float_as_grey(image: Image.Image) -> Image.Image:
    highest = image.getextrema()[1]
    scale = 255.0 if isinstance(highest, (int, float)) and highest <= 1.0 else 1.0
    return image.point(lambda value: value * scale + 0.5).convert("L")  # convert clips to 0..255


def _sixteen_bit_as_rgb(image: Image.Image) -> Image.Image:
    """0..65535 to the nearest value of 0..255; Pillow's own conversion clips everything above 255 to white."""
    wide = image.convert("I")
    grey = wide.point([(value + 128) // 257 for value in range(65536)], "L")
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.paste(255, mask=wide.point([255 if value == hidden else 0 for value in range(65536)], "L"))
    return grey.convert("RGB")


def _with_scaled_transparency(image: Image.Image, bit_depth: int | None) -> Image.Image:
    """The picture with its transparent grey or colour scaled to 8 bits, as its pixels are.

    A PNG stores it in the file's bit depth, and Pillow does not scale it.
    """
    hidden = image.info.get("transparency")
    scaled: int | tuple[int, ...]
    if bit_depth in (2, 4) and image.mode == "L" and isinstance(hidden, int):
        scaled = hidden * (255 // (2**bit_depth - 1))
    elif bit_depth == 16 and image.mode == "RGB" and isinstance(hidden, tuple):
        scaled = tuple(value >> 8 for value in hidden)
    else:
        return image
    image = image.copy()
    image.info["transparency"] = scaled
    return image


def _bounded(image: Image.Image) -> Image.Image:
    """`image` with its longer side at most MAX_SIDE, and without the file's metadata."""
    longest = max(image.size)
    if longest > MAX_SIDE:
        size = tuple(max(1, round(side * MAX_SIDE / longest)) for side in image.size)
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    image.info = {}
    return image


def too_many_bytes(name: str, size: int) -> UserError:
    return UserError("picture_bytes", name=name, size=joined(memory(size)), limit=MAX_FILE_BYTES // MIB)


def _display_name(name: str) -> str:
    """A base name for messages: no folder, printable, at most 60 characters."""
    name = "".join(c if c.isprintable() else "�" for c in name.replace("\\", "/").rsplit("/", 1)[-1])
    return name if len(name) <= 60 else f"{name[:40]}…{name[-19:]}"
