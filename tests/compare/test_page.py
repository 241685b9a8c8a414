"""The Compare tab's handlers and views as plain functions, and its endpoint."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from markupsafe import escape
from PIL import Image

from tests.compare.scripted import ScriptedRunner, divergence, layers
from tests.ui.scripted import FAILURE
from xcomposer_ui.compare.comparison import Comparison
from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.compare.execution import ComparisonProgress
from xcomposer_ui.core.events import Loading
from xcomposer_ui.core.messages import worded
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.explain import explain
from xcomposer_ui.ui import compare_handlers, links
from xcomposer_ui.ui.compare_session import CompareSession
from xcomposer_ui.ui.examples import Example
from xcomposer_ui.ui.serve import launch
from xcomposer_ui.ui.views.charts import Bar, Box, Curve, bars, boxes, depth, strip
from xcomposer_ui.ui.views.comparison import comparison_view

STARTING = ComparisonProgress(Comparison(()), "warm_up")
NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "red.png"
    Image.new("RGB", (16, 12), "red").save(path)
    return str(path)


@pytest.fixture
def form(picture: str) -> dict[str, Any]:
    return {"text": "What is there?", "file": picture, "halves": ("float16", "bfloat16"), "repeats": 2}


def last(form: dict[str, Any], runner: ScriptedRunner | None = None) -> CompareSession:
    *_, session = compare_handlers.steps(runner or ScriptedRunner(), CompareSession(), form, clock=lambda: 0.0)
    return session


def test_a_comparison_ends_at_rest_with_its_document(form: dict[str, Any]) -> None:
    session = last(form)
    assert session.step is None
    assert session.document is not None
    assert session.document["question"]["image"]["width"] == 16
    assert len(session.document["runs"]) == 6


def test_steps_are_told_as_they_come(form: dict[str, Any]) -> None:
    ticks = iter(range(1000))
    told = list(compare_handlers.steps(ScriptedRunner(), CompareSession(), form, clock=lambda: float(next(ticks))))
    views = [comparison_view(session, "en") for session in told]
    assert "Warming up" in views[0]
    assert any("Measuring: unified bfloat16" in view for view in views)
    assert "<progress" not in views[-1]
    headed = [view for view in views if "xl-headline" in view]
    assert ["data-announced" in view for view in headed] == [False] * (len(headed) - 1) + [True]


@pytest.mark.parametrize("changes", [{"text": " "}, {"file": None}, {"model": "no-such"}, {"repeats": 0}])
def test_a_mistake_is_a_notice_and_keeps_what_was_there(form: dict[str, Any], changes: dict) -> None:
    before = last(form)
    *_, after = compare_handlers.steps(ScriptedRunner(), before, {**form, **changes})
    assert after.notice is not None
    assert after.comparison == before.comparison


def test_a_stop_keeps_what_was_measured(form: dict[str, Any]) -> None:
    ticks = iter(range(1000))
    steps = compare_handlers.steps(ScriptedRunner(), CompareSession(), form, clock=lambda: float(next(ticks)))
    session = next(s for s in steps if s.comparison is not None and len(s.comparison.runs) == 2)
    steps.close()
    ended = session.ended(stopped=True)
    assert ended.document is not None
    assert ended.document["stopped"]
    assert "Stopped. What was measured" in comparison_view(ended, "en")


def test_a_stop_before_anything_was_measured_brings_back_what_was_there(form: dict[str, Any]) -> None:
    *_, done = compare_handlers.steps(ScriptedRunner(), CompareSession(), form)
    going = compare_handlers.steps(ScriptedRunner(), done, {**form, "text": "Another?"})
    warming = next(session for session in going if session.step is not None)
    going.close()
    assert not (warming.comparison and warming.comparison.runs)
    stopped = warming.stopped()
    assert replace(stopped, stopped_early=False) == done
    assert "Stopped before there was a result. Below" in comparison_view(stopped, "en")
    assert "Stopped" not in comparison_view(stopped.idle(), "en")


def test_a_stop_in_the_first_example_brings_back_what_was_there(form: dict[str, Any], picture: str) -> None:
    done = last(form)
    going = compare_handlers.batch_steps(ScriptedRunner(), done, form, (Example(picture, "What?", "en"),))
    first = next(session for session in going if session.step is not None)
    going.close()
    assert first.stopped().document == done.document


def test_a_first_comparison_that_is_stopped_early_says_so() -> None:
    for going in (CompareSession(checking_fit=True), CompareSession(step=STARTING, earlier=CompareSession())):
        view = comparison_view(going.stopped(), "en")
        assert "Stopped before there was a result.</p>" in view
        assert "One question under every strategy" in view
    assert not CompareSession().stopped().stopped_early


def test_the_view_shows_figures_marks_the_first_different_token_and_opens_the_failure(form: dict[str, Any]) -> None:
    view = comparison_view(last(form), "en")
    assert '<p class="xl-headline" data-announced>2 of 4 answered differently from full precision; 1 failed</p>' in view
    assert '<mark class="xl-different" title="first different token: 3"> square</mark>' in view
    assert "another answer from token 3 on" in view
    assert "fails (RuntimeError)" in view
    assert "1.00e-04 nats" in view
    assert "float32 against float64" in view
    assert "mat1 and mat2 must have the same dtype, but got Float and Half" in view
    assert "900 ms to 901 ms" in view


def test_everything_from_outside_is_escaped(picture: str) -> None:
    class Nasty(ScriptedRunner):
        def _result(self, *args):  # type: ignore[no-untyped-def]
            result = super()._result(*args)
            return replace(result, answer=NASTY if result.answer else None)

    session = last({"text": NASTY, "file": picture, "repeats": 1}, Nasty())
    view = comparison_view(session, "en", links.compare_link(session.request, ()))  # type: ignore[arg-type]
    assert "<img" not in view
    assert "&lt;img" in view


def test_both_languages_say_the_same_figures(form: dict[str, Any]) -> None:
    session = last(form)
    english, chinese = (re.sub(r"data:[^\"]*", "", comparison_view(session, language)) for language in ("en", "zh"))
    assert "与全精度相比" in chinese
    assert english.count("<td") == chinese.count("<td")


def test_what_is_taken_away_is_the_document(form: dict[str, Any]) -> None:
    session = last(form)
    view = comparison_view(session, "en", "?compare=x")
    files = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;charset=utf-8;base64,([^"]+)"', view))
    assert set(files) == {"comparison.md", "comparison.json", "comparison.csv", "comparison.py", "bug-report.md"}
    assert json.loads(base64.b64decode(files["comparison.json"])) == json.loads(json.dumps(session.document))
    assert 'data-copy-link="?compare=x"' in view


def test_the_examples_are_tallied(form: dict[str, Any], picture: str) -> None:
    examples = (Example(picture, "What?", "en"), Example(picture, "Where?", "en"))
    *_, session = compare_handlers.batch_steps(ScriptedRunner(), CompareSession(), form, examples)
    assert len(session.batch) == 2
    assert "range stressed" not in comparison_view(session, "en")
    stressed = {**form, "stress_exponent": -24}
    *_, session = compare_handlers.batch_steps(ScriptedRunner(), CompareSession(), stressed, examples)
    for shown in (session, last(stressed)):
        assert "range stressed by 2^-24" in comparison_view(shown, "en")
    view = comparison_view(session, "en")
    assert "2 / 2" in view
    assert "100% (2 / 2)" in view
    assert "0% (0 / 2)" in view
    files = dict(re.findall(r'download="(examples[^"]+)" href="data:[^;]+;charset=utf-8;base64,([^"]+)"', view))
    lines = [json.loads(line) for line in base64.b64decode(files["examples.jsonl"]).decode().splitlines()]
    assert [line["question"]["text"] for line in lines] == ["What?", "Where?"]
    table = list(csv.DictReader(io.StringIO(base64.b64decode(files["examples.csv"]).decode("utf-8-sig"))))
    assert [(row["question"], row["strategy"]) for row in table[:2]] == [("What?", "as_is"), ("What?", "autocast")]


def test_examples_that_were_stopped_go_on_where_they_were(form: dict[str, Any], picture: str) -> None:
    examples = tuple(Example(picture, f"What {n}?", "en") for n in range(3))
    steps = compare_handlers.batch_steps(ScriptedRunner(), CompareSession(), form, examples)
    session = next(s for s in steps if len(s.batch) == 1).ended(stopped=True)
    steps.close()
    assert "It goes on where it was stopped." in comparison_view(session, "en")
    assert 'download="examples.jsonl"' in comparison_view(session, "en")
    runner = ScriptedRunner()
    *_, last_one = compare_handlers.batch_steps(runner, session, form, examples)
    assert [found["question"]["text"] for found in last_one.batch] == ["What 0?", "What 1?", "What 2?"]
    assert [n for _, _, n in runner.asked].count(2) == 6  # each variant is warmed up once, not for each question
    other = {**form, "halves": ("float16",)}
    anew = next(iter(compare_handlers.batch_steps(ScriptedRunner(), session, other, examples)))
    assert anew.batch == ()


def test_what_was_left_out_is_said_in_the_pages_language(form: dict[str, Any]) -> None:
    session = last(form)
    assert session.comparison is not None
    found = replace(session.comparison.divergences, floor=None, reasons={"floor": "too large", "layers": "too large"})
    session = replace(session, comparison=replace(session.comparison, divergences=found))
    assert "float32 against float64 is left out" in comparison_view(session, "en")
    assert "未与 float64 比较" in comparison_view(session, "zh")
    assert "too large to keep" not in comparison_view(session, "zh")


def test_full_precision_is_not_said_to_agree_with_itself(form: dict[str, Any], picture: str) -> None:
    *_, session = compare_handlers.batch_steps(
        ScriptedRunner(), CompareSession(), form, [Example(picture, "What?", "en")]
    )
    view = comparison_view(session, "en")
    row = next(row for row in view.split("<tr ") if "Full precision" in row).split("</tr>")[0]
    assert "the reference" in row
    assert "%" not in row


def test_loading_is_told_while_it_goes_on(form: dict[str, Any]) -> None:
    class Loads(ScriptedRunner):
        def run(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            yield Loading("owner/name", "float16", 0.25, "download")
            yield from super().run(*args, **kwargs)

    told = compare_handlers.steps(Loads(), CompareSession(), form, clock=lambda: 0.0)
    assert "Downloading owner/name from the hub 25%" in comparison_view(next(told), "en")
    told.close()


def test_answers_are_whole_without_a_divergence_to_mark_them(form: dict[str, Any]) -> None:
    session = last(form, ScriptedRunner(fails=("as_is", "full")))
    assert session.comparison is not None
    session = replace(session, comparison=replace(session.comparison, divergences=Divergences()))
    assert re.search("<dd[^>]*>a red square</dd>", comparison_view(session, "en"))


def test_the_failures_card_speaks_the_pages_language(form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = explain(FAILURE.line())
    monkeypatch.setattr("tests.compare.scripted.FAILURE", replace(FAILURE, explanation=explanation))
    session = last(form)
    for language in ("en", "zh"):
        assert escape(worded(explanation.title, language)) in comparison_view(session, language)


def test_the_picture_is_in_the_report_only_when_asked(form: dict[str, Any]) -> None:
    for asked in (False, True):
        document = last({**form, "with_picture": asked}).document
        assert document is not None
        assert ("png_base64" in document["question"]["image"]) is asked


def test_a_distribution_has_its_quartiles_as_a_box() -> None:
    spread = {"lowest": 1.0, "lower_quartile": 2.0, "median": 2.5, "upper_quartile": 3.0, "highest": 4.0}
    drawn = boxes("Latency", [Box("a", "float16", "2.5 s", spread)])
    assert '<u style="left:25.00%;width:75.00%"></u><i style="left:50.00%;width:25.00%"></i>' in drawn
    assert '<b style="left:62.50%"></b>' in drawn


def test_a_link_restores_the_form_and_nothing_that_is_not_valid(picture: str) -> None:
    examples = (Example(picture, "What?", "en"),)
    form = {"text": 'a & b="c"', "file": picture, "halves": ("bfloat16",), "repeats": 4, "max_new_tokens": 12,
            "temperature": 0.5, "seed": 9, "model": "embedded", "device": "cpu", "hd_num": 24}  # fmt: skip
    comparison = compare_handlers.comparison_request(form)
    query = dict(parse_qsl(links.compare_link(comparison, examples)[1:]))
    assert links.compare_fields(query, ("embedded",), examples) == form
    bad = {"compare": "x", "halves": "float8", "repeats": "9999", "seed": "x", "model": "/etc", "device": "tpu",
           "example": "../../etc/passwd", "temperature": "nan"}  # fmt: skip
    assert links.compare_fields(bad, ("embedded",), examples) == {"text": "x", "file": None}
    assert links.compare_fields({"other": "1"}, ("embedded",), examples) == {}


def test_bars_begin_at_zero_and_share_a_scale() -> None:
    drawn = bars("Time", [Bar("a", "float16", "1 s", 1.0, low=0.5, high=2.0), Bar("b", "float32", "—", None)])
    assert '<i style="width:50.00%"></i>' in drawn
    assert '<u style="left:25.00%;width:75.00%"></u>' in drawn
    assert drawn.count("<i ") == 1


def test_the_depth_chart_breaks_off_where_an_error_is_no_number() -> None:
    whole = layers(1e-3)
    broken = (*whole[:2], replace(whole[2], relative_error=None, non_finite=1), whole[3])
    curves = [Curve("a", "float16", broken), Curve("b", "bfloat16", layers(1e-2))]
    drawn = depth(curves, "en")
    assert drawn.count('class="xl-broken"') == 1
    assert "model.layers.0: not finite" in drawn
    assert drawn.count("<circle") == 5
    assert drawn.index(">vision tower<") < drawn.index(">language model<")
    assert depth([], "en") == ""


def test_a_divergence_that_is_not_finite_says_so(form: dict[str, Any]) -> None:
    session = last(form)
    assert session.comparison is not None
    bad = divergence("unified", "float16", mean_kl_divergence=None, max_abs_logit_difference=None,
                     first_non_finite_module="model.layers.3", largest_activation_share=None)  # fmt: skip
    found = replace(session.comparison.divergences, entries=(bad,))
    view = comparison_view(replace(session, comparison=replace(session.comparison, divergences=found)), "en")
    assert "NaN or infinite at model.layers.3" in view
    assert "not finite" in view


@pytest.mark.slow
def test_the_endpoint_gives_the_commands_json(picture: str) -> None:
    app, address, _ = launch(Settings(port=0), ScriptedRunner())  # type: ignore[arg-type]  # the double fits
    try:
        client = Client(address, verbose=False)
        found = client.predict(
            image=handle_file(picture), question="What?", half="bfloat16", repeats=1, api_name="/compare"
        )
        assert [(run["strategy"], run["half"]) for run in found["runs"]] == [
            (name, "bfloat16") for name in ("as_is", "autocast", "unified", "full")
        ]
        assert [d["strategy"] for d in found["divergence"]] == ["autocast", "unified"]
        with pytest.raises(AppError, match="question is empty"):
            client.predict(question=" ", api_name="/compare")
    finally:
        app.close()


def test_curves_that_coincide_are_one_only_in_the_same_dtype() -> None:
    curve = Curve("a", "float16", layers(1e-3))
    assert curve.coincides(Curve("b", "float16", layers(1.01e-3), "dotted"))
    assert not curve.coincides(Curve("b", "float16", layers(2e-3)))
    assert not curve.coincides(Curve("b", "bfloat16", layers(1e-3)))
    assert not curve.coincides(Curve("b", "float16", layers(1e-3)[:2]))
    assert not Curve("a", "float16", ()).coincides(Curve("b", "float16", ()))


def test_a_strip_shades_each_stage_and_marks_the_one_that_is_not_finite() -> None:
    whole = layers(1e-4)
    broken = (*whole[:2], replace(whole[2], relative_error=None, non_finite=1))
    shown = strip([(layer.module, layer.relative_error) for layer in broken], "in words")
    assert shown.count("<i ") == len(broken)
    assert '--shade:50%"' in shown and shown.count("xl-broken") == 1
    assert 'aria-label="in words"' in shown
    assert strip((), "nothing") == ""
