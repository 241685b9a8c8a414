"""What may be asked of a fine-tuning, and what is answered to the rest."""

from __future__ import annotations

from typing import Any

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.training.questions import KINDS


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"recipes": ()}, "at least one recipe"),
        ({"recipes": ("fp16",)}, "no recipe “fp16”"),
        ({"kind": "weather"}, "count, colour"),
        ({"optimizer": "lion"}, "adamw, sgd"),
        ({"device": "tpu"}, "auto, cpu"),
        ({"steps": 0}, "between 1 and 500"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"loss_divisor": 0.5}, "between 1"),
    ],
)
def test_a_mistake_is_named(fields: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError) as caught:
        FinetuningRequest(**fields)
    assert part in str(caught.value)


def test_the_kinds_are_those_of_the_training_data_but_small_talk() -> None:
    assert (*QUESTION_KINDS, "refusal") == KINDS
