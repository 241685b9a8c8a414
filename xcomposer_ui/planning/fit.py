"""Whether a run fits into memory according to its plan, and what to run instead where it does not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xcomposer_ui.core.errors import UserError, out_of_memory
from xcomposer_ui.core.request import TILE_SETTINGS, MemoryRequest, tile_settings
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import model_path
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.planning.catalogue import weight_files
from xcomposer_ui.planning.plan import Plan, PlanRequest

if TYPE_CHECKING:
    from xcomposer_ui.planning.planner_process import Plans


@dataclass(frozen=True)
class Advice:
    """What fits instead of a strategy that does not.

    strategy: one that fits with all else unchanged. batch, tiles: the most with which the strategy itself fits. Each is
    None where it does not help.
    """

    strategy: str | None = None
    batch: int | None = None
    tiles: int | None = None


def advise(plan: Plan, requested: str) -> Advice | None:
    """What to run instead of the strategy `requested`; None where it fits the plan's memory, or that is unknown.

    Offers the first of STRATEGIES that fits and does not fail. Raises KeyError where the plan has no such strategy.
    """
    chosen = {s.strategy: s for s in plan.strategies}[requested]
    if chosen.fits_memory is not False:
        return None
    helping = {s.strategy for s in plan.strategies if s.fits_memory and s.fails_in is None}
    return Advice(
        strategy=next((name for name in STRATEGIES if name in helping), None),
        batch=chosen.largest_batch if chosen.largest_batch and plan.request.batch > 1 else None,
        tiles=chosen.largest_tiles,
    )


CERTAIN_FACTOR = 16
"""A checkpoint fits under every strategy, without a plan, where the budget is at least this many times its files' size:
float32 weights need twice the files' size, autocast's copies once more, and the activations have the rest."""

STEP = 256
"""Tokens are rounded up to a multiple of this, so that questions of similar length share a plan."""

USUAL_PICTURE = (1024, 768)
USUAL_TOKENS = 256
"""Tokens of the question, and of the answer, of the run that the table of models is computed for."""

MOST_CACHED = 32


@dataclass(frozen=True)
class MemoryBudget:
    """Memory available to a run, weights included, in bytes, on "cpu", "cuda" or "mps"."""

    device: str
    bytes: int


@dataclass(frozen=True)
class DoesNotFit:
    """A run that does not fit `budget`.

    needed_bytes: according to its plan; None where the plan predicted that it fits.
    measured_bytes: in use when memory ran out, None before a run. advice: what fits instead.
    """

    request: MemoryRequest
    budget: MemoryBudget
    advice: Advice
    needed_bytes: int | None = None
    measured_bytes: int | None = None


class FitChecker:
    """Checks by cached plans whether runs fit into memory.

    plans: a PlannerProcess. budget: returns the memory available now; None where it is unknown, and every run passes.
    """

    def __init__(self, plans: Plans, budget: Callable[[], MemoryBudget | None]) -> None:
        self._plans, self._budget = plans, budget
        self._cache: OrderedDict[PlanRequest, Plan] = OrderedDict()

    def misfits(self, requests: Sequence[MemoryRequest]) -> tuple[DoesNotFit, ...]:
        """Those of `requests` that do not fit, each run on its own. Takes seconds where it has to plan.

        A run that cannot be planned passes, because running it raises the error.
        """
        budget = self._budget()
        if budget is None:
            return ()
        try:
            checked = [self._misfit(run, budget) for run in requests if not certainly_fits(run.model, budget)]
        except UserError:
            return ()
        return tuple(misfit for misfit in checked if misfit is not None)

    def needs_plan(self, request: MemoryRequest) -> bool:
        """Whether `misfits` has to plan. Does not wait."""
        budget = self._budget()
        return budget is not None and not certainly_fits(request.model, budget)

    def strategies(self, model: str, half: str, *, wait: bool) -> tuple[str, ...] | None:
        """The strategies under which a usual run of `model` fits; None where that is unknown.

        wait: whether to plan where no plan is cached, which takes seconds.
        """
        budget = self._budget()
        if budget is None:
            return None
        if certainly_fits(model, budget):
            return tuple(STRATEGIES)
        usual = MemoryRequest(model, "", half, USUAL_PICTURE, USUAL_TOKENS, USUAL_TOKENS)
        try:
            request = plan_request_of(usual, budget)
            if not wait and request not in self._cache:
                return None
            plan = self._planned(request)
        except UserError:
            return None
        return tuple(s.strategy for s in plan.strategies if s.fits_memory and s.strategy in STRATEGIES)

    def after_run(self, request: MemoryRequest, result: RunResult) -> DoesNotFit | None:
        """What to run instead of a run that ran out of memory; None for any other result or where it is unknown."""
        budget = self._budget()
        if budget is None or not ran_out(result):
            return None
        try:
            misfit = self._misfit(request, budget)
        except UserError:
            return None
        measured = result.measurement.peak_memory_bytes
        if misfit is None:  # it fits according to its plan, so something else uses the memory
            return DoesNotFit(request, budget, Advice(), None, measured)
        return replace(misfit, measured_bytes=measured)

    def _misfit(self, request: MemoryRequest, budget: MemoryBudget) -> DoesNotFit | None:
        plan = self._planned(plan_request_of(request, budget))
        advice = advise(plan, request.strategy)
        if advice is None:
            return None
        planned = next(strategy for strategy in plan.strategies if strategy.strategy == request.strategy)
        needed = planned.on_card.total_bytes if budget.device == "cuda" else planned.total_bytes
        return DoesNotFit(request, budget, advice, needed)

    def _planned(self, request: PlanRequest) -> Plan:
        if request not in self._cache:
            self._cache[request] = self._plans.plan(request)
            while len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)
        return self._cache[request]


def plan_request_of(request: MemoryRequest, budget: MemoryBudget) -> PlanRequest:
    """The plan to make for `request`: tokens rounded up, and the budget rounded down by at most a hundredth."""
    coarse = 1 << max(0, budget.bytes.bit_length() - 7)
    return PlanRequest(
        request.model,
        request.picture,
        **tile_settings(request),
        prompt_tokens=_rounded_up(request.text_length),
        new_tokens=_rounded_up(request.new_tokens),
        half=request.half,
        device=budget.device,
        memory_bytes=budget.bytes // coarse * coarse,
        memory_of="card" if budget.device == "cuda" else "host",
    )


def certainly_fits(model: str, budget: MemoryBudget) -> bool:
    """Whether the files of `model` are so small that it fits without a plan. False where they are not local."""
    folder = model_path(model)
    if folder is None or not folder.is_dir():
        return False
    files = sum(file.stat().st_size for file in weight_files(folder))
    return 0 < files * CERTAIN_FACTOR <= budget.bytes


def ran_out(result: RunResult) -> bool:
    """Whether `result` failed because memory ran out, on a card or on the CPU."""
    return result.failure is not None and out_of_memory(result.failure.type, str(result.failure.message))


def _rounded_up(tokens: int) -> int:
    return -(-max(tokens, 1) // STEP) * STEP


def refuse_unless_fits(checker: FitChecker, requests: Sequence[MemoryRequest]) -> None:
    """Raise UserError where some of `requests` do not fit. Takes seconds where it has to plan.

    It names the strategies that fit, the requested ones before an advised one, and the number of tiles at which all do.
    """
    misfits = checker.misfits(requests)
    if not misfits:
        return
    needs = ", ".join(
        f"{misfit.request.strategy} {joined(memory(misfit.needed_bytes, 2))}"
        for misfit in misfits
        if misfit.needed_bytes is not None
    )
    budget = joined(memory(misfits[0].budget.bytes, 2))
    fits = fitting_strategies(misfits, requests)
    tiles = fitting_tiles(misfits)
    fits += [] if tiles is None else [f"{name}={tiles}" for name in TILE_SETTINGS]
    if not fits:
        raise UserError("nothing_fits", budget=budget, needs=needs)
    raise UserError("does_not_fit", budget=budget, needs=needs, fits=", ".join(fits))


def fitting_strategies(misfits: Sequence[DoesNotFit], requests: Sequence[MemoryRequest]) -> list[str]:
    """The requested strategies that fit; where none does, the advised one, if any."""
    unfit = {misfit.request for misfit in misfits}
    requested = list(dict.fromkeys(run.strategy for run in requests if run not in unfit))
    advised = misfits[0].advice.strategy
    return requested or ([] if advised is None else [advised])


def fitting_tiles(misfits: Sequence[DoesNotFit]) -> int | None:
    """The number of tiles at which all of `misfits` would fit; None where fewer tiles do not help each of them."""
    return min((misfit.advice.tiles or 0 for misfit in misfits), default=0) or None
