"""`plan`: the memory that a run needs under every strategy, and the cards that it fits, before anything is loaded.

Exit 0: planned (or calibrated, every error within its bound). 3: calibrated, and an error is larger than its bound.
2: the user's mistake.
"""

from __future__ import annotations

import argparse
from typing import Any

from xcomposer_ui.cli import training_plan
from xcomposer_ui.cli.output import FAILED, add_json_flag, print_json, tell
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import tile_settings
from xcomposer_ui.core.settings import DEVICES, settings_from
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.core.units import GIB, joined, memory
from xcomposer_ui.finetuning.recipes import OPTIMIZERS
from xcomposer_ui.planning.fit import advise
from xcomposer_ui.planning.plan import Plan, PlanRequest, StrategyPlan, checked_request, picture_size, plan_as_json
from xcomposer_ui.planning.predictions import PredictionError, prediction_error_as_json
from xcomposer_ui.planning.training_plan import (
    TRAINING_FIELDS,
    TrainingPlanRequest,
    checked_training_request,
    training_plan_as_json,
)

DEFAULTS = TrainingPlanRequest(model="")
BOUNDS = {"cpu_tensors": 0.01, "cuda_allocated": 0.03}
"""Peak memory kind -> the largest relative error of a prediction."""


def add_to(commands: Any) -> None:
    parser = commands.add_parser("plan", help="how much memory a run will need, before it is run")
    parser.add_argument("--model", metavar="PATH_OR_ID", help="“embedded”, a folder, a config.json, or a hub id")
    parser.add_argument("--image", default="1024x768", metavar="WxH", help="the picture's pixels; “none” for text only")
    parser.add_argument("--hd-num", type=int, metavar="N", help="most tiles of the picture (tiled members only)")
    parser.add_argument("--prompt-tokens", type=int, default=DEFAULTS.prompt_tokens, metavar="N", help="of text")
    parser.add_argument("--new-tokens", type=int, default=DEFAULTS.new_tokens, metavar="N")
    parser.add_argument("--batch", type=int, default=DEFAULTS.batch, metavar="N")
    parser.add_argument("--half", metavar="|".join(HALF_DTYPES), help="the 16-bit type")
    parser.add_argument("--device", metavar="|".join(DEVICES))
    parser.add_argument("--train", action="store_true", help="plan fine-tuning: every recipe, in full and by LoRA")
    parser.add_argument("--optimizer", default=DEFAULTS.optimizer, metavar="|".join(OPTIMIZERS), help="with --train")
    parser.add_argument(
        "--lora-rank",
        type=int,
        default=DEFAULTS.lora_rank,
        metavar="N",
        help="with --train: the family's own if not given",
    )
    parser.add_argument(
        "--train-tower", action="store_true", help="with --train: full fine-tuning trains the vision tower too"
    )
    parser.add_argument("--memory", type=float, metavar="GIB", help="of a card to fit; this machine's if not given")
    parser.add_argument(
        "--calibrate", action="store_true", help="run a few sizes here, and print the errors of the predictions"
    )
    add_json_flag(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    request = request_from(arguments)
    if isinstance(request, TrainingPlanRequest):
        return training_planned(request, arguments.json)
    if arguments.calibrate:
        return calibrated(request, arguments.json)
    from xcomposer_ui.backends.planning.planner import plan  # imports torch

    planned = plan(request)
    if arguments.json:
        print_json(plan_as_json(planned))
    tell(as_text(planned), as_json=arguments.json)
    return 0


def request_from(arguments: argparse.Namespace) -> PlanRequest:
    """The request on the command line. Raises UserError where it is not valid."""
    settings = settings_from(model=arguments.model, device=arguments.device, half=arguments.half)
    request = PlanRequest(
        model=settings.model,
        image=picture_size(arguments.image),
        **tile_settings(arguments),
        prompt_tokens=arguments.prompt_tokens,
        new_tokens=arguments.new_tokens,
        batch=arguments.batch,
        half="float16" if settings.half == "auto" else settings.half,
        device=settings.device,
        memory_bytes=None if arguments.memory is None else int(arguments.memory * GIB),
    )
    if not arguments.train:
        return checked_request(request)
    if arguments.calibrate:
        raise UserError("calibrated_training")
    more = (arguments.optimizer, arguments.lora_rank, arguments.train_tower)
    return checked_training_request(
        TrainingPlanRequest(**vars(request), **dict(zip(TRAINING_FIELDS, more, strict=True)))
    )


def training_planned(request: TrainingPlanRequest, as_json: bool) -> int:
    """Plan fine-tuning and print the plan; the exit status."""
    from xcomposer_ui.backends.planning.training_planner import plan_training  # imports torch

    planned = plan_training(request)
    if as_json:
        print_json(training_plan_as_json(planned))
    tell(training_plan.as_text(planned), as_json=as_json)
    return 0


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
    if as_json:
        print_json(
            {
                "model": request.model,
                "runs": [prediction_error_as_json(pair) for pair in pairs],
                "largest_error": worst,
                "within_bound": within,
            }
        )
    else:
        print(f"largest error {worst:.3%}, {'within' if within else 'beyond'} its bound")
    return 0 if within else FAILED


def as_text(plan: Plan) -> str:
    """The plan as a table for the terminal."""
    lines = [
        f"{plan.model}: {plan.parameters / 1e9:.2f} billion parameters; {plan.prompt_tokens} prompt tokens "
        f"({plan.image_tokens} of the picture), {plan.request.new_tokens} new ones, batch {plan.request.batch}",
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
        if advice.fits is False and advice.strategy:
            lines.append(f"{name} does not fit; {advice.strategy} does")
    return "\n".join([*lines, f"planned in {plan.planned_sec:.1f} s; GiB are 1,073,741,824 bytes"])


def _line(plan: StrategyPlan) -> str:
    card = next((name for name, enough in plan.fits.items() if enough), "none")
    batch = "—" if plan.largest_batch is None else str(plan.largest_batch)
    ending = f"  (dtypes clash in the {plan.fails_in})" if plan.fails_in else ""
    sizes = (
        plan.weights_bytes, plan.kv_cache_bytes, plan.activation_peak_bytes, plan.total_bytes, plan.on_card.total_bytes,
    )  # fmt: skip
    weights, cache, activations, total, on_card = (joined(memory(size)) for size in sizes)
    return (
        f"{plan.strategy:<30}{weights:>10}{cache:>10}{activations:>13}{total:>10}  {plan.peak_phase:<8}{on_card:>10}"
        f"{batch:>7}  {card}{ending}"
    )
