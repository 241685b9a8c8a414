"""What one visitor's page holds: frozen records, made anew at each step, never shared between visitors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Waiting
from xcomposer_ui.core.memory_timeline import MemoryTimeline
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.planning.fit import DoesNotFit
from xcomposer_ui.tracing.dtype_flow import Traced

MOST_RUNS = 200
"""As many runs as the table keeps; older ones go."""


@dataclass(frozen=True)
class CheckingFit:
    """Whether the run fits is being planned; it has not begun."""


@dataclass(frozen=True)
class Form:
    """What the page's controls say. picture: a path on the server, or None.

    half, model, device: None or "auto" for what the lab chooses. hd_num: None for the model's own.
    """

    question: str
    picture: str | None
    strategy: str
    half: str | None = None
    model: str | None = None
    device: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 0.8
    repetition_penalty: float = 1.0
    seed: int = 0
    hd_num: int | None = None


@dataclass(frozen=True)
class SessionRun:
    """One finished run, with the question and picture that it was about. form: all that the controls said."""

    question: str
    picture: str | None
    result: RunResult
    form: Form | None = None


@dataclass(frozen=True)
class Session:
    """asking: the form of the run in progress, `draft` its answer so far, `stage` what it waits for.

    turns: the conversation, oldest first. runs: every run of the visit, oldest first; outlives the conversation.
    notice: the user's last mistake, until the next run.
    course: how the memory of the run in progress went so far; expected_bytes: its predicted peak, once that is known.
    tight: why the form in `held` was not begun, or what to run instead of it after it ran out of memory.
    report: the last run as a self-contained document; None where its picture was gone by its end.
    traced: the dtype flow of the last run, and perhaps another strategy's beside it; gone with the next run.
    """

    turns: tuple[SessionRun, ...] = ()
    runs: tuple[SessionRun, ...] = ()
    asking: Form | None = None
    draft: str = ""
    stage: Waiting | Loading | CheckingFit | None = None
    notice: UserError | None = None
    stopped: bool = False
    timeline: MemoryTimeline | None = None
    expected_bytes: int | None = None
    misfit: DoesNotFit | None = None
    held: Form | None = None
    report: Mapping[str, Any] | None = None
    traced: tuple[Traced, ...] = ()

    @property
    def last(self) -> RunResult | None:
        """The run that tiles and card show: the conversation's last one."""
        return self.turns[-1].result if self.turns else None

    def history(self, question: str, picture: str | None) -> tuple[tuple[str, str], ...]:
        """What the model is told of the conversation before `question`: answered turns about the same picture.

        The same question again (under another strategy, or after a failure) repeats its turn: earlier answers to
        it are left out, so that the runs compare like with like.
        """
        kept: list[tuple[str, str]] = []
        for turn in reversed(self.turns):
            if turn.picture != picture:
                break
            following = kept[-1][0] if kept else question
            if turn.result.answer and turn.question != following:
                kept.append((turn.question, turn.result.answer))
        return tuple(reversed(kept))

    def started(self, form: Form) -> Session:
        """The session as a run of `form` begins."""
        return replace(
            self, asking=form, draft="", stage=None, notice=None, stopped=False, misfit=None, held=None, traced=()
        )

    def refused(self, form: Form, misfit: DoesNotFit) -> Session:
        """The session with `form` not begun, or ended, for want of memory; `tight` says what fits instead."""
        return replace(self.idle(), misfit=misfit, held=form)

    def ended(self, form: Form, result: RunResult) -> Session:
        """The session after a run of `form` came to `result`."""
        run = SessionRun(form.question, form.picture, result, form)
        return replace(
            self.idle(),
            report=None,
            turns=(*self.turns, run),
            runs=(*self.runs, run)[-MOST_RUNS:],
            stopped=result.stopped,
        )

    def idle(self) -> Session:
        """The session with no run in progress."""
        return replace(self, asking=None, draft="", stage=None, timeline=None, expected_bytes=None)

    def cleared(self) -> Session:
        """The session with a new conversation; the runs stay."""
        return Session(runs=self.runs)
