"""The tokenizer's file: what the published one holds that sentencepiece remarks on."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece

from tests.checkpoints import write_tokenizer
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Tokenizer

NULL_PIECE = b"\x0a\x0a" + b"\x0a\x01\x00" + b"\x15\x00\x00\x00\x00" + b"\x18\x01"
"""A piece of the null character as sentencepiece's protobuf; the published model has one."""


@pytest.fixture
def with_null_piece(tmp_path: Path) -> str:
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.model"
    file.write_bytes(file.read_bytes() + NULL_PIECE)
    return str(file)


def test_a_model_with_the_published_ones_null_piece_loads_without_a_word(
    with_null_piece: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        InternLMXComposer2Tokenizer(with_null_piece)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sentencepiece.__version__ != "0.2.3", reason="other versions than 0.2.3 do not remark on it")
def test_sentencepiece_says_so_elsewhere_still(with_null_piece: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Which shows that the piece above is what it remarks on, and that its log level is as it was."""
    InternLMXComposer2Tokenizer(with_null_piece)
    sentencepiece.SentencePieceProcessor(model_file=with_null_piece)
    assert "null character" in capfd.readouterr().err
