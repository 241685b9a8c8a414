"""A prediction kept beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Predicted and measured peak memory of one run, in bytes, weights included. kind: as `peak_memory_kind`."""

    strategy: str
    half: str
    kind: str
    prompt_tokens: int
    new_tokens: int
    predicted_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float:
        """(predicted − measured) / measured: −0.01 is one percent too little."""
        return self.predicted_bytes / self.measured_bytes - 1


def pair_as_json(pair: Pair) -> dict[str, Any]:
    """`pair` in the field names that scripts rely on."""
    return {**vars(pair), "error": pair.error}
