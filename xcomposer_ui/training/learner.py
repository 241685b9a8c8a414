"""State of stage two: the model with its auxiliary heads, optimizer and averages, its checkpoint, and one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2.language import PLoRALinear
from xcomposer_ui.models.xcomposer2.prompt import META_INSTRUCTION
from xcomposer_ui.training.attention_supervision import SUPERVISED_LAYERS, StateProbe, attention_loss, probe_loss
from xcomposer_ui.training.batching import AnswerLogits, answer_logits, length_groups, picture_cache
from xcomposer_ui.training.conversations import (
    ConversationEncoder,
    KindSampler,
    sample_conversations,
    sample_without_picture,
)
from xcomposer_ui.training.cpu_kernels import cpu_kernels
from xcomposer_ui.training.optimization import Schedule, WeightAverage
from xcomposer_ui.training.phrases import QUESTION_PHRASES
from xcomposer_ui.training.pictures import Batch
from xcomposer_ui.training.recipe import Recipe
from xcomposer_ui.training.tower import PatchHead, TowerWithHead, patch_loss, pixel_tensor

LENGTH_GROUPS = 2
"""Number of groups of similar length that the conversations of a step are divided into."""

SYSTEM_PROMPTS: tuple[str, ...] = (*QUESTION_PHRASES["system_prompts"], META_INSTRUCTION)
"""System prompts of a twentieth of the steps; the others have none."""


def create_model(recipe: Recipe) -> InternLMXComposer2ForCausalLM:
    """Create the model with an initialisation that suits its small width."""
    torch.manual_seed(recipe.seed)
    model = InternLMXComposer2ForCausalLM(recipe.configuration())
    for name, module in model.model.named_modules():
        if isinstance(module, PLoRALinear):
            deviation = module.in_features**-0.5
            if name.endswith((".wo", ".w2")):  # layers that add to the residual stream start small
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
    """Everything that a checkpoint of stage two contains.

    tower_head: stage one's head with the model's own tower; keeps the patch labels in the tower's features.
    projector_head: the same head behind the projector. Without it places get lost there: the loss of the answers
    preserves them only once the language model attends to the right patch, which it learns from the places.
    probe: the head on the language model's hidden states.
    last_attention_loss, last_probe_loss: of the last step, for the log.
    """

    recipe: Recipe
    model: InternLMXComposer2ForCausalLM
    tower_head: TowerWithHead
    projector_head: PatchHead
    probe: StateProbe
    sampler: KindSampler = field(default_factory=KindSampler)
    step: int = 0
    spent_sec: float = 0.0
    last_attention_loss: float = 0.0
    last_probe_loss: float = 0.0

    @classmethod
    def create(cls, recipe: Recipe) -> Learner:
        """Create an untrained learner."""
        model = create_model(recipe)
        return cls(recipe, model, TowerWithHead(recipe), PatchHead(recipe.width), StateProbe(recipe.width))

    def __post_init__(self) -> None:
        self.tower_head.vit = self.model.vit
        tower = list(self.tower_head.parameters())
        known = {id(p) for p in tower}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        heads = [*self.projector_head.parameters(), *self.probe.parameters()]
        self.rates = (0.15 * self.recipe.rate, self.recipe.rate, self.recipe.rate)
        self.optimizer = torch.optim.AdamW(
            [{"params": tower}, {"params": rest}, {"params": heads}],
            lr=self.recipe.rate,
            betas=(0.9, 0.98),
            weight_decay=0.02,
        )
        self.average = WeightAverage(self.model, self.recipe.average)

    def save(self, file: Path) -> None:
        """Write a checkpoint atomically. The keys are those of existing checkpoints."""
        state = {
            "model": self.model.state_dict(),
            "namer": self.tower_head.state_dict(),
            "reader": self.projector_head.state_dict(),
            "seer": self.probe.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "right": self.sampler.accuracy,
            "step": self.step,
            "spent_sec": self.spent_sec,
        }
        torch.save(state, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def load(self, file: Path) -> None:
        """Restore a checkpoint."""
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.tower_head.load_state_dict(state["namer"])
        self.projector_head.load_state_dict(state["reader"])
        self.probe.load_state_dict(state["seer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.sampler.accuracy = state["right"]
        self.step, self.spent_sec = state["step"], state["spent_sec"]

    def train_step(self, batch: Batch, encoder: ConversationEncoder, schedule: Schedule) -> float:
        """Train one step on one batch of pictures.

        Returns:
            The loss of the answers, without the auxiliary losses.
        """
        rng = np.random.default_rng((self.recipe.seed, 2, self.step))
        conversations = sample_conversations(rng, encoder, batch.scenes, self.sampler, self.recipe.turns)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * schedule.rate(self.step)
        system = SYSTEM_PROMPTS[int(rng.integers(len(SYSTEM_PROMPTS)))] if rng.random() < 0.05 else ""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16), cpu_kernels(self.model) as recorded:
            features = self.model.vit(pixel_tensor(batch))
            embeds = self.model.vision_proj(features)
            cache = picture_cache(self.model, encoder.picture_prefix(system), embeds)
            groups = length_groups(conversations, LENGTH_GROUPS)
            parts = [answer_logits(self.model, group, cache, recorded) for group in groups]
            attention, probe = self._supervision(parts, batch)
            if self.step % 4 == 0:
                parts.append(answer_logits(self.model, sample_without_picture(rng, encoder, 12), None))
            tower = patch_loss(self.tower_head, features, batch, self.recipe.patches)
            projector = patch_loss(self.projector_head, embeds, batch, self.recipe.patches)
        loss = answer_loss(parts)
        (loss + 0.3 * tower + 0.5 * projector + 0.6 * attention + 0.4 * probe).backward()
        self.last_attention_loss, self.last_probe_loss = float(attention.detach()), float(probe.detach())
        nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        self._update_sampler(parts)
        return float(loss.detach())

    def _supervision(self, parts: list[AnswerLogits], batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean attention loss and mean probe loss of recorded forward passes."""
        things = torch.from_numpy(batch.thing)
        attention, probe = [], []
        for part in parts:
            if part.states is None:
                raise ValueError("no hidden states were recorded for these answers")
            scores = [part.scores[n] for n in SUPERVISED_LAYERS]
            attention.append(attention_loss(scores, part.conversations, things))
            probe.append(probe_loss(self.probe, part.states, part.conversations, batch.scenes))
        return torch.stack(attention).mean(), torch.stack(probe).mean()

    def _update_sampler(self, parts: list[AnswerLogits]) -> None:
        for part in parts:
            turns = [turn for conversation in part.conversations for turn in conversation.turns]
            for turn, correct in zip(turns, part.exact_matches(), strict=True):
                if turn.case != "no picture":
                    self.sampler.update(turn, correct)


def answer_loss(parts: list[AnswerLogits]) -> Tensor:
    """Mean cross-entropy over the tokens of all answers."""
    total = sum(F.cross_entropy(p.logits, p.targets, reduction="sum") for p in parts)
    return total / sum(len(p.targets) for p in parts)  # type: ignore[return-value]
