"""Plans: a dry run under every strategy, and what fits where; predictions of a run's peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from xcomposer_ui.backends.devices import choose_device, free_bytes
from xcomposer_ui.backends.planning.card_memory import decoder_bytes, on_card
from xcomposer_ui.backends.planning.configuration import configuration_of, image_tokens, planned_configuration
from xcomposer_ui.backends.planning.dry_run import DryRun, dry_run
from xcomposer_ui.backends.planning.fake_model import FakeModel, fake_model
from xcomposer_ui.backends.planning.recording import peaks
from xcomposer_ui.backends.torch_private import FakeTensorMode
from xcomposer_ui.core.memory_timeline import DECODE
from xcomposer_ui.core.request import MOST_TILES, TILE_SETTINGS, tile_settings
from xcomposer_ui.core.strategies import PLANNED, Strategy
from xcomposer_ui.models.base import FamilyConfig
from xcomposer_ui.planning.cards import fits
from xcomposer_ui.planning.plan import MOST_BATCH, PhasePeak, Plan, PlanRequest, RunShape, StrategyPlan

SLOW = 3
"""Evaluations in a row that do not halve the interval, after which it is bisected."""


@dataclass(frozen=True)
class AvailableMemory:
    """Memory that a run has to fit into. on_card: whether it is a card's, to compare with the driver's count; else
    with the bytes of live tensors."""

    bytes: int | None
    name: str | None
    on_card: bool


def plan(request: PlanRequest) -> Plan:
    """Memory of `request` under every strategy. Takes seconds and some 400 MB; reads no weights, needs no GPU.

    Raises UserError for a model that does not exist.
    """
    started = time.perf_counter()
    device = planned_device(request)
    planner = Planner(planned_configuration(request), request, device, memory_here(request, device))
    strategies = tuple(planner.planned(strategy) for strategy in PLANNED.values())
    picture_tokens = image_tokens(planner.config, request)
    return Plan(
        model=request.model,
        device=device,
        parameters=planner.fake_model("float32").parameters,
        planned_sec=time.perf_counter() - started,
        prompt_tokens=min(picture_tokens + request.prompt_tokens, planner.config.max_prompt_tokens),
        image_tokens=picture_tokens,
        request=request,
        strategies=strategies,
        memory_bytes=planner.memory.bytes,
        memory_name=planner.memory.name,
    )


def planned_device(request: PlanRequest) -> str:
    """The device of the plan. A card need not be here if the request gives its memory."""
    if request.memory_bytes is not None and request.device != "auto":
        return request.device
    return choose_device(request.device)[0]


def memory_here(request: PlanRequest, device: str) -> AvailableMemory:
    """The request's memory, else this machine's: the total of a CUDA card, or what is free on another device."""
    if request.memory_bytes is not None:
        return AvailableMemory(request.memory_bytes, "as asked", on_card=request.memory_of == "card")
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return AvailableMemory(int(properties.total_memory), properties.name, on_card=True)
    return AvailableMemory(free_bytes(device), "free here", on_card=False)


class Planner:
    """One configuration's fake models, one for each dtype, and the dry runs made with them."""

    def __init__(self, config: FamilyConfig, request: PlanRequest, device: str, memory: AvailableMemory) -> None:
        self.config, self.request, self.memory = config, request, memory
        self._scratch = device == "cpu"
        self._mode = FakeTensorMode()
        self._fake_models: dict[str, FakeModel] = {}
        self._dry_runs: dict[tuple[Strategy, PlanRequest], DryRun] = {}

    def fake_model(self, dtype: str) -> FakeModel:
        if dtype not in self._fake_models:
            with self._mode:
                self._fake_models[dtype] = fake_model(self.config, getattr(torch, dtype))
        return self._fake_models[dtype]

    def planned(self, strategy: Strategy) -> StrategyPlan:
        seen = self.dry_run(strategy, self.request)
        phases = phase_peaks(seen, scratch=self._scratch)
        card = on_card(seen)
        tiled = self.config.cuts_tiles and self.request.image is not None
        return StrategyPlan(
            strategy=strategy.name,
            half=self.request.half,
            weights_bytes=seen.weights_bytes,
            kv_cache_bytes=seen.kv_cache_bytes,
            phases=phases,
            peak_phase=max(phases, key=lambda phase: phases[phase].total_bytes),
            on_card=card,
            fits=self._fits(card.total_bytes),
            fits_memory=self.fits_memory(seen),
            largest_batch=None if seen.failed_in else self._largest(strategy, ["batch"], MOST_BATCH),
            largest_tiles=self._largest(strategy, TILE_SETTINGS, MOST_TILES, guess=MOST_TILES) if tiled else None,
            fails_in=seen.failed_in,
        )

    def dry_run(self, strategy: Strategy, request: PlanRequest) -> DryRun:
        """The dry run of `request`: the planner's own, or the same with another batch or number of tiles; cached."""
        key = strategy, request
        if key not in self._dry_runs:
            model = self.fake_model(strategy.weights_dtype(request.half))
            self._dry_runs[key] = dry_run(model, request, strategy, self._mode)
        return self._dry_runs[key]

    def needed(self, seen: DryRun) -> int:
        """Bytes of a dry run to compare with the available memory."""
        if self.memory.on_card:
            return on_card(seen).total_bytes
        return max(peak.total_bytes for peak in phase_peaks(seen, scratch=self._scratch).values())

    def fits_memory(self, seen: DryRun) -> bool | None:
        """Whether a dry run fits into the available memory; None if that is unknown."""
        return None if self.memory.bytes is None else self.needed(seen) <= self.memory.bytes

    def _fits(self, needed: int) -> Mapping[str, bool]:
        own = {}
        if self.memory.on_card and self.memory.name != "as asked":
            own = {f"{self.memory.name} (here)": self.memory.bytes is not None and needed <= self.memory.bytes}
        return {**fits(needed), **own}

    def _largest(self, strategy: Strategy, fields: Sequence[str], most: int, guess: int | None = None) -> int | None:
        """The largest number for all `fields` of the request that fits, up to `most`; None if the memory is unknown."""

        def needed(number: int) -> int:
            changed: dict[str, Any] = dict.fromkeys(fields, number)
            return self.needed(self.dry_run(strategy, replace(self.request, **changed)))

        return None if self.memory.bytes is None else largest(needed, self.memory.bytes, 1, most, guess)


def phase_peaks(seen: DryRun, *, scratch: bool) -> dict[str, PhasePeak]:
    """Phase -> its peak, weights included."""
    return {
        phase: PhasePeak(seen.weights_bytes + peak.live_bytes, peak.kept_bytes, peak.live_bytes - peak.kept_bytes)
        for phase, peak in peaks(seen, scratch=scratch).items()
    }


def predicted_bytes(shape: RunShape, config: FamilyConfig | None = None) -> int:
    """Predict a run's peak memory in bytes, weights included, counted as it is measured; no weights are read.

    config: the model's, if the caller has it. Raises UserError if there is no such model.
    """
    request = PlanRequest(shape.model, shape.picture, half=shape.half, device=shape.device, **tile_settings(shape))
    memory = AvailableMemory(None, None, on_card=False)
    planner = Planner(config or configuration_of(shape.model), request, shape.device, memory)
    picture_tokens = image_tokens(planner.config, request)
    prompt = shape.prompt_tokens or shape.text_length + picture_tokens
    request = replace(request, prompt_tokens=max(1, prompt - picture_tokens), new_tokens=shape.new_tokens)
    seen = planner.dry_run(PLANNED[shape.strategy], request)
    if shape.decoder != "graph":
        return _highest(seen, shape)
    # Recorded decoding leaves the prompt's own cache as it is after one step, unless the static one has to grow.
    short = planner.dry_run(PLANNED[shape.strategy], replace(request, new_tokens=min(2, shape.new_tokens)))
    grows = seen.static_cache_bytes > short.static_cache_bytes
    more = decoder_bytes(seen) if shape.device == "cuda" else seen.static_cache_bytes
    return _highest(seen if grows else short, shape, more)


def _highest(seen: DryRun, shape: RunShape, static_bytes: int = 0) -> int:
    """The highest peak of all phases. static_bytes: in all of them, or while decoding if recorded in the run."""
    found = phase_peaks(seen, scratch=shape.device == "cpu")
    return max(
        peak.total_bytes + (0 if shape.recorded and phase != DECODE else static_bytes) for phase, peak in found.items()
    )


def largest(needed: Callable[[int], int], available: int, low: int, high: int, guess: int | None = None) -> int:
    """The largest number from `low` to `high` whose need is at most `available`; `low - 1` if there is none.

    In few evaluations: each is a dry run.

    needed: increasing, nearly linear. The next number evaluated is where the line through the largest number known to
    fit and the smallest known not to fit reaches `available` (the secant method); if that is one of the two, one of
    their neighbours, in growing strides; after SLOW evaluations that did not halve the interval, its middle.
    guess: the number to evaluate after `low`; None for `low + 1`.
    """
    needs = {low: needed(low)}
    if needs[low] > available:
        return low - 1
    fits, too_much = low, high + 1
    at, stride = min(guess or low + 1, high), 1
    slow = 0
    while fits + 1 < too_much:
        left = too_much - fits
        needs[at] = needed(at)
        if needs[at] <= available:
            fits = at
        else:
            too_much = at
        slow = 0 if 2 * (too_much - fits) <= left else slow + 1
        start, end = (fits, too_much) if too_much in needs else (low, at)
        slope = (needs[end] - needs[start]) / (end - start)
        aim = start + int((available - needs[start]) / slope) if slope > 0 else high
        if not fits < aim < too_much:
            aim = fits + stride if aim <= fits else too_much - stride
            stride *= 2
        elif slow >= SLOW:
            aim = (fits + too_much) // 2
        at = aim if fits < aim < too_much else (fits + too_much) // 2
    return fits
