"""The divergence of each variant from full precision, module by module and at the logits.

Each variant first generates its own answer, which gives the first different token. Then one forward over the prompt
and full precision's tokens (teacher forcing) compares the same positions in every variant, whatever its own answer.
Picture and prompt are computed again in each variant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xcomposer_ui.backends.arithmetic import EXPECTED, ModelRun
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
from xcomposer_ui.core.strategies import REFERENCE, Strategy, WeightsFormat
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.models.answer import token_texts
from xcomposer_ui.runtime.backend import Progress

MOST_KEPT_BYTES = 2 << 30
"""Most bytes of the reference's activations; above this, only those of the blocks are kept."""

FLOOR_WEIGHTS_BYTES = 512 << 20
"""Most bytes of float32 weights for which full precision's own distance from a float64 copy is measured."""

FLOAT64 = Strategy("float64", WeightsFormat("float64", "float64", 8), "float64", autocast=False)

Load = Callable[[Request], ModelRun]
"""The run of a request on its weights, loaded if needed, which may unload those of other dtypes."""


@dataclass
class Reference:
    """The reference's tokens, their logits (positions, vocabulary), and its modules' outputs.

    outputs: on the CPU. blocks_only: whether the outputs of modules inside the blocks are missing.
    """

    ids: list[int]
    logits: Tensor
    outputs: dict[Key, Tensor]
    blocks_only: bool


def diverge(load: Load, question: Request, variants: Sequence[tuple[str, str]], progress: Progress) -> Divergences:
    """Compare each of `variants`, (strategy, half), except full precision itself, with it on `question`."""
    reasons: dict[str, Sentence] = {}
    half = next((half for strategy, half in variants if strategy == REFERENCE), "float16")
    try:
        full = replace(question, strategy=REFERENCE, half=half)
        reference, tokens, floor = _full_precision(load, full, progress, reasons)
    except Stopped:
        return Divergences(stopped=True)
    except EXPECTED as error:
        failed = {"full": Message("divergence.reason.full")}
        return Divergences(failures={f"full/{half}": _named(error)}, reasons=failed)
    entries: list[Divergence] = []
    failures: dict[str, str] = {}
    for strategy, half in variants:
        if strategy == REFERENCE:
            continue
        try:
            entries.append(_variant(load, reference, replace(question, strategy=strategy, half=half), progress))
        except Stopped:
            return Divergences(tuple(entries), floor, tokens, failures, reasons, stopped=True)
        except EXPECTED as error:
            failures[f"{strategy}/{half}"] = _named(error)
    return Divergences(tuple(entries), floor, tokens, failures, reasons)


def _variant(load: Load, reference: Reference, question: Request, progress: Progress) -> Divergence:
    """The entry of one variant. Only this function references the weights, so that they can be unloaded after it."""
    run = load(question)
    ids = answer_ids(run, progress)
    return replace(
        divergence_from(reference, run, progress),
        first_different_token=first_difference(reference.ids, ids),
        tokens=token_texts(run.tokenizer, ids, run.model.turn_end),
    )


def _full_precision(
    load: Load, question: Request, progress: Progress, reasons: dict[str, Sentence]
) -> tuple[Reference, tuple[str, ...], Divergence | None]:
    """(full precision as the reference, the texts of its tokens, its own distance from float64).

    reasons: filled in with why figures are missing.
    """
    run = load(question)
    model = run.model
    ids = answer_ids(run, progress)
    if not ids:
        raise ValueError("full precision gave no token to compare on")
    reference = reference_of(run, ids, progress)
    if reference.blocks_only:
        reasons["layers"] = Message("divergence.reason.layers", gib=MOST_KEPT_BYTES >> 30)
    floor = None
    if not has_float64(model.device):
        reasons["no_float64"] = Message("divergence.reason.no_float64")
    elif weights_bytes(model) > FLOOR_WEIGHTS_BYTES:
        reasons["floor"] = Message("divergence.reason.floor", memory=joined(memory(2 * weights_bytes(model), 1)))
    else:
        exact = replace(run, model=copy.deepcopy(model).to(torch.float64), strategy=FLOAT64)
        floor = divergence_from(reference_of(exact, ids, progress), run, progress)
    return reference, token_texts(run.tokenizer, ids, model.turn_end), floor


def answer_ids(run: ModelRun, progress: Progress) -> list[int]:
    """The ids of the run's own answer, as a run with the same settings and seed generates them."""
    with BlockWatch(run.model, progress), run.arithmetic():
        # The end token is compared too: an answer that continues differs from one that ends.
        return run.answer_ids(streamer=TokenClock(progress.stop.is_set))


@torch.no_grad()
def forced_logits(run: ModelRun, ids: Sequence[int]) -> Tensor:
    """Logits (positions, vocabulary) for each of `ids`, given the prompt and the ids before it."""
    model = run.model
    with run.arithmetic():
        inputs = run.prompt()
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


def reference_of(run: ModelRun, ids: list[int], progress: Progress) -> Reference:
    """Record the outputs and logits of the model at each of `ids`."""
    blocks = block_names(run.model)
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

    with BlockWatch(run.model, progress), outputs_of(run.model, each):
        logits = forced_logits(run, ids)
    return Reference(ids, logits.cpu(), outputs, blocks_only)


def divergence_from(reference: Reference, run: ModelRun, progress: Progress) -> Divergence:
    """The divergence of `run` from `reference`, on the reference's tokens.

    The fields of the variant's own answer are left empty.
    """
    blocks = block_names(run.model)
    layers: list[LayerDivergence] = []

    def each(key: Key, output: Tensor) -> None:
        if key in reference.outputs:
            layers.append(layer_divergence(key, output, reference.outputs[key], key[0] in blocks))

    with BlockWatch(run.model, progress), outputs_of(run.model, each):
        logits = forced_logits(run, reference.ids)
    difference, kl, agreement, non_finite = logit_figures(reference.logits.to(logits.device), logits)
    share, module = largest_share(layers)
    return Divergence(
        strategy=run.strategy.name,
        half=run.question.half_dtype,
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
