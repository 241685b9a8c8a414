"""Batches: padded on the left, and each answer the one that its question gets alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoTokenizer

import xcomposer_ui.models  # noqa: F401
from tests.checkpoints import tiny_model, write_checkpoint

PICTURES = [Image.radial_gradient("L").convert("RGB"), Image.linear_gradient("L").convert("RGB"), None]
QUERIES = ["What is there?", "And here, in this rather longer question, what is there?", "Hello"]
HISTORIES = [[], [("Hi", "Hello")], []]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = write_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("tiles", [None, "2.5"])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_answers_equal_those_one_by_one(tokenizer: Any, tiles: str | None, penalty: float) -> None:
    model = tiny_model(seed=4, tiles=tiles)
    how: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12, "repetition_penalty": penalty}
    alone = [
        model.chat(tokenizer, query, picture, history, **how)
        for query, picture, history in zip(QUERIES, PICTURES, HISTORIES, strict=True)
    ]
    assert model.chat_batch(tokenizer, QUERIES, PICTURES, HISTORIES, **how) == alone
    assert len({answer for answer, _ in alone}) > 1


def test_a_batch_of_one_and_of_the_same(tokenizer: Any) -> None:
    model = tiny_model(seed=4)
    how: dict[str, Any] = {"do_sample": False, "max_new_tokens": 5}
    alone = model.chat(tokenizer, QUERIES[0], PICTURES[0], **how)
    assert model.chat_batch(tokenizer, QUERIES[:1], PICTURES[:1], **how) == [alone]
    assert model.chat_batch(tokenizer, QUERIES[:1] * 3, PICTURES[:1] * 3, **how) == [alone] * 3


def test_numbers_that_do_not_match_are_an_error(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="2 queries, 1 images and 2 histories"):
        tiny_model().chat_batch(tokenizer, ["a", "b"], [None])
    with pytest.raises(ValueError, match="at least one"):
        tiny_model().chat_batch(tokenizer, [], [])
