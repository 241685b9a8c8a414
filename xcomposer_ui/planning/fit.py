"""Whether a run fits into memory, by its plan, and what to run instead where it does not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from xcomposer_ui.core.errors import UserError, out_of_memory
from xcomposer_ui.core.request import MemoryRequest
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import model_path
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.plan import Plan, PlanRequest, StrategyPlan


@dataclass(frozen=True)
class Advice:
    """What fits instead of the strategy `wanted`. fits: whether `wanted` itself does, None where that is unknown.

    strategy: one that fits with all else unchanged. batch, hd_num: the largest with which `wanted` fits. Each is None
    where it does not help.
    """

    wanted: str
    fits: bool | None
    strategy: str | None = None
    batch: int | None = None
    hd_num: int | None = None


def advise(plan: Plan, wanted: str) -> Advice:
    """What to run instead of the strategy `wanted` where it does not fit the plan's memory.

    Offers the first of STRATEGIES that fits and does not fail. Raises KeyError where the plan has no such strategy.
    """
    by_name = {s.strategy: s for s in plan.strategies}
    chosen = by_name[wanted]
    if chosen.fits_memory is not False:
        return Advice(wanted, chosen.fits_memory)
    return Advice(
        wanted,
        False,
        strategy=next((name for name in STRATEGIES if name != wanted and _helps(by_name.get(name))), None),
        batch=chosen.largest_batch if chosen.largest_batch and plan.request.batch > 1 else None,
        hd_num=chosen.largest_hd_num,
    )


def _helps(other: StrategyPlan | None) -> bool:
    return other is not None and other.fits_memory is True and other.fails_in is None


CERTAIN_FACTOR = 16
"""A checkpoint fits under every strategy, without a plan, where this many times its files' size is within the budget:
float32 weights take twice the files' size, autocast's copies once more, and the rest is left for the activations."""

STEP = 256
"""Tokens are rounded up to a multiple of this, so that questions of similar length share a plan."""

USUAL_PICTURE = (1024, 768)
USUAL_TOKENS = 256
"""Tokens of the question, and as many of the answer: the run by which the table of models is judged."""

MOST_KEPT = 32
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class MemoryBudget:
    """Memory that a run may take, in bytes, its weights included, on "cpu", "cuda" or "mps"."""

    device: str
    bytes: int


@dataclass(frozen=True)
class DoesNotFit:
    """A run that does not fit `room`. needed_bytes: by its plan; None where the plan says that it fits.

    measured_bytes: in use when memory ran out, None before a run. advice: what fits instead.
    """

    wanted: MemoryRequest
    room: MemoryBudget
    advice: Advice
    needed_bytes: int | None = None
    measured_bytes: int | None = None


class Plans(Protocol):
    """Makes plans: a PlannerProcess."""

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`. Raises UserError."""


class FitChecker:
    """Judges runs by their plans, which it caches.

    plans: a PlannerProcess. room: the memory available now; None where it is unknown, and then every run passes.
    """

    def __init__(self, plans: Plans, room: Callable[[], MemoryBudget | None]) -> None:
        self._plans, self._room = plans, room
        self._kept: OrderedDict[PlanRequest, Plan] = OrderedDict()

    def before_each(self, wanted: Sequence[MemoryRequest]) -> tuple[DoesNotFit, ...]:
        """Those of `wanted` that do not fit, each run on its own. Takes seconds where it has to plan.

        A run that cannot be planned passes: running it raises the error.
        """
        room = self._room()
        if room is None:
            return ()
        try:
            judged = [self._judged(run, room) for run in wanted if not certainly_fits(run.model, room)]
        except UserError:
            return ()
        return tuple(misfit for misfit in judged if misfit is not None)

    def in_doubt(self, wanted: MemoryRequest) -> bool:
        """Whether `before_each` has to plan. Does not wait."""
        room = self._room()
        return room is not None and not certainly_fits(wanted.model, room)

    def strategies(self, model: str, half: str, *, wait: bool) -> tuple[str, ...] | None:
        """The strategies under which a usual run of `model` fits; None where that is unknown.

        wait: whether to plan where no plan is cached, which takes seconds.
        """
        room = self._room()
        if room is None:
            return None
        if certainly_fits(model, room):
            return tuple(STRATEGIES)
        request = request_for(MemoryRequest(model, "", half, USUAL_PICTURE, USUAL_TOKENS, USUAL_TOKENS), room)
        if not wait and request not in self._kept:
            return None
        try:
            plan = self._planned(request)
        except UserError:
            return None
        return tuple(s.strategy for s in plan.strategies if s.fits_memory and s.strategy in STRATEGIES)

    def after(self, wanted: MemoryRequest, result: RunResult) -> DoesNotFit | None:
        """What to run instead of a run that ran out of memory; None for any other result or where it is unknown."""
        room = self._room()
        if room is None or not ran_out(result):
            return None
        try:
            misfit = self._judged(wanted, room)
        except UserError:
            return None
        measured = result.measurement.peak_memory_bytes
        if misfit is None:  # by its plan it fits, so something else uses the memory
            return DoesNotFit(wanted, room, Advice(wanted.strategy, False), None, measured)
        return DoesNotFit(wanted, room, misfit.advice, misfit.needed_bytes, measured)

    def _judged(self, wanted: MemoryRequest, room: MemoryBudget) -> DoesNotFit | None:
        plan = self._planned(request_for(wanted, room))
        advice = advise(plan, wanted.strategy)
        if advice.fits is not False:
            return None
        planned = next(strategy for strategy in plan.strategies if strategy.strategy == wanted.strategy)
        needed = planned.on_card.total_bytes if room.device == "cuda" else planned.total_bytes
        return DoesNotFit(wanted, room, advice, needed)

    def _planned(self, request: PlanRequest) -> Plan:
        if request not in self._kept:
            self._kept[request] = self._plans.plan(request)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[request]


def request_for(wanted: MemoryRequest, room: MemoryBudget) -> PlanRequest:
    """The plan to make for `wanted`: tokens rounded up, and the budget rounded down by at most a hundredth."""
    coarse = 1 << max(0, room.bytes.bit_length() - 7)
    return PlanRequest(
        wanted.model,
        wanted.picture,
        wanted.hd_num,
        prompt_tokens=_rounded_up(wanted.text_length),
        new_tokens=_rounded_up(wanted.new_tokens),
        half=wanted.half,
        device=room.device,
        memory_bytes=room.bytes // coarse * coarse,
        memory_of="card" if room.device == "cuda" else "host",
    )


def certainly_fits(model: str, room: MemoryBudget) -> bool:
    """Whether the files of `model` are so small that it fits without a plan. False where they are not here."""
    folder = model_path(model)
    if folder is None or not folder.is_dir():
        return False
    files = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS)
    return 0 < files * CERTAIN_FACTOR <= room.bytes


def ran_out(result: RunResult) -> bool:
    """Whether `result` failed because memory ran out, on a card or on the CPU."""
    return result.failure is not None and out_of_memory(result.failure.type, str(result.failure.message))


def _rounded_up(tokens: int) -> int:
    return -(-max(tokens, 1) // STEP) * STEP


def refuse_unless_fits(fitting: FitChecker, wanted: Sequence[MemoryRequest]) -> None:
    """Raise UserError, naming what fits, where some of `wanted` do not. Takes seconds where it has to plan."""
    if misfits := fitting.before_each(wanted):
        raise refusal(misfits, wanted)


def refusal(misfits: Sequence[DoesNotFit], wanted: Sequence[MemoryRequest]) -> UserError:
    """The error for runs `wanted`, of which `misfits` do not fit.

    It names the strategies that fit, the requested ones before an advised one, and the number of tiles at which all do.
    """
    needs = ", ".join(
        f"{misfit.wanted.strategy} {joined(memory(misfit.needed_bytes, 2))}"
        for misfit in misfits
        if misfit.needed_bytes is not None
    )
    room = joined(memory(misfits[0].room.bytes, 2))
    fits = fitting_strategies(misfits, wanted)
    tiles = largest_hd_num(misfits)
    fits += [] if tiles is None else [f"hd_num={tiles}"]
    if not fits:
        return UserError("nothing_fits", room=room, needs=needs)
    return UserError("does_not_fit", room=room, needs=needs, fits=", ".join(fits))


def fitting_strategies(misfits: Sequence[DoesNotFit], wanted: Sequence[MemoryRequest]) -> list[str]:
    """The requested strategies that fit; where none does, the advised one, if any."""
    unfit = {misfit.wanted for misfit in misfits}
    asked = list(dict.fromkeys(run.strategy for run in wanted if run not in unfit))
    advised = misfits[0].advice.strategy
    return asked or ([] if advised is None else [advised])


def largest_hd_num(misfits: Sequence[DoesNotFit]) -> int | None:
    """The number of tiles at which all of `misfits` would fit; None where fewer tiles do not help each of them."""
    return min((misfit.advice.hd_num or 0 for misfit in misfits), default=0) or None
