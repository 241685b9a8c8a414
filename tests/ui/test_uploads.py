"""Which files a visitor may name, and pictures that come inline, as data: URLs."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import MAX_FILE_BYTES, open_picture
from xcomposer_ui.ui.uploads import as_cached_file, check_file, in_upload_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The upload cache, in a folder of the test's own."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_the_bytes_arrive_as_they_were_sent_and_unopened(cache: Path) -> None:
    data = b"\x89PNG\r\n\x1a\n no picture after that"
    given = {"url": "data:image/png;base64," + base64.b64encode(data).decode()}
    check_file(given)
    assert not list(cache.iterdir())
    path = as_cached_file(given)["path"]
    assert Path(path).read_bytes() == data
    assert in_upload_cache(path)
    with pytest.raises(UserError, match="megapixels"):
        open_picture(path)


def test_links_are_resolved_before_the_path_is_judged(cache: Path, tmp_path: Path) -> None:
    (cache / "out").symlink_to(tmp_path)
    (tmp_path / "in").symlink_to(cache)
    assert in_upload_cache(str(tmp_path / "in" / "x.png"))
    assert in_upload_cache(str(cache / "new" / "x.png"))
    for outside in (cache / "out" / "x.png", cache / ".." / "x.png", f"{cache}-2/x.png", "x.png", "", f"{cache}/a\0b"):
        assert not in_upload_cache(str(outside))


def test_a_long_data_url_is_not_decoded(cache: Path) -> None:
    with pytest.raises(UserError) as raised:
        check_file({"url": "data:;base64," + "A" * (MAX_FILE_BYTES * 4 // 3 + 8)})
    assert raised.value.code == "picture_bytes"
