"""A memory plan and its request: frozen records, their checks and their JSON.

At any time a run needs weights + KV cache + activations; a plan gives the peak of that sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xcomposer_ui.core.errors import UserError, check_choice, check_range
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.request import (
    MOST_TILES,
    MemoryRequest,
    Request,
    check_settings,
    setting,
    settings_of,
    tile_settings,
)
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.core.strategies import checked_half
from xcomposer_ui.core.units import GIB, UNKNOWN, significant

LONGEST_SIDE = 100_000

MOST_PROMPT_TOKENS = 32_768
"""Of text; eight times what the published members read."""

MOST_NEW_TOKENS = next(int(s.highest) for s in settings_of(Request) if s.name == "max_new_tokens")
"""As many as a run may ask for. A plan's time grows with them: the cache is extended in steps."""

MOST_BATCH = 4096


@dataclass(frozen=True)
class PlanRequest:
    """model: "embedded", a folder, a config.json, or a hub id.

    image: (width, height) of the picture, or None for text only. hd_num: most tiles, None for the model's default.
    prompt_tokens: of text, beside the picture. memory_bytes: what `largest_batch` has to fit, None for this machine's.
    memory_of: "card" where those bytes are counted by a card's driver, "host" where they are counted in live tensors.

    Raises UserError where a field is invalid or out of its range.
    """

    model: str
    image: tuple[int, int] | None = (1024, 768)
    hd_num: int | None = setting(
        None, lowest=1, highest=MOST_TILES, flag="--hd-num", help="most tiles of the picture (tiled members only)"
    )
    prompt_tokens: int = setting(128, lowest=1, highest=MOST_PROMPT_TOKENS, flag="--prompt-tokens", help="of text")
    new_tokens: int = setting(256, lowest=1, highest=MOST_NEW_TOKENS, flag="--new-tokens")
    batch: int = setting(1, lowest=1, highest=MOST_BATCH, flag="--batch")
    half: str = "float16"
    device: str = "auto"
    memory_bytes: int | None = None
    memory_of: str = "card"

    def __post_init__(self) -> None:
        checked_half(self.half)
        check_choice("device", self.device, DEVICES)
        check_settings(self)
        width, height = self.image or (1, 1)
        check_range("image width", width, 1, LONGEST_SIDE)
        check_range("image height", height, 1, LONGEST_SIDE)
        if self.memory_bytes is not None:
            _check_memory(self.memory_bytes / GIB)


@dataclass(frozen=True, kw_only=True)
class RunShape(MemoryRequest):
    """What the peak memory of a run depends on: its request, and what was seen of the run.

    new_tokens: of the answer, 1 at least. prompt_tokens: picture included, None where a run ended before it had a
    prompt; then text_length stands in. decoder: as a `Measurement` has it. recorded: whether a graph was recorded in
    the run, so that its static cache was not there before the first token.
    """

    device: str
    prompt_tokens: int | None = None
    decoder: str | None = None
    recorded: bool = False


@dataclass(frozen=True)
class PhasePeak:
    """Memory at the peak of a phase: total_bytes = weights + cache_bytes + activation_bytes.

    cache_bytes: of the KV cache as allocated by then. activation_bytes: everything but weights and cache.
    """

    total_bytes: int
    cache_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class OnCard:
    """Memory on a CUDA card, by part.

    allocated_bytes: as `torch.cuda.max_memory_allocated` counts, each tensor rounded up to 512 bytes, workspace
    included. reserved_bytes: additional bytes in the caching allocator's blocks. context_bytes: of driver and kernels.
    decoder_bytes: what recorded decoding takes where it fits; it is not part of the total, as decoding is eager
    where it does not fit.
    """

    allocated_bytes: int
    workspace_bytes: int
    reserved_bytes: int
    context_bytes: int
    decoder_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """As the driver counts, eager decoding."""
        return self.allocated_bytes + self.reserved_bytes + self.context_bytes


@dataclass(frozen=True)
class StrategyPlan:
    """Memory of a run under one strategy, in bytes.

    phases: phase -> its peak; a phase that is not reached is missing. total_bytes: the highest of them.
    kv_cache_bytes: at the end of the answer. largest_batch: 0 where not even one prompt fits, None where unknown.
    largest_tiles: None for members without tiles. fits: card's name -> whether `on_card` fits it.
    fails_in: the phase in which the strategy's dtypes clash, or None.
    """

    strategy: str
    half: str
    weights_bytes: int
    kv_cache_bytes: int
    phases: Mapping[str, PhasePeak]
    peak_phase: str
    on_card: OnCard
    fits: Mapping[str, bool]
    fits_memory: bool | None = None
    largest_batch: int | None = None
    largest_tiles: int | None = None
    fails_in: str | None = None

    @property
    def total_bytes(self) -> int:
        return self.phases[self.peak_phase].total_bytes

    @property
    def activation_peak_bytes(self) -> int:
        """Activations at the peak of the whole run; `phases` has each phase's own."""
        return self.phases[self.peak_phase].activation_bytes


@dataclass(frozen=True)
class Plan:
    """Every strategy of PLANNED for one request. parameters: of the whole model. prompt_tokens: picture included.

    memory_bytes, memory_name: what `largest_batch` has to fit; None where it is unknown.
    """

    model: str
    device: str
    parameters: int
    planned_sec: float
    prompt_tokens: int
    image_tokens: int
    request: PlanRequest
    strategies: tuple[StrategyPlan, ...]
    memory_bytes: int | None = None
    memory_name: str | None = None


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """`plan` in the field names that scripts rely on."""
    request = plan.request
    return {
        **{name: value for name, value in vars(plan).items() if name not in ("request", "strategies")},
        "image": record_as_data(request.image),
        **tile_settings(request),
        "new_tokens": request.new_tokens,
        "batch": request.batch,
        "strategies": [strategy_as_json(strategy) for strategy in plan.strategies],
    }


def strategy_as_json(plan: StrategyPlan) -> dict[str, Any]:
    """`plan` in the field names that scripts rely on."""
    public = {"largest_tiles": "largest_hd_num"}
    return {
        **{public.get(name, name): value for name, value in asdict(plan).items()},
        "activation_peak_bytes": plan.activation_peak_bytes,
        "total_bytes": plan.total_bytes,
        "on_card_bytes": plan.on_card.total_bytes,
        "on_card": {**asdict(plan.on_card), "total_bytes": plan.on_card.total_bytes},
    }


def memory_bytes(gib: float | None) -> int | None:
    """A memory to fit, in bytes; None for None. Raises UserError where it is out of range."""
    if gib is None:
        return None
    _check_memory(gib)  # as it was given, before it is rounded to bytes
    return int(gib * GIB)


def _check_memory(gib: float) -> None:
    check_range("memory", gib, 0.001, 1_000_000)


def picture_size(text: str) -> tuple[int, int] | None:
    """(width, height) of "1024x768"; None for "none" or "". Raises UserError for anything else."""
    text = text.strip().lower()
    if text in ("", "none"):
        return None
    found = re.fullmatch(r"(\d{1,6})\s*[x×*]\s*(\d{1,6})", text)
    if found is None:
        raise UserError("bad_picture_size", text=text[:40])
    return int(found[1]), int(found[2])


def parameter_count(parameters: int, language: str) -> str:
    """A model's number of parameters in words: "2.02 million parameters"."""
    small = parameters < 1e8
    # Chinese counts in hundreds of millions, and in tens of thousands.
    unit = (1e6 if small else 1e9) if language == "en" else (1e4 if small else 1e8)
    count = Message("plan.parameters.small" if small else "plan.parameters", n=significant(parameters / unit))
    return count.in_language(language)


def largest_shown(count: int | None, bound: int) -> str:
    """The largest batch or number of tiles that fits, for people: at `bound`, where planning ends, it is "≥ 4096"."""
    return UNKNOWN if count is None else f"≥ {count}" if count >= bound else str(count)
