"""Untrusted bytes to an upright RGB picture of bounded size, or a UserError that says what was found.

The size is judged before anything is decoded (see `image_headers`); then one decoder, the one for the format that the
first bytes show, is let near the file. Pillow's own limit, `Image.MAX_IMAGE_PIXELS`, is a global that other threads
read too: it is left as it is, above the limit here. ICC profiles are not applied: the model's own preprocessing, which
the published answers come from, does not apply them either.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
from pathlib import Path

from PIL import Image

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.image_headers import ImageHeader, image_header, is_cut_off, other_kind
from xcomposer_ui.core.units import MIB, joined, memory

MAX_FILE_BYTES = 50 * MIB
"""The largest file that is read: a photo of 50 megapixels as a fine JPEG has about half of that."""

MAX_MEGAPIXELS = 50
"""The largest picture that is decoded. Measured with 49 megapixels: 380 MiB while a JPEG is, 940 MiB a WebP."""

MAX_ASPECT = 100
"""Longer side to shorter. The model sees a square of 490 pixels: at 100 to 1 a strip is under five of them wide."""

MAX_SIDE = 4096
"""Pixels of the longer side that are kept. The finest of the family's models looks at 11 tiles of 336 pixels in a row,
3696; the single-image ones at 490. Beyond that a picture costs memory and is looked at no closer."""

FORMATS = "PNG, JPEG, WEBP, BMP, GIF"

BROKEN_METADATA = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error)
"""What Pillow raises on EXIF blocks that are cut off or nonsense."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation upright (EXIF 2.32, tag 0x0112)."""


def open_picture(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Image.Image:
    """The picture in a file or in `source` bytes, as a person sees it: RGB, upright, at most MAX_SIDE on a side.

    name: what to call it in a sentence to the user; a file's base name if None.
    Transparent pictures lie on white, 16-bit samples are scaled to 8, of a moving picture the first frame is taken.
    The result has none of the file's metadata. A picture of 1 × 1 pixel is a picture of one colour, and is taken.

    Raises UserError where there is no such file, or none that can be read, or no picture in it, or too large a one.
    """
    if isinstance(source, bytes):
        name, data = _sayable(name or "picture"), source
        if len(data) > MAX_FILE_BYTES:
            raise _too_many_bytes(name, len(data))
    else:
        name = _sayable(name or Path(source).name or "/")
        data = _read(source, name)
    header = _judged(data, name)
    return _bounded(as_seen(_decoded(data, header, name), header.bit_depth))


def as_seen(image: Image.Image, bit_depth: int | None = None) -> Image.Image:
    """`image` of any of Pillow's modes as RGB, uint8: transparent on white, 16-bit and float samples scaled to 8 bits.

    bit_depth: of the file's samples where known; a transparent grey or colour is given in it.
    Modes I and I;16 count as 16-bit. F has no agreed range: up to 1.0 it counts as 0..1, else as 0..255.
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


def _read(source: str | os.PathLike[str], name: str) -> bytes:
    """The file's bytes. Looks before it opens: a pipe would wait for ever, a device never end."""
    try:
        found = os.stat(source)
        if stat.S_ISDIR(found.st_mode):
            raise UserError("picture_folder", name=name)
        if not stat.S_ISREG(found.st_mode):
            raise UserError("picture_no_file", name=name)
        if found.st_size > MAX_FILE_BYTES:
            raise _too_many_bytes(name, found.st_size)
        with open(source, "rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise UserError("picture_missing", name=name) from error
        raise UserError("picture_unreadable", name=name, what=error.strerror or type(error).__name__) from error
    except ValueError as error:  # a NUL in the path
        raise UserError("picture_missing", name=name) from error


def _judged(data: bytes, name: str) -> ImageHeader:
    """What the file declares, if the lab decodes such a file. Raises UserError otherwise; decodes nothing."""
    if not data:
        raise UserError("picture_empty", name=name)
    try:
        header = image_header(data)
    except ValueError as error:
        raise UserError("picture_corrupt", name=name) from error
    if header is None:
        raise _no_picture(other_kind(data), name)
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


def _no_picture(kind: str | None, name: str) -> UserError:
    if kind in ("SVG", "text"):
        return UserError(f"picture_{kind.lower()}", name=name, formats=FORMATS)
    if kind is None:
        return UserError("picture_unknown", name=name, formats=FORMATS)
    return UserError("picture_kind", name=name, kind=kind, formats=FORMATS)


def _decoded(data: bytes, header: ImageHeader, name: str) -> Image.Image:
    """The first frame, decoded and turned upright. Raises UserError where the decoder gives up."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=(header.format,))
        # A GIF's first frame may be larger than the screen that its header declares.
        _check_size(*image.size, name)
        image.load()
    except UserError:
        raise
    except Exception as error:
        # Which exceptions broken bytes bring out of a decoder is open-ended (OSError, SyntaxError, struct.error,
        # ValueError, zlib.error, …); whichever it is, the file is what is wrong.
        raise UserError("picture_cut_off" if is_cut_off(data, header) else "picture_corrupt", name=name) from error
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none. Unreadable metadata do not spoil a readable picture."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except BROKEN_METADATA:
        return 1
    return value if isinstance(value, int) else 1


def _float_as_grey(image: Image.Image) -> Image.Image:
    highest = image.getextrema()[1]
    scale = 255.0 if isinstance(highest, (int, float)) and highest <= 1.0 else 1.0
    return image.point(lambda value: value * scale + 0.5).convert("L")  # convert clips to 0..255


def _sixteen_bit_as_rgb(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255 by the nearest value; Pillow's own conversion clips everything above 255 to white."""
    wide = image.convert("I")
    grey = wide.point([(value + 128) // 257 for value in range(65536)], "L")
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.paste(255, mask=wide.point([255 if value == hidden else 0 for value in range(65536)], "L"))
    return grey.convert("RGB")


def _with_scaled_transparency(image: Image.Image, bit_depth: int | None) -> Image.Image:
    """The picture with its one transparent grey or colour in the samples' 8 bits, as the pixels are.

    A PNG gives it in the file's own bit depth, and Pillow hands it on unscaled.
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


def _too_many_bytes(name: str, size: int) -> UserError:
    return UserError("picture_bytes", name=name, size=joined(memory(size)), limit=MAX_FILE_BYTES // MIB)


def _sayable(name: str) -> str:
    """A base name that fits a sentence: no folder, printable, at most 60 characters."""
    name = "".join(c if c.isprintable() else "�" for c in name.replace("\\", "/").rsplit("/", 1)[-1])
    return name if len(name) <= 60 else f"{name[:40]}…{name[-19:]}"
