"""`train`: fine-tune a copy of the embedded model under several recipes, and what precision does to it.

Exit 0: at least one recipe finished. 3: none did. 2: the user's mistake. 130: interrupted; the results so far are
printed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from xcomposer_ui.cli.output import FAILED, INTERRUPTED, add_json_flag, figures, followed, print_json, tell
from xcomposer_ui.cli.request_arguments import add_settings, runner_from, settings_given
from xcomposer_ui.cli.serve import add_options
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import text
from xcomposer_ui.finetuning.recipes import OPTIMIZERS, RECIPES
from xcomposer_ui.finetuning.report import document_of
from xcomposer_ui.finetuning.request import QUESTION_KINDS, FinetuningRequest
from xcomposer_ui.finetuning.result import Finetuned, Finetuning, recipe_as_json
from xcomposer_ui.finetuning.verdicts import verdict

HELP = "fine-tune the embedded model under several recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def execute(arguments: argparse.Namespace) -> int:
    request = FinetuningRequest(
        recipes=tuple(dict.fromkeys(name for name in arguments.recipes.split(",") if name)),
        kind=arguments.kind,
        optimizer=arguments.optimizer,
        **settings_given(arguments, FinetuningRequest),
    )
    last, interrupted = followed(runner_from(arguments).finetune(request), _line)
    if not isinstance(last, Finetuned):
        return INTERRUPTED
    finetuning = replace(last.finetuning, stopped=True) if interrupted else last.finetuning
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


def _line(event: Waiting | Finetuned) -> str | None:
    """The progress; the line changes with each tenth of a recipe's steps."""
    if isinstance(event, Waiting):
        return None
    finetuning = event.finetuning
    if not finetuning.recipes:
        return finetuning.stage
    last, total = finetuning.recipes[-1], finetuning.request.steps
    tenth = 10 * len(last.losses) // total * total // 10
    return f"[{len(finetuning.recipes)}/{len(finetuning.request.recipes)}] {last.recipe}: step {tenth} of {total}"
