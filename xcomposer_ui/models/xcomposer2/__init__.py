"""InternLM-XComposer2, natively: its checkpoints load without remote code, on today's transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from xcomposer_ui.models.xcomposer2.configuration import InternLM2TypedConfig, InternLMXComposer2Config
from xcomposer_ui.models.xcomposer2.modeling import InternLM2TypedForCausalLM, InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2.tokenizer import InternLMXComposer2Tokenizer

__all__ = ["InternLMXComposer2Config", "InternLMXComposer2ForCausalLM", "InternLMXComposer2Tokenizer", "register"]


def register() -> None:
    """Make transformers' Auto classes know this family; with local classes they leave remote code alone."""
    for config, model in (
        (InternLMXComposer2Config, InternLMXComposer2ForCausalLM),
        (InternLM2TypedConfig, InternLM2TypedForCausalLM),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)
        AutoTokenizer.register(config, slow_tokenizer_class=InternLMXComposer2Tokenizer, exist_ok=True)
