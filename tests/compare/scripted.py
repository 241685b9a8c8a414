"""A runner that plays a script: every strategy answers but `as_is`, with figures that are known beforehand."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.ui.scripted import FAILURE
from xcomposer_ui.compare.divergence import Diverged, Divergence, Divergences, Diverging, LayerDivergence
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Event, Finished, Status, TextSoFar, Waiting
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement, RunResult
from xcomposer_ui.core.strategies import checked_half
from xcomposer_ui.planning.default_choices import Machine
from xcomposer_ui.planning.fit import MemoryBudget

SECONDS = {"autocast": 0.9, "unified": 0.8, "full": 1.0}
ANSWERS = {"autocast": "a red circle", "unified": "a red square", "full": "a red circle"}
TOKENS = ("a", " red", " circle")


def layers(error: float) -> tuple[LayerDivergence, ...]:
    """Three stages of growing error, the second with a module inside."""
    return (
        LayerDivergence("vit.block.0", 0, "float16", error, 1.0, 3.0, is_block=True),
        LayerDivergence("model.layers.0.w1", 0, "float16", 3 * error, 1.0, 9.0),
        LayerDivergence("model.layers.0", 0, "float16", 2 * error, 1.0, 5.0, is_block=True),
        LayerDivergence("output", 0, "float16", 4 * error, 1.0, 7.0, is_block=True),
    )


def divergence(strategy: str, half: str, error: float = 1e-3, **changes: Any) -> Divergence:
    """An entry as a backend would give it."""
    same = ANSWERS.get(strategy) == ANSWERS["full"]
    figures: dict[str, Any] = {
        "max_abs_logit_difference": 10 * error,
        "mean_kl_divergence": error / 10,
        "top1_agreement": 1.0 if same else 2 / 3,
        "first_different_token": None if same else 2,
        "largest_activation_share": 9 / 65504,
        "largest_activation_module": "model.layers.0.w1",
        "non_finite_positions": 0,
        "first_non_finite_module": None,
        "layers": layers(error),
        "tokens": TOKENS if same else (*TOKENS[:2], " square"),
    }
    return Divergence(strategy, half, **{**figures, **changes})


@dataclass
class ScriptedRunner:
    """Times and answers by the tables above; the n-th run of a strategy takes n milliseconds longer.

    room_for: how many dtypes of weights fit. asked: (strategy, half, new tokens) of each run, in order.
    """

    room_for: int = 3
    fails: tuple[str, ...] = ("as_is",)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    diverged: int = 0
    closed: int = 0
    loaded: list[str] = field(default_factory=list)
    has_room: MemoryBudget | None = None
    model: str = "embedded"
    machine: Machine = field(default_factory=Machine)

    def half(self, asked: str | None = None) -> str:
        return "float16" if asked in (None, "auto") else checked_half(asked)

    def memory_budget(self) -> MemoryBudget | None:
        return self.has_room

    def open(self) -> None:
        """The device is known from the start."""

    def resolved(self, request: Request) -> Request:
        if request.model not in (None, "embedded", self.model):
            raise UserError("unknown_model", name=request.model, known="embedded")
        return replace(request, model=request.model or self.model, half=self.half(request.half))

    def status(self) -> Status:
        reasons = {"device": "no CUDA device was found", "half": "the usual one"}
        return Status("embedded", "cpu", "float16", reasons, tuple(("embedded", dtype) for dtype in self.loaded))

    def run(self, request: Request) -> Generator[Event, None, None]:
        request = self.resolved(request)
        dtype = request.weights_dtype
        self.loaded = [*(d for d in self.loaded if d != dtype), dtype][-self.room_for :]
        run = (request.strategy, request.half_dtype, request.max_new_tokens)
        before = self.asked.count(run)
        self.asked.append(run)
        finished = False
        try:
            yield TextSoFar("a")
            finished = True
            yield Finished(self._result(request, before))
        finally:
            self.closed += not finished

    def diverge(
        self, request: Request, variants: Sequence[tuple[str, str]]
    ) -> Generator[Waiting | Diverging | Diverged, None, None]:
        self.diverged += 1
        yield Diverging()
        entries = tuple(divergence(s, h) for s, h in variants if s != "full" and s not in self.fails)
        failures = {f"{s}/{h}": f"{FAILURE.type}: {FAILURE.message}" for s, h in variants if s in self.fails}
        yield Diverged(Divergences(entries, divergence("full", "float16", 1e-7), TOKENS, failures))

    def _result(self, request: Request, before: int) -> RunResult:
        strategy = request.strategy
        failed = strategy in self.fails
        weights = 2_000_000 if request.weights_dtype != "float32" else 4_000_000
        measured = Measurement(
            latency_sec=SECONDS.get(strategy, 1.0) + before / 1000, time_to_first_token_sec=0.2, tokens_per_sec=30.0,
            peak_memory_bytes=weights + 1_000_000, peak_memory_kind="cpu_tensors", prompt_tokens=84, new_tokens=3,
            weights_bytes=weights,
        )  # fmt: skip
        return RunResult(
            request, "cpu", Measurement(weights_bytes=weights) if failed else measured,
            answer=None if failed else ANSWERS.get(strategy, "yes"),
            failure=FAILURE if failed else None, reasons=self.status().reasons,
        )  # fmt: skip
