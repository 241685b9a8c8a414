"""Stage two: tower, projector and language model learn together to answer; the tower keeps naming patches beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2.language import PLoRALinear
from xcomposer_ui.models.xcomposer2.prompt import META_INSTRUCTION
from xcomposer_ui.training.averages import Average
from xcomposer_ui.training.batching import Answers, answers, chunks, picture_cache
from xcomposer_ui.training.clock import Clock
from xcomposer_ui.training.conversations import (
    Conversation,
    Weights,
    Writer,
    conversations_about,
    conversations_without,
)
from xcomposer_ui.training.looking import LOOKING_LAYERS, SeeingHead, looking_loss, seeing_loss
from xcomposer_ui.training.pictures import Batch, batch_sample, batches
from xcomposer_ui.training.quick import quick_steps
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import NamingHead, PatchNamer, naming_loss, pixels_from

log = logging.getLogger(__name__)

CHUNKS = 2
SYSTEMS = ("You are a helpful assistant.", "Answer briefly.", "你是一个乐于助人的助手。", META_INSTRUCTION)


def new_model(recipe: Recipe) -> InternLMXComposer2ForCausalLM:
    """The model with starting weights that suit its small width."""
    torch.manual_seed(recipe.seed)
    model = InternLMXComposer2ForCausalLM(recipe.configuration())
    for name, module in model.model.named_modules():
        if isinstance(module, PLoRALinear):
            deviation = module.in_features**-0.5
            if name.endswith((".wo", ".w2")):  # what is added to the residual stream starts small
                deviation /= (2 * recipe.layers) ** 0.5
            nn.init.normal_(module.weight, std=deviation)
            nn.init.normal_(module.Plora_A.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.Plora_B.weight)
    nn.init.normal_(model.model.tok_embeddings.weight, std=0.5)
    for projection in model.vision_proj:
        if isinstance(projection, nn.Linear):
            nn.init.normal_(projection.weight, std=projection.in_features**-0.5)
    return model


@dataclass
class Learner:
    """Everything that a checkpoint holds.

    namer: the tower's throw-away head of stage one, which keeps an eye on it here too; it shares the model's tower.
    reader: the same behind the projector. Without it places get lost there: the answers pull them through only once
    the language model looks at the right patch, and it has no reason to look before they are there.
    seer: the throw-away head behind the language model's looks.
    """

    recipe: Recipe
    model: InternLMXComposer2ForCausalLM
    namer: PatchNamer
    reader: NamingHead
    seer: SeeingHead
    weights: Weights = field(default_factory=Weights)
    step: int = 0
    spent_sec: float = 0.0
    looking: float = 0.0
    seeing: float = 0.0

    @classmethod
    def fresh(cls, recipe: Recipe) -> Learner:
        """A learner that knows nothing yet."""
        return cls(recipe, new_model(recipe), PatchNamer(recipe), NamingHead(recipe.width), SeeingHead(recipe.width))

    def __post_init__(self) -> None:
        self.namer.vit = self.model.vit
        tower = list(self.namer.parameters())
        known = {id(p) for p in tower}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        heads = [*self.reader.parameters(), *self.seer.parameters()]
        self.rates = (0.15 * self.recipe.rate, self.recipe.rate, self.recipe.rate)
        self.optimizer = torch.optim.AdamW(
            [{"params": tower}, {"params": rest}, {"params": heads}],
            lr=self.recipe.rate,
            betas=(0.9, 0.98),
            weight_decay=0.02,
        )
        self.average = Average(self.model, self.recipe.average)

    def save(self, file: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "namer": self.namer.state_dict(),
            "reader": self.reader.state_dict(),
            "seer": self.seer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "right": self.weights.right,
            "step": self.step,
            "spent_sec": self.spent_sec,
        }
        torch.save(state, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def load(self, file: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.namer.load_state_dict(state["namer"])
        self.reader.load_state_dict(state["reader"])
        self.seer.load_state_dict(state["seer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.weights.right = state["right"]
        self.step, self.spent_sec = state["step"], state["spent_sec"]

    def learn(self, batch: Batch, writer: Writer, clock: Clock) -> float:
        """One step on one batch of pictures; returns the loss of the answers."""
        rng = np.random.default_rng((self.recipe.seed, 2, self.step))
        asked = conversations_about(rng, writer, batch.scenes, self.weights, self.recipe.turns)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * clock.rate(self.step)
        system = SYSTEMS[int(rng.integers(len(SYSTEMS)))] if rng.random() < 0.05 else ""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16), quick_steps() as watched:
            features = self.model.vit(pixels_from(batch))
            embeds = self.model.vision_proj(features)
            cache = picture_cache(self.model, writer.before_picture(system), embeds)
            things = torch.from_numpy(batch.thing)
            parts = [answers(self.model, part, cache, watched) for part in chunks(asked, CHUNKS)]
            looking = torch.stack(
                [looking_loss([p.scores[n] for n in LOOKING_LAYERS], p.conversations, things) for p in parts]
            ).mean()
            seen = torch.stack([seeing_loss(self.seer, p.seen(), p.conversations, batch.scenes) for p in parts])
            if self.step % 4 == 0:
                parts.append(answers(self.model, conversations_without(rng, writer, 12), None))
            named = naming_loss(self.namer, features, batch, self.recipe.patches)
            read = naming_loss(self.reader, embeds, batch, self.recipe.patches)
        loss = answer_loss(parts)
        (loss + 0.3 * named + 0.5 * read + 0.6 * looking + 0.4 * seen.mean()).backward()
        self.looking, self.seeing = float(looking.detach()), float(seen.mean().detach())
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        self._note(parts)
        return float(loss.detach())

    def _note(self, parts: list[Answers]) -> None:
        for part in parts:
            turns = [turn for conversation in part.conversations for turn in conversation.turns]
            for turn, right in zip(turns, part.right(), strict=True):
                if turn.about != "no picture":
                    self.weights.note(turn, right)


def answer_loss(parts: list[Answers]) -> Tensor:
    """Mean cross entropy over all answers' tokens."""
    total = sum(F.cross_entropy(p.logits, p.wanted, reduction="sum") for p in parts)
    return total / sum(len(p.wanted) for p in parts)  # type: ignore[return-value]


@torch.no_grad()
def exact(learner: Learner, batch: Batch, asked: list[Conversation], writer: Writer) -> dict[str, float]:
    """Share of answers on unseen pictures that the averaged weights give word for word, by kind."""
    found: dict[str, list[bool]] = {}
    with learner.average.swapped_into(learner.model):
        embeds = learner.model.encode_image(pixels_from(batch))
        cache = picture_cache(learner.model, writer.before_picture(), embeds)
        for part in (answers(learner.model, c, cache) for c in chunks(asked, CHUNKS)):
            turns = [turn for conversation in part.conversations for turn in conversation.turns]
            for turn, right in zip(turns, part.right(), strict=True):
                found.setdefault(turn.kind, []).append(right)
    return {kind: sum(rights) / len(rights) for kind, rights in sorted(found.items())}


def train_model(
    recipe: Recipe, folder: Path, tower: Path, budget_sec: float | None = None, stop_after: int | None = None
) -> Learner:
    """Run stage two, or go on with it; the learner's averaged weights are the result.

    stop_after: a step to stop after, to be resumed later; None for none.
    """
    stage_one = torch.load(tower, weights_only=True)
    learner = Learner.fresh(recipe)
    checkpoint, writer = folder / "checkpoint.pt", Writer(folder / "tokenizer.model")
    if checkpoint.exists():
        learner.load(checkpoint)
    else:
        learner.namer.load_state_dict(stage_one["namer"])
        learner.average = Average(learner.model, recipe.average)
    clock = Clock(recipe.steps, budget_sec, learner.spent_sec)
    unseen = batch_sample((recipe.seed + 3, 0), 96, recipe.side, recipe.patches)
    asked = conversations_about(np.random.default_rng(recipe.seed), writer, unseen.scenes, Weights(), 16)
    loss = 0.0
    for batch in batches(recipe.seed + 2, recipe.batch, recipe.side, recipe.patches, start=learner.step):
        if clock.progress(learner.step) >= 1 or learner.step == stop_after:
            break
        now = learner.learn(batch, writer, clock)
        loss = now if not loss else 0.98 * loss + 0.02 * now
        learner.spent_sec = clock.elapsed_sec
        if learner.step % 50 == 0:
            log.info(
                "step %d, %.0f s: loss %.4f, looking %.3f, seeing %.3f",
                *(learner.step, clock.elapsed_sec, loss, learner.looking, learner.seeing),
            )
        if learner.step % 250 == 0:
            right = exact(learner, unseen, asked, writer)
            log.info("unseen: %s", " ".join(f"{kind} {share:.3f}" for kind, share in right.items()))
            learner.save(checkpoint)
    learner.save(checkpoint)
    return learner
