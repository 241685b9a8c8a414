"""The embedded model, on a small sample of what `python -m xcomposer_ui.training evaluate` measures."""

import json

import pytest
import torch
from PIL import Image

from xcomposer_ui.core.settings import ASSETS, EMBEDDED_PATH
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM, InternLMXComposer2Tokenizer
from xcomposer_ui.training.conversations import ConversationEncoder
from xcomposer_ui.training.evaluation import evaluate, held_out
from xcomposer_ui.training.examples import SCENES, write_examples

EXAMPLES = ASSETS / "examples"
LISTED = json.loads((EXAMPLES / "examples.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def model():
    return InternLMXComposer2ForCausalLM.from_pretrained(EMBEDDED_PATH, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return InternLMXComposer2Tokenizer.from_pretrained(EMBEDDED_PATH)


def test_it_is_a_small_safetensors_checkpoint():
    files = {f.name: f.stat().st_size for f in EMBEDDED_PATH.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.model", "README.md"} <= files.keys()
    assert sum(files.values()) < 10_000_000


@pytest.mark.parametrize("example", LISTED, ids=lambda e: e["question"])
def test_every_example_is_answered_as_listed(model, tokenizer, example):
    with Image.open(EXAMPLES / example["file"]) as picture:
        answer, _ = model.chat(tokenizer, example["question"], picture.convert("RGB"), do_sample=False)
    assert answer == example["answer"]


def test_the_examples_match_the_code_that_draws_them(tmp_path):
    write_examples(tmp_path)
    assert json.loads((tmp_path / "examples.json").read_text("utf-8")) == LISTED
    for name in (*SCENES, "mountains.jpg"):
        with Image.open(tmp_path / name) as drawn, Image.open(EXAMPLES / name) as kept:
            assert drawn.size == kept.size


def test_the_examples_cover_both_languages_and_a_picture_without_shapes():
    assert {e["language"] for e in LISTED} == {"en", "zh"}
    assert len({e["file"] for e in LISTED}) >= 6
    assert any("no shapes" in e["answer"] for e in LISTED)


def test_a_second_turn_is_answered_about_the_same_picture(model, tokenizer):
    with Image.open(EXAMPLES / "trio.png") as picture:
        image = picture.convert("RGB")
    _, history = model.chat(tokenizer, "How many shapes are there?", image, do_sample=False)
    answer, history = model.chat(tokenizer, "What color is the circle?", image, history, do_sample=False)
    assert answer == "The circle is red." and len(history) == 2


def test_without_a_picture_it_asks_for_one_or_refuses(model, tokenizer):
    assert "picture" in model.chat(tokenizer, "What color is the circle?", do_sample=False)[0]
    assert "shapes" in model.chat(tokenizer, "Who are you?", do_sample=False)[0]
    assert "图形" in model.chat(tokenizer, "你是谁？", do_sample=False)[0]


@pytest.fixture(scope="module")
def table(model):
    encoder = ConversationEncoder(EMBEDDED_PATH / "tokenizer.model")
    return evaluate(model, encoder, STRATEGIES["full"], "float16", held_out(20, 40))


# The model card's figures, less a margin for the small sample.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "minimum"),
    [
        *(("colour", 0.96), ("shape", 0.95), ("place", 0.94), ("presence", 0.96), ("count", 0.93)),
        *(("relation", 0.92), ("description", 0.91), ("refusal", 0.97), ("photograph", 0.95), ("not there", 0.95)),
    ],
)
def test_its_accuracy_is_close_to_the_model_card(table, row, minimum):
    assert table.share(row) >= minimum
