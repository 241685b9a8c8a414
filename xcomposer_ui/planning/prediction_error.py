"""A prediction kept beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.result import Measurement
from xcomposer_ui.planning.planner_process import RunShape


@dataclass(frozen=True)
class PredictionError:
    """Predicted and measured peak memory of one run, in bytes, weights included. kind: as `peak_memory_kind`.

    prompt_tokens, new_tokens: 0 where the run did not come to them.
    """

    strategy: str
    half: str
    kind: str
    prompt_tokens: int
    new_tokens: int
    predicted_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float:
        """(predicted − measured) / measured: −0.01 is one percent too little."""
        return self.predicted_bytes / self.measured_bytes - 1


def prediction_error(shape: RunShape, measured: Measurement, predicted_bytes: int) -> PredictionError | None:
    """The pair of a run that is over; None where its memory was not measured."""
    if measured.peak_memory_bytes is None or measured.peak_memory_kind is None:
        return None
    return PredictionError(
        strategy=shape.strategy,
        half=shape.half,
        kind=measured.peak_memory_kind,
        prompt_tokens=measured.prompt_tokens or 0,
        new_tokens=measured.new_tokens or 0,
        predicted_bytes=predicted_bytes,
        measured_bytes=measured.peak_memory_bytes,
    )


def prediction_error_as_json(pair: PredictionError) -> dict[str, Any]:
    """`pair` in the field names that scripts rely on."""
    return {**vars(pair), "error": pair.error}
