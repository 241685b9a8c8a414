"""The dtype flow on the page: what is drawn, and what the button does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.ui.scripted import ScriptedRunner, scripted_flow
from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import ASSETS
from xcomposer_ui.core.strategies import strategy_named
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, ModuleCall, Traced
from xcomposer_ui.ui.handlers import ask, trace
from xcomposer_ui.ui.session import Form, Session
from xcomposer_ui.ui.views.flow import DEPTHS, flow_stage, flow_view


def traced(strategy: str, half: str = "float16") -> Traced:
    weights = strategy_named(strategy).weights_dtype(half)
    return Traced(strategy, half, "embedded", "cpu", weights, scripted_flow(strategy, half))


class Table(HTMLParser):
    """The rows of a table as a screen reader has them: text without what is hidden from it, a list of cells a row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._hidden = 0
        self._tags: list[bool] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            return
        hidden = ("aria-hidden", "true") in attrs
        self._tags.append(hidden)
        self._hidden += hidden
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= self._tags.pop()

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and not self._hidden:
            self.rows[-1][-1] += data


def rows(html: str) -> dict[str, list[str]]:
    """First cell -> the others, as text."""
    table = re.search("<table.*</table>", html, re.DOTALL)
    assert table is not None
    return {row[0]: row[1:] for row in Table(table.group()).rows[1:]}


def test_a_row_a_module_says_its_types_in_words() -> None:
    found = rows(flow_view([traced("unified")], "en"))
    assert list(found)[:3] == ["Pixels ", "Vision tower vit", "patchConv2d"]
    assert found["Vision tower vit"][:3] == ["float16", "float16", "float16"]
    assert found["Block 1 model.layers.0"][3] == "float32 islands inside: 1"
    assert found["normRMSNorm"][3] == "float32 island computes in float32 and gives float16 back"


def test_a_failed_run_s_flow_ends_at_the_clash() -> None:
    html = flow_view([traced("as_is")], "en")
    found = rows(html)
    assert found["0Linear"][2] == "gives nothing back"
    assert "activation float32" in found["0Linear"][3]
    assert "clash" in found["0Linear"][3]
    assert "vision_proj.0.weight float16" in found["0Linear"][3]
    assert found["Projector vision_proj"][3] == "ended by the clash inside"
    assert html.count("xl-broken") == 2
    assert "The run ended here: RuntimeError: mat1 and mat2" in html
    assert not any("Logits" in name for name in found)


def test_two_runs_stand_beside_each_other_and_differences_are_marked() -> None:
    found = rows(flow_view([traced("as_is"), traced("autocast")], "en"))
    tower, inner, last = found["Vision tower vit"], found["0Linear"], found["Logits output"]
    assert tower[1] == ""
    assert inner[1].endswith("the two differ here")
    assert "gives nothing back" in inner[0]
    assert "float16" in inner[2]
    assert last[0] == "not reached"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_came_from_outside_is_escaped(language: str) -> None:
    evil = "<img src=x onerror=alert(1)>"
    call = ModuleCall(0, evil, evil, 0, (evil,), (evil,), ("float16",), failed=True)
    flow = DtypeFlow((call,), error=evil)
    html = flow_view([replace(traced("as_is"), strategy=evil, flow=flow)], language)
    assert "<img" not in html


def test_every_text_is_chinese_in_chinese() -> None:
    html = re.sub("<[^>]*>", " ", flow_view([traced("as_is"), traced("unified", "bfloat16")], "zh"))
    for english in ("Vision", "Projector", "island", "clash", "differ", "reached", "Weights", "Depth"):
        assert english not in html
    assert "视觉塔" in html
    assert "冲突" in html


def test_the_style_sheet_knows_every_depth_and_every_dtype_s_line() -> None:
    style = (ASSETS / "style.css").read_text("utf-8")
    html = flow_view([traced("unified")], "en")
    values = re.findall(r'name="xl-zoom" value="(\d)"', html)
    assert [int(value) for value in values] == list(DEPTHS)
    for value in values[:-1]:
        assert f'.xl-flow:has([value="{value}"]:checked)' in style
    for name in set(re.findall(r"xl-(?:in|out)-\w+", html)):
        assert f".{name} " in style


def test_deeper_rows_than_the_style_sheet_knows_count_as_the_deepest() -> None:
    calls = tuple(ModuleCall(n, ".".join("a" * (n + 1)), "M", n, ("float16",), ("float16",), ()) for n in range(9))
    calls = (replace(calls[0], name="vit", index=0), *calls[1:])
    html = flow_view([replace(traced("unified"), flow=DtypeFlow(calls))], "en")
    assert "xl-level-6" in html
    assert "xl-level-7" not in html


def test_without_a_flow_it_says_what_it_is_for() -> None:
    assert "traced" in flow_view([], "en")
    assert "追踪" in flow_view([], "zh")
    assert "Autocast" in flow_stage("autocast", "en")
    assert "Another run" in flow_stage(None, "en")


# The button


def last(steps: Iterable[object]) -> Session:
    *_, session = steps
    assert isinstance(session, Session)
    return session


def asked(runner: ScriptedRunner, form: Form) -> Session:
    return last(ask(runner, Session(), form))  # type: ignore[arg-type]  # the double has the interface


def test_the_last_run_is_traced_as_it_was_asked(runner: ScriptedRunner, form: Form) -> None:
    session = asked(runner, replace(form, strategy="unified", half="bfloat16", seed=3, hd_num=9))
    assert runner.traced == []
    steps = list(trace(runner, session, None))  # type: ignore[arg-type]
    assert steps[0] == "unified"
    done = last(steps)
    assert [(each.strategy, each.half) for each in done.traced] == [("unified", "bfloat16")]
    ((question, strategy, half),) = runner.traced
    assert question.hd_num == 9
    assert (question.text, question.seed, strategy, half) == (form.question, 3, "unified", "bfloat16")
    assert question.image is not None
    assert question.history == ()


def test_another_strategy_is_traced_beside_it(runner: ScriptedRunner, form: Form) -> None:
    session = asked(runner, replace(form, strategy="as_is"))
    assert [each.strategy for each in last(trace(runner, session, "unified")).traced] == ["as_is", "unified"]  # type: ignore[arg-type]
    assert [each.strategy for each in last(trace(runner, session, "as_is")).traced] == ["as_is"]  # type: ignore[arg-type]


def test_a_failed_run_keeps_its_card_when_it_is_traced(runner: ScriptedRunner, form: Form) -> None:
    session = asked(runner, replace(form, strategy="as_is"))
    done = last(trace(runner, session, ""))  # type: ignore[arg-type]
    assert done.last == session.last
    assert isinstance(done.last, RunResult)
    assert done.traced[0].flow.error is not None


def test_nothing_to_trace_is_the_user_s_mistake(runner: ScriptedRunner) -> None:
    done = last(trace(runner, Session(), None))  # type: ignore[arg-type]
    assert done.notice is not None
    assert done.notice.code == "nothing_to_trace"


def test_a_picture_that_is_gone_is_told(runner: ScriptedRunner, form: Form) -> None:
    session = asked(runner, form)
    gone = replace(session, turns=(replace(session.turns[0], picture="/nowhere/gone.png"),))
    done = last(trace(runner, gone, None))  # type: ignore[arg-type]
    assert done.notice is not None
    assert done.traced == ()


def test_the_next_run_takes_the_flow_away(runner: ScriptedRunner, form: Form) -> None:
    session = last(trace(runner, asked(runner, form), None))  # type: ignore[arg-type]
    assert session.traced
    assert asked(runner, form).traced == ()
    assert session.started(form).traced == ()
    assert session.cleared().traced == ()


def test_a_trace_waits_its_turn(runner: ScriptedRunner, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    session = asked(runner, form)
    monkeypatch.setattr(runner, "trace", lambda *a, **k: iter_then_close([Waiting(), traced("autocast")]))
    steps = list(trace(runner, session, None))  # type: ignore[arg-type]
    assert isinstance(steps[0], Waiting)


def iter_then_close(events: list[object]):  # type: ignore[no-untyped-def]
    yield from events
