"""The model families, as transformers classes. Importing this registers them with transformers' Auto classes.

A family is one folder that defines a `Family`, and one `register` call here.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from xcomposer_ui.core import families as known
from xcomposer_ui.models import xcomposer2
from xcomposer_ui.models.base import Family, FamilyConfig

_FAMILIES: list[Family] = []


def register(family: Family) -> None:
    """Register `family` here and with transformers' Auto classes, which then load it without remote code."""
    known.register(family.facts)
    _FAMILIES.append(family)
    for config, model in family.classes:
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)
        AutoTokenizer.register(config, slow_tokenizer_class=family.tokenizer, exist_ok=True)


def unregister(family: Family) -> None:
    """Remove `family` here; transformers' Auto classes keep it."""
    known.unregister(family.facts)
    _FAMILIES.remove(family)


def family_of(config: object) -> Family | None:
    """The registered family of `config`; None if there is none."""
    return next((f for f in _FAMILIES if isinstance(config, tuple(kind for kind, _ in f.classes))), None)


def published_configuration(name: str) -> FamilyConfig | None:
    """The configuration of the published checkpoint `name`, without a download; None for any other name."""
    family = next((family for family in _FAMILIES if name in family.facts.published), None)
    return None if family is None else family.classes[0][0](**family.facts.published[name])


register(xcomposer2.FAMILY)
