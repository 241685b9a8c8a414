"""The dtype check: runs a tiny model under every strategy in both half types, and records each boundary that clashes.

It uses real tensors on the CPU, because meta and fake ones do not raise the most common clash, that of a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from xcomposer_ui.backends.arithmetic import strategy_autocast
from xcomposer_ui.backends.tiny_models.build import NoTinyModelError, configuration, loaded_in, tiny_model
from xcomposer_ui.backends.tiny_models.casting_tracer import CastingTracer
from xcomposer_ui.backends.tiny_models.inputs import Inputs, inputs_for
from xcomposer_ui.core.errors import first_line
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES, Strategy
from xcomposer_ui.models.base import FamilyModel
from xcomposer_ui.tracing.lint import Lint, LintCase

NEW_TOKENS = 2
"""Prefill and one decoding step; all later steps run the same operations."""

SMALL_PICTURE = (64, 64)
"""(width, height) in pixels; a single tile for tiled members."""

EXPECTED = (RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError, AssertionError)
"""What a model may raise for inputs in the wrong layout."""


def lint(named: str, halves: Sequence[str] = HALF_DTYPES) -> Lint:
    """Check the model of a folder's config.json or of a class, under every strategy in each of `halves`.

    Raises UserError if there is no such folder or class, NoTinyModelError if no tiny model can be built or run.
    """
    transformers_logging.set_verbosity_error()
    tiny = tiny_model(*configuration(named))
    inputs = _accepted_inputs(tiny)
    cases = []
    for half in halves:
        weights = {"float32": tiny}
        for strategy in STRATEGIES.values():
            if half != halves[0] and not strategy.uses_half:
                continue  # the result does not depend on the half type
            dtype = strategy.weights_dtype(half)
            if dtype not in weights:
                weights[dtype] = _loaded(tiny, dtype)
            cases.append(_case(weights[dtype], inputs, strategy, half))
    return Lint(named, type(tiny).__name__, sum(w.numel() for w in tiny.parameters()), tuple(cases))


def run(model: Any, inputs: Inputs) -> None:
    """Run the model on one picture and a few tokens, by `generate` if it has it."""
    with torch.no_grad():
        if isinstance(model, FamilyModel):
            inputs = model.joined_inputs([[1, 3], [4, 5]], [inputs["pixel_values"]])
        if not model.can_generate():
            model(**inputs)
            return
        # Set in the configuration and not as an argument, which some families' `generate` passes a second time.
        if model.generation_config.pad_token_id is None:
            model.generation_config.pad_token_id = 0
        model.generate(**inputs, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)


def _accepted_inputs(tiny: Any) -> Inputs:
    try:
        if isinstance(tiny, FamilyModel):
            pixels = tiny.config.pixel_size(SMALL_PICTURE, 1)
            inputs = {"pixel_values": torch.rand(1, 3, *pixels)}
        else:
            inputs = inputs_for(tiny)
        run(tiny, inputs)
    except EXPECTED as error:
        raise NoTinyModelError(
            f"a small {type(tiny).__name__} was built, and does not answer the picture and the words that it was given"
            f": {first_line(error)}"
        ) from error
    return inputs


def _loaded(tiny: Any, half: str) -> Any:
    try:
        return loaded_in(tiny, getattr(torch, half))
    except EXPECTED as error:
        raise NoTinyModelError(f"a small {type(tiny).__name__} cannot be loaded in {half}: {error}") from error


def _case(model: Any, inputs: Inputs, strategy: Strategy, half: str) -> LintCase:
    given = {name: _cast(value, strategy.image_dtype(half)) for name, value in inputs.items()}
    tracer = CastingTracer(model)
    stopped_by = None
    try:
        with strategy_autocast(strategy, half, "cpu"), tracer:
            run(model, given)
    except EXPECTED as error:
        stopped_by = f"{type(error).__name__}: {error}"
        tracer.forget(error)
    return LintCase(strategy.name, half, tracer.boundaries, stopped_by)


def _cast(value: Tensor, dtype: str) -> Tensor:
    return value.to(getattr(torch, dtype)) if value.is_floating_point() else value
