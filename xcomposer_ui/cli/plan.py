"""`plan`: the memory that a run needs under every strategy, and the cards that it fits, before anything is loaded.

Exit 0: planned (or calibrated, every error within its bound). 3: calibrated, and an error is larger than its bound.
2: the user's mistake.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from xcomposer_ui.cli.output import FAILED, add_json_flag, print_json, refuse_flags, show, tell
from xcomposer_ui.cli.request_arguments import add_settings, settings_given
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.settings import DEVICES, settings_from
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.finetuning.recipes import OPTIMIZERS
from xcomposer_ui.planning.fit import advise
from xcomposer_ui.planning.plan import (
    MOST_BATCH,
    Plan,
    PlanRequest,
    StrategyPlan,
    largest_shown,
    memory_bytes,
    parameter_count,
    picture_size,
    plan_as_json,
)
from xcomposer_ui.planning.planner_process import compute_in_one_thread, plan_request, plan_training_request
from xcomposer_ui.planning.predictions import PredictionError, prediction_error_as_json
from xcomposer_ui.planning.training_answer import answers, method_name
from xcomposer_ui.planning.training_plan import RecipePlan, TrainingPlan, TrainingPlanRequest, training_plan_as_json

BOUNDS = {"cpu_tensors": 0.01, "cuda_allocated": 0.03}
"""Peak memory kind -> the largest relative error of a prediction."""

RECIPE_HEAD = (
    f"{'recipe':<26}{'weights':>10}{'gradients':>11}{'optimizer':>11}{'activations':>13}{'total':>10}  "
    f"{'peak in':<9}{'on card':>10}  smallest card"
)


HELP = "how much memory a run will need, before it is run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="PATH_OR_ID", help="“embedded”, a folder, a config.json, or a hub id")
    parser.add_argument("--image", default="1024x768", metavar="WxH", help="the picture's pixels; “none” for text only")
    add_settings(parser, TrainingPlanRequest)
    parser.add_argument("--half", metavar="|".join(HALF_DTYPES), help="the 16-bit type")
    parser.add_argument("--device", metavar="|".join(DEVICES))
    parser.add_argument("--train", action="store_true", help="plan fine-tuning: every recipe, in full and by LoRA")
    parser.add_argument("--optimizer", metavar="|".join(OPTIMIZERS), help="with --train (default adamw)")
    parser.add_argument(
        "--train-tower", action="store_true", help="with --train: full fine-tuning trains the vision tower too"
    )
    parser.add_argument("--memory", type=float, metavar="GIB", help="of a card to fit; this machine's if not given")
    parser.add_argument(
        "--calibrate", action="store_true", help="run a few sizes here, and print the errors of the predictions"
    )
    add_json_flag(parser)


def execute(arguments: argparse.Namespace) -> int:
    request = request_from(arguments)
    if arguments.calibrate:
        return calibrated(request, arguments.json)
    compute_in_one_thread()
    if isinstance(request, TrainingPlanRequest):
        training = plan_training_request(request)
        document, shown = training_plan_as_json(training), training_as_text(training)
    else:
        planned = plan_request(request)
        document, shown = plan_as_json(planned), as_text(planned)
    if arguments.json:
        print_json(document)
    tell(shown, as_json=arguments.json)
    return 0


def request_from(arguments: argparse.Namespace) -> PlanRequest:
    """The request on the command line. Raises UserError where it is not valid."""
    settings = settings_from(model=arguments.model, device=arguments.device, half=arguments.half)
    fields: dict[str, Any] = {
        "model": settings.model,
        "image": picture_size(arguments.image),
        "half": "float16" if settings.half == "auto" else settings.half,
        "device": settings.device,
        "memory_bytes": memory_bytes(arguments.memory),
    }
    if not arguments.train:
        given = {
            "--lora-rank": arguments.lora_rank, "--optimizer": arguments.optimizer,
            "--train-tower": arguments.train_tower or None,
        }  # fmt: skip
        refuse_flags("only_with_train", given, train="--train")
        return PlanRequest(**fields, **settings_given(arguments, PlanRequest))
    if arguments.calibrate:
        raise UserError("calibrated_training")
    more: dict[str, Any] = {"optimizer": arguments.optimizer or "adamw", "trains_tower": arguments.train_tower}
    return TrainingPlanRequest(**fields, **more, **settings_given(arguments, TrainingPlanRequest))


def calibrated(request: PlanRequest, as_json: bool) -> int:
    """Run, predict, and print the errors of the predictions; the exit status."""
    from xcomposer_ui.backends.planning.calibration import calibrate  # imports torch

    pairs: list[PredictionError] = []
    for pair in calibrate(request):
        pairs.append(pair)
        tell(
            f"{pair.strategy:<9} {pair.half:<9} {pair.prompt_tokens:>6} + {pair.new_tokens:>4} tokens: predicted "
            f"{pair.predicted_bytes:>15,}, measured {pair.measured_bytes:>15,} bytes, {pair.error:+.3%}",
            as_json=as_json,
        )
    if not pairs:
        raise UserError("no_measured_peak", device=request.device)
    worst = max(abs(pair.error) for pair in pairs)
    within = all(abs(pair.error) <= BOUNDS[pair.kind] for pair in pairs)
    runs = [prediction_error_as_json(pair) for pair in pairs]
    document = {"model": request.model, "runs": runs, "largest_error": worst, "within_bound": within}
    show(document, f"largest error {worst:.3%}, {'within' if within else 'beyond'} its bound", as_json=as_json)
    return 0 if within else FAILED


def as_text(plan: Plan) -> str:
    lines = [
        f"{plan.model}: {parameter_count(plan.parameters, 'en')}; {plan.prompt_tokens} prompt tokens "
        f"({plan.image_tokens} of the picture), {plan.request.new_tokens} new ones, batch {plan.request.batch}, "
        f"16 bits in {plan.request.half}",
        f"{'strategy':<30}{'weights':>10}{'cache':>10}{'activations':>13}{'total':>10}  {'peak in':<8}{'on card':>10}"
        f"{'batch':>7}  smallest card",
        *(_line(strategy) for strategy in plan.strategies),
    ]
    if plan.memory_bytes is not None:
        lines.append(f"“batch” is the largest that fits {joined(memory(plan.memory_bytes))} ({plan.memory_name})")
    if decoder := max(strategy.on_card.decoder_bytes for strategy in plan.strategies):
        lines.append(text("plan.summary.decoder", "en", memory=joined(memory(decoder))))
    for name in ("autocast", "full"):
        advice = advise(plan, name)
        if advice is not None and advice.strategy:
            lines.append(f"{name} does not fit; {advice.strategy} does")
    return "\n".join([*lines, f"planned in {plan.planned_sec:.1f} s; GiB are 1,073,741,824 bytes"])


def _line(plan: StrategyPlan) -> str:
    batch = largest_shown(plan.largest_batch, MOST_BATCH)
    ending = f"  (dtypes clash in the {plan.fails_in})" if plan.fails_in else ""
    sizes = (
        plan.weights_bytes, plan.kv_cache_bytes, plan.activation_peak_bytes, plan.total_bytes, plan.on_card.total_bytes,
    )  # fmt: skip
    weights, cache, activations, total, on_card = (joined(memory(size)) for size in sizes)
    return (
        f"{plan.strategy:<30}{weights:>10}{cache:>10}{activations:>13}{total:>10}  {plan.peak_phase:<8}{on_card:>10}"
        f"{batch:>7}  {_smallest_card(plan.fits)}{ending}"
    )


def _smallest_card(fits: Mapping[str, bool]) -> str:
    return next((name for name, enough in fits.items() if enough), "none")


def training_as_text(plan: TrainingPlan) -> str:
    request = plan.request
    tower = "trained" if request.trains_tower else "frozen"
    lines = [
        f"{plan.model}: {parameter_count(plan.parameters, 'en')}; {plan.sequence_tokens} tokens an example "
        f"({plan.image_tokens} of the picture), batch {request.batch}, {request.optimizer}, vision tower {tower}",
        "",
        *(f"{answer.memory}: {answer.sentence}" for answer in answers(plan, "en")),
    ]
    lines.append("Each part at its largest; “total” is that of the phase in “peak in”, where not all of them are.")
    for method in plan.methods:
        lines += ["", method_name(method, "en"), RECIPE_HEAD, *(_recipe_line(entry) for entry in plan.by(method))]
    return "\n".join([*lines, "", f"planned in {plan.planned_sec:.1f} s; GiB are 1,073,741,824 bytes"])


def _recipe_line(entry: RecipePlan) -> str:
    sizes = (
        entry.weights_bytes, entry.gradients_bytes, entry.optimizer_bytes, entry.activations_bytes, entry.total_bytes,
        entry.on_card.total_bytes,
    )  # fmt: skip
    weights, gradients, optimizer, activations, total, on_card = (joined(memory(size)) for size in sizes)
    return (
        f"{entry.recipe:<26}{weights:>10}{gradients:>11}{optimizer:>11}{activations:>13}{total:>10}  "
        f"{entry.peak_phase:<9}{on_card:>10}  {_smallest_card(entry.fits)}"
    )
