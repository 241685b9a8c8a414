"""Cases that the original code computed, in tests/data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xcomposer_ui.models.generation import BosRepetitionPenalty

DATA = Path(__file__).parents[1] / "data"
CASES = ("vl-small-1", "vl-small-2", "hd-small-2", "hd-small-3")


def greedy_ids(model: Any, inputs: Mapping[str, Any], expected: Mapping[str, Any], **more: Any) -> list[int]:
    """The new ids that `model` generates for `inputs`, with the settings of a case's JSON. more: for `generate`."""
    ids = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=expected["max_new_tokens"],
        logits_processor=[BosRepetitionPenalty(expected["repetition_penalty"], 1)],
        eos_token_id=2,
        pad_token_id=2,
        **more,
    )
    return list(ids[0].tolist())
