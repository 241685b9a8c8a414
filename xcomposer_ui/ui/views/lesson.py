"""The lesson on the page: its steps with question, answers and result, the teacher's page, and the papers to print."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.messages import Message, text
from xcomposer_ui.core.units import joined, seconds
from xcomposer_ui.lesson.kept_results import KeptResults, StepResult
from xcomposer_ui.lesson.progress import Progress
from xcomposer_ui.lesson.step import Step, lesson
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.learn_handlers import TEACHER, LearnSession
from xcomposer_ui.ui.links import step_link
from xcomposer_ui.ui.views.downloads import data_url
from xcomposer_ui.ui.views.evidence import evidence_view, example_thumbnail, facts_of


def lesson_view(session: LearnSession, progress: Progress, results: KeptResults, language: str) -> Markup:
    """The steps' marks, and the step or the teacher's page that `session` is at."""
    shown = _step(session.step, session, progress, results, language) if session.step else {"step": None}
    return render(
        "lesson",
        language,
        steps=lesson(),
        session=session,
        progress=progress,
        teacher=teacher_view(session, results, language) if session.place == TEACHER else "",
        **shown,
    )


def teacher_view(session: LearnSession, results: KeptResults, language: str) -> Markup:
    """All steps with their right answers and the figures measured here, and the papers to download."""
    measuring = None
    if session.measured is not None:
        measuring = Message("lesson.teacher.measuring", done=session.measured, total=len(lesson()))
    files = [
        (text(f"lesson.teacher.{kind}", language), f"{name}-{language}.html", data_url("html", paper))
        for kind, name, paper in (
            ("sheet", "worksheet", worksheet(language)),
            ("page", "lesson-answers", answers_page(results, language)),
        )
    ]
    return render("lesson_teacher", language, measuring=measuring, files=files, papers=_papers(results, language))


def worksheet(language: str) -> str:
    """The questions and answers to choose from, with space to write, as an HTML document to print."""
    title = text("lesson.sheet.title", language)
    return render("lesson_sheet", language, title=title, papers=_papers(None, language), with_answers=False)


def answers_page(results: KeptResults, language: str) -> str:
    """The questions with right answers and the figures measured here, as an HTML document to print."""
    title = f"{text('lesson', language)}: {text('lesson.teacher', language)}"
    return render("lesson_sheet", language, title=title, papers=_papers(results, language), with_answers=True)


def step_text(step: Step, part: str, language: str, facts: Mapping[str, Any] | None = None) -> str:
    """A text of `step`: "title", "before", "question", "choice.NAME", "showed", "why" or "tempting.NAME"."""
    return text(f"lesson.{step.name}.{part}", language, **(facts or {}))


def showed(result: StepResult, language: str) -> str:
    """The sentence with the figures of a step's result."""
    return step_text(result.step, "showed", language, facts_of(result.findings.figures))


def measured_line(result: StepResult, language: str) -> str:
    """When the step was run, and how long that took."""
    time, sec = f"{result.at:%Y-%m-%d %H:%M:%S}", joined(seconds(result.took_sec))
    return text("lesson.measured", language, time=time, sec=sec)


def _step(step: Step, session: LearnSession, progress: Progress, results: KeptResults, language: str) -> dict[str, Any]:
    """The template's values for one step."""
    names = [each.name for each in lesson()]
    number = names.index(step.name) + 1
    result = results.kept(step) if session.ahead is None else None
    earlier = progress.answers.get(step.name)
    chosen = session.choice or (earlier.choice if earlier else None)
    return {
        "step": step,
        "number": number,
        "chosen": chosen,
        "answer": _answer(result, chosen, language) if result and chosen else None,
        "picture": example_thumbnail(step.parameters["picture"]) if "picture" in step.parameters else None,
        "link": step_link(step),
        "next": names[number] if number < len(names) else None,
    }


def _answer(result: StepResult, chosen: str, language: str) -> dict[str, Any]:
    """The template's values for an answered step: the verdict, what the run showed, and why."""
    step, right = result.step, result.right
    facts = facts_of(result.findings.figures)
    if right is None:
        verdict = text("lesson.undecided", language)
    elif chosen == right:
        verdict = text("lesson.correct", language)
    else:
        verdict = text("lesson.incorrect", language, answer=step_text(step, f"choice.{right}", language))
    tempting = right is not None and chosen != right and chosen != step.expected
    reason = step_text(step, f"tempting.{chosen}", language, facts) if tempting else ""
    return {
        "right": right,
        "verdict": verdict,
        "tempting": text("lesson.tempting", language, reason=reason) if tempting else "",
        "evidence": evidence_view(result, language),
        "showed": showed(result, language),
        "why": step_text(step, "why", language, facts),
        "measured": measured_line(result, language),
    }


def _papers(results: KeptResults | None, language: str) -> list[dict[str, Any]]:
    return [_paper(step, results.kept(step) if results else None, language) for step in lesson()]


def _paper(step: Step, result: StepResult | None, language: str) -> dict[str, Any]:
    """One step on paper. result: None where it was not run here; the expected answer is the right one then."""
    right = step.expected if result is None else result.right
    facts = facts_of(result.findings.figures) if result else dict.fromkeys(_placeholders(step, language), "…")
    return {
        "step": step,
        "right": right,
        "showed": showed(result, language) if result else "",
        "differs": result is not None and not result.as_expected,
        "why": step_text(step, "why", language, facts),
        "measured": measured_line(result, language) if result else "",
    }


def _placeholders(step: Step, language: str) -> set[str]:
    """The figures that the text "why" of `step` names."""
    return {name for _, name, _, _ in Formatter().parse(step_text(step, "why", language)) if name}
