"""The state of one visitor's Compare tab: frozen records, replaced at each step, never shared between visitors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import context_as_json
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import MemoryRequest, Request
from xcomposer_ui.planning.fit import DoesNotFit


@dataclass(frozen=True)
class ComparisonRequest:
    """A question and the settings of its comparison. with_picture: whether reports contain the picture itself."""

    question: Request
    settings: ComparisonSettings = field(default_factory=ComparisonSettings)
    with_picture: bool = False


@dataclass(frozen=True)
class ComparisonDoesNotFit:
    """A comparison that was not begun, because some of its variants do not fit.

    refused: the comparison. batch: whether it was to compare the examples. queries: one for each variant.
    misfits: the variants that do not fit.
    """

    refused: ComparisonRequest
    queries: tuple[MemoryRequest, ...]
    misfits: tuple[DoesNotFit, ...]
    batch: bool = False

    @property
    def without(self) -> tuple[Variant, ...]:
        return tuple(Variant(misfit.request.strategy, misfit.request.half) for misfit in self.misfits)

    @property
    def fitting(self) -> tuple[Variant, ...]:
        variants = (Variant(query.strategy, query.half) for query in self.queries)
        return tuple(variant for variant in variants if variant not in self.without)


@dataclass(frozen=True)
class CompareSession:
    """The state of one visitor's Compare tab.

    request: of the comparison in progress or the last one. step: of the one in progress, None when idle.
    comparison, document: of the same, as far as it was run.
    earlier: the session before; a stop before the first result restores it, with `stopped_early` set.
    checking_fit: whether the variants are being planned. misfit: a comparison not started because it does not fit.
    batch: the documents of the examples compared so far, without their layers. batch_total: the number of examples.
    """

    request: ComparisonRequest | None = None
    step: ComparisonProgress | None = None
    comparison: Comparison | None = None
    document: Mapping[str, Any] | None = None
    batch: tuple[Mapping[str, Any], ...] = ()
    batch_total: int = 0
    notice: UserError | None = None
    earlier: CompareSession | None = None
    stopped_early: bool = False
    checking_fit: bool = False
    misfit: ComparisonDoesNotFit | None = None

    @property
    def running(self) -> bool:
        """Whether a comparison or the check whether it fits is in progress."""
        return self.step is not None or self.checking_fit

    def idle(self) -> CompareSession:
        """The session with nothing in progress and no notice."""
        return replace(self, step=None, notice=None, earlier=None, stopped_early=False, checking_fit=False, misfit=None)

    def ended(self, stopped: bool = False) -> CompareSession:
        """The idle session, with the document of what was measured."""
        comparison = self.comparison
        measured = self.batch if self.batch_total else comparison is not None and comparison.runs
        if stopped and not measured and self.earlier is not None:
            return replace(self.earlier, stopped_early=True)
        if comparison is not None and self.step is not None:
            comparison = replace(comparison, stopped=stopped)
        ended = replace(self, step=None, comparison=comparison, earlier=None)
        if comparison is None or not comparison.runs or self.request is None:
            return ended
        return replace(ended, document=document_of(self.request, comparison))

    def stopped(self) -> CompareSession:
        """The idle session, with the document of what was measured until a stop."""
        if self.step is None:
            return replace(self, checking_fit=False, stopped_early=self.running or self.stopped_early)
        return self.ended(stopped=True)


def document_of(request: ComparisonRequest, comparison: Comparison) -> dict[str, Any]:
    """The self-contained JSON of `comparison`. The request must have its picture open."""
    return comparison_as_json(
        comparison, context_as_json(request.question, comparison, with_picture=request.with_picture)
    )
