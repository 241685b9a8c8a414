"""How long files stay in the upload cache, and how many bytes; by a clock of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.ui.uploads import FILE_META, KEEP_SEC, TIDY_SEC, UploadCache, own_upload_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


def uploaded(folder: Path, name: str, now: list[float], size: int = 10) -> Path:
    """A file as Gradio stores it."""
    file = folder / name / "a.png"
    file.parent.mkdir()
    file.write_bytes(b"x" * size)
    for path in (file, file.parent):
        os.utime(path, (now[0], now[0]))
    return file


def body(file: Path) -> dict[str, object]:
    return {"data": [None, [{"image": {"path": str(file), "meta": FILE_META}}]], "session_hash": "page"}


def test_a_file_stays_with_its_page_and_goes_within_the_hour_after_it(folder: Path, now: list[float]) -> None:
    cache, file = UploadCache(clock=lambda: now[0]), uploaded(folder, "a", now)
    cache.named("page", body(file))
    for _ in range(5):
        now[0] += KEEP_SEC - 1
        cache.tidy({"page"})
        assert file.exists()
    closed = now[0]
    while file.exists():
        now[0] += TIDY_SEC
        cache.tidy(set())
    assert now[0] - closed < 3600
    now[0] += KEEP_SEC + 1
    cache.tidy(set())
    assert list(folder.iterdir()) in ([], [file.parent])  # the folder's time is the real clock's


def test_what_no_call_ever_named_goes_too_and_the_new_stays(folder: Path, now: list[float]) -> None:
    cache, old = UploadCache(clock=lambda: now[0]), uploaded(folder, "old", now)
    now[0] += KEEP_SEC + 1
    fresh = uploaded(folder, "fresh", now)
    cache.tidy({"page"})
    assert (old.exists(), fresh.exists()) == (False, True)


def test_the_cache_has_a_limit_and_takes_files_again_once_old_ones_are_gone(folder: Path, now: list[float]) -> None:
    cache = UploadCache(100, clock=lambda: now[0])
    for name in "ab":
        cache.reserve(40, set)
        uploaded(folder, name, now, 40)
    with pytest.raises(UserError) as raised:
        cache.reserve(40, set)
    assert raised.value.code == "uploads_full"
    now[0] += KEEP_SEC + 1
    cache.reserve(40, set)


def test_a_reservation_is_corrected_by_what_came(folder: Path, now: list[float]) -> None:
    cache = UploadCache(100, clock=lambda: now[0])
    cache.reserve(90, set)  # an upload that broke off
    cache.reserve(90, set)


def test_a_file_that_is_gone_already_breaks_nothing(folder: Path, now: list[float]) -> None:
    cache = UploadCache(clock=lambda: now[0])
    cache.named("page", body(folder / "gone" / "a.png"))
    cache.tidy({"page"})


def test_a_process_has_a_folder_of_its_own_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "chosen")
    own_upload_folder()
    assert os.environ["GRADIO_TEMP_DIR"] == "chosen"
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    own_upload_folder()
    made = Path(os.environ["GRADIO_TEMP_DIR"])
    assert made.is_dir() and not list(made.iterdir())
