"""Plans and questions about plans as JSON, between this process and the one that plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xcomposer_ui.planning.records import OnCard, PhasePeak, Plan, PlanRequest, StrategyPlan


@dataclass(frozen=True)
class RunShape:
    """What the peak memory of a run depends on.

    picture: (width, height), or None for text only. prompt_tokens: picture included, None where a run ended before it
    had a prompt; then text_length, in characters, stands in. new_tokens: of the answer, 1 at least. hd_num: most tiles,
    None for the member's own.
    """

    model: str
    device: str
    strategy: str
    half: str
    picture: tuple[int, int] | None
    prompt_tokens: int | None
    text_length: int
    new_tokens: int
    hd_num: int | None = None


def shape_from_json(told: Mapping[str, Any]) -> RunShape:
    """The shape whose fields `told` holds."""
    return RunShape(**{**told, "picture": _pair(told["picture"])})


def request_from_json(told: Mapping[str, Any]) -> PlanRequest:
    """The request whose fields `told` holds."""
    return PlanRequest(**{**told, "image": _pair(told["image"])})


def plan_from_json(told: Mapping[str, Any], request: PlanRequest) -> Plan:
    """The plan that `plan_as_json` wrote for `request`."""
    return Plan(
        model=told["model"],
        device=told["device"],
        parameters=told["parameters"],
        planned_sec=told["planned_sec"],
        prompt_tokens=told["prompt_tokens"],
        image_tokens=told["image_tokens"],
        request=request,
        strategies=tuple(_strategy(strategy) for strategy in told["strategies"]),
        memory_bytes=told["memory_bytes"],
        memory_name=told["memory_name"],
        notes=tuple(told["notes"]),
    )


def _strategy(told: Mapping[str, Any]) -> StrategyPlan:
    parts = ("allocated_bytes", "workspace_bytes", "reserved_bytes", "context_bytes")
    kept = (
        "strategy", "half", "weights_bytes", "kv_cache_bytes", "peak_phase", "fits", "fits_memory", "largest_batch",
        "largest_hd_num", "fails_in",
    )  # fmt: skip
    return StrategyPlan(
        phases={name: PhasePeak(**peak) for name, peak in told["phases"].items()},
        on_card=OnCard(**{part: told["on_card"][part] for part in parts}),
        **{name: told[name] for name in kept},
    )


def _pair(told: Any) -> tuple[int, int] | None:
    return None if told is None else (int(told[0]), int(told[1]))
