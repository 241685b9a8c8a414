"""Evaluation of the embedded model on held-out pictures: exact-match accuracy by kind of question.

Every question is asked as the first and as the second turn of a conversation, in English and in Chinese. Half of the
pictures are asked about in training's wordings, half in held-out ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.cache_utils import DynamicCache

from xcomposer_ui.core.strategies import Strategy
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.batching import answer_logits, picture_cache, select_rows
from xcomposer_ui.training.conversations import Conversation, ConversationEncoder
from xcomposer_ui.training.holdout import draw_held_out, held_out_photograph, sample_held_out_scene
from xcomposer_ui.training.phrases import HELD_OUT_SMALL_TALK, HELD_OUT_WORDINGS, QUESTION_WORDINGS, REFUSAL, Wordings
from xcomposer_ui.training.questions import Turn, sample_turn
from xcomposer_ui.training.world import LANGUAGES, Scene, pick

MAX_ANSWER_TOKENS = 64

GROUP_SIZE = 200
"""Number of pictures that are processed together."""

ROWS = 256
"""Number of conversations in one forward pass."""

WORDINGS: dict[str, Wordings] = {"training": QUESTION_WORDINGS, "held_out": HELD_OUT_WORDINGS}


@dataclass(frozen=True)
class EvaluationItem:
    """One question of the evaluation.

    picture: index in its group. row: the table's row that it counts in. wordings: a key of WORDINGS.
    turn: the question with its correct answer. previous: another question, for the conversation of two turns.
    """

    picture: int
    row: str
    language: str
    wordings: str
    turn: Turn
    previous: Turn


@dataclass
class AccuracyTable:
    """Counts of correct answers.

    correct, total: number of answers by (row, language, wordings, turn), the turn 1 or 2.
    answers: all of them, in order. refused: refusals among the `answerable` questions, those about shapes.
    """

    correct: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    total: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    answers: list[str] = field(default_factory=list)
    refused: int = 0
    answerable: int = 0

    def add(self, item: EvaluationItem, turn: int, answer: str) -> None:
        """Count one answer to `item`, given as turn 1 or 2."""
        key = (item.row, item.language, item.wordings, turn)
        self.total[key] += 1
        self.correct[key] += answer == item.turn.answer
        self.answers.append(answer)
        if item.row not in ("refusal", "photograph"):
            self.answerable += 1
            self.refused += answer == REFUSAL[item.language]

    def share(
        self, row: str, language: str | None = None, wordings: str | None = None, turn: int | None = None
    ) -> float:
        """Accuracy, 0..1, over the answers that match all given arguments; NaN where there are none."""
        keys = [
            key
            for key in self.total
            if key[0] == row
            and all(given in (None, part) for given, part in zip((language, wordings, turn), key[1:], strict=True))
        ]
        total = sum(self.total[key] for key in keys)
        return sum(self.correct[key] for key in keys) / total if total else float("nan")

    def overall(self) -> float:
        """Accuracy over all answers, 0..1."""
        return sum(self.correct.values()) / sum(self.total.values())

    def shares(self) -> dict[str, float]:
        """Accuracy of each row, 0..1."""
        return {row: round(self.share(row), 4) for row in self.rows()}

    def rows(self) -> list[str]:
        """Names of the rows, in order of first appearance."""
        return list(dict.fromkeys(key[0] for key in self.total))


def sample_items(rng: np.random.Generator, picture: int, scene: Scene) -> Iterator[EvaluationItem]:
    """Sample one question of each kind and one off-topic question, in both languages."""
    seeds = rng.integers(2**32, size=len(QUESTION_WORDINGS))
    wordings = "held_out" if rng.random() < 0.5 else "training"
    for language in LANGUAGES:
        turns = [
            sample_turn(np.random.default_rng(seed), scene, kind, language, augment=False, wordings=WORDINGS[wordings])
            for kind, seed in zip(QUESTION_WORDINGS, seeds, strict=True)
        ]
        for n, turn in enumerate(turns):
            row = turn.kind
            if turn.case == "several" and turn.kind in ("colour", "shape", "place"):
                row = "several of a kind"
            elif turn.case == "absent" and turn.kind in ("colour", "shape", "place", "relation"):
                row = "not there"
            elif turn.case == "photograph":
                row = "photograph"
            yield EvaluationItem(picture, row, language, wordings, turn, turns[n - 2])
        refused = Turn("refusal", language, pick(rng, HELD_OUT_SMALL_TALK[language]), REFUSAL[language])
        yield EvaluationItem(picture, "refusal", language, "held_out", refused, turns[0])


PictureGroup = tuple[list[Image.Image], list[EvaluationItem]]
"""Pictures that are processed together, and the questions about them."""


def held_out(seed: int, pictures: int) -> Iterator[PictureGroup]:
    """Yield groups of held-out pictures with their questions; one picture in sixteen has no shapes."""
    rng = np.random.default_rng((seed, 9))
    for start in range(0, pictures, GROUP_SIZE):
        images, items = [], []
        for n in range(min(GROUP_SIZE, pictures - start)):
            scene = Scene(1, 1, drawn=False) if rng.random() < 1 / 16 else sample_held_out_scene(rng)
            images.append(draw_held_out(rng, scene) if scene.drawn else held_out_photograph(rng))
            items += list(sample_items(rng, n, scene))
        yield images, items


@torch.no_grad()
def greedy_answers(
    model: InternLMXComposer2ForCausalLM, encoder: ConversationEncoder, embeds: Tensor, asked: Sequence[Conversation]
) -> list[str]:
    """Answer the last question of each conversation by greedy decoding.

    A correct answer is recognised in one forward pass that is given it; only the others are decoded token by token.

    Args:
        model: the model.
        encoder: its tokenizer.
        embeds: embeddings of the pictures, (N, tokens, width).
        asked: conversations whose last turn has the correct answer.
    """
    cache = picture_cache(model, encoder.picture_prefix(), embeds)
    last = [Conversation(c.picture, c.turns[-1:], c.ids, c.spans[-1:]) for c in asked]
    answers: dict[int, str] = {}
    lengths: dict[int, list[int]] = {}
    by_length = sorted(range(len(last)), key=lambda n: len(last[n].ids))
    for start in range(0, len(last), ROWS):
        rows = by_length[start : start + ROWS]
        matches = answer_logits(model, [last[n] for n in rows], cache).exact_matches()
        for n, correct in zip(rows, matches, strict=True):
            if correct:
                answers[n] = last[n].turns[0].answer
            else:
                lengths.setdefault(last[n].spans[0][0], []).append(n)
    for length, rows in lengths.items():  # of equal length, so that no padding is needed
        own = select_rows(cache, [last[n].picture for n in rows])
        prompts = torch.tensor([last[n].ids[:length] for n in rows])
        answers |= zip(rows, _decoded(model, encoder, prompts, own), strict=True)
    return [answers[n] for n in range(len(last))]


def _decoded(
    model: InternLMXComposer2ForCausalLM, encoder: ConversationEncoder, ids: Tensor, cache: DynamicCache
) -> list[str]:
    """Continue the prompts `ids`, (rows, T), after `cache` greedily to the end of the turn."""
    generated: list[Tensor] = []
    unfinished = torch.ones(len(ids), dtype=torch.bool)
    for _ in range(MAX_ANSWER_TOKENS):
        hidden = model.model(model.model.tok_embeddings(ids), None, None, cache)
        ids = model.output(hidden[:, -1:]).argmax(-1)  # (rows, 1)
        generated.append(ids)
        unfinished &= (ids[:, 0] != encoder.end_id) & (ids[:, 0] != 2)
        if not unfinished.any():
            break
    texts = []
    for row in torch.cat(generated, dim=1).tolist():
        ends = [at for at, token in enumerate(row) if token in (encoder.end_id, 2)]
        texts.append(str(encoder.processor.decode(row[: ends[0]] if ends else row)))
    return texts


def evaluate(
    model: InternLMXComposer2ForCausalLM,
    encoder: ConversationEncoder,
    strategy: Strategy,
    half: str,
    groups: Iterable[PictureGroup],
) -> AccuracyTable:
    """Evaluate `model` on pictures that were not drawn by training's code.

    Args:
        model: with its weights in the strategy's dtype.
        encoder: its tokenizer.
        strategy: how to cast the pictures, and whether to use autocast.
        half: "float16" or "bfloat16".
        groups: the pictures with their questions: `held_out`, or `held_out_drawings.brush_drawings`.
    """
    table = AccuracyTable()
    image_dtype = getattr(torch, strategy.image_dtype(half))
    autocast: AbstractContextManager[object]
    for images, items in groups:
        autocast = torch.autocast("cpu", getattr(torch, half)) if strategy.autocast else nullcontext()
        with autocast, torch.no_grad():
            pixels = torch.cat([model.preprocess(image) for image in images]).to(image_dtype)
            embeds = model.encode_image(pixels)
            answer = partial(greedy_answers, model, encoder, embeds)
            asked = list(dict.fromkeys((item.picture, turn) for item in items for turn in (item.turn, item.previous)))
            answers = dict(zip(asked, answer([encoder.encode_turns(n, [turn]) for n, turn in asked]), strict=True))
            first = [answers[item.picture, item.turn] for item in items]
            # The second turn follows the model's own answer, right or wrong, which may not have the mentions.
            histories = [
                replace(item.previous, answer=answers[item.picture, item.previous], mentions=()) for item in items
            ]
            pairs = zip(items, histories, strict=True)
            second = answer([encoder.encode_turns(item.picture, [history, item.turn]) for item, history in pairs])
        for item, one, two in zip(items, first, second, strict=True):
            table.add(item, 1, one)
            table.add(item, 2, two)
    return table


COLUMNS: tuple[tuple[str, str | None, str, int | None], ...] = (
    ("English", "en", "training", 1),
    ("Chinese", "zh", "training", 1),
    ("second turns", None, "training", 2),
    ("English, held-out wordings", "en", "held_out", None),
    ("Chinese, held-out wordings", "zh", "held_out", None),
)
"""Columns of the table: name, language, wordings and turn, with None for both."""


def as_markdown(table: AccuracyTable) -> str:
    """Format the table of the model card, in per cent, with a dash where there are no answers."""
    names = " | ".join(name for name, *_ in COLUMNS)
    lines = [f"| kind | {names} | answers |", "| --- |" + " ---: |" * (len(COLUMNS) + 1)]
    for row in table.rows():
        shares = [table.share(row, language, wordings, turn) for _, language, wordings, turn in COLUMNS]
        count = sum(n for key, n in table.total.items() if key[0] == row)
        cells = " | ".join("—" if isnan(share) else f"{100 * share:.1f}" for share in shares)
        lines.append(f"| {row} | {cells} | {count} |")
    refused = 100 * table.refused / max(table.answerable, 1)
    lines.append("")
    lines.append(f"Answerable questions refused: {refused:.2f} % of {table.answerable}.")
    return "\n".join(lines)


def differing_share(one: AccuracyTable, other: AccuracyTable) -> float:
    """Share of answers, 0..1, whose text differs between two tables of the same questions."""
    return sum(a != b for a, b in zip(one.answers, other.answers, strict=True)) / len(one.answers)
