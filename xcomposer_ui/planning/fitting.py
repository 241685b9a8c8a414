"""Will a run fit, before it is begun; and what to run instead where it will not, or did not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xcomposer_ui.errors import UserError
from xcomposer_ui.planning.advice import Advice, advise
from xcomposer_ui.planning.records import Plan, PlanRequest
from xcomposer_ui.records import RunResult
from xcomposer_ui.settings import EMBEDDED, EMBEDDED_PATH

SURE = 16
"""A checkpoint whose files, so many times over, are less than the room fits under every strategy: float32 weights are
twice its files and autocast's copies a third time, the rest is left for the activations. It is not planned."""

STEP = 256
"""Tokens are rounded up to a multiple of this, so that one plan serves many questions."""

MOST_KEPT = 32
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class Room:
    """Memory that a run may take, in bytes, its weights included, on "cpu", "cuda" or "mps"."""

    device: str
    bytes: int


@dataclass(frozen=True)
class Wanted:
    """A run that is asked for. picture: (width, height), None for text only. text_length: characters.

    hd_num: most tiles of the picture, None for the member's own.
    """

    model: str
    strategy: str
    half: str
    picture: tuple[int, int] | None
    text_length: int
    new_tokens: int
    hd_num: int | None = None


@dataclass(frozen=True)
class Tight:
    """A run that does not fit. needed_bytes: predicted, counted as the room is; None where no plan says so.

    measured_bytes: what it had taken when memory ran out, None before a run. advice: what fits instead.
    """

    wanted: Wanted
    room: Room
    advice: Advice
    needed_bytes: int | None = None
    measured_bytes: int | None = None


class Plans(Protocol):
    """Who plans: a `planning.worker.PlanWorker`."""

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`. Raises UserError."""


class Fitting:
    """room: what there is now; None where it is not known, and then nothing is concluded."""

    def __init__(self, plans: Plans, room: Callable[[], Room | None]) -> None:
        self._plans, self._room = plans, room
        self._kept: OrderedDict[PlanRequest, Plan] = OrderedDict()

    def before_each(self, wanted: Sequence[Wanted]) -> tuple[Tight, ...]:
        """Why some of `wanted` should not be begun; what fits, or of which nobody knows, is not among them.

        Each is to run alone, one after the other. Takes seconds where it has to plan. What cannot be planned passes:
        its run will say what is wrong with it.
        """
        room = self._room()
        if room is None:
            return ()
        try:
            judged = [self._judged(run, room) for run in wanted if not surely_fits(run.model, room)]
        except UserError:
            return ()
        return tuple(tight for tight in judged if tight is not None)

    def in_doubt(self, wanted: Wanted) -> bool:
        """Whether `before_each` has anything to look into; answers at once."""
        room = self._room()
        return room is not None and not surely_fits(wanted.model, room)

    def after(self, wanted: Wanted, result: RunResult) -> Tight | None:
        """What to run instead of a run that ended for want of memory; None where it ended otherwise, or none knows."""
        room = self._room()
        if room is None or not ran_out(result):
            return None
        try:
            tight = self._judged(wanted, room)
        except UserError:
            return None
        measured = result.measurement.peak_memory_bytes
        if tight is None:  # the plan says that it fits: something else has the memory
            return Tight(wanted, room, Advice(wanted.strategy, False), None, measured)
        return Tight(wanted, room, tight.advice, tight.needed_bytes, measured)

    def _judged(self, wanted: Wanted, room: Room) -> Tight | None:
        plan = self._planned(request_for(wanted, room))
        advice = advise(plan, wanted.strategy)
        if advice.fits is not False:
            return None
        planned = next(strategy for strategy in plan.strategies if strategy.strategy == wanted.strategy)
        needed = planned.on_card.total_bytes if room.device == "cuda" else planned.total_bytes
        return Tight(wanted, room, advice, needed)

    def _planned(self, request: PlanRequest) -> Plan:
        if request not in self._kept:
            self._kept[request] = self._plans.plan(request)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[request]


def request_for(wanted: Wanted, room: Room) -> PlanRequest:
    """What to plan for `wanted`: its tokens rounded up, the room rounded down to a hundredth of itself."""
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


def surely_fits(model: str, room: Room) -> bool:
    """Whether `model` is so small beside the room that nothing has to be planned."""
    folder = EMBEDDED_PATH if model == EMBEDDED else Path(model).expanduser()
    if not folder.is_dir():
        return False
    files = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS)
    return 0 < files * SURE <= room.bytes


def ran_out(result: RunResult) -> bool:
    """Whether `result` failed for want of memory, on a card or on the CPU."""
    failure = result.failure
    if failure is None:
        return False
    said = failure.message.lower()
    return "OutOfMemory" in failure.type or "out of memory" in said or "can't allocate memory" in said


def _rounded_up(tokens: int) -> int:
    return -(-max(tokens, 1) // STEP) * STEP
