"""Training of the embedded model's tokenizer, sentencepiece BPE with byte fallback, on sampled questions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import sentencepiece

from xcomposer_ui.core.families.xcomposer2 import TURN_END, TURN_START
from xcomposer_ui.training.phrases import REFUSAL
from xcomposer_ui.training.pictures import sample_any_scene
from xcomposer_ui.training.questions import KINDS, sample_turn
from xcomposer_ui.training.small_talk import small_talk
from xcomposer_ui.training.world import COLOURS, LANGUAGES, PLACES, SHAPES

_USER_DEFINED = 4
"""`ModelProto.SentencePiece.Type.USER_DEFINED` in sentencepiece_model.proto."""


def corpus(seed: int, turns: int = 24_000) -> list[str]:
    """Sample the tokenizer's training lines: questions, answers, and the names of the roles.

    Small talk is included in ASCII only and without invented words. Its other characters would take half of the
    vocabulary; as bytes they are also easier to recognise as off-topic.
    """
    rng = np.random.default_rng((seed, 1))
    lines = ["user", "assistant"] * 2000 + ["system"] * 50 + list(REFUSAL.values()) * 100
    for n in range(turns):
        language = LANGUAGES[n // len(KINDS) % 2]
        kind = KINDS[n % len(KINDS)]
        if kind != "refusal":
            turn = sample_turn(rng, sample_any_scene(rng), kind, language)
            lines += [turn.question, turn.answer]
        elif language == "en":
            lines += [talk] if (talk := small_talk(rng, language, invent=False)).isascii() else []
    return lines


def train_tokenizer(seed: int, pieces: int, file: Path) -> None:
    """Write a sentencepiece model of `pieces` pieces to `file`.

    The turn marks are the last two pieces, as in the family's own tokenizers.
    """
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
    """Encode a user-defined piece as protobuf. Pieces are a repeated field, so appended bytes append a piece."""
    name = text.encode()
    body = bytes((0x0A, len(name))) + name + bytes((0x15, 0, 0, 0, 0, 0x18, _USER_DEFINED))
    return bytes((0x0A, len(body))) + body
