"""What a conversation keeps for its next turn: the same numbers as without it, to the bit, and bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.checkpoints import tiny_model, write_checkpoint
from tests.requests import under
from xcomposer_ui.backends import prefix_cache
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import CallResult, Progress

ROUND = Image.radial_gradient("L").convert("RGB")
STRIPED = Image.linear_gradient("L").convert("RGB")
TEXTS = ("What is there?", "And what color is it?", "图中有什么？", "Is it large?")
VARIANTS = [("full", "float16"), *((s, half) for s in ("autocast", "unified") for half in ("float16", "bfloat16"))]


@pytest.fixture(scope="module", params=[None, "2.5"], ids=["single-image", "tiled"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tiny_model(seed=4, tiles=request.param))


@pytest.fixture
def backend(checkpoint: Path) -> LocalBackend:
    return open_local(str(checkpoint), "cpu")


class Visit:
    """A visitor's conversation, whose history is what was answered; `seen` is each turn's logits, step by step."""

    def __init__(self, backend: LocalBackend, picture: Image.Image | None = ROUND, forgetful: bool = False) -> None:
        self.backend, self.picture, self.forgetful = backend, picture, forgetful
        self.history: list[tuple[str, str]] = []
        self.hd_num: int | None = None
        self.seen: list[list[Tensor]] = []

    def ask(
        self, text: str, strategy: str = "full", half: str = "float16", stop_after: int | None = None
    ) -> CallResult:
        if self.forgetful:
            self.backend.forget()
        chosen, progress = STRATEGIES[strategy], Progress()
        self.backend.load(chosen.weights_dtype(half), progress)
        model, _ = self.backend.weights(chosen.weights_dtype(half))
        logits: list[Tensor] = []

        def look(_module: object, _inputs: object, output: Tensor) -> None:
            logits.append(output.clone())
            if stop_after is not None and len(logits) >= stop_after:
                progress.stop.set()

        hook = model.get_output_embeddings().register_forward_hook(look)
        try:
            question = Request(text, self.picture, tuple(self.history), max_new_tokens=7, hd_num=self.hd_num)
            outcome = self.backend.generate(under(question, chosen.name, half), progress)
        finally:
            hook.remove()
        self.seen.append(logits)
        if outcome.answer is not None:
            self.history.append((text, outcome.answer))
        return outcome


def assert_same(one: Visit, other: Visit) -> None:
    """Every answer and every logit of both visits is equal, to the bit."""
    assert one.history == other.history
    assert [len(turn) for turn in one.seen] == [len(turn) for turn in other.seen]
    for turn, expected in zip(one.seen, other.seen, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(turn, expected, strict=True))


def reused(outcomes: Sequence[CallResult]) -> list[int | None]:
    return [outcome.measurement.reused_tokens for outcome in outcomes]


@pytest.mark.parametrize(("strategy", "half"), VARIANTS)
@pytest.mark.parametrize("picture", [ROUND, None], ids=["picture", "text"])
def test_turns_are_the_same_to_the_bit_and_reuse_all_that_came_before(
    backend: LocalBackend, strategy: str, half: str, picture: Image.Image | None
) -> None:
    kept, plain = Visit(backend, picture), Visit(backend, picture, forgetful=True)
    outcomes = [kept.ask(text, strategy, half) for text in TEXTS]
    again = [plain.ask(text, strategy, half) for text in TEXTS]
    assert_same(kept, plain)
    lengths = [outcome.measurement.prompt_tokens for outcome in outcomes]
    assert reused(outcomes) == [0, *lengths[:-1]]
    assert reused(again) == [0] * 4
    pictures = [outcome.measurement.reused_picture for outcome in outcomes]
    assert pictures == ([False, True, True, True] if picture else [None] * 4)


def test_answers_are_those_of_a_prompt_read_in_one_piece(backend: LocalBackend) -> None:
    visit = Visit(backend)
    for text in TEXTS:
        visit.ask(text)
    model, tokenizer = backend.weights("float32")
    history: list[tuple[str, str]] = []
    for text in TEXTS:
        how = {"do_sample": False, "max_new_tokens": 7, "repetition_penalty": 1.0}
        _, history = model.chat(tokenizer, text, ROUND, history, **how)
    assert history == visit.history


def test_the_picture_is_encoded_once_a_conversation(backend: LocalBackend) -> None:
    visit, calls = Visit(backend), []
    visit.ask(TEXTS[0])
    model, _ = backend.weights("float32")
    model.vit.register_forward_hook(lambda *_: calls.append(1))
    visit.ask(TEXTS[1])
    visit.ask(TEXTS[2])
    assert not calls
    Visit(backend).ask(TEXTS[0])  # a first question is measured whole
    assert calls


def test_an_edited_history_another_picture_and_another_strategy(backend: LocalBackend) -> None:
    kept, plain = Visit(backend), Visit(backend, forgetful=True)
    outcomes = {}
    for visit in (kept, plain):
        first = [visit.ask(text) for text in TEXTS[:3]]
        visit.history[1] = (visit.history[1][0], "No, it is blue.")
        edited = visit.ask(TEXTS[3])
        visit.history = visit.history[:1]
        shortened = visit.ask(TEXTS[2])
        visit.picture = STRIPED
        other_picture = visit.ask(TEXTS[1])
        visit.picture = ROUND
        switched = [visit.ask("Sure?", "unified"), visit.ask("Sure?", "full"), visit.ask("Really?", "unified")]
        outcomes[visit] = first, edited, shortened, other_picture, switched
    assert_same(kept, plain)
    first, edited, shortened, other_picture, switched = outcomes[kept]
    assert edited.measurement.reused_tokens == first[1].measurement.prompt_tokens  # as far as it is the same
    assert shortened.measurement.reused_tokens == first[0].measurement.prompt_tokens
    assert (other_picture.measurement.reused_tokens, other_picture.measurement.reused_picture) == (0, False)
    assert switched[0].measurement.reused_tokens == 0
    assert switched[2].measurement.reused_tokens == switched[0].measurement.prompt_tokens


def test_other_tiles_are_another_picture(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, tiny_model(seed=4, tiles="2.5"))
    backend = open_local(str(checkpoint), "cpu")
    kept, plain = Visit(backend), Visit(backend, forgetful=True)
    outcomes = {}
    for visit in (kept, plain):
        turns = []
        for text, visit.hd_num in zip(TEXTS, (None, 2, 2, None), strict=True):
            turns.append(visit.ask(text).measurement)
        outcomes[visit] = turns
    assert_same(kept, plain)
    assert [turn.reused_picture for turn in outcomes[kept]] == [False, False, True, True]
    assert outcomes[kept][1].reused_tokens == 0
    assert outcomes[kept][1].prompt_tokens < outcomes[kept][0].prompt_tokens  # fewer tiles, though a longer history


def test_tiles_asked_of_a_model_that_has_none_are_the_users_mistake(tmp_path: Path) -> None:
    backend = open_local(str(write_checkpoint(tmp_path)), "cpu")
    visit = Visit(backend)
    visit.hd_num = 2
    with pytest.raises(UserError, match="hd_num is for tiled models"):
        visit.ask("What?")


@pytest.mark.slow
def test_after_a_stop_early_or_late_and_after_a_failure(backend: LocalBackend) -> None:
    kept, plain = Visit(backend), Visit(backend, forgetful=True)
    for visit in (kept, plain):
        visit.ask(TEXTS[0])
        visit.ask(TEXTS[1], stop_after=2)
        visit.ask(TEXTS[2])
        failed = visit.ask(TEXTS[2], "as_is")
        assert failed.failure_type == "RuntimeError"
        visit.ask(TEXTS[3])
        visit.ask("Before the first token?", stop_after=0)
        visit.ask(TEXTS[1])
    assert_same(kept, plain)


@pytest.mark.slow
def test_visitors_who_take_turns_and_one_who_clears(backend: LocalBackend) -> None:
    together = [Visit(backend), Visit(backend, STRIPED), Visit(backend, None)]
    alone = [Visit(backend, visit.picture, forgetful=True) for visit in together]
    for text in TEXTS:
        for visit in together[:2]:
            goes_on = bool(visit.history)  # random weights may find nothing to say, and then there is no turn
            assert bool(visit.ask(text).measurement.reused_tokens) == goes_on  # two conversations are kept
    for text in TEXTS:
        together[2].ask(text)
        backend.forget()
    for visit in alone:
        for text in TEXTS:
            visit.ask(text)
    for visit, expected in zip(together, alone, strict=True):
        assert_same(visit, expected)


def test_what_is_kept_is_bounded_and_let_go(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        for picture in (ROUND, STRIPED, None):
            Visit(backend, picture).ask(TEXTS[0])
    store = backend._prefixes
    assert len(store._kept) == prefix_cache.MOST
    assert store.nbytes > 0
    backend.forget()
    assert store.nbytes == 0
    monkeypatch.setattr(store, "_most_bytes", 1000)
    Visit(backend).ask(TEXTS[0])
    assert store.nbytes == 0  # larger than all that may be kept
    monkeypatch.undo()
    Visit(backend).ask(TEXTS[0])
    backend.unload()
    assert store.nbytes == 0


def test_what_is_cleared_while_a_turn_runs_is_not_kept_after_it(backend: LocalBackend) -> None:
    backend.load("float32", Progress())
    progress = Progress()
    calls: list[int] = []

    def clear(*_: object) -> None:
        """At the third token, clear as another visitor does, from another thread."""
        calls.append(1)
        if len(calls) == 3:
            other = threading.Thread(target=backend.forget)
            other.start()
            other.join()
            progress.stop.set()

    hook = backend.weights("float32")[0].get_output_embeddings().register_forward_hook(clear)
    outcome = backend.generate(under(Request("Go on.", ROUND, max_new_tokens=9), "full"), progress)
    hook.remove()
    assert outcome.stopped
    assert backend._prefixes.nbytes == 0


def test_the_peak_counts_what_was_kept_for_it(backend: LocalBackend) -> None:
    kept, plain = Visit(backend), Visit(backend, forgetful=True)
    for visit in (kept, plain):
        outcomes = [visit.ask(text) for text in TEXTS]
        visit.seen.clear()
        peak = outcomes[-1].measurement
        cache = 2 * 2 * 2 * 8 * 4 * peak.prompt_tokens  # type: ignore[operator]  # layers, k and v, heads, width, bytes
        assert peak.peak_memory_bytes > peak.weights_bytes + cache  # type: ignore[operator]


def test_no_memory_is_answered_by_letting_go_of_what_was_kept(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visit(backend)
    visit.ask(TEXTS[0])
    model, _ = backend.weights("float32")
    whole = model.answer_ids

    def scarce(*given: object, **named: object) -> list[int]:
        if backend._prefixes.cleared == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*given, **named)

    Visit(backend, STRIPED).ask(TEXTS[0])
    monkeypatch.setattr(model, "answer_ids", scarce)
    outcome = visit.ask(TEXTS[1])
    assert outcome.failure_type is None
    assert outcome.measurement.reused_tokens == 0
