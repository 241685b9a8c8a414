"""Every picture that people hand in, the broken and the odd: judged before decoding, shown as a person sees it."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from PIL import Image

from xcomposer_ui.compare.document import picture_as_json
from xcomposer_ui.core import images
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES, MAX_SIDE, as_rgb, open_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
REPOSITORY = Path(images.__file__).resolve().parents[2]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + body + chunk(b"IEND", b"")


def flat_png(width: int, height: int, depth: int = 8) -> bytes:
    """Black, grey scale, compressed row by row: for pictures too large to hold."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * depth + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def refusal(source: object) -> UserError:
    with pytest.raises(UserError) as caught:
        open_picture(source)  # type: ignore[arg-type]
    return caught.value


def pixels(image: Image.Image) -> list[tuple[int, ...]]:
    assert image.mode == "RGB"
    data = image.tobytes()
    return [tuple(data[at : at + 3]) for at in range(0, len(data), 3)]


def drawn() -> Image.Image:
    """48 x 32, a different colour in each quarter and a gradient over it, so that no turn leaves it as it was."""
    image = Image.new("RGB", (48, 32))
    image.putdata([(5 * x, 7 * y, 200 if x < 24 else 40) for y in range(32) for x in range(48)])
    return image


# What is refused, by name


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_cut_off_picture_is_called_cut_off(form: str) -> None:
    whole = encoded(drawn(), form)
    assert refusal(whole[: len(whole) // 2]).code == "picture_cut_off"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_picture_cut_off_anywhere_gives_a_picture_or_a_sentence(form: str) -> None:
    whole = encoded(drawn(), form)
    for length in range(0, len(whole), 7):
        try:
            assert open_picture(whole[:length]).size == (48, 32)
        except UserError as error:
            assert error.code.startswith("picture_")


def test_a_corrupt_picture_is_called_damaged() -> None:
    whole = bytearray(encoded(drawn(), "PNG"))
    middle = whole.index(b"IDAT") + 12
    whole[middle : middle + 40] = b"\xa5" * 40
    assert refusal(bytes(whole)).code == "picture_corrupt"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_wrong_bytes_anywhere_give_a_picture_or_a_sentence(form: str) -> None:
    whole = encoded(drawn(), form)
    for at in range(0, len(whole), 5):
        for wrong in (0x00, 0x7F, 0xFF):
            broken = whole[:at] + bytes([wrong]) + whole[at + 1 :]
            try:
                assert open_picture(broken).mode == "RGB"
            except UserError as error:
                assert error.code.startswith("picture_")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    error = refusal(tmp_path / "photo.png")
    assert str(error) == "The file “photo.png” is empty. Save or download the picture again."


@pytest.mark.parametrize("text", ["Dear all,\nsee the picture below.", "亲爱的各位：" * 2000, "<html>no</html>"])
def test_a_text_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "photo.png").write_text(text, encoding="utf-8")
    assert refusal(tmp_path / "photo.png").code == "picture_text"


def test_an_svg(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>')
    error = refusal(tmp_path / "a.png")
    assert error.code == "picture_svg"
    assert "Export it as PNG" in str(error)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"II*\0" + bytes(40), "TIFF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x1cftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(40), "AVIF"),
        (b"\0\0\0\x1cftypisom" + bytes(40), "MP4"),
    ],
)
def test_another_format_is_named(data: bytes, kind: str) -> None:
    assert f"is a file of the kind {kind}," in str(refusal(data))


def test_bytes_of_no_known_kind() -> None:
    assert refusal(b"\x01\x02\x03\x04" * 100).code == "picture_unknown"


def test_400_megapixels() -> None:
    error = refusal(flat_png(20_000, 20_000, depth=1))
    assert str(error) == (
        "“picture” has 20000 × 20000 pixels, 400 megapixels; up to 50 megapixels are opened. Make it smaller first."
    )


def test_121_megapixels_in_117_kilobytes() -> None:
    bomb = flat_png(11_000, 11_000)
    assert len(bomb) < 125_000
    assert refusal(bomb).facts["megapixels"] == "121"


@pytest.mark.parametrize(
    ("form", "header"),
    [
        ("BMP", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 30_000, -30_000, 1, 24, 0, 0, 0, 0, 0, 0)),
        ("GIF", b"GIF89a" + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0)),
        ("JPEG", b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x11\x08" + struct.pack(">HH", 30_000, 30_000)),
        ("lossy WEBP", b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 16_383, 16_383)),
        ("lossless WEBP", b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", 0x0FFFFFFF)),
        ("extended WEBP", b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x2f\x75\0\x2f\x75\0"),
    ],
)
def test_the_size_that_each_format_declares_is_judged(form: str, header: bytes) -> None:
    assert refusal(header).code == "picture_pixels", form


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_the_size_read_from_the_header_is_the_size_decoded(form: str) -> None:
    for size in ((1, 1), (300, 7), (7, 300), (129, 257)):
        header = images.image_header(encoded(Image.new("RGB", size), form))
        assert header is not None
        assert (header.format, header.width, header.height) == (form, *size)


def test_a_gif_whose_frame_is_larger_than_it_declares() -> None:
    small = bytearray(encoded(Image.new("P", (4, 4)), "GIF"))
    frame = small.index(b"\x2c", 13)
    small[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 60_000)
    assert refusal(bytes(small)).code in ("picture_pixels", "picture_corrupt")
    small[frame + 5 : frame + 9] = struct.pack("<HH", 8000, 8000)
    assert refusal(bytes(small)).code == "picture_pixels"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.bmp", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 2**20)
    error = refusal(tmp_path / "huge.bmp")
    assert str(error).startswith("The file “huge.bmp” has 51.0 MiB; up to 50 MiB are read.")
    assert refusal(bytes(MAX_FILE_BYTES + 1)).code == "picture_bytes"


def test_a_strip_of_30000_by_2() -> None:
    error = refusal(encoded(Image.new("RGB", (30_000, 2)), "PNG"))
    assert error.code == "picture_strip"
    assert "30000 × 2" in str(error)
    assert open_picture(encoded(Image.new("RGB", (200, 2)), "PNG")).size == (200, 2)


def test_a_folder_a_pipe_and_a_missing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path).code == "picture_folder"
    assert refusal(tmp_path / "pipe").code == "picture_no_file"
    assert refusal("/dev/zero").code == "picture_no_file"
    assert (
        str(refusal(tmp_path / "cat.png")) == "There is no file “cat.png”. Check its path, or choose the picture again."
    )
    assert refusal(str(tmp_path / "cat.png") + "/deeper.png").code == "picture_missing"
    assert refusal("nul\0byte.png").code == "picture_missing"
    assert refusal("a" * 5000).code == "picture_missing"


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "cat.png").write_bytes(encoded(drawn(), "PNG"))
    monkeypatch.setattr(images, "open", refuse, raising=False)  # root may read everything
    error = refusal(tmp_path / "cat.png")
    assert str(error).startswith("The file “cat.png” cannot be read (Permission denied).")


def test_no_sentence_carries_the_folder(tmp_path: Path) -> None:
    for content in (b"", b"text", b"<svg/>", b"%PDF", b"\1\2\3", b"\x89PNG\r\n\x1a\n", flat_png(8000, 8000, 1)):
        (tmp_path / "in.png").write_bytes(content)
        error = refusal(tmp_path / "in.png")
        for language in ("en", "zh"):
            sentence = error.in_language(language)
            assert "in.png" in sentence
            assert str(tmp_path) not in sentence


def test_a_name_is_made_fit_for_a_sentence(tmp_path: Path) -> None:
    odd, long = tmp_path / "C:\\pictures\\a\nb{x}.png", tmp_path / ("x" * 240 + ".png")
    for file in (odd, long):
        file.touch()
    assert str(refusal(odd)).startswith("The file “a�b{x}.png” is empty")
    assert len(refusal(long).facts["name"]) == 60


def test_refusing_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "400.png").write_bytes(flat_png(20_000, 20_000, depth=1))
    (tmp_path / "121.png").write_bytes(flat_png(11_000, 11_000))
    (tmp_path / "16k.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xfe\x3f\0\xfe\x3f\0" + bytes(100))
    program = """
import resource, sys
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.compare.document import picture_as_json
from xcomposer_ui.core.images import open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        open_picture(path)
    except UserError as error:
        print(error.code)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    *codes, grown_mib = done.stdout.split()
    assert codes == ["picture_pixels"] * 3
    assert int(grown_mib) < 16  # decoded, they would take 121 to 1600 MiB


# What is odd and honest


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
def test_an_ordinary_picture_comes_out_as_it_is(form: str, tmp_path: Path) -> None:
    data = encoded(drawn(), form, **({"lossless": True} if form == "WEBP" else {}))
    (tmp_path / "a.txt").write_bytes(data)  # the extension is not what counts
    for source in (data, tmp_path / "a.txt", str(tmp_path / "a.txt")):
        seen = open_picture(source)
        assert (seen.mode, seen.size, seen.tobytes()) == ("RGB", (48, 32), drawn().tobytes())


def test_a_jpeg_is_what_pillow_decodes() -> None:
    data = encoded(drawn(), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert open_picture(data).tobytes() == image.tobytes()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_a_moving_picture_the_first_frame_is_taken(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if form == "WEBP" else {}
    seen = open_picture(encoded(frames[0], form, save_all=True, append_images=frames[1:], **options))
    assert seen.getcolors() == [(256, RED)]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = [0, 128, 129, 257, 32_767, 65_535]
    rows = b"\0" + b"".join(struct.pack(">H", value) for value in values)
    seen = open_picture(png(6, 1, 16, 0, rows))
    assert [pixel[0] for pixel in pixels(seen)] == [round(value / 257) for value in values]


@pytest.mark.parametrize(("mode", "scale"), [("I;16", 257), ("I;16B", 257), ("I", 257), ("F", 1 / 255)])
def test_wide_greys_of_pillow_are_scaled(mode: str, scale: float) -> None:
    if mode in ("I", "F"):
        wide = Image.new(mode, (256, 1))
        wide.putdata([value * scale for value in range(256)])
    else:
        packed = struct.pack("<256H" if mode == "I;16" else ">256H", *(value * 257 for value in range(256)))
        wide = Image.frombytes(mode, (256, 1), packed)
    assert [pixel[0] for pixel in pixels(as_rgb(wide))] == list(range(256))


@pytest.mark.parametrize("depth", [8, 16])
def test_sixteen_bit_colour(depth: int) -> None:
    code = ">BBB" if depth == 8 else ">HHH"
    top = 2**depth - 1
    seen = open_picture(png(1, 1, depth, 2, b"\0" + struct.pack(code, top, 0, top)))
    assert seen.getpixel((0, 0)) == (255, 0, 255)


def test_cmyk_in_adobes_inverted_order_is_not_a_negative() -> None:
    data = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100)
    assert b"Adobe" in data  # the marker under which inks are stored inverted
    seen = open_picture(data)
    assert seen.getpixel((16, 16)) == pytest.approx((254, 0, 0), abs=3)


def test_transparent_pictures_lie_on_white() -> None:
    hidden = Image.new("RGBA", (4, 1))
    hidden.putdata([(255, 0, 0, 0), (255, 0, 0, 255), (255, 0, 0, 128), (0, 0, 0, 0)])
    expected = [WHITE, RED, (255, 127, 127), WHITE]
    for form in ("PNG", "WEBP"):
        options = {"lossless": True, "exact": True} if form == "WEBP" else {}
        assert pixels(open_picture(encoded(hidden, form, **options))) == expected


def test_grey_with_alpha_lies_on_white() -> None:
    hidden = Image.new("LA", (2, 1))
    hidden.putdata([(0, 0), (0, 255)])
    assert pixels(open_picture(encoded(hidden, "PNG"))) == [WHITE, (0, 0, 0)]
    palette = Image.new("P", (2, 1))
    palette.putalpha(hidden.getchannel("A"))
    assert palette.mode == "PA"
    assert pixels(as_rgb(palette)) == [WHITE, (0, 0, 0)]


@pytest.mark.parametrize("transparency", [0, b"\0\xff"])
def test_a_palette_with_transparent_entries_lies_on_white(transparency: int | bytes) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putdata([0, 1])
    assert pixels(open_picture(encoded(palette, "PNG", transparency=transparency))) == [WHITE, BLUE]


def test_a_transparent_gif_lies_on_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putdata([0, 1])
    assert pixels(open_picture(encoded(palette, "GIF", transparency=0))) == [WHITE, BLUE]


@pytest.mark.parametrize(
    ("depth", "row", "hidden", "expected"),
    [
        (1, b"\x40", 1, [0, 255]),  # 0 1: the white one is hidden, and white is what it lies on
        (1, b"\x40", 0, [255, 255]),
        (2, b"\x70", 1, [255, 255]),  # 1 3
        (2, b"\x60", 2, [85, 255]),  # 1 2
        (4, b"\x3c", 3, [255, 204]),  # 3 12
        (8, b"\x10\x20", 0x10, [255, 32]),
        (16, b"\x10\x10\x20\x20", 0x1010, [255, 32]),
    ],
)
def test_one_transparent_grey_in_the_files_bit_depth(depth: int, row: bytes, hidden: int, expected: list[int]) -> None:
    data = png(2, 1, depth, 0, b"\0" + row, chunk(b"tRNS", struct.pack(">H", hidden)))
    assert [pixel[0] for pixel in pixels(open_picture(data))] == expected


@pytest.mark.parametrize(("depth", "code"), [(8, ">3B"), (16, ">3H")])
def test_one_transparent_colour(depth: int, code: str) -> None:
    top = 2**depth - 1
    row = b"\0" + struct.pack(code, top, 0, 0) + struct.pack(code, 0, 0, top)
    data = png(2, 1, depth, 2, row, chunk(b"tRNS", struct.pack(">3H", top, 0, 0)))
    assert pixels(open_picture(data)) == [WHITE, BLUE]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_rotated_by_exif_is_upright(form: str, orientation: int) -> None:
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that a camera would have undone
    image = drawn()
    stored = image if orientation == 1 else image.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}}[form]
    seen = open_picture(encoded(stored, form, exif=exif, **options))
    assert seen.size == (48, 32)
    worst = max(abs(a - b) for a, b in zip(seen.tobytes(), image.tobytes(), strict=True))
    assert worst <= (6 if form == "JPEG" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_spoil_a_picture() -> None:
    for exif in (
        b"Exif\0\0nonsense",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04xyz\0",
        b"Exif\0\0II*\0\xff",
    ):
        assert open_picture(encoded(drawn(), "JPEG", exif=exif)).size == (48, 32)


def test_one_pixel_is_a_picture_of_one_colour() -> None:
    seen = open_picture(encoded(Image.new("RGB", (1, 1), RED), "PNG"))
    assert (seen.size, seen.getpixel((0, 0))) == ((1, 1), RED)


def test_a_large_picture_is_bounded_and_keeps_its_proportions() -> None:
    seen = open_picture(encoded(Image.new("RGB", (MAX_SIDE * 2, MAX_SIDE), GREEN), "PNG", compress_level=1))
    assert seen.size == (MAX_SIDE, MAX_SIDE // 2)
    assert seen.getpixel((17, 17)) == GREEN


def test_nothing_of_the_files_metadata_comes_along() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    seen = open_picture(encoded(drawn(), "JPEG", exif=exif, comment="hello"))
    assert seen.info == {}
    assert b"where I live" not in encoded(seen, "JPEG")


def picture_hash(image: Image.Image) -> str:
    found: str = picture_as_json(image)["pixels_sha256"]
    return found


def test_threads_do_not_disturb_each_other() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    good, bomb = encoded(drawn(), "PNG"), flat_png(11_000, 11_000, 1)
    outcomes: list[str] = []

    def work() -> None:
        for _ in range(20):
            outcomes.append(picture_hash(open_picture(good)))
            outcomes.append(refusal(bomb).code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 160
    assert set(outcomes) == {picture_hash(drawn()), "picture_pixels"}
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_hash_is_that_of_the_pixels() -> None:
    assert picture_hash(Image.new("RGB", (1, 1))) == "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c"
    assert picture_hash(drawn()) == picture_hash(open_picture(encoded(drawn(), "PNG")))
    assert picture_hash(drawn()) != picture_hash(drawn().rotate(180))
