"""`chat`, `stream_chat` and the prompt, on a small model with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

import xcomposer_ui.models  # noqa: F401
from tests.checkpoints import tiny_model, write_checkpoint
from xcomposer_ui.core.families.xcomposer2 import IMAGE_MARK
from xcomposer_ui.models.cache import CACHE_NAME, PreallocatedCache
from xcomposer_ui.models.xcomposer2.prompt import prompt_text, with_marks

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.radial_gradient("L").convert("RGB")


def test_prompt_has_the_familys_turns() -> None:
    assert prompt_text("hi", [("a", "b")], "be brief") == (
        "[UNUSED_TOKEN_146]system\nbe brief[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]user\na[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\nb[UNUSED_TOKEN_145]\n"
        "[UNUSED_TOKEN_146]user\nhi[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n"
    )
    assert prompt_text("hi").startswith("[UNUSED_TOKEN_146]user\n")


def test_a_picture_without_a_mark_stands_before_the_first_question() -> None:
    assert with_marks("q", [], 1) == (IMAGE_MARK + "q", ())
    assert with_marks("q", [("a", "b"), ("c", "d")], 1) == ("q", ((IMAGE_MARK + "a", "b"), ("c", "d")))
    assert with_marks("q " + IMAGE_MARK, [("a", "b")], 1) == ("q " + IMAGE_MARK, (("a", "b"),))


def test_more_marks_than_pictures_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 pictures were given"):
        with_marks(IMAGE_MARK * 2, [], 1)


def test_a_picture_takes_its_tokens_and_each_part_its_start(model: Any, tokenizer: Any, picture: Image.Image) -> None:
    inputs = model.prompt_inputs(tokenizer, "hi", picture)
    assert inputs["im_mask"].sum() == model.config.image_tokens() == 16
    before = len(tokenizer("[UNUSED_TOKEN_146]user\n").input_ids)
    assert inputs["im_mask"][0].nonzero()[0] == before
    start = model.model.tok_embeddings(torch.tensor(tokenizer.bos_token_id))
    assert torch.equal(inputs["inputs_embeds"][0, 0], start)
    assert torch.equal(inputs["inputs_embeds"][0, before + 16], start)


def test_text_only_starts_twice_and_answers_without_the_prompt(model: Any, tokenizer: Any) -> None:
    ids = model.prompt_inputs(tokenizer, "hi")["input_ids"][0]
    assert ids[:2].tolist() == [1, 1]
    answer, history = model.chat(tokenizer, "hi", **GREEDY)
    assert "user" not in answer
    assert history == [("hi", answer)]


def test_streaming_ends_with_what_chat_answers(model: Any, tokenizer: Any, picture: Image.Image) -> None:
    answer, history = model.chat(tokenizer, "hi", picture, [("a", "b")], **GREEDY)
    steps = list(model.stream_chat(tokenizer, "hi", picture, [("a", "b")], **GREEDY))
    assert steps[-1] == (answer, history)
    assert len(steps) > 3


def test_streaming_raises_what_chat_raises_and_keeps_autocast(folder: Path, tokenizer: Any, picture: Any) -> None:
    half = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16)
    with pytest.raises(RuntimeError, match="got Float and Half"):
        list(half.stream_chat(tokenizer, "hi", picture, **GREEDY))
    with torch.autocast("cpu", torch.float16):
        assert list(half.stream_chat(tokenizer, "hi", picture, **GREEDY))


def test_closing_the_stream_stops_the_model(model: Any, tokenizer: Any, picture: Image.Image) -> None:
    calls = []
    hook = model.output.register_forward_hook(lambda *_: calls.append(1))
    stream = model.stream_chat(tokenizer, "hi", picture, do_sample=False, max_new_tokens=4000, min_new_tokens=4000)
    next(stream)
    stream.close()
    hook.remove()
    assert len(calls) < 1000


def test_a_list_of_pictures_and_pixels_are_taken(model: Any, tokenizer: Any, picture: Image.Image) -> None:
    pixels = model.preprocess(picture)
    assert pixels.shape == (1, 3, 56, 56)
    assert pixels.dtype == torch.float32
    alone = model.chat(tokenizer, "hi", picture, **GREEDY)
    assert model.chat(tokenizer, "hi", pixels, **GREEDY) == alone
    assert model.prompt_inputs(tokenizer, "hi", [picture, pixels])["im_mask"].sum() == 32


def test_beams_and_sampling_are_passed_on(model: Any, tokenizer: Any, picture: Image.Image) -> None:
    model.chat(tokenizer, "hi", picture, num_beams=2, do_sample=False, max_new_tokens=4)
    torch.manual_seed(1)
    first = model.chat(tokenizer, "hi", picture, max_new_tokens=8)
    torch.manual_seed(1)
    assert model.chat(tokenizer, "hi", picture, max_new_tokens=8) == first


def test_the_cache_changes_nothing() -> None:
    model = tiny_model()
    ids = torch.randint(3, 300, (1, 9))
    with torch.no_grad():
        whole = model(ids).logits
        first = model(ids[:, :5], use_cache=True)
        rest = model(ids[:, 5:8], cache=first[CACHE_NAME])
        last = model(ids[:, 8:], past_key_values=rest[CACHE_NAME])
    torch.testing.assert_close(torch.cat((first.logits, rest.logits, last.logits), dim=1), whole, atol=1e-5, rtol=1e-5)


def test_the_cache_grows_past_its_room_and_takes_over_other_tensors() -> None:
    cache, plain = PreallocatedCache(), DynamicCache()
    for step in range(3):
        for length in (300, 1, 1, 200):
            keys, values = torch.randn(2, 2, length, 4), torch.randn(2, 2, length, 4)
            kept = cache.update(keys, values, 0), plain.update(keys, values, 0)
            assert torch.equal(kept[0][0], kept[1][0])
            assert torch.equal(kept[0][1], kept[1][1])
        for held in (cache, plain):
            held.reorder_cache(torch.tensor([1, 0]))
        assert cache.get_seq_length() == 502 * (step + 1)


def test_padding_on_the_left_changes_nothing() -> None:
    model = tiny_model()
    ids = torch.randint(3, 300, (1, 6))
    padded = torch.cat((torch.full((1, 3), 2), ids), dim=1)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        logits = model(padded, attention_mask=mask).logits[:, 3:]
        torch.testing.assert_close(logits, model(ids).logits, atol=1e-5, rtol=1e-5)
        assert logits.isfinite().all()


def test_a_longer_sequence_than_the_model_was_made_for_stretches_the_base() -> None:
    scaling = {"type": "dynamic", "factor": 2.0}
    plain, scaled = tiny_model(max_position_embeddings=8), tiny_model(max_position_embeddings=8, rope_scaling=scaling)
    with torch.no_grad():
        short, long = torch.randint(3, 300, (1, 8)), torch.randint(3, 300, (1, 20))
        assert torch.equal(plain(short).logits, scaled(short).logits)
        assert not torch.allclose(plain(long).logits, scaled(long).logits)
