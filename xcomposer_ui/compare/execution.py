"""Compares: warms up, measures in turns, then measures divergence; tells what is known after each step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.compare.schedule import REPEATS, Variant, checked_repeats, grouped, interleaved, variants_for
from xcomposer_ui.core.events import Event, Finished, Status, Waiting
from xcomposer_ui.core.request import Question, checked_question
from xcomposer_ui.core.strategies import REFERENCE
from xcomposer_ui.planning.fit import MemoryRequest

WARM_UP_TOKENS = 2
"""Enough for a prefill and a decoding step, which is all there is to warm."""


class Runs(Protocol):
    """What comparing needs of the runner."""

    def half(self, asked: str | None = None) -> str: ...

    def status(self) -> Status: ...

    def open(self) -> None: ...

    def wanted(
        self, question: Question, strategy: str, half: str | None = None, *, model: str | None = None
    ) -> MemoryRequest: ...

    def run(
        self,
        question: Question,
        strategy: str,
        half: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Event, None, None]: ...

    def diverge(
        self,
        question: Question,
        variants: Sequence[tuple[str, str]],
        *,
        model: str | None = None,
        device: str | None = None,
    ) -> Generator[Waiting | Diverging | Diverged, None, None]: ...


@dataclass(frozen=True)
class ComparisonSettings:
    """What is asked of a comparison.

    halves: the 16-bit dtypes to compare; () for the lab's choice alone. repeats: measured runs a variant, 1..50.
    divergence: whether to measure it. model, device: None for what the settings say.
    warm_up: whether each variant has a short run first; a question that follows another needs none.
    without: variants to leave out, because they do not fit. Without full precision no divergence is measured.
    """

    halves: tuple[str, ...] = ()
    repeats: int = REPEATS
    divergence: bool = True
    model: str | None = None
    device: str | None = None
    warm_up: bool = True
    without: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class ComparisonProgress:
    """How far a comparison has come, and all it knows by then.

    stage: "warm_up", "run", "divergence", "finished" (the last one). variant: at work now. event: of its run.
    done, total: of the steps, the divergence counted as one; what failed is not repeated, and leaves the total.
    """

    comparison: Comparison
    stage: str
    variant: Variant | None = None
    event: Event | Diverging | None = None
    done: int = 0
    total: int = 0


def compare(
    runner: Runs, question: Question, plan: ComparisonSettings = ComparisonSettings()
) -> Generator[ComparisonProgress, None, None]:
    """Yield steps; the last is "finished". Closing the generator stops the run in progress.

    A variant that fails keeps its failure and is not repeated; the others go on.
    Raises UserError for the user's mistakes, before anything is computed.
    """
    checked_question(question)
    repeats = checked_repeats(plan.repeats)
    variants = variants_of(runner, plan)
    if not any(variant.strategy == REFERENCE for variant in variants):
        plan = replace(plan, divergence=False)
    going = _Going(runner, question, plan, variants, repeats)
    yield from going.warm_ups()
    yield from going.measured()
    if plan.divergence:
        yield from going.divergence()
    yield going.step("finished")


def variants_of(runner: Runs, plan: ComparisonSettings) -> tuple[Variant, ...]:
    """What `plan` compares. Raises UserError where a half type is none."""
    halves = [runner.half(half) for half in plan.halves or (None,)]
    return tuple(variant for variant in variants_for(halves) if variant not in plan.without)


def memory_requests(
    runner: Runs, question: Question, plan: ComparisonSettings = ComparisonSettings()
) -> tuple[MemoryRequest, ...]:
    """Its runs in the words of planning, one a variant: whether each fits. Raises UserError as `compare` does."""
    return tuple(
        runner.wanted(question, variant.strategy, variant.half, model=plan.model)
        for variant in variants_of(runner, plan)
    )


class _Going:
    """A comparison under way: what is known, and how far it has come."""

    def __init__(
        self, runner: Runs, question: Question, plan: ComparisonSettings, variants: tuple[Variant, ...], repeats: int
    ) -> None:
        self.runner, self.question, self.plan, self.repeats = runner, question, plan, repeats
        self.variants = variants
        self.comparison = Comparison(variants)
        self.done = 0
        self.total = len(variants) * (repeats + plan.warm_up) + plan.divergence

    def step(
        self, stage: str, variant: Variant | None = None, event: Event | Diverging | None = None
    ) -> ComparisonProgress:
        return ComparisonProgress(self.comparison, stage, variant, event, self.done, self.total)

    def warm_ups(self) -> Generator[ComparisonProgress, None, None]:
        """A short run of each variant, those of the same weights one after the other: each is loaded once."""
        for _, variant in grouped(self.variants, 1) if self.plan.warm_up else ():
            yield from self._warm_up(variant)
        if not self._held() >= {variant.weights_dtype for variant in self.variants}:
            self.comparison = replace(self.comparison, order="grouped")
            self.total += len({variant.weights_dtype for variant in self.variants})

    def measured(self) -> Generator[ComparisonProgress, None, None]:
        """The runs that count, in turns; where weights make room for others, each dtype's in one go."""
        apart = self.comparison.order == "grouped"
        warm: str | None = None
        for _, variant in (grouped if apart else interleaved)(self.variants, self.repeats):
            if apart and warm != variant.weights_dtype:
                warm = variant.weights_dtype
                yield from self._warm_up(variant)  # weights that have just been loaded are slow the first time
            if _failed(self.comparison, variant):
                continue
            for event in self._run(self.question, variant):
                if isinstance(event, Finished):
                    self.comparison = self.comparison.with_repeat(variant, event.result)
                yield self.step("run", variant, event)
            self.done += 1
            if _failed(self.comparison, variant):
                self.total -= self.repeats - self._measured(variant)

    def divergence(self) -> Generator[ComparisonProgress, None, None]:
        """How far each is from full precision, measured apart from the runs that are timed."""
        pairs = [(variant.strategy, variant.half) for variant in self.variants]
        events = self.runner.diverge(self.question, pairs, model=self.plan.model, device=self.plan.device)
        try:
            for event in events:
                if isinstance(event, Diverged):
                    self.comparison = replace(self.comparison, divergences=event.divergences)
                else:
                    yield self.step("divergence", None, event)
        finally:
            events.close()
        self.done += 1

    def _warm_up(self, variant: Variant) -> Generator[ComparisonProgress, None, None]:
        short = replace(self.question, max_new_tokens=min(WARM_UP_TOKENS, self.question.max_new_tokens))
        for event in self._run(short, variant):
            yield self.step("warm_up", variant, event)
        self.done += 1

    def _run(self, question: Question, variant: Variant) -> Generator[Event, None, None]:
        events = self.runner.run(
            question, variant.strategy, variant.half, model=self.plan.model, device=self.plan.device
        )
        try:
            yield from events
        finally:
            events.close()

    def _measured(self, variant: Variant) -> int:
        run = self.comparison.run_of(variant)
        return 0 if run is None else len(run.repeats)

    def _held(self) -> set[str]:
        return {dtype for _, dtype in self.runner.status().loaded}


def _failed(comparison: Comparison, variant: Variant) -> bool:
    run = comparison.run_of(variant)
    return run is not None and run.repeats[-1].failure is not None
