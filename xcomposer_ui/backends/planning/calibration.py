"""Predictions beside measurements: a few sizes are run here, each predicted from the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from xcomposer_ui.backends.local import open_local
from xcomposer_ui.backends.planning.configuration import configuration_of
from xcomposer_ui.backends.planning.planner import predicted_bytes
from xcomposer_ui.core.request import Request, tile_settings
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.base import FamilyConfig
from xcomposer_ui.planning.plan import PlanRequest, RunShape
from xcomposer_ui.planning.predictions import PredictionError, prediction_error
from xcomposer_ui.runtime.backend import Progress

QUESTIONS = (("What is there?", 4), ("What is in the picture? Describe every shape that you see, and its colour.", 48))
"""(question, new tokens at most): a short run and a longer one."""


def calibrate(request: PlanRequest) -> Iterator[PredictionError]:
    """Each strategy on `request`'s model and device, with and without a picture. Raises UserError as loading does."""
    backend = open_local(request.model, request.device)
    config = configuration_of(request.model)
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
                pair = beside(config, backend.device, strategy.name, request.half, question, measured)
                if pair is not None:
                    yield pair


def beside(
    config: FamilyConfig,
    device: str,
    strategy: str,
    half: str,
    question: Request,
    measured: Measurement,
) -> PredictionError | None:
    """What would have been predicted for a run that is over; None where its memory was not measured.

    The question's length stands in for the prompt's where a run failed before it had one.
    """
    new_tokens = measured.new_tokens or 1
    picture = None if question.image is None else question.image.size
    shape = RunShape(
        "", device, strategy, half, picture, measured.prompt_tokens, len(question.text), new_tokens,
        **tile_settings(question),
    )  # fmt: skip
    if measured.peak_memory_bytes is None:
        return None
    return prediction_error(shape, measured, predicted_bytes(shape, config))
