"""`run`: one question, or a file of questions, under one strategy.

The results of a file go to --output, which can be resumed, or to stdout.
Exit 0: answered; of a file, every question that could be read. 3: the strategy failed; the JSON has the failure. Of a
file, one question failed, or there was none to answer. 2: the user's mistake. 130: interrupted; the output has the
finished questions.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.batch import BatchProgress, add_pool_flags, pool_from, refuse_first, refuse_pool
from xcomposer_ui.cli.output import FAILED, figures, loading_line, note, print_json
from xcomposer_ui.cli.request_arguments import (
    add_request_arguments,
    refuse_what_does_not_fit,
    request_given,
    runner_from,
    settings_given,
)
from xcomposer_ui.compare.document import run_as_json
from xcomposer_ui.compare.report import failure_line
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Finished, Loading, Waiting
from xcomposer_ui.core.jsonl import ResultLines, first_request
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.batches import BATCH_SIZE, Results, StreamedResults, run_file, run_file_in
from xcomposer_ui.runtime.runner import Runner

HELP = "ask one question, or a file of them, under one strategy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_request_arguments(parser)
    parser.add_argument("--strategy", required=True, metavar="|".join(STRATEGIES), help="how dtypes are handled")
    parser.add_argument("--batch", metavar="FILE", help="JSONL, a question a line, instead of --question")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, metavar="N", help="questions per batch")
    parser.add_argument("--output", metavar="FILE", help="of the batch, JSONL, resumed if there; without it, stdout")
    add_pool_flags(parser)


def execute(arguments: argparse.Namespace) -> int:
    runner = runner_from(arguments)
    if arguments.batch:
        return _batch(runner, arguments)
    refuse_pool(arguments)
    if arguments.question is None:
        raise UserError("no_question")
    request = request_given(arguments, strategy=arguments.strategy)
    refuse_what_does_not_fit(runner, arguments, [runner.resolved(request).memory_query()])
    result = finished(runner, request)
    if arguments.json:
        print_json(run_as_json(result))
    elif result.failure is None:
        print(result.answer)
    describe(result)
    return 0 if result.failure is None else FAILED


def finished(runner: Runner, request: Request) -> RunResult:
    """The result of the run, with progress on stderr."""
    shown = None
    for event in runner.run(request):
        if isinstance(event, Finished):
            return event.result
        if isinstance(event, Loading) and (line := loading_line(event)) != shown:
            note(shown := line)
        elif isinstance(event, Waiting) and shown != "waiting":
            note(shown := "waiting")
    raise AssertionError("a run ended without its Finished event")


def describe(result: RunResult) -> None:
    """Print the figures, or the failure and its fixes, to stderr."""
    m = result.measurement
    note(f"{result.strategy}, {result.weights_dtype} weights on {result.device} ({result.reasons.get('device', '')})")
    if result.failure is None:
        note(f"{figures(vars(m))} ({m.peak_memory_kind or 'memory not measured'})")
        if m.decoder is not None and result.device == "cuda":
            note(text(f"facts.decoder.{m.decoder}", "en", why=result.reasons.get("decoder", "")))
        return
    failure = result.failure
    note(failure.line())
    if failure.module:
        note(f"at {failure.module} ({failure.operation}):")
    for operand in failure.operands:
        note(f"  {operand.name}: {operand.dtype} {list(operand.shape)}, {operand.recorded_origin}")
    note(f"{failure.explanation.title}\n{failure.explanation.cause}")
    for fix in failure.explanation.fixes:
        verdict = {True: "cures it", False: "does not cure it", None: "depends"}[fix.cures]
        note(f"  {fix.strategy}: {verdict}{' (tried)' if fix.tried else ' (not tried)'}. {fix.why}")


def _batch(runner: Runner, arguments: argparse.Namespace) -> int:
    if arguments.question or arguments.image:
        raise UserError("batch_or_question")
    file, given = Path(arguments.batch), settings_given(arguments)
    settings = {
        "model": runner.settings.model,
        "device": runner.settings.device,
        "strategy": arguments.strategy,
        "half": runner.half(arguments.half),
        **given,
    }
    results: Results = StreamedResults(settings, print_json)
    if arguments.output:
        results = ResultLines(Path(arguments.output), settings)
    shared = {"strategy": arguments.strategy, "half": arguments.half, **given}
    refuse_first(
        runner, arguments, first_request(file, shared, results), lambda one: [runner.resolved(one).memory_query()]
    )
    progress = BatchProgress(_outcome, keep=lambda record: record["failure"] is not None)
    with pool_from(runner, arguments) as pool:
        run_lines = partial(run_file, runner) if pool is None else partial(run_file_in, pool)
        progress.follow(run_lines(file, results, shared, arguments.batch_size))
    summary = progress.summary()
    failed = sum(progress.kept)
    answered = len(progress.kept) - failed
    note(f"{answered} answered ({summary['resumed']} before), {failed} failed, {len(progress.skipped)} skipped")
    if arguments.json:
        print_json(
            {
                "answered": answered,
                "failed": failed,
                **summary,
                "batch_size_fitted": progress.fitted,
                "interrupted": progress.interrupted,
                "output": arguments.output,
            }
        )
    return progress.status(answered > 0 and not failed)


def _outcome(record: Mapping[str, Any]) -> str:
    """What a line's record says, after the line's number."""
    if record["failure"] is not None:
        return f": {failure_line(record['failure'])}"
    return f": answered, {figures(record)}, {record['batch_size']} at once"
