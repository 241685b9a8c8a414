"""`compare`: one question, or a file of them, under every strategy, and how far each is from full precision.

Exit 0: compared, whatever failed among the strategies. 3: no strategy answered. 2: the user's mistake. An interrupt
prints what is there by then and exits 130.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.output import figures, loading_line, note, print_json, tell
from xcomposer_ui.cli.question_arguments import (
    add_question_arguments,
    asked_question,
    asked_settings,
    refuse_what_does_not_fit,
)
from xcomposer_ui.compare.batch import Done, Results, Skipped, compare_many, settings_of
from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import about
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings, compare, memory_requests
from xcomposer_ui.compare.schedule import REPEATS
from xcomposer_ui.compare.summary import summarize
from xcomposer_ui.compare.verdict import variant_name, verdict
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.jsonl import first_question
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.settings import settings_from
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.runtime.runner import Runner

NOTHING_ANSWERED = 3
INTERRUPTED = 130


def add_to(commands: Any) -> None:
    parser = commands.add_parser("compare", help="ask one question, or many, under every strategy")
    add_compare_arguments(parser)
    parser.add_argument("--batch", metavar="FILE", help="JSONL, a question a line; results go to --output, resumably")
    parser.add_argument("--output", metavar="STEM", help="of the batch's .jsonl and .csv; beside its file by default")
    parser.set_defaults(execute=execute)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """What `compare` and `report` have in common."""
    add_question_arguments(parser, question_required=False)
    parser.add_argument("--both-halves", action="store_true", help="autocast and unified in float16 and bfloat16")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N", help="measured runs a strategy")
    parser.add_argument("--no-divergence", action="store_true", help="leave out the distance from full precision")


def execute(arguments: argparse.Namespace) -> int:
    runner = Runner(settings_from(model=arguments.model, device=arguments.device, half=arguments.half))
    if arguments.batch:
        return _batch(runner, arguments)
    comparison, document, interrupted = compared(runner, arguments)
    if arguments.json:
        print_json(document)
    describe(comparison, as_json=arguments.json)
    if interrupted:
        return INTERRUPTED
    return 0 if any(run.answer is not None for run in comparison.runs) else NOTHING_ANSWERED


def plan_of(arguments: argparse.Namespace) -> ComparisonSettings:
    """The plan that the arguments describe; with both halves, the chosen one comes first."""
    first = arguments.half if arguments.half not in (None, "auto") else None
    halves = tuple(sorted(HALF_DTYPES, key=lambda half: half != (first or HALF_DTYPES[0])))
    return ComparisonSettings(
        halves=halves if arguments.both_halves else (),
        repeats=arguments.repeats,
        divergence=not arguments.no_divergence,
    )


def compared(
    runner: Runner, arguments: argparse.Namespace, *, with_picture: bool = False
) -> tuple[Comparison, dict[str, Any], bool]:
    """(comparison, its self-contained JSON, whether it was interrupted), telling of each step on stderr.

    Raises UserError where there is no question, or a strategy does not fit.
    """
    if not arguments.question:
        raise UserError("no_question")
    question = asked_question(arguments)
    plan = plan_of(arguments)
    refuse_what_does_not_fit(runner, arguments, memory_requests(runner, question, plan))
    comparison, interrupted = _followed(compare(runner, question, plan))
    more = about(question, comparison, file=arguments.image, with_picture=with_picture)
    return comparison, comparison_as_json(comparison, more), interrupted


def describe(comparison: Comparison, *, as_json: bool) -> None:
    """The figures and the verdict, for the person at the terminal."""
    say = partial(tell, as_json=as_json)
    for run in comparison.runs:
        result = run.result
        name = f"{variant_name(run.variant, 'en'):<26}"
        if result.failure is not None:
            say(f"{name}{result.failure.line()}")
            continue
        say(f"{name}{figures(vars(result.measurement))}: {result.answer}")
        divergence = comparison.divergence_of(run)
        if divergence is not None:
            say(f"{'':<26}{figures(vars(divergence), 'divergence')}")
    say(verdict(comparison))


def _followed(steps: Generator[ComparisonProgress, None, None]) -> tuple[Comparison, bool]:
    """The last comparison known, as stopped where an interrupt ended it; and whether one did."""
    comparison, told = Comparison(()), ""
    try:
        for step in steps:
            comparison = step.comparison
            if (line := _line(step)) != told:
                note(told := line)
    except KeyboardInterrupt:
        return replace(comparison, stopped=True), True
    finally:
        steps.close()
    return comparison, False


def _line(step: ComparisonProgress) -> str:
    if isinstance(step.event, Loading):
        return loading_line(step.event)
    at_work = "" if step.variant is None else f" {step.variant.name}"
    return f"[{step.done}/{step.total}] {step.stage}{at_work}"


def _batch(runner: Runner, arguments: argparse.Namespace) -> int:
    file = Path(arguments.batch)
    stem = Path(arguments.output) if arguments.output else file.with_name(file.stem + ".compared")
    plan = plan_of(arguments)
    defaults = Question("", **asked_settings(arguments))
    settings = runner.settings
    results = Results(stem, settings_of(plan, defaults, settings.model, settings.device, runner.half()))
    if first := first_question(file, defaults, results):
        refuse_what_does_not_fit(runner, arguments, memory_requests(runner, first, plan))
    done: list[Done] = []
    skipped: list[Skipped] = []
    interrupted, loading = False, ""
    told = compare_many(runner, file, results, plan, defaults)
    try:
        for event in told:
            if isinstance(event, Skipped):
                skipped.append(event)
                note(f"line {event.line} skipped: {event.reason}")
            elif isinstance(event, Done):
                done.append(event)
                note(f"line {event.line} {'was done before' if event.resumed else 'done'}")
            elif isinstance(event.step.event, Loading) and (line := loading_line(event.step.event)) != loading:
                note(loading := line)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        told.close()
    summary = {
        "questions": len(done),
        "resumed": sum(event.resumed for event in done),
        "skipped": [vars(event) for event in skipped],
        "variants": summarize(event.record for event in done),
        "jsonl": str(results.file),
        "csv": str(results.csv),
    }
    for entry in summary["variants"]:  # type: ignore[attr-defined]
        rate = entry["agreement_rate"]
        agrees = "—" if rate is None else f"{rate:.1%} as full precision"
        tell(f"{entry['strategy']} {entry['half']}: {entry['answered']} answered, {agrees}", as_json=arguments.json)
    tell(f"{results.file}, {results.csv}", as_json=arguments.json)
    if arguments.json:
        print_json(summary)
    if interrupted:
        return INTERRUPTED
    return 0 if done else NOTHING_ANSWERED
