"""InternLM-XComposer2 as transformers classes: its checkpoints load without remote code."""

from xcomposer_ui.core.families.xcomposer2 import FACTS
from xcomposer_ui.models.base import Family
from xcomposer_ui.models.xcomposer2.configuration import InternLM2TypedConfig, InternLMXComposer2Config
from xcomposer_ui.models.xcomposer2.modeling import (
    InternLM2TypedForCausalLM,
    InternLMXComposer2ForCausalLM,
    fit_to_weights,
)
from xcomposer_ui.models.xcomposer2.tokenizer import InternLMXComposer2Tokenizer

__all__ = ["FAMILY", "InternLMXComposer2Config", "InternLMXComposer2ForCausalLM", "InternLMXComposer2Tokenizer"]

FAMILY = Family(
    facts=FACTS,
    classes=(
        (InternLMXComposer2Config, InternLMXComposer2ForCausalLM),
        (InternLM2TypedConfig, InternLM2TypedForCausalLM),
    ),
    tokenizer=InternLMXComposer2Tokenizer,
    fit_to_weights=fit_to_weights,
)
