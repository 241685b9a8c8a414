"""Stage two: tower, projector and language model are trained together to answer questions; then the export."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import torch

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.batching import answer_logits, length_groups, picture_cache
from xcomposer_ui.training.conversations import Conversation, ConversationEncoder, KindSampler, sample_conversations
from xcomposer_ui.training.learner import LENGTH_GROUPS, Learner
from xcomposer_ui.training.optimization import Schedule, WeightAverage
from xcomposer_ui.training.pictures import Batch, batches, sample_batch
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import pixel_tensor

log = logging.getLogger(__name__)


@torch.no_grad()
def exact_match_accuracy(
    learner: Learner, batch: Batch, conversations: list[Conversation], encoder: ConversationEncoder
) -> dict[str, float]:
    """Share of answers, by kind, that the averaged weights give word for word."""
    matches: dict[str, list[bool]] = {}
    with learner.average.swapped_into(learner.model):
        embeds = learner.model.encode_image(pixel_tensor(batch))
        cache = picture_cache(learner.model, encoder.picture_prefix(), embeds)
        groups = length_groups(conversations, LENGTH_GROUPS)
        for part in (answer_logits(learner.model, group, cache) for group in groups):
            turns = [turn for conversation in part.conversations for turn in conversation.turns]
            for turn, correct in zip(turns, part.exact_matches(), strict=True):
                matches.setdefault(turn.kind, []).append(correct)
    return {kind: sum(found) / len(found) for kind, found in sorted(matches.items())}


def train_model(
    recipe: Recipe, folder: Path, tower: Path, budget_sec: float | None = None, stop_after: int | None = None
) -> Learner:
    """Run stage two, or resume it from the checkpoint in `folder`.

    Args:
        recipe: hyperparameters.
        folder: contains the tokenizer, and gets the checkpoint.
        tower: file that `train_tower` returned.
        budget_sec: time limit in seconds; None for no limit.
        stop_after: step to stop after, to be resumed later; None for the recipe's last.

    Returns:
        The learner, whose averaged weights are the result.
    """
    stage_one = torch.load(tower, weights_only=True)
    learner = Learner.create(recipe)
    checkpoint, encoder = folder / "checkpoint.pt", ConversationEncoder(folder / "tokenizer.model")
    if checkpoint.exists():
        learner.load(checkpoint)
    else:
        learner.tower_head.load_state_dict(stage_one["namer"])
        learner.average = WeightAverage(learner.model, recipe.average)
    schedule = Schedule(recipe.steps, budget_sec, learner.spent_sec)
    validation = sample_batch((recipe.seed + 3, 0), 96, recipe.side, recipe.patches)
    rng = np.random.default_rng(recipe.seed)
    conversations = sample_conversations(rng, encoder, validation.scenes, KindSampler(), 16)
    loss = 0.0
    for batch in batches(recipe.seed + 2, recipe.batch, recipe.side, recipe.patches, start=learner.step):
        if schedule.progress(learner.step) >= 1 or learner.step == stop_after:
            break
        step_loss = learner.train_step(batch, encoder, schedule)
        loss = step_loss if not loss else 0.98 * loss + 0.02 * step_loss
        learner.spent_sec = schedule.elapsed_sec
        if learner.step % 50 == 0:
            log.info(
                "step %d, %.0f s: loss %.4f, attention %.3f, probe %.3f",
                *(learner.step, schedule.elapsed_sec, loss, learner.last_attention_loss, learner.last_probe_loss),
            )
        if learner.step % 250 == 0:
            accuracy = exact_match_accuracy(learner, validation, conversations, encoder)
            log.info("validation: %s", " ".join(f"{kind} {share:.3f}" for kind, share in accuracy.items()))
            learner.save(checkpoint)
    learner.save(checkpoint)
    return learner


def export(recipe: Recipe, folder: Path, target: Path) -> InternLMXComposer2ForCausalLM:
    """Write the averaged weights of the checkpoint in `folder` as a model folder for `from_pretrained`.

    Args:
        recipe: hyperparameters of the checkpoint.
        folder: contains the checkpoint and the tokenizer.
        target: gets config, float32 weights and tokenizer.

    Returns:
        The model, loaded from `target`.

    Raises:
        FileNotFoundError: there is no checkpoint yet.
    """
    learner = Learner.create(recipe)
    learner.load(folder / "checkpoint.pt")
    with learner.average.swapped_into(learner.model):
        return write_model(learner.model, folder / "tokenizer.model", target)


def write_model(model: InternLMXComposer2ForCausalLM, tokenizer: Path, target: Path) -> InternLMXComposer2ForCausalLM:
    """Write `model` and the file `tokenizer` as a model folder, and load it again."""
    model.save_pretrained(target)
    if tokenizer != target / "tokenizer.model":
        shutil.copyfile(tokenizer, target / "tokenizer.model")
    settings = {"tokenizer_class": "InternLMXComposer2Tokenizer", "add_bos_token": True}
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (target / "model.safetensors").chmod(0o644)  # the library makes it readable by its owner only
    return InternLMXComposer2ForCausalLM.from_pretrained(target)
