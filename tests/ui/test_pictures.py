"""Pictures that come inline, as data: URLs: written to a file, and judged like any other."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from gradio.data_classes import ImageData

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.ui.pictures import PictureInput


@pytest.fixture
def given(tmp_path: Path):
    def path_of(url: str) -> str:
        component = PictureInput(type="filepath", render=False)
        component.GRADIO_CACHE = str(tmp_path)
        return component.preprocess(ImageData(path=None, url=url))

    return path_of


def test_the_bytes_arrive_as_they_were_sent_and_unopened(given) -> None:
    data = b"\x89PNG\r\n\x1a\n no picture after that"
    path = given("data:image/png;base64," + base64.b64encode(data).decode())
    assert Path(path).read_bytes() == data
    with pytest.raises(UserError):
        open_picture(path)


@pytest.mark.parametrize("url", ["data:image/png;base64,%%%", "data:image/svg+xml,%3Csvg/%3E", "data:,", "data:"])
def test_what_is_no_picture_is_a_sentence(given, url: str) -> None:
    with pytest.raises(UserError):
        open_picture(given(url))
