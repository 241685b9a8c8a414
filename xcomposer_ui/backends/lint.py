"""The dtype check: runs a tiny model under every strategy in both half types, and records each boundary that clashes.

It uses real tensors on the CPU, because meta and fake ones do not raise the most common clash, that of a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from xcomposer_ui.backends.arithmetic import strategy_autocast
from xcomposer_ui.backends.tiny_models.build import NoTinyModelError, configuration, loaded_in, tiny_model
from xcomposer_ui.backends.tiny_models.inputs import Inputs, inputs_for
from xcomposer_ui.backends.torch_private import tree_map, writes_into_an_operand
from xcomposer_ui.backends.tracing.tensor_origins import tensors_in
from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.core.errors import first_line
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES, Strategy
from xcomposer_ui.explain import explain
from xcomposer_ui.models.base import FamilyModel
from xcomposer_ui.tracing.dtype_flow import FailureSite
from xcomposer_ui.tracing.lint import Boundary, Lint, LintCase

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


class CastingTracer(Tracer):
    """Records each boundary where floating-point types clash, and casts there: one run finds every one.

    The operands are cast to the dtype of the one that is written into, else to the weight's. Only errors that the
    rules explain are handled; an operation that fails again with the cast operands raises.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._found: dict[tuple[object, ...], Boundary] = {}
        self._passed_on: BaseException | None = None

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Each clash once, in order of execution."""
        return tuple(self._found.values())

    def operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        return self._or_cast(super().operation, operation, args, kwargs, lambda: writes_into_an_operand(operation))

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        return self._or_cast(super().call, function, args, kwargs, lambda: False)

    def _or_cast(
        self, run: Callable[..., Any], called: Any, args: Any, kwargs: Any, written: Callable[[], bool]
    ) -> Any:
        """The result of `run(called, args, kwargs)`, or of the same with operands that were cast."""
        try:
            return run(called, args, kwargs)
        except Exception as error:
            # Errors of an operation were handled there; the others come from checks before any operation.
            if error is self._passed_on:
                raise
            self._passed_on = error
            cast = self._cast_to_one(error, args, kwargs, written=written())
            if cast is None:
                raise
            self.forget(error)
        return run(called, *cast)

    def _cast_to_one(self, error: Exception, args: Any, kwargs: Any, *, written: bool) -> tuple[Any, Any] | None:
        """The arguments cast to one dtype, None if the error has another cause."""
        tensors = [tensor for tensor in tensors_in((args, kwargs)) if tensor.is_floating_point()]
        if self.is_paused or len({tensor.dtype for tensor in tensors}) < 2:
            return None
        text = f"{type(error).__name__}: {error}"
        explanation = explain(text, device=self._device)
        if not explanation.recognised:
            return None
        self._note(self.site(error), str(error), explanation.family)
        target = tensors[0] if written else next((t for t in tensors if self.is_weight(t)), tensors[0])

        def cast(value: Any) -> Any:
            apart = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != target.dtype
            return value.to(target.dtype) if apart else value

        with self.paused():
            return tree_map(cast, args), tree_map(cast, kwargs)

    def _note(self, site: FailureSite, message: str, family: str | None) -> None:
        key = site.module, site.operation, tuple(operand.dtype for operand in site.operands), message
        self._found.setdefault(key, Boundary(site.module, site.operation, site.operands, message, family))
