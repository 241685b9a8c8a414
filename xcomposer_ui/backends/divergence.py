"""The divergence of each variant from full precision, module by module and at the logits.

Each variant first generates its own answer, which gives the first different token. Then one forward over the prompt
and full precision's tokens (teacher forcing) compares the same positions in every variant, whatever its own answer.
Picture and prompt are computed again in each variant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import EXPECTED, arithmetic, prompt, run
from xcomposer_ui.backends.devices import free_bytes, free_unused
from xcomposer_ui.backends.memory import weights_bytes
from xcomposer_ui.backends.module_outputs import (
    Key,
    block_names,
    first_difference,
    has_float64,
    largest_share,
    layer_divergence,
    logit_figures,
    outputs_of,
)
from xcomposer_ui.backends.run_control import BlockWatch, Stopped, TokenClock
from xcomposer_ui.compare.divergence import Divergence, Divergences, LayerDivergence
from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import REFERENCE, STRATEGIES, Strategy, WeightsFormat
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.models.answer import token_texts
from xcomposer_ui.runtime.backend import Progress

MOST_KEPT_BYTES = 2 << 30
"""Most bytes of the reference's activations; above this, only those of the blocks are kept."""

FLOOR_WEIGHTS_BYTES = 512 << 20
"""Most bytes of float32 weights for which full precision's own distance from a float64 copy is measured."""

FULL = STRATEGIES[REFERENCE]
FLOAT64 = Strategy("float64", WeightsFormat("float64", "float64", 8), "float64", autocast=False)

LoadWeights = Callable[[str], tuple[Any, Any]]
"""Weights' dtype -> (model, tokenizer), loaded if needed, which may unload those of other dtypes."""


@dataclass
class Reference:
    """The reference's tokens, their logits (positions, vocabulary), and its modules' outputs.

    outputs: on the CPU. blocks_only: whether the outputs of modules inside the blocks are missing.
    """

    ids: list[int]
    logits: Tensor
    outputs: dict[Key, Tensor]
    blocks_only: bool


def diverge(
    load_weights: LoadWeights, question: Request, variants: Sequence[tuple[Strategy, str]], progress: Progress
) -> Divergences:
    """Compare each of `variants`, except full precision itself, with full precision on `question`."""
    try:
        return _diverge(load_weights, question, variants, progress)
    except Stopped:
        return Divergences(stopped=True)


def _diverge(
    load_weights: LoadWeights, question: Request, variants: Sequence[tuple[Strategy, str]], progress: Progress
) -> Divergences:
    reasons: dict[str, Sentence] = {}
    half = next((half for strategy, half in variants if strategy == FULL), "float16")
    try:
        reference, tokens, floor = _full_precision(load_weights, question, half, progress, reasons)
    except EXPECTED as error:
        failed = {"full": Message("divergence.reason.full")}
        return Divergences(failures={f"full/{half}": _named(error)}, reasons=failed)
    entries: list[Divergence] = []
    failures: dict[str, str] = {}
    for strategy, kind in variants:
        if strategy == FULL:
            continue
        try:
            entries.append(_variant(load_weights, reference, question, strategy, kind, progress))
        except Stopped:
            return Divergences(tuple(entries), floor, tokens, failures, reasons, stopped=True)
        except EXPECTED as error:
            failures[f"{strategy.name}/{kind}"] = _named(error)
    return Divergences(tuple(entries), floor, tokens, failures, reasons)


def _variant(
    load_weights: LoadWeights,
    reference: Reference,
    question: Request,
    strategy: Strategy,
    half: str,
    progress: Progress,
) -> Divergence:
    """The entry of one variant. Only this function references the weights, so that they can be unloaded after it."""
    model, tokenizer = load_weights(strategy.weights_dtype(half))
    ids = answer_ids(model, tokenizer, question, strategy, half, progress)
    entry = divergence_from(reference, model, tokenizer, question, strategy, half, progress)
    first_different = first_difference(reference.ids, ids)
    return replace(entry, first_different_token=first_different, tokens=token_texts(tokenizer, ids, model.turn_end))


def _full_precision(
    load_weights: LoadWeights, question: Request, half: str, progress: Progress, reasons: dict[str, Sentence]
) -> tuple[Reference, tuple[str, ...], Divergence | None]:
    """(full precision as the reference, the texts of its tokens, its own distance from float64).

    reasons: filled in with why figures are missing.
    """
    model, tokenizer = load_weights("float32")
    ids = answer_ids(model, tokenizer, question, FULL, half, progress)
    if not ids:
        raise ValueError("full precision gave no token to compare on")
    reference = reference_of(model, tokenizer, question, FULL, half, ids, progress)
    if reference.blocks_only:
        reasons["layers"] = Message("divergence.reason.layers", gib=MOST_KEPT_BYTES >> 30)
    floor = None
    if not has_float64(model.device):
        reasons["no_float64"] = Message("divergence.reason.no_float64")
    elif weights_bytes(model) > FLOOR_WEIGHTS_BYTES:
        reasons["floor"] = Message("divergence.reason.floor", memory=joined(memory(2 * weights_bytes(model), 1)))
    else:
        wide = copy.deepcopy(model).to(torch.float64)
        exact = reference_of(wide, tokenizer, question, FLOAT64, half, ids, progress)
        floor = divergence_from(exact, model, tokenizer, question, FULL, half, progress)
    return reference, token_texts(tokenizer, ids, model.turn_end), floor


def answer_ids(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, progress: Progress
) -> list[int]:
    """The ids of the variant's own answer, as a run with the same settings and seed generates them."""
    clock = TokenClock(progress.stop.is_set, lambda: None)
    with BlockWatch(model, progress), arithmetic(model, strategy, half, question.stress_exponent):
        run(model, tokenizer, question, strategy, half, streamer=clock)
    # The end token is compared too: an answer that continues differs from one that ends.
    ids: list[int] = model.until_end(tokenizer, clock.ids)
    return ids


@torch.no_grad()
def forced_logits(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, ids: Sequence[int]
) -> Tensor:
    """Logits (positions, vocabulary) for each of `ids`, given the prompt and the ids before it."""
    with arithmetic(model, strategy, half, question.stress_exponent):
        inputs = prompt(model, tokenizer, question, strategy, half)
        forced = torch.tensor([list(ids[:-1])], dtype=torch.long, device=model.device)
        if "input_ids" in inputs:
            inputs["input_ids"] = torch.cat((inputs["input_ids"], forced), dim=1)
        elif forced.numel():
            embeds, mask = inputs["inputs_embeds"], inputs["im_mask"]
            answer = model.get_input_embeddings()(forced).to(embeds.dtype)
            inputs["inputs_embeds"] = torch.cat((embeds, answer), dim=1)
            inputs["im_mask"] = torch.cat((mask, mask.new_zeros(forced.shape)), dim=1)
        logits: Tensor = model(**inputs, logits_to_keep=len(ids)).logits
    return logits[0]


def reference_of(
    model: Any, tokenizer: Any, question: Request, strategy: Strategy, half: str, ids: list[int], progress: Progress
) -> Reference:
    """Record the outputs and logits of `model` at each of `ids`."""
    blocks = block_names(model)
    outputs: dict[Key, Tensor] = {}
    free = free_bytes("cpu")
    most = MOST_KEPT_BYTES if free is None else min(MOST_KEPT_BYTES, free // 4)
    kept = 0
    blocks_only = False
    last: list[Tensor | None] = [None]

    def each(key: Key, output: Tensor) -> None:
        nonlocal kept, blocks_only
        if blocks_only and key[0] not in blocks:
            return
        # Skip a module inside a stage that returns its last child's output.
        if output is last[0] and key[0] not in blocks:
            return
        last[0] = output
        outputs[key] = output.detach().to("cpu", copy=True)
        kept += outputs[key].nbytes
        if kept > most and not blocks_only:
            blocks_only = True
            for other in [key for key in outputs if key[0] not in blocks]:
                del outputs[other]

    with BlockWatch(model, progress), outputs_of(model, each):
        logits = forced_logits(model, tokenizer, question, strategy, half, ids)
    return Reference(ids, logits.cpu(), outputs, blocks_only)


def divergence_from(
    reference: Reference,
    model: Any,
    tokenizer: Any,
    question: Request,
    strategy: Strategy,
    half: str,
    progress: Progress,
) -> Divergence:
    """The divergence of `model` under `strategy` from `reference`, on the reference's tokens.

    The fields of the variant's own answer are left empty.
    """
    blocks = block_names(model)
    layers: list[LayerDivergence] = []

    def each(key: Key, output: Tensor) -> None:
        if key in reference.outputs:
            layers.append(layer_divergence(key, output, reference.outputs[key], key[0] in blocks))

    with BlockWatch(model, progress), outputs_of(model, each):
        logits = forced_logits(model, tokenizer, question, strategy, half, reference.ids)
    difference, kl, agreement, non_finite = logit_figures(reference.logits.to(logits.device), logits)
    share, module = largest_share(layers)
    return Divergence(
        strategy=strategy.name,
        half=half,
        max_abs_logit_difference=difference,
        mean_kl_divergence=kl,
        top1_agreement=agreement,
        first_different_token=None,
        largest_activation_share=share,
        largest_activation_module=module,
        non_finite_positions=non_finite,
        first_non_finite_module=next((layer.module for layer in layers if layer.non_finite), None),
        layers=tuple(layers),
    )


def _named(error: BaseException) -> str:
    """`error` as text; frees the memory of the failed forward."""
    text = f"{type(error).__name__}: {error}"
    free_unused("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    return text
