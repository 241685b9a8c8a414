"""What finished runs were predicted to take: each shape is asked once, and every pair is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from xcomposer_ui.core.result import RunResult
from xcomposer_ui.planning.planner_process import RunShape
from xcomposer_ui.planning.prediction_error import PredictionError, prediction_error

MOST_KEPT = 1024


class Predictions:
    """Asks `predict` for a shape's peak memory, and remembers. Safe from any thread.

    predict: takes seconds, and may raise UserError; a `PlanWorker`'s, so that no run is slowed.
    """

    def __init__(self, predict: Callable[[RunShape], int]) -> None:
        self._predict = predict
        self._kept: OrderedDict[RunShape, int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, shape: RunShape) -> int:
        """The prediction in bytes; asked for where it is not known. Raises UserError where it cannot be made."""
        known = self.known(shape)
        if known is not None:
            return known
        predicted = self._predict(shape)
        with self._lock:
            self._kept[shape] = predicted
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return predicted

    def known(self, shape: RunShape) -> int | None:
        """The prediction, if it was made already; answers at once."""
        with self._lock:
            return self._kept.get(shape)


def shape_of(result: RunResult, text_length: int) -> RunShape | None:
    """What the memory of `result` depended on; None where it was not measured. text_length: the question's."""
    measured = result.measurement
    if measured.peak_memory_bytes is None:
        return None
    return RunShape(
        model=result.model,
        device=result.device,
        strategy=result.strategy,
        half=result.half,
        picture=result.picture_size,
        prompt_tokens=measured.prompt_tokens,
        text_length=text_length,
        new_tokens=measured.new_tokens or 1,
        hd_num=result.hd_num,
    )


def prediction_error_of(
    result: RunResult, text_length: int, predict: Callable[[RunShape], int | None]
) -> PredictionError | None:
    """Predicted beside measured; None where either is not known."""
    shape = shape_of(result, text_length)
    predicted = None if shape is None else predict(shape)
    return None if shape is None or predicted is None else prediction_error(shape, result.measurement, predicted)
