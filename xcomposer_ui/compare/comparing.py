"""Compares: warms up, measures in turns, then measures divergence; tells what is known after each step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.compare.schedule import REPEATS, Variant, checked_repeats, grouped, interleaved, variants_for
from xcomposer_ui.question import checked_question
from xcomposer_ui.records import Event, Finished, Question, Status, Waiting

WARM_UP_TOKENS = 2
"""Enough for a prefill and a decoding step, which is all there is to warm."""


class Runs(Protocol):
    """What comparing needs of the runner."""

    def half(self, asked: str | None = None) -> str: ...

    def status(self) -> Status: ...

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
class Plan:
    """What is asked of a comparison.

    halves: the 16-bit dtypes to compare; () for the lab's choice alone. repeats: measured runs a variant, 1..50.
    divergence: whether to measure it. model, device: None for what the settings say.
    """

    halves: tuple[str, ...] = ()
    repeats: int = REPEATS
    divergence: bool = True
    model: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Step:
    """How far a comparison has come, and all it knows by then.

    stage: "warm_up", "run", "divergence", "finished" (the last one). variant: at work now. event: of its run.
    done, total: of the steps, the divergence counted as one.
    """

    comparison: Comparison
    stage: str
    variant: Variant | None = None
    event: Event | Diverging | None = None
    done: int = 0
    total: int = 0


def compare(runner: Runs, question: Question, plan: Plan = Plan()) -> Generator[Step, None, None]:
    """Yield steps; the last is "finished". Closing the generator stops the run in progress.

    A variant that fails keeps its failure and is not repeated; the others go on.
    Raises UserError for the user's mistakes, before anything is computed.
    """
    checked_question(question)
    repeats = checked_repeats(plan.repeats)
    variants = variants_for([runner.half(half) for half in plan.halves or (None,)])
    comparison = Comparison(variants)
    total = len(variants) * (repeats + 1) + plan.divergence
    done = 0

    def step(stage: str, variant: Variant | None = None, event: Event | Diverging | None = None) -> Step:
        return Step(comparison, stage, variant, event, done, total)

    short = replace(question, max_new_tokens=min(WARM_UP_TOKENS, question.max_new_tokens))
    for variant in variants:
        for event in _run(runner, short, variant, plan):
            yield step("warm_up", variant, event)
        done += 1
    held = {dtype for _, dtype in runner.status().loaded}
    if not held >= {variant.weights_dtype for variant in variants}:
        comparison = replace(comparison, order="grouped")
    in_turns = grouped if comparison.order == "grouped" else interleaved
    for _, variant in in_turns(variants, repeats):
        if not _failed(comparison, variant):
            for event in _run(runner, question, variant, plan):
                if isinstance(event, Finished):
                    comparison = comparison.with_repeat(variant, event.result)
                yield step("run", variant, event)
        done += 1
    if plan.divergence:
        for found in _diverge(runner, question, variants, plan):
            if isinstance(found, Diverged):
                comparison = replace(comparison, divergences=found.divergences)
            else:
                yield step("divergence", None, found)
        done += 1
    yield step("finished")


def _run(runner: Runs, question: Question, variant: Variant, plan: Plan) -> Generator[Event, None, None]:
    events = runner.run(question, variant.strategy, variant.half, model=plan.model, device=plan.device)
    try:
        yield from events
    finally:
        events.close()


def _diverge(
    runner: Runs, question: Question, variants: Sequence[Variant], plan: Plan
) -> Generator[Waiting | Diverging | Diverged, None, None]:
    pairs = [(variant.strategy, variant.half) for variant in variants]
    events = runner.diverge(question, pairs, model=plan.model, device=plan.device)
    try:
        yield from events
    finally:
        events.close()


def _failed(comparison: Comparison, variant: Variant) -> bool:
    run = comparison.run_of(variant)
    return run is not None and run.repeats[-1].failure is not None
