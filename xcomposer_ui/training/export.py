"""From a checkpoint of training to the folder that `from_pretrained` loads: config, weights in float32, tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM
from xcomposer_ui.training.loop import Learner
from xcomposer_ui.training.recipe import Recipe


def export(recipe: Recipe, work: Path, target: Path) -> InternLMXComposer2ForCausalLM:
    """Write the averaged weights of the checkpoint in `work` to `target`; returns the model.

    Raises FileNotFoundError where there is no checkpoint yet.
    """
    learner = Learner.fresh(recipe)
    learner.load(work / "checkpoint.pt")
    with learner.average.swapped_into(learner.model):
        learner.model.save_pretrained(target)
        shutil.copyfile(work / "tokenizer.model", target / "tokenizer.model")
        settings = {"tokenizer_class": "InternLMXComposer2Tokenizer", "add_bos_token": True}
        (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
        (target / "model.safetensors").chmod(0o644)  # the library writes it for its owner alone
    return InternLMXComposer2ForCausalLM.from_pretrained(target)
