"""Calibration of predictions: runs of a few sizes are measured and compared with their predicted peak memory."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from xcomposer_ui.backends.local import open_local
from xcomposer_ui.backends.planning.configuration import planned_configuration
from xcomposer_ui.backends.planning.planner import predicted_bytes
from xcomposer_ui.core.request import Request, tile_settings
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.base import FamilyConfig
from xcomposer_ui.planning.plan import PlanRequest
from xcomposer_ui.planning.predictions import PredictionError, prediction_error_of
from xcomposer_ui.runtime.backend import Progress

QUESTIONS = (("What is there?", 4), ("What is in the picture? Describe every shape that you see, and its colour.", 48))
"""(question, most new tokens): a short run and a longer one."""


def calibrate(request: PlanRequest) -> Iterator[PredictionError]:
    """Compare each strategy on `request`'s model and device, with and without picture. Raises what loading raises."""
    backend = open_local(request.model, request.device)
    config = planned_configuration(request)
    picture = Image.radial_gradient("L").convert("RGB").resize(request.image or (256, 256))
    for strategy in STRATEGIES.values():
        backend.load(strategy.weights_dtype(request.half), Progress())
        for text, tokens in QUESTIONS:
            for image in (picture, None):
                question = Request(
                    text, image, strategy=strategy.name, half=request.half, max_new_tokens=tokens,
                    **(tile_settings(request) if image else {}),
                )  # fmt: skip
                measured = backend.generate(question, Progress()).measurement
                pair = error_of_run(config, backend.device, question, measured)
                if pair is not None:
                    yield pair


def error_of_run(config: FamilyConfig, device: str, question: Request, measured: Measurement) -> PredictionError | None:
    """The prediction for a finished run and its error; None if the run's memory was not measured.

    The question's length is used for the prompt's if the run failed before it had a prompt.
    """
    result = RunResult(question, device, measured, picture_size=question.picture_size)
    return prediction_error_of(result, lambda shape: predicted_bytes(shape, config))
