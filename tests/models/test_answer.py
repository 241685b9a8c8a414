"""An answer's text, whole and as it grows."""

from __future__ import annotations

import random

import pytest

from tests.checkpoints import write_tokenizer
from xcomposer_ui.core.families.xcomposer2 import TURN_END
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.models.answer import GrowingAnswer, answer_text
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Tokenizer

SPELT = "é图😀"


@pytest.fixture(scope="module", params=["made here", "embedded"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> InternLMXComposer2Tokenizer:
    if request.param == "embedded":
        return InternLMXComposer2Tokenizer.from_pretrained(EMBEDDED_PATH)
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return InternLMXComposer2Tokenizer(str(folder / "tokenizer.model"))


def ids_of(tokenizer: InternLMXComposer2Tokenizer, *pieces: str) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(piece) for piece in pieces]


def in_bytes(tokenizer: InternLMXComposer2Tokenizer, text: str) -> list[int]:
    """The byte pieces that spell `text`."""
    return ids_of(tokenizer, *(f"<0x{byte:02X}>" for byte in text.encode()))


def anything(tokenizer: InternLMXComposer2Tokenizer, seed: int) -> list[int]:
    """Words, spaces, characters spelt in bytes, stray bytes, special tokens, in any order."""
    chance = random.Random(seed)
    spaces = [n for n in range(tokenizer.vocab_size) if tokenizer.sp_model.id_to_piece(n).startswith("▁")]
    kinds = (
        lambda: in_bytes(tokenizer, chance.choice(SPELT)),
        lambda: in_bytes(tokenizer, chance.choice(SPELT))[:1],
        lambda: [chance.choice(tokenizer.all_special_ids)],
        lambda: [chance.choice(spaces)],
        lambda: [chance.choice(spaces)],
        lambda: [chance.randrange(tokenizer.vocab_size)],
        lambda: [chance.randrange(tokenizer.vocab_size)],
    )
    return [n for _ in range(30) for n in chance.choice(kinds)()]


@pytest.mark.parametrize("seed", range(60))
def test_the_growing_answer_is_always_the_whole_one(tokenizer: InternLMXComposer2Tokenizer, seed: int) -> None:
    ids = anything(tokenizer, seed)
    growing, looks = GrowingAnswer(tokenizer, TURN_END), random.Random(seed)
    end = 0
    while end < len(ids):
        end = min(len(ids), end + looks.choice((1, 1, 1, 2, 5)))
        assert growing.text(ids[:end]) == answer_text(tokenizer, ids[:end], TURN_END)


def test_a_character_shows_when_its_last_byte_is_there(tokenizer: InternLMXComposer2Tokenizer) -> None:
    growing, ids = GrowingAnswer(tokenizer, TURN_END), in_bytes(tokenizer, "图中")
    assert [growing.text(ids[: n + 1]) for n in range(6)] == ["", "", "图", "图", "图", "图中"]


def test_nothing_of_what_follows_the_turns_end_is_shown(tokenizer: InternLMXComposer2Tokenizer) -> None:
    ids = [*in_bytes(tokenizer, "a"), *ids_of(tokenizer, TURN_END), *in_bytes(tokenizer, "b")]
    assert answer_text(tokenizer, ids, TURN_END) == "a"
    assert GrowingAnswer(tokenizer, TURN_END).text(ids) == "a"


def test_a_long_answer_is_not_decoded_anew_at_each_look(tokenizer: InternLMXComposer2Tokenizer) -> None:
    decoded = 0
    plain = tokenizer.decode

    class Counting:
        def decode(self, ids: list[int], **options: bool) -> str:
            nonlocal decoded
            decoded += len(ids)
            return str(plain(ids, **options))

    growing, ids = GrowingAnswer(Counting(), TURN_END), tokenizer("There is a red circle. " * 20).input_ids[1:]
    for end in range(1, len(ids) + 1):
        shown = growing.text(ids[:end])
    assert shown == answer_text(tokenizer, ids, TURN_END)
    assert decoded < 10 * len(ids)
