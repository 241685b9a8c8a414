"""`compare`: one question, or a file of them, under every strategy, and the divergence from full precision.

Exit 0: at least one strategy answered. 3: none did. 2: the user's mistake. 130: interrupted; the results so far are
printed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.batch import BatchProgress, add_pool_flags, pool_from, refuse_first, refuse_pool
from xcomposer_ui.cli.output import FAILED, INTERRUPTED, figures, followed, loading_line, print_json, tell
from xcomposer_ui.cli.request_arguments import (
    add_request_arguments,
    add_settings,
    refuse_what_does_not_fit,
    request_given,
    runner_from,
    settings_given,
)
from xcomposer_ui.compare.batch import Results, compare_file, compare_file_in
from xcomposer_ui.compare.comparison import Comparison, comparison_as_json
from xcomposer_ui.compare.document import context_as_json
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings, compare, memory_queries
from xcomposer_ui.compare.summary import summarize
from xcomposer_ui.compare.verdict import host_bound, variant_name, verdict
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.jsonl import first_request
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.runtime.runner import Runner

HELP = "ask one question, or many, under every strategy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_compare_arguments(parser)
    parser.add_argument("--batch", metavar="FILE", help="JSONL, a question a line; results go to --output, resumably")
    parser.add_argument("--output", metavar="STEM", help="of the batch's .jsonl and .csv; beside its file by default")
    add_pool_flags(parser)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `compare` and `report` have in common."""
    add_request_arguments(parser)
    parser.add_argument("--both-halves", action="store_true", help="autocast and unified in float16 and bfloat16")
    add_settings(parser, ComparisonSettings)
    parser.add_argument("--no-divergence", action="store_true", help="leave out the distance from full precision")


def execute(arguments: argparse.Namespace) -> int:
    runner = runner_from(arguments)
    if arguments.batch:
        return _batch(runner, arguments)
    refuse_pool(arguments)
    comparison, document, interrupted = compared(runner, arguments)
    if arguments.json:
        print_json(document)
    describe(comparison, as_json=arguments.json)
    if interrupted:
        return INTERRUPTED
    return 0 if any(run.answer is not None for run in comparison.runs) else FAILED


def settings_of(arguments: argparse.Namespace) -> ComparisonSettings:
    """The comparison's settings on the command line; of both halves, the chosen one is first."""
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
    """(comparison, its self-contained JSON, whether it was interrupted), with progress on stderr.

    Raises UserError where there is no question, or a strategy does not fit.
    """
    if not arguments.question:
        raise UserError("no_question")
    request = request_given(arguments)
    settings = settings_of(arguments)
    refuse_what_does_not_fit(runner, arguments, memory_queries(runner, request, settings))
    step, interrupted = followed(compare(runner, request, settings), _line)
    comparison = Comparison(()) if step is None else step.comparison
    if interrupted:
        comparison = replace(comparison, stopped=True)
    context = context_as_json(request, comparison, with_picture=with_picture)
    return comparison, comparison_as_json(comparison, context), interrupted


def describe(comparison: Comparison, *, as_json: bool) -> None:
    lines = []
    for run in comparison.runs:
        result = run.result
        name = f"{variant_name(run.variant, 'en'):<26}"
        if result.failure is not None:
            lines.append(f"{name}{result.failure.line()}")
            continue
        lines.append(f"{name}{figures(vars(result.measurement))}: {result.answer}")
        divergence = comparison.divergence_of(run)
        if divergence is not None:
            lines.append(f"{'':<26}{figures(vars(divergence), 'divergence')}")
    tell("\n".join(filter(None, [*lines, verdict(comparison), host_bound(comparison)])), as_json=as_json)


def _line(step: ComparisonProgress) -> str:
    if isinstance(step.event, Loading):
        return loading_line(step.event)
    variant = "" if step.variant is None else f" {step.variant.name}"
    return f"[{step.done}/{step.total}] {step.stage}{variant}"


def _batch(runner: Runner, arguments: argparse.Namespace) -> int:
    file = Path(arguments.batch)
    stem = Path(arguments.output) if arguments.output else file.with_name(file.stem + ".compared")
    settings, defaults, lab = settings_of(arguments), settings_given(arguments), runner.settings
    shared = {
        "model": lab.model,
        "device": lab.device,
        "halves": list(settings.halves or (runner.half(),)),
        "repeats": settings.repeats,
        "divergence": settings.divergence,
        **defaults,
    }
    results = Results(stem, shared)
    refuse_first(
        runner, arguments, first_request(file, defaults, results), lambda one: memory_queries(runner, one, settings)
    )
    progress = BatchProgress(lambda record: " done", keep=lambda record: record)
    with pool_from(runner, arguments) as pool:
        compare_lines = partial(compare_file, runner) if pool is None else partial(compare_file_in, pool)
        progress.follow(compare_lines(file, results, settings, defaults))
    variants = summarize(progress.kept)
    for entry in variants:
        rate = entry["agreement_rate"]
        agrees = "—" if rate is None else f"{rate:.1%} as full precision"
        tell(f"{entry['strategy']} {entry['half']}: {entry['answered']} answered, {agrees}", as_json=arguments.json)
    tell(f"{results.file}, {results.csv}", as_json=arguments.json)
    if arguments.json:
        files = {"jsonl": str(results.file), "csv": str(results.csv)}
        print_json({"questions": len(progress.kept), **progress.summary(), "variants": variants, **files})
    return progress.status(bool(progress.kept))
