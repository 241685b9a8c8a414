"""Predicted and measured peak memory of finished runs; each run shape is predicted once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.request import tile_settings
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.planning.plan import RunShape

MOST_CACHED = 1024


@dataclass(frozen=True)
class PredictionError:
    """Predicted and measured peak memory of one run, in bytes, weights included. kind: as `peak_memory_kind`.

    prompt_tokens, new_tokens: 0 where the run ended before it had any.
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
        """(predicted − measured) / measured; −0.01 means that the prediction is one percent too low."""
        return self.predicted_bytes / self.measured_bytes - 1


def prediction_error_as_json(pair: PredictionError) -> dict[str, Any]:
    """`pair` in the field names that scripts rely on."""
    return {**vars(pair), "error": pair.error}


class Predictions:
    """Caches `predict` by run shape. Safe from any thread.

    predict: as `PlannerProcess.predict`: takes seconds, and may raise UserError.
    """

    def __init__(self, predict: Callable[[RunShape], int]) -> None:
        self._predict = predict
        self._cache: OrderedDict[RunShape, int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, shape: RunShape) -> int:
        """The prediction in bytes, computed where it is not cached. Raises UserError where it cannot be made."""
        cached = self.cached(shape)
        if cached is not None:
            return cached
        predicted = self._predict(shape)
        with self._lock:
            self._cache[shape] = predicted
            while len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return predicted

    def cached(self, shape: RunShape) -> int | None:
        """The cached prediction, or None. Does not wait."""
        with self._lock:
            return self._cache.get(shape)


def shape_of(result: RunResult) -> RunShape | None:
    """The shape of the run behind `result`.

    None where its memory was not measured, and for a later turn of a conversation: predictions are of a prompt that is
    read at once with its picture, while such a turn may reuse tokens and the picture, or is read turn by turn.
    """
    request, measured = result.request, result.measurement
    if measured.peak_memory_bytes is None or request.history:
        return None
    return RunShape(
        result.model, result.strategy, result.half, result.picture_size, len(request.text), measured.new_tokens or 1,
        **tile_settings(request), device=result.device, prompt_tokens=measured.prompt_tokens, decoder=measured.decoder,
        recorded=measured.record_sec is not None,
    )  # fmt: skip


def prediction_error_of(result: RunResult, predict: Callable[[RunShape], int | None]) -> PredictionError | None:
    """The prediction error of `result`; None where predicted or measured memory is unknown."""
    shape, measured = shape_of(result), result.measurement
    predicted = None if shape is None else predict(shape)
    if predicted is None or measured.peak_memory_bytes is None or measured.peak_memory_kind is None:
        return None
    return PredictionError(
        strategy=result.strategy,
        half=result.half,
        kind=measured.peak_memory_kind,
        prompt_tokens=measured.prompt_tokens or 0,
        new_tokens=measured.new_tokens or 0,
        predicted_bytes=predicted,
        measured_bytes=measured.peak_memory_bytes,
    )
