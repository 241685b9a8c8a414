"""`train`: fine-tune a copy of the embedded model under several recipes, and what precision does to it.

Exit 0: at least one recipe finished. 3: none did. 2: the user's mistake. 130: interrupted; the results so far are
printed.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace
from typing import Any

from xcomposer_ui.cli.output import FAILED, INTERRUPTED, add_json_flag, figures, note, print_json, tell
from xcomposer_ui.cli.request_arguments import add_settings, runner_from, settings_given
from xcomposer_ui.cli.serve import add_options
from xcomposer_ui.core.messages import text
from xcomposer_ui.finetuning.recipes import OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.report import document_of
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning, recipe_as_json
from xcomposer_ui.finetuning.verdicts import verdict
from xcomposer_ui.runtime.runner import Runner


def add_to(commands: Any) -> None:
    parser = commands.add_parser("train", help="fine-tune the embedded model under several recipes")
    defaults = FinetuningRequest()
    parser.add_argument(
        "--recipes",
        default=",".join(RECIPES),
        metavar="A,B",
        help="separated by commas; all but the mistakes by default",
    )
    parser.add_argument("--kind", default=defaults.kind, metavar="|".join(QUESTION_KINDS), help="of question")
    parser.add_argument("--optimizer", default=defaults.optimizer, metavar="|".join(OPTIMIZERS))
    add_options(parser, ("device",))
    add_settings(parser, FinetuningRequest)
    add_json_flag(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    request = FinetuningRequest(
        recipes=tuple(dict.fromkeys(name for name in arguments.recipes.split(",") if name)),
        kind=arguments.kind,
        optimizer=arguments.optimizer,
        **settings_given(arguments, FinetuningRequest),
    )
    finetuning, interrupted = _finished(runner_from(arguments), request)
    if finetuning is None:
        return INTERRUPTED
    if arguments.json:
        print_json(document_of(finetuning))
    describe(finetuning, as_json=arguments.json)
    if interrupted:
        return INTERRUPTED
    return 0 if any(result.finished for result in finetuning.recipes) else FAILED


def describe(finetuning: Finetuning, *, as_json: bool) -> None:
    lines = [str(sentence) for sentence in finetuning.notes]
    for result in finetuning.recipes:
        lines.append(f"{text(result.method.key, 'en')}: {figures(recipe_as_json(result), 'training')}")
        if (sentence := verdict(result, finetuning)) is not None:
            lines.append(f"  {sentence}")
        if result.failure is not None:
            lines.append(f"  {result.failure.line()}")
    tell("\n".join(lines), as_json=as_json)


def _finished(runner: Runner, request: FinetuningRequest) -> tuple[Finetuning | None, bool]:
    """(the results, None before there are any; whether an interrupt stopped it), with progress on stderr."""
    finetuning, shown = None, ""
    try:
        with closing(runner.finetune(request)) as steps:
            for event in steps:
                if isinstance(event, Finetuned):
                    finetuning = event.finetuning
                    if (line := _line(finetuning)) != shown:
                        note(shown := line)
    except KeyboardInterrupt:
        return (None if finetuning is None else replace(finetuning, stopped=True)), True
    return finetuning, False


def _line(finetuning: Finetuning) -> str:
    """The progress; the line changes with each tenth of a recipe's steps."""
    if not finetuning.recipes:
        return finetuning.stage
    last, total = finetuning.recipes[-1], finetuning.request.steps
    tenth = 10 * len(last.losses) // total * total // 10
    return f"[{len(finetuning.recipes)}/{len(finetuning.request.recipes)}] {last.recipe}: step {tenth} of {total}"
