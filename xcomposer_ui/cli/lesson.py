"""`lesson`: run the lesson's steps on this machine, and write its papers.

Exit 0: done; with --check, every step showed its expected answer. 3: a step did not, or could not be run. 2: the user's
mistake.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xcomposer_ui.cli.output import FAILED, add_json_flag, note, print_json, tell
from xcomposer_ui.cli.request_arguments import runner_from
from xcomposer_ui.cli.serve import add_options
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.files import write_whole
from xcomposer_ui.core.messages import LANGUAGES, text
from xcomposer_ui.lesson.experiments import Lab, experiment
from xcomposer_ui.lesson.kept_results import KeptResults, StepResult
from xcomposer_ui.lesson.step import Step, lesson
from xcomposer_ui.planning.fit import FitChecker
from xcomposer_ui.planning.planner_process import PlannerProcess

HELP = "run the lesson's steps here, and write its papers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="run every step, and compare with its expected answer")
    parser.add_argument("--answers", metavar="FILE", help="write the teacher's page, with the figures of --check")
    parser.add_argument("--worksheet", metavar="FILE", help="write the worksheet without answers")
    parser.add_argument(
        "--lang",
        "--language",
        dest="language",
        choices=LANGUAGES,
        default="en",
        help="of the papers and of what is printed",
    )
    add_options(parser, ("half", "model", "device"))
    add_json_flag(parser)


def execute(arguments: argparse.Namespace) -> int:
    if not (arguments.check or arguments.answers or arguments.worksheet):
        raise UserError("nothing_to_do_for_lesson")
    plans = PlannerProcess()
    try:
        runner = runner_from(arguments)
        lab = Lab(runner, plans, FitChecker(plans, runner.memory_budget))
        results = KeptResults(lambda step: experiment(lab, step))
        entries = [_checked(results, step, arguments) for step in lesson()] if arguments.check else []
    finally:
        plans.close()
    _write(results, arguments)
    passed = all(entry["as_expected"] for entry in entries)
    if arguments.json:
        model = arguments.model or runner.settings.model
        print_json({"model": model, "device": runner.status().device, "steps": entries, "ok": passed})
    return 0 if passed else FAILED


def _checked(results: KeptResults, step: Step, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run `step` and print it; its entry in the JSON."""
    try:
        result = results.future(step).result()
    except UserError as error:
        note(f"{step.name}: {error}")
        return {"step": step.name, "expected": step.expected, "right": None, "as_expected": False, "error": str(error)}
    tell("\n".join(_lines(result, arguments.language)), as_json=arguments.json)
    return {
        "step": step.name,
        "expected": step.expected,
        "right": result.right,
        "as_expected": result.as_expected,
        "took_sec": result.took_sec,
        "figures": dict(result.findings.figures),
    }


def _lines(result: StepResult, language: str) -> list[str]:
    """The step's question, its right answer here, and what the run showed."""
    from xcomposer_ui.ui.views.lesson import measured_line, showed, step_text  # the page's words; imports no Gradio

    step, right = result.step, result.right
    answer = text("lesson.undecided", language) if right is None else step_text(step, f"choice.{right}", language)
    differs = [] if result.as_expected else [text("lesson.teacher.differs", language)]
    return [
        step_text(step, "title", language), f"  {step_text(step, 'question', language)}", f"  {answer}",
        f"  {showed(result, language)}", *(f"  {line}" for line in differs), f"  {measured_line(result, language)}", "",
    ]  # fmt: skip


def _write(results: KeptResults, arguments: argparse.Namespace) -> None:
    from xcomposer_ui.ui.views.lesson import answers_page, worksheet

    if arguments.answers:
        write_whole(Path(arguments.answers), answers_page(results, arguments.language))
        note(arguments.answers)
    if arguments.worksheet:
        write_whole(Path(arguments.worksheet), worksheet(arguments.language))
        note(arguments.worksheet)
