"""A comparison: one question under several variants. Frozen records, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from xcomposer_ui.compare.divergence import Divergence, Divergences
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.metrics import metric_of, repeated, weights_share
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.result import RunResult, result_as_json
from xcomposer_ui.core.strategies import REFERENCE


@dataclass(frozen=True)
class Spread:
    """The range and median of one figure over the repeats, in the figure's own unit."""

    lowest: float
    median: float
    highest: float

    def overlaps(self, other: Spread) -> bool:
        """Whether the two ranges have a value in common, so that the difference is within the noise."""
        return self.lowest <= other.highest and other.lowest <= self.highest


@dataclass(frozen=True)
class ComparedRun:
    """A variant's measured repeats, oldest first; at least one."""

    variant: Variant
    repeats: tuple[RunResult, ...]

    @property
    def result(self) -> RunResult:
        """The first repeat, with the medians over all repeats as its figures."""
        first = self.repeats[0]
        medians: dict[str, Any] = {}
        for metric in repeated():
            spread = None if metric.compute else self.spread(metric.field)
            if spread is not None:
                medians[metric.field] = round(spread.median) if isinstance(spread.lowest, int) else spread.median
        return replace(first, measurement=replace(first.measurement, **medians))

    @property
    def answer(self) -> str | None:
        return self.repeats[0].answer

    @property
    def answers_agree(self) -> bool:
        """Whether every repeat gave the same answer, as is expected with one seed."""
        return len({r.answer for r in self.repeats}) == 1

    @property
    def weights_share(self) -> float | None:
        """The weights' share of the peak memory, 0..1; None where either is unknown."""
        return weights_share(vars(self.result.measurement))

    def spread(self, name: str) -> Spread | None:
        """The spread of the figure `name` over the repeats; None where no repeat has it."""
        metric = metric_of(name)
        values = [v for r in self.repeats if (v := metric.value(vars(r.measurement))) is not None]
        return Spread(min(values), float(median(values)), max(values)) if values else None


@dataclass(frozen=True)
class Comparison:
    """The runs and divergences so far. runs: the variants that have run, in the order of `variants`.

    order: "interleaved", or "grouped" where not all weights fit into memory together.
    stopped: whether it ended before everything was measured; it has the finished runs.
    """

    variants: tuple[Variant, ...]
    runs: tuple[ComparedRun, ...] = ()
    divergences: Divergences = field(default_factory=Divergences)
    order: str = "interleaved"
    stopped: bool = False

    @property
    def full(self) -> ComparedRun | None:
        """Full precision's run; None where it did not answer."""
        return next((r for r in self.runs if r.variant.strategy == REFERENCE and r.answer is not None), None)

    def run_of(self, variant: Variant) -> ComparedRun | None:
        return next((r for r in self.runs if r.variant == variant), None)

    def divergence_of(self, run: ComparedRun) -> Divergence | None:
        return self.divergences.of(run.variant.strategy, run.variant.half)

    def same_as_full(self, run: ComparedRun) -> bool | None:
        """Whether `run` gave the same answer as full precision; None where either has no answer."""
        if self.full is None or run.answer is None:
            return None
        return run.answer == self.full.answer

    def with_repeat(self, variant: Variant, result: RunResult) -> Comparison:
        before = self.run_of(variant)
        longer = ComparedRun(variant, (*(before.repeats if before else ()), result))
        known = {run.variant: run for run in self.runs} | {variant: longer}
        return replace(self, runs=tuple(known[v] for v in self.variants if v in known))


def comparison_as_json(comparison: Comparison, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`{runs, divergence}` and the settings of the comparison, in the field names that scripts rely on.

    about: further top-level entries (the question, the environment) that make the document self-contained.
    """
    found = comparison.divergences
    return {
        "runs": [_run_as_json(comparison, run) for run in comparison.runs],
        "divergence": record_as_data(found.entries),
        "floor": record_as_data(found.floor),
        "full_tokens": list(found.tokens),
        "divergence_failures": dict(found.failures),
        "divergence_reasons": record_as_data(found.reasons, "en"),
        "order": comparison.order,
        "stopped": comparison.stopped,
        **(about or {}),
    }


def _run_as_json(comparison: Comparison, run: ComparedRun) -> dict[str, Any]:
    spreads = {name: run.spread(name) for name in (metric.field for metric in repeated())}
    return {
        **result_as_json(run.result),
        "repeats": len(run.repeats),
        "spread": {name: None if s is None else [s.lowest, s.highest] for name, s in spreads.items()},
        "weights_share": run.weights_share,
        "answers_agree": run.answers_agree,
        "same_as_full": comparison.same_as_full(run),
    }
