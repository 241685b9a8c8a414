"""The embedded model on held-out pictures: how often each kind of question is answered word for word as it should be.

Every question is asked twice, as a conversation's first turn and as its second one, in English and in Chinese, in
wordings of training and in wordings that training never used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import isnan

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.strategies import Strategy
from xcomposer_ui.training.batching import picture_cache, selected
from xcomposer_ui.training.conversations import Conversation, Writer
from xcomposer_ui.training.holdout import draw_held_out, photograph_held_out, scene_held_out
from xcomposer_ui.training.questions import Turn, turn_sample
from xcomposer_ui.training.unseen import SMALL_TALK, UNSEEN
from xcomposer_ui.training.wordings import ASKED, REFUSAL, Wordings
from xcomposer_ui.training.world import LANGUAGES, Scene

LONGEST_ANSWER = 64
GROUP = 50
"""Pictures that are answered about at a time."""


@dataclass(frozen=True)
class Asked:
    """One question of the evaluation. row: the line of the table it counts in. words: "trained" or "unseen"."""

    picture: int
    row: str
    language: str
    words: str
    turn: Turn
    before: Turn


@dataclass
class Table:
    """right, total: answers by (row, language, words, number of the turn). answers: every one, in order."""

    right: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    total: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    answers: list[str] = field(default_factory=list)
    refused: int = 0
    honest: int = 0

    def note(self, asked: Asked, number: int, answer: str) -> None:
        """Take one answer in; `number` 1 or 2 for the turn."""
        key = (asked.row, asked.language, asked.words, number)
        self.total[key] += 1
        self.right[key] += answer == asked.turn.answer
        self.answers.append(answer)
        if asked.row not in ("refusal", "photograph"):
            self.honest += 1
            self.refused += answer == REFUSAL[asked.language]

    def share(
        self, row: str, language: str | None = None, words: str | None = None, number: int | None = None
    ) -> float:
        """Right answers of all that fit, 0..1; not a number where none does."""
        keys = [
            key
            for key in self.total
            if key[0] == row
            and all(want in (None, got) for want, got in zip((language, words, number), key[1:], strict=True))
        ]
        total = sum(self.total[key] for key in keys)
        return sum(self.right[key] for key in keys) / total if total else float("nan")

    def overall(self) -> float:
        """Right answers of all, 0..1."""
        return sum(self.right.values()) / sum(self.total.values())

    def shares(self) -> dict[str, float]:
        """Right answers by row, 0..1."""
        return {row: round(self.share(row), 4) for row in self.rows()}

    def rows(self) -> list[str]:
        """The table's lines."""
        return list(dict.fromkeys(key[0] for key in self.total))


def questions_about(rng: np.random.Generator, picture: int, scene: Scene) -> Iterator[Asked]:
    """One question of each kind, in both languages, and one of small talk."""
    seeds = rng.integers(2**32, size=len(ASKED))
    words: dict[str, Wordings] = {"trained": ASKED, "unseen": UNSEEN}
    which = "unseen" if rng.random() < 0.5 else "trained"
    for language in LANGUAGES:
        turns = [
            turn_sample(np.random.default_rng(seed), scene, kind, language, loosely=False, wordings=words[which])
            for kind, seed in zip(ASKED, seeds, strict=True)
        ]
        for n, turn in enumerate(turns):
            row = turn.kind
            if turn.about == "several" and turn.kind in ("colour", "shape", "place"):
                row = "several of a kind"
            elif turn.about == "absent" and turn.kind in ("colour", "shape", "place", "relation"):
                row = "not there"
            elif turn.about == "photograph":
                row = "photograph"
            yield Asked(picture, row, language, which, turn, turns[n - 2])
        talk = SMALL_TALK[language][int(rng.integers(len(SMALL_TALK[language])))]
        yield Asked(
            picture, "refusal", language, "unseen", Turn("refusal", language, talk, REFUSAL[language]), turns[0]
        )


def held_out(seed: int, pictures: int) -> Iterator[tuple[list[Image.Image], list[Asked]]]:
    """Groups of held-out pictures with their questions; one picture in sixteen has no shapes."""
    rng = np.random.default_rng((seed, 9))
    for start in range(0, pictures, GROUP):
        images, asked = [], []
        for n in range(min(GROUP, pictures - start)):
            scene = Scene(1, 1, drawn=False) if rng.random() < 1 / 16 else scene_held_out(rng)
            images.append(draw_held_out(rng, scene) if scene.drawn else photograph_held_out(rng))
            asked += list(questions_about(rng, n, scene))
        yield images, asked


@torch.no_grad()
def greedy(
    model: InternLMXComposer2ForCausalLM, writer: Writer, embeds: Tensor, prompts: Sequence[Conversation]
) -> list[str]:
    """The greedy answer to the last, open turn of each prompt. embeds: of the pictures, (N, tokens, width)."""
    cache = picture_cache(model, writer.before_picture(), embeds)
    found: dict[int, str] = {}
    lengths: dict[int, list[int]] = {}
    for n, prompt in enumerate(prompts):
        lengths.setdefault(len(prompt.ids), []).append(n)
    for rows in lengths.values():  # of one length, so that nothing is padded
        own = selected(cache, [prompts[n].picture for n in rows])
        ids = torch.tensor([prompts[n].ids for n in rows])
        written: list[Tensor] = []
        open_rows = torch.ones(len(rows), dtype=torch.bool)
        for _ in range(LONGEST_ANSWER):
            hidden = model.model(model.model.tok_embeddings(ids), None, None, own)
            ids = model.output(hidden[:, -1:]).argmax(-1)  # (rows, 1)
            written.append(ids)
            open_rows &= (ids[:, 0] != writer.end) & (ids[:, 0] != 2)
            if not open_rows.any():
                break
        for n, row in zip(rows, torch.cat(written, dim=1).tolist(), strict=True):
            ends = [at for at, token in enumerate(row) if token in (writer.end, 2)]
            found[n] = str(writer.pieces.decode(row[: ends[0]] if ends else row))
    return [found[n] for n in range(len(prompts))]


def evaluate(
    model: InternLMXComposer2ForCausalLM, writer: Writer, strategy: Strategy, half: str, *, seed: int, pictures: int
) -> Table:
    """Ask `model`, whose weights are in the strategy's dtype, about `pictures` held-out pictures."""
    table = Table()
    image_dtype = getattr(torch, strategy.image_dtype(half))
    autocast: AbstractContextManager[object]
    for images, asked in held_out(seed, pictures):
        autocast = torch.autocast("cpu", getattr(torch, half)) if strategy.autocast else nullcontext()
        with autocast, torch.no_grad():
            pixels = torch.cat([model.preprocess(image) for image in images]).to(image_dtype)
            embeds = model.encode_image(pixels)
            before = greedy(model, writer, embeds, [_prompt(writer, a.picture, [a.before]) for a in asked])
            first = greedy(model, writer, embeds, [_prompt(writer, a.picture, [a.turn]) for a in asked])
            said = [_said(a.before, answer) for a, answer in zip(asked, before, strict=True)]
            pairs = zip(asked, said, strict=True)
            second = greedy(model, writer, embeds, [_prompt(writer, a.picture, [b, a.turn]) for a, b in pairs])
        for a, one, two in zip(asked, first, second, strict=True):
            table.note(a, 1, one)
            table.note(a, 2, two)
    return table


def _said(turn: Turn, answer: str) -> Turn:
    return Turn(turn.kind, turn.language, turn.question, answer)


def _prompt(writer: Writer, picture: int, turns: list[Turn]) -> Conversation:
    whole = writer.conversation(picture, turns)
    return Conversation(picture, whole.turns, whole.ids[: whole.spans[-1][0]], whole.spans)


COLUMNS: tuple[tuple[str, str | None, str, int | None], ...] = (
    ("English", "en", "trained", 1),
    ("Chinese", "zh", "trained", 1),
    ("second turns", None, "trained", 2),
    ("English, unseen wordings", "en", "unseen", None),
    ("Chinese, unseen wordings", "zh", "unseen", None),
)
"""The table's columns: name, language, wordings and number of the turn (None: both)."""


def as_markdown(table: Table) -> str:
    """The table of the card, in per cent; a dash where nothing was asked."""
    names = " | ".join(name for name, *_ in COLUMNS)
    lines = [f"| asked | {names} | answers |", "| --- |" + " ---: |" * (len(COLUMNS) + 1)]
    for row in table.rows():
        shares = [table.share(row, language, words, number) for _, language, words, number in COLUMNS]
        count = sum(n for key, n in table.total.items() if key[0] == row)
        cells = " | ".join("—" if isnan(share) else f"{100 * share:.1f}" for share in shares)
        lines.append(f"| {row} | {cells} | {count} |")
    lines.append("")
    lines.append(f"Honest questions refused: {100 * table.refused / max(table.honest, 1):.2f} % of {table.honest}.")
    return "\n".join(lines)


def differing(one: Table, other: Table) -> float:
    """Share of answers, 0..1, that are not the same text in both tables."""
    return sum(a != b for a, b in zip(one.answers, other.answers, strict=True)) / len(one.answers)
