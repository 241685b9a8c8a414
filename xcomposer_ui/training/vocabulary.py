"""The embedded model's tokenizer: sentencepiece over this project's own questions and answers, with byte fallback."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import sentencepiece

from xcomposer_ui.models.xcomposer2.tokenizer import TURN_END, TURN_START
from xcomposer_ui.training.pictures import scene_any
from xcomposer_ui.training.questions import KINDS, turn_sample
from xcomposer_ui.training.small_talk import small_talk
from xcomposer_ui.training.wordings import REFUSAL
from xcomposer_ui.training.world import COLOURS, LANGUAGES, PLACES, SHAPES

_USER_DEFINED = 4
"""sentencepiece_model.proto, ModelProto.SentencePiece.Type."""


def corpus(seed: int, turns: int = 24_000) -> list[str]:
    """Lines of questions and answers, and the words of the roles.

    Small talk comes without its made-up words, and in English only: other characters that no question of the world
    needs would take half of the vocabulary. They are spelt in bytes, which marks them as foreign all the better.
    """
    rng = np.random.default_rng((seed, 1))
    lines = ["user", "assistant"] * 2000 + ["system"] * 50 + list(REFUSAL.values()) * 100
    for n in range(turns):
        language = LANGUAGES[n // len(KINDS) % 2]
        kind = KINDS[n % len(KINDS)]
        if kind != "refusal":
            turn = turn_sample(rng, scene_any(rng), kind, language)
            lines += [turn.question, turn.answer]
        elif language == "en":
            lines += [talk] if (talk := small_talk(rng, language, invent=False)).isascii() else []
    return lines


def train_vocabulary(seed: int, pieces: int, file: Path) -> None:
    """Write a sentencepiece model of `pieces` pieces; the turns' marks are its last two, as in the family's own."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(seed)),
        model_writer=model,
        vocab_size=pieces - 2,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.9995,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        user_defined_symbols=["\n", *(w.zh for w in (*SHAPES, *COLOURS, *PLACES))],
        max_sentencepiece_length=10,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        hard_vocab_limit=True,
        num_threads=1,
        minloglevel=2,
    )
    file.write_bytes(model.getvalue() + _piece(TURN_END) + _piece(TURN_START))


def _piece(text: str) -> bytes:
    """A user-defined piece as protobuf: a repeated field, so that bytes put at the end add a piece at the end."""
    name = text.encode()
    body = bytes((0x0A, len(name))) + name + bytes((0x15, 0, 0, 0, 0, 0x18, _USER_DEFINED))
    return bytes((0x0A, len(body))) + body
