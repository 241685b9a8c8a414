"""Execution of a comparison: warm-up, measured runs in turns, divergence. Yields the comparison after each step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.divergence import Diverged, Diverging
from xcomposer_ui.compare.schedule import MOST_REPEATS, REPEATS, Variant, grouped, interleaved, variants_for
from xcomposer_ui.core.events import Event, Finished, Status, Waiting
from xcomposer_ui.core.request import MemoryRequest, Request, check_settings, setting
from xcomposer_ui.core.strategies import REFERENCE

WARM_UP_TOKENS = 2
"""Enough for a prefill and a decoding step."""


class Runs(Protocol):
    """The part of the runner that a comparison needs."""

    def half(self, name: str | None = None) -> str: ...

    def status(self) -> Status: ...

    def open(self) -> None: ...

    def resolved(self, request: Request) -> Request: ...

    def run(self, request: Request) -> Generator[Event, None, None]: ...

    def diverge(
        self, request: Request, variants: Sequence[tuple[str, str]]
    ) -> Generator[Waiting | Diverging | Diverged, None, None]: ...


@dataclass(frozen=True)
class ComparisonSettings:
    """The settings of a comparison, beside its request's.

    halves: the 16-bit dtypes to compare; () for the request's alone. repeats: measured runs of each variant.
    divergence: whether to measure it. warm_up: whether each variant has a short run first; not needed right after
    another comparison.
    without: variants to leave out, because they do not fit. Without full precision no divergence is measured.

    Raises UserError where `repeats` is out of range.
    """

    halves: tuple[str, ...] = ()
    repeats: int = setting(
        REPEATS, lowest=1, highest=MOST_REPEATS, step=1, flag="--repeats", help="measured runs of each strategy",
        label="compare.repeats",
    )  # fmt: skip
    divergence: bool = True
    warm_up: bool = True
    without: tuple[Variant, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class ComparisonProgress:
    """Progress of a comparison, and its results so far.

    stage: "warm_up", "run", "divergence", "finished" (the last one). variant: in progress. event: of its run.
    done, total: number of steps, divergence being one. The repeats of a failed variant are subtracted from the total.
    """

    comparison: Comparison
    stage: str
    variant: Variant | None = None
    event: Event | Diverging | None = None
    done: int = 0
    total: int = 0


def compare(
    runner: Runs, request: Request, settings: ComparisonSettings = ComparisonSettings()
) -> Generator[ComparisonProgress, None, None]:
    """Yield the progress; the last stage is "finished". Closing the generator stops the run in progress.

    A variant that fails is not repeated; the others continue.
    Raises UserError for the user's mistakes, before anything is computed.
    """
    variants = variants_of(runner, request, settings)
    if not any(variant.strategy == REFERENCE for variant in variants):
        settings = replace(settings, divergence=False)
    execution = _Execution(runner, request, settings, variants)
    yield from execution.warm_ups()
    yield from execution.measured()
    if settings.divergence:
        yield from execution.divergence()
    yield execution.step("finished")


def variants_of(runner: Runs, request: Request, settings: ComparisonSettings) -> tuple[Variant, ...]:
    """The variants to compare. Raises UserError where a half type is unknown."""
    halves = [runner.half(half) for half in settings.halves or (request.half,)]
    return tuple(variant for variant in variants_for(halves) if variant not in settings.without)


def memory_queries(
    runner: Runs, request: Request, settings: ComparisonSettings = ComparisonSettings()
) -> tuple[MemoryRequest, ...]:
    """What the memory of each variant's run depends on. Raises UserError as `compare` does."""
    return tuple(
        runner.resolved(_under(variant, request)).memory_query() for variant in variants_of(runner, request, settings)
    )


def _under(variant: Variant, request: Request) -> Request:
    return replace(request, strategy=variant.strategy, half=variant.half)


class _Execution:
    """A comparison in progress: its results so far, and its progress."""

    def __init__(
        self, runner: Runs, request: Request, settings: ComparisonSettings, variants: tuple[Variant, ...]
    ) -> None:
        self.runner, self.request, self.settings, self.variants = runner, request, settings, variants
        self.comparison = Comparison(variants)
        self.done = 0
        self.total = len(variants) * (settings.repeats + settings.warm_up) + settings.divergence

    def step(
        self, stage: str, variant: Variant | None = None, event: Event | Diverging | None = None
    ) -> ComparisonProgress:
        return ComparisonProgress(self.comparison, stage, variant, event, self.done, self.total)

    def warm_ups(self) -> Generator[ComparisonProgress, None, None]:
        """A short run of each variant, grouped by weights dtype, so that each is loaded once."""
        for variant in grouped(self.variants, 1) if self.settings.warm_up else ():
            yield from self._warm_up(variant)
        loaded = {dtype for _, dtype in self.runner.status().loaded}
        if not loaded >= {variant.weights_dtype for variant in self.variants}:
            self.comparison = replace(self.comparison, order="grouped")
            self.total += len({variant.weights_dtype for variant in self.variants})

    def measured(self) -> Generator[ComparisonProgress, None, None]:
        """The measured runs: interleaved, or grouped by weights dtype where not all weights fit together."""
        apart = self.comparison.order == "grouped"
        warm: str | None = None
        for variant in (grouped if apart else interleaved)(self.variants, self.settings.repeats):
            if apart and warm != variant.weights_dtype:
                warm = variant.weights_dtype
                yield from self._warm_up(variant)  # the first run after loading weights is slow
            if _failed(self.comparison, variant):
                continue
            for event in self.runner.run(_under(variant, self.request)):
                if isinstance(event, Finished):
                    self.comparison = self.comparison.with_repeat(variant, event.result)
                yield self.step("run", variant, event)
            self.done += 1
            if _failed(self.comparison, variant):
                run = self.comparison.run_of(variant)
                self.total -= self.settings.repeats - (len(run.repeats) if run else 0)

    def divergence(self) -> Generator[ComparisonProgress, None, None]:
        """The divergence of each variant from full precision, measured apart from the timed runs."""
        variants = [(variant.strategy, variant.half) for variant in self.variants]
        with closing(self.runner.diverge(self.request, variants)) as events:
            for event in events:
                if isinstance(event, Diverged):
                    self.comparison = replace(self.comparison, divergences=event.divergences)
                else:
                    yield self.step("divergence", None, event)
        self.done += 1

    def _warm_up(self, variant: Variant) -> Generator[ComparisonProgress, None, None]:
        short = replace(self.request, max_new_tokens=min(WARM_UP_TOKENS, self.request.max_new_tokens))
        for event in self.runner.run(_under(variant, short)):
            yield self.step("warm_up", variant, event)
        self.done += 1


def _failed(comparison: Comparison, variant: Variant) -> bool:
    run = comparison.run_of(variant)
    return run is not None and run.repeats[-1].failure is not None
