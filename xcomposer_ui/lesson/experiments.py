"""The experiments of the lesson: real runs, traces, divergences and plans of the lab, and the figures they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from xcomposer_ui.compare.divergence import Diverged, Divergences
from xcomposer_ui.compare.execution import WARM_UP_TOKENS
from xcomposer_ui.core.events import Finished
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning
from xcomposer_ui.lesson.explorer import Calculation, Held, explored
from xcomposer_ui.lesson.step import Fact, Step
from xcomposer_ui.planning.cards import CARDS, Card
from xcomposer_ui.planning.catalogue import entry_of
from xcomposer_ui.planning.fit import FitChecker, refuse_unless_fits
from xcomposer_ui.planning.plan import RunShape
from xcomposer_ui.planning.planner_process import Plans
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import Traced

AUTOCAST = "autocast"
"""The operation of the casts that autocast inserts, as a trace names them."""


@dataclass(frozen=True)
class Lab:
    """What experiments run on. fitting: checks that a run fits into memory before it is started."""

    runner: Runner
    plans: Plans
    fitting: FitChecker


Calculations = Mapping[str, tuple[str, tuple[Held, ...]]]
"""The step's name of a calculation -> (as written, in each format)."""

LabelledRuns = Mapping[str, RunResult]
"""The step's name of a run -> its result."""


@dataclass(frozen=True)
class PredictedMemory:
    """The card, and by strategy the bytes of the weights and of the peak."""

    card: Card
    sizes: Mapping[str, tuple[int, int]]


Evidence = Calculations | LabelledRuns | Traced | Divergences | PredictedMemory | Finetuning
"""What an experiment shows beside its figures."""


@dataclass(frozen=True)
class Findings:
    """The figures of an experiment, by name, and what they were read from."""

    figures: Mapping[str, Fact]
    evidence: Evidence


def experiment(lab: Lab, step: Step) -> Findings:
    """Run the experiment of `step`. Takes seconds. Raises UserError, for example where a run does not fit."""
    return EXPERIMENTS[step.experiment](lab, step.parameters)


def request_of(parameters: Mapping[str, Any], **fields: Any) -> Request:
    """The request about the step's picture, one of the examples, with its question."""
    file = str(ASSETS / "examples" / parameters["picture"])
    return Request(parameters["question"], image=open_picture(file), file=file, **fields)


def arithmetic(_: Lab, parameters: Mapping[str, Any]) -> Findings:
    """Each parameter, a calculation, in every format."""
    cases: dict[str, tuple[str, tuple[Held, ...]]] = {}
    figures: dict[str, Fact] = {}
    for name, written in parameters.items():
        calculation = Calculation(*written)
        cases[name] = calculation.text, explored(calculation)
        for held in cases[name][1]:
            figures[f"{name}_{held.format.name}"] = held.value
            figures[f"{name}_{held.format.name}_state"] = held.state
    return Findings(figures, cases)


def runs(lab: Lab, parameters: Mapping[str, Any]) -> Findings:
    """The same question once for each of `parameters["runs"]`, name -> fields of the request, after a short warm-up.

    The figures of "second" are also given as ratios to those of "first".
    """
    requests = {name: lab.runner.resolved(request_of(parameters, **f)) for name, f in parameters["runs"].items()}
    _refuse(lab, requests.values())
    results: dict[str, RunResult] = {}
    figures: dict[str, Fact] = {}
    for name, request in requests.items():
        if request.method.name not in {result.strategy for result in results.values()}:
            _last(lab.runner.run(replace(request, max_new_tokens=WARM_UP_TOKENS)), Finished)
        results[name] = _last(lab.runner.run(request), Finished).result
        figures |= {f"{name}_{figure}": value for figure, value in _figures_of(results[name]).items()}
        figures[f"{name}_same_answer"] = results[name].answer == next(iter(results.values())).answer
    if "second" in results:
        for figure in ("weights", "parameters", "latency", "peak_memory", "new_tokens"):
            figures[f"{figure}_ratio"] = _ratio(figures, figure)
    return Findings(figures, results)


def trace(lab: Lab, parameters: Mapping[str, Any]) -> Findings:
    """The dtype flow of one run: the casts that autocast inserts, and the modules that compute in float32."""
    fields = {name: value for name, value in parameters.items() if name not in ("picture", "question")}
    request = lab.runner.resolved(request_of(parameters, **fields))
    _refuse(lab, [request])
    traced = _last(lab.runner.trace(request), Traced)
    inserted = [(call.name, cast) for call in traced.flow.calls for cast in call.casts if cast.operation == AUTOCAST]
    islands = {call.name: call.class_name for call in traced.flow.calls if call.is_island}
    classes = Counter(islands.values()).most_common(1)
    return Findings(
        {
            "autocast_casts": sum(cast.count for _, cast in inserted),
            "autocast_module": inserted[0][0] if inserted else None,
            "module_calls": len(traced.flow.calls),
            "islands": len(islands),
            "island_class": classes[0][0] if classes else None,
            "failed": traced.flow.error is not None,
        },
        traced,
    )


def distance(lab: Lab, parameters: Mapping[str, Any]) -> Findings:
    """The distance of one dtype throughout, in each 16-bit type, from full precision."""
    request = lab.runner.resolved(request_of(parameters, strategy="full"))
    _refuse(lab, [request])
    variants = [("unified", half) for half in HALF_DTYPES]
    found = _last(lab.runner.diverge(request, variants), Diverged).divergences
    figures: dict[str, Fact] = {}
    for strategy, half in variants:
        entry = found.of(strategy, half)
        figures[f"{half}_max_abs_logit_difference"] = None if entry is None else entry.max_abs_logit_difference
        figures[f"{half}_top1_agreement"] = None if entry is None else entry.top1_agreement
    one, other = (figures[f"{half}_max_abs_logit_difference"] for half in HALF_DTYPES)
    figures["closest"], figures["distance_ratio"] = _closer(one, other)
    return Findings(figures, found)


def memory(lab: Lab, parameters: Mapping[str, Any]) -> Findings:
    """The predicted peak of a run on a card, in full precision and in 16 bits, beside the card's capacity."""
    count = entry_of(parameters["model"]).parameters
    card = next(card for card in CARDS if card.name == parameters["card"])
    figures: dict[str, Fact] = {"parameters": count, "card_bytes": card.usable_bytes}
    sizes: dict[str, tuple[int, int]] = {}
    for name, strategy in (("full", "full"), ("half", "unified")):
        peak = lab.plans.predict(
            RunShape(
                parameters["model"], strategy, parameters["half"], tuple(parameters["picture_size"]),
                parameters["text_length"], parameters["new_tokens"], device="cuda",
            )
        )  # fmt: skip
        weights = None if count is None else round(count * STRATEGIES[strategy].weights.bytes_per_parameter)
        figures[f"{name}_weights_bytes"] = weights
        figures[f"{name}_peak_bytes"] = peak
        figures[f"{name}_fits"] = peak <= card.usable_bytes
        sizes[strategy] = weights or 0, peak
    return Findings(figures, PredictedMemory(card, sizes))


def training(lab: Lab, parameters: Mapping[str, Any]) -> Findings:
    """A short fine-tuning under the recipes "unscaled" and "scaled": which gradients the 16-bit type loses."""
    names = {name: parameters[name] for name in ("unscaled", "scaled")}
    sizes = {name: parameters[name] for name in ("steps", "batch")}
    request = FinetuningRequest(recipes=tuple(names.values()), with_accuracy=False, **sizes)
    found = _last(lab.runner.finetune(request), Finetuned).finetuning
    figures: dict[str, Fact] = {}
    for (name, _), result in zip(names.items(), found.recipes, strict=True):
        counts = result.gradients
        figures |= {
            f"{name}_gradients": counts.elements,
            f"{name}_lost_share": counts.underflow,
            f"{name}_zero": counts.zero,
            f"{name}_overflow": counts.overflow,
            f"{name}_loss_scale": int(result.loss_scales[0]) if result.loss_scales else 1,
        }
    lost, kept = figures["unscaled_lost_share"], figures["scaled_lost_share"]
    figures["lost_ratio"] = kept / lost if isinstance(lost, float) and isinstance(kept, float) and lost else None
    return Findings(figures, found)


EXPERIMENTS: dict[str, Callable[[Lab, Mapping[str, Any]], Findings]] = {
    "arithmetic": arithmetic, "runs": runs, "trace": trace, "distance": distance,
    "memory": memory, "training": training,
}  # fmt: skip
"""The experiments that a step can name."""

PLANNED_EXPERIMENTS = ("memory",)
"""Those that compute in the planning process and leave the model free."""

Last = TypeVar("Last")


def _last(events: Generator[Any, None, None], kind: type[Last]) -> Last:
    """The one event of `kind`, which is the last of `events`."""
    found: Last | None = None
    for event in events:
        if isinstance(event, kind):
            found = event
    if found is None:
        raise RuntimeError(f"the runner ended without {kind.__name__}")
    return found


def _refuse(lab: Lab, requests: Iterable[Request]) -> None:
    """Raise UserError where one of `requests` does not fit into memory."""
    lab.runner.open()
    refuse_unless_fits(lab.fitting, [request.memory_query() for request in requests])


def _figures_of(result: RunResult) -> dict[str, Fact]:
    measured, failure = result.measurement, result.failure
    weights, each = measured.weights_bytes, result.request.method.weights.bytes_per_parameter
    dtypes = dict.fromkeys(operand.dtype for operand in failure.operands) if failure else {}
    return {
        "answer": result.answer,
        "weights_bytes": weights,
        "parameters": None if weights is None else round(weights / each),
        "latency_sec": measured.latency_sec,
        "peak_memory_bytes": measured.peak_memory_bytes,
        "new_tokens": measured.new_tokens,
        "failed": failure is not None,
        "failure_type": failure.type if failure else None,
        "module": failure.module if failure else None,
        "dtypes": ", ".join(dtypes) or None,
    }


def _ratio(figures: Mapping[str, Fact], figure: str) -> float | None:
    """The second run's figure over the first's; the names of figures with units have theirs at the end."""
    for unit in ("", "_bytes", "_sec"):
        first, second = (figures.get(f"{name}_{figure}{unit}") for name in ("first", "second"))
        if isinstance(first, (int, float)) and isinstance(second, (int, float)) and first:
            return second / first
    return None


def _closer(one: Fact, other: Fact) -> tuple[str | None, float | None]:
    """(the 16-bit type that is closer to full precision, how many times as far the other one is)."""
    if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        return None, None
    if one == other:
        return "equal", 1.0
    near, far = min(one, other), max(one, other)
    return HALF_DTYPES[0 if one < other else 1], far / near if near else None
