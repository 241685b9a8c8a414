"""The dtype flow: a row for each module with the dtypes of inputs, weights and outputs; casts and the clash marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.messages import Message, Sentence
from xcomposer_ui.core.strategies import strategy_name
from xcomposer_ui.tracing.dtype_flow import Traced
from xcomposer_ui.tracing.dtype_path import PathStep, path, paths_aligned
from xcomposer_ui.ui.html import COLOURED, macro, render

DEPTHS = (0, 1, 2, 6)
"""The selectable depths; the last one shows all rows, also deeper ones (see `assets/style.css`)."""


@dataclass(frozen=True)
class _Row:
    """short_name: the name without that of the module around. stage: of an outermost row.

    steps: one a run, None where the run does not have it.
    """

    name: str
    short_name: str
    class_name: str
    stage: Message | None
    level: int
    lane: str
    steps: Sequence[PathStep | None]
    differs: bool

    @property
    def broken(self) -> bool:
        return any(step is not None and step.failed for step in self.steps)


def flow_view(traced: Sequence[Traced], language: str) -> Markup:
    """One traced run, or two side by side; an introduction where there is none."""
    if not traced:
        return macro("quiet", language, Message("flow.empty"))
    names = [strategy_name(each.strategy, language) for each in traced]
    if len(traced) == 1:
        title = Message("flow.title", strategy=names[0])
        columns: list[Message | str] = [
            Message(f"flow.{column}") for column in ("stage", "in", "weights", "out", "happens")
        ]
    else:
        title = Message("flow.title.two", left=names[0], right=names[1])
        columns = [Message("flow.stage"), names[0], "", names[1]]
    return render(
        "flow",
        language,
        title=title,
        depths=DEPTHS,
        columns=columns,
        names=names,
        rows=list(_rows(traced)),
        clashes=[_clash(each) for each in traced],
        endings=[(name, *_ending(each)) for name, each in zip(names, traced, strict=True)],
    )


def flow_stage(strategy: str | None, language: str) -> Markup:
    """The progress of a trace. strategy: the one being traced, None while another run uses the model."""
    label = Message("flow.waiting")
    if strategy is not None:
        label = Message("flow.tracing", strategy=strategy_name(strategy, language))
    return macro("status", language, label)


def _rows(traced: Sequence[Traced]) -> Iterator[_Row]:
    around: list[PathStep] = []  # the modules that the row lies in
    flows = [each.flow for each in traced]
    for steps in paths_aligned(*flows) if len(flows) == 2 else ((step,) for step in path(flows[0])):
        step = next(each for each in steps if each is not None)
        while around and around[-1].level >= step.level:
            around.pop()
        prefix = f"{around[-1].name}." if around and around[-1].name else ""
        around.append(step)
        yield _Row(
            name=step.name,
            short_name=step.name.removeprefix(prefix),
            class_name=step.call.class_name if step.call and step.level else "",
            stage=stage_name(step) if step.level == 0 else None,
            level=min(step.level, DEPTHS[-1]),
            lane=_lane(step),
            steps=steps,
            differs=len({_dtypes(each) for each in steps}) > 1,
        )


def _dtypes(step: PathStep | None) -> tuple[object, ...]:
    """What is compared between the steps of two runs."""
    if step is None:
        return ()
    return step.dtypes_in, step.dtypes_out, step.dtypes_parameters, step.casts, step.failed


def _lane(step: PathStep) -> str:
    """CSS classes of the line along the rows: the input's dtype above, the output's below."""
    into = next((d for d in step.dtypes_in or step.dtypes_out if d in COLOURED), "other")
    out = "clash" if step.failed else next((d for d in step.dtypes_out if d in COLOURED), into)
    return f"xl-in-{into} xl-out-{out}" + (" xl-lane-island" if step.is_island else "")


def stage_name(step: PathStep) -> Message:
    """The name of a stage, a block's with its number."""
    number = re.search(r"(\d+)$", step.name)
    facts = {"n": int(number[1]) + 1} if step.stage == "block" and number else {}
    return Message(f"flow.stage.{step.stage}", **facts)


def _clash(traced: Traced) -> dict[str, Any] | None:
    """The operation that failed, its module and its operands, (name, dtype) of the first of each dtype."""
    clash = traced.flow.clash
    if clash is None:
        return None
    names: dict[str, Sentence] = {}
    for operand in reversed(clash.operands):  # the weight comes last, after its bias
        names.setdefault(operand.dtype, operand.name)
    operands = [(name, dtype) for dtype, name in names.items()][::-1]
    return {"module": clash.module, "operation": clash.operation or "", "operands": operands}


def _ending(traced: Traced) -> tuple[str, Message]:
    """(CSS class, sentence) for how the run ended."""
    flow = traced.flow
    if flow.error is not None:
        return "xl-failed", Message("flow.ended", message=flow.error)
    return "xl-quiet", Message("flow.truncated" if flow.truncated else "flow.answered")
