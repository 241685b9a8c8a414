"""Records to HTML: what is shown, in both languages, and that nothing of a visitor's is read as HTML."""

from __future__ import annotations

import base64
import csv
import html
import io
import re
from dataclasses import replace

import pytest

from tests.requests import result_of
from tests.ui.scripted import FAILURE, MEASURED, MESSAGE, scripted_tokens
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Loading, Status, Waiting
from xcomposer_ui.core.messages import LANGUAGES, Message
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Explanation, Fix, Measurement, Operand, Reference, RunResult
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.core.units import memory, seconds, significant
from xcomposer_ui.explain import explain
from xcomposer_ui.ui.html import TEMPLATES, macro, visible
from xcomposer_ui.ui.session import Session, SessionRun
from xcomposer_ui.ui.views.conversation import conversation, difference_strip
from xcomposer_ui.ui.views.explanation import explanation_card, failure_card
from xcomposer_ui.ui.views.models import head_line
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.run_status import answered, run_status
from xcomposer_ui.ui.views.runs import metric_tiles, runs_csv, runs_table

HOSTILE = '<img src=x onerror="alert(1)">'


def result(**changes: object) -> RunResult:
    fields = {"strategy": "autocast", "answer": "Red.", **changes}
    device = fields.pop("device", "cpu")
    return replace(result_of(measurement=MEASURED, **fields), device=device)  # type: ignore[arg-type]


FAILED = result(strategy="as_is", answer=None, failure=FAILURE)


def words(shown: str) -> str:
    """What a reader sees of `shown`, roughly: without tags, spaces joined."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0841, "0.0841"), (1.234, "1.23"), (31.44, "31.4"), (1234.5, "1234"), (100.0, "100")],
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert significant(value) == shown


def test_units_are_chosen_to_be_read() -> None:
    assert seconds(0.213) == ("213", "ms")
    assert seconds(2.5) == ("2.50", "s")
    assert memory(15_414_067) == ("14.7", "MiB")
    assert memory(5 << 30) == ("5.00", "GiB")
    assert memory(512) == ("512", "B")


def test_tiles_show_figures_with_unit_and_kind() -> None:
    shown = words(metric_tiles(MEASURED, "en"))
    for part in ("842 ms", "213 ms", "31.4 tok/s", "14.7 MiB", "CPU, live tensors"):
        assert part in shown


@pytest.mark.parametrize("measurement", [None, Measurement()])
def test_what_was_not_measured_is_a_dash_and_never_zero(measurement: Measurement | None) -> None:
    shown = metric_tiles(measurement, "en")
    assert shown.count("—") == 4
    assert not re.search(r">0", shown)


def test_the_failure_card_has_the_message_whole_and_everything_seen() -> None:
    message = MESSAGE + "\n" + "x" * 5000
    shown = failure_card(replace(FAILURE, message=message), "en")
    assert f">{message}</pre>" in shown
    for part in ("RuntimeError", "vision_proj.0", "aten.addmm", "64 × 64", "vision_proj.0.weight", "it is a parameter"):
        assert part in words(shown)
    assert "data-copy" in shown


def test_each_remedy_has_its_result_or_what_is_expected_of_it_those_that_cure_first() -> None:
    shown = words(failure_card(FAILURE, "en", "as_is"))
    assert "Result: works Autocast It casts both operands to float16." in shown
    assert "should work Unified The picture is float16 from the start." in shown
    assert "depends Full precision If float32 weights fit into memory." in shown
    assert shown.index("Unified") < shown.index("Full precision") < shown.index("Where and why")
    assert "As reported" not in shown  # it is what failed


def test_a_remedy_is_marked_as_being_tried_until_its_result_is_there() -> None:
    shown = failure_card(FAILURE, "en", "as_is", pending=("unified", "full"))
    assert "Result: works Autocast" in words(shown)
    assert "trying… Unified" in words(shown) and "trying… Full precision" in words(shown)
    assert shown.count("xl-fix-trying") == 2
    assert "正在试… 统一" in words(failure_card(FAILURE, "zh", "as_is", pending=("unified",)))


def test_a_remedy_that_was_tried_in_vain_says_with_what() -> None:
    fixes = (Fix("autocast", False, "", tried=True, failed_with="boom"),)
    failed = replace(FAILURE, explanation=replace(FAILURE.explanation, fixes=fixes))
    assert "Result: fails Autocast with “boom”" in words(failure_card(failed, "en", "as_is", buttons="try"))
    assert "data-press" not in failure_card(failed, "en", "as_is", buttons="try")


def test_a_remedy_has_its_code_to_copy_and_its_button_where_the_page_has_one() -> None:
    fixes = (Fix("unified", True, "", tried=True, code="image = image.to(<dtype>)"),)
    failed = replace(FAILURE, explanation=replace(FAILURE.explanation, fixes=fixes))
    shown = failure_card(failed, "en", "as_is", buttons="try")
    assert 'data-press="try-unified"' in shown
    assert "image.to(&lt;dtype&gt;)" in shown
    assert shown.count("data-copy ") == 2
    assert "data-press" not in failure_card(failed, "en", "as_is")
    assert "image.to(&lt;dtype&gt;)" in explanation_card(failed.explanation, "en")


def test_dtypes_are_marked_as_clashing_only_where_they_met() -> None:
    met = replace(FAILURE.explanation, clash=True)
    assert "xl-clash" in failure_card(replace(FAILURE, explanation=met), "en")
    apart = replace(FAILURE.explanation, clash=False)
    assert "xl-clash" not in failure_card(replace(FAILURE, explanation=apart), "en")
    assert "xl-clash" in explanation_card(met, "en") and "xl-clash" not in explanation_card(apart, "en")


def test_what_could_not_be_seen_is_said() -> None:
    shown = words(failure_card(replace(FAILURE, module=None, operation=None, operands=()), "en"))
    assert shown.count("could not be seen") == 2


def test_a_dtype_is_named_beside_its_colour() -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        assert f"xl-{dtype}" in macro("dtype_chip", "", dtype)
        assert dtype in words(macro("dtype_chip", "", dtype))
    assert "xl-other" in macro("dtype_chip", "", "int64")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_the_way_of_the_dtypes_follows_the_strategy(strategy: str, half: str) -> None:
    shown = words(answered(result(strategy=strategy, half=half), True, "en"))
    path = re.findall(r"float32|bfloat16|float16", shown)[:4]
    expected = {
        "as_is": ["float32", half, half],
        "autocast": ["float32", half, half],
        "unified": ["float32", half, half, half],
        "full": ["float32", "float32", "float32"],
    }
    assert path[: len(expected[strategy])] == expected[strategy]


def test_text_alone_under_as_is_says_why_nothing_clashed() -> None:
    assert "nothing in float32" in words(answered(result(strategy="as_is"), False, "en"))


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Waiting(), "Another run holds the model"),
        (Waiting(1, Message("work.trace")), "You are next in the queue. Running now: tracing"),
        (Waiting(3, Message("work.load", model="m")), "3 are before you in the queue. Running now: loading m"),
        (Loading("embedded", "float16", None), "Loading embedded in float16"),
        (Loading("embedded", "float16", 0.4), "40%"),
        (None, "Running: Autocast"),
    ],
)
def test_a_run_in_progress_says_what_it_waits_for(stage: Waiting | Loading | None, said: str) -> None:
    session = Session(running=Request("What?", file="p.png", strategy="autocast"), stage=stage)
    assert said in words(run_status(session, "en"))


def test_a_failure_in_chinese_is_explained_in_chinese() -> None:
    fixes = FAILURE.explanation.fixes
    explanation = explain(FAILURE.line())
    tried = tuple(replace(fix, tried=known.tried) for fix, known in zip(explanation.fixes, fixes, strict=True))
    explanation = replace(explanation, fixes=tried)
    session = Session(
        turns=(
            SessionRun(Request("?", file="p.png"), replace(FAILED, failure=replace(FAILURE, explanation=explanation))),
        )
    )
    shown = words(run_status(session, "zh"))
    assert "矩阵乘法" in shown
    assert MESSAGE in shown
    assert "结果：可行" in shown  # what was tried stays as it was found, in the page's words


def test_a_failure_that_the_table_does_not_know_stays_as_it_is() -> None:
    unknown = replace(FAILURE, message="something else", explanation=replace(FAILURE.explanation, family="own"))
    session = Session(turns=(SessionRun(Request("?", file="p.png"), replace(FAILED, failure=unknown)),))
    assert str(FAILURE.explanation.cause) in words(run_status(session, "zh"))


def test_the_head_line_gives_each_choice_and_its_reason() -> None:
    status = Status("org/a-model", "cuda", "bfloat16", {"half": "this GPU has bfloat16"}, (("org/a-model", "float32"),))
    shown = words(head_line(status, "en"))
    for part in ("a-model", "CUDA", "bfloat16", "this GPU has bfloat16", "float32"):
        assert part in shown


def test_the_head_line_says_that_the_lab_is_starting() -> None:
    assert "starting…" in words(head_line(Status("embedded", None, None), "en"))


def test_an_unrecognised_error_offers_no_cures() -> None:
    shown = explanation_card(Explanation(False, None, "Not in the table", "Collect this."), "en")
    assert "xl-unknown" in shown
    assert "xl-fix" not in shown


def test_runs_are_newest_first_and_failures_say_so() -> None:
    shown = words(runs_table((SessionRun(Request("one?"), result()), SessionRun(Request("two?"), FAILED)), "en"))
    assert shown.index("two?") < shown.index("one?")
    assert f"RuntimeError: {MESSAGE}" in shown


def test_each_row_of_a_table_has_its_header() -> None:
    """A screen reader says it with each of the row's cells."""
    for template in TEMPLATES.glob("*.html"):
        rows = re.findall("<tr.*?</tr>", template.read_text("utf-8"), re.DOTALL)
        headed = [row.count('<th scope="row"') for row in rows if 'scope="col"' not in row]
        assert headed == [1] * len(headed), template.name
    shown = runs_table((SessionRun(Request("one?"), result()),), "en")
    assert re.search('<th role="rowheader"[^>]*>1</th>', shown)


def test_the_csv_in_the_page_is_the_csv_of_the_runs() -> None:
    runs = (SessionRun(Request("图中有几个图形？"), result()), SessionRun(Request("two?"), FAILED))
    link = re.search(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', runs_table(runs, "en"))
    assert link
    assert base64.b64decode(link[1]).decode("utf-8-sig") == runs_csv(runs)
    rows = list(csv.DictReader(io.StringIO(runs_csv(runs), newline="")))
    assert [row["question"] for row in rows] == ["图中有几个图形？", "two?"]
    assert rows[0]["latency_sec"] == "0.842"
    assert rows[0]["load_sec"] == ""
    assert rows[1]["failure"] == f"RuntimeError: {MESSAGE}"


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|' /C calc'!A0"])
def test_a_spreadsheet_finds_no_formula(formula: str) -> None:
    rows = list(
        csv.DictReader(io.StringIO(runs_csv((SessionRun(Request(formula), result(answer=formula)),)), newline=""))
    )
    assert rows[0]["question"].startswith("'")
    assert rows[0]["answer"].startswith("'")


def test_the_conversation_shows_failures_stops_and_the_draft() -> None:
    turns = (SessionRun(Request("one?"), FAILED), SessionRun(Request("two?"), result(answer="Tw", stopped=True)))
    session = Session(turns=turns, running=Request("three?", strategy="full"), draft="Thr")
    shown = words(conversation(session, "en"))
    assert "one? No answer: RuntimeError. " in shown
    assert "below" not in shown  # an older turn's explanation no longer is
    assert "two? Tw (stopped)" in shown
    assert "three? Thr Full precision" in shown
    assert "Undo" not in shown  # not during a run


def test_each_turn_has_its_strategy_dtype_and_picture_and_the_last_one_its_buttons() -> None:
    turns = (
        SessionRun(Request("one?", strategy="as_is", file="a.png"), FAILED, "data:image/jpeg;base64,AA"),
        SessionRun(Request("two?", file="b.png"), result(answer="Two."), "data:image/jpeg;base64,BB"),
    )
    shown = conversation(Session(turns=turns), "en")
    assert shown.index("base64,AA") < shown.index("As reported") < shown.index("xl-divider") < shown.index("base64,BB")
    assert words(shown).count("float16") == 2
    assert [shown.count(f'data-event="{event}"') for event in ("edit", "retry", "undo")] == [1, 1, 1]
    assert 'data-copy-text="Two."' in shown


def run_under(strategy: str, answer: str, text: str = "two?") -> SessionRun:
    """A run whose tokens are the words of `answer`."""
    tokens = scripted_tokens(answer, strategy)
    return SessionRun(Request(text, strategy=strategy), result(strategy=strategy, answer=answer, tokens=tokens))


def test_an_answer_has_a_strip_where_full_precision_answered_the_same_question() -> None:
    runs = run_under("full", "Two red."), run_under("unified", "Two red."), run_under("unified", "Two blue.")
    shown = conversation(Session(runs, runs), "en")
    assert shown.count('class="xl-strip"') == 2  # full precision itself has none
    assert "Same tokens as in full precision; their probabilities differ by at most 0.100%." in shown
    assert "Differs from full precision from token 2 on: “blue.” instead of “red.”. Up to there" in words(shown)
    assert "“Two”: probability 89.9100%, in full precision 90.0000%" in shown
    assert 'data-event="expand"' not in shown


def test_without_full_precisions_answer_the_last_turn_offers_it() -> None:
    other = run_under("full", "Two red.", "another question")
    turns = run_under("unified", "Two red."), run_under("autocast", "Two red.")
    shown = conversation(Session(turns, (other, *turns)), "zh")
    assert "xl-strip" not in shown
    assert shown.count('data-event="expand"') == 1 and "与全精度的差异" in shown
    running = Session(turns, (run_under("full", "Two."), *turns), Request("two?", strategy="unified"))
    assert conversation(running, "en").count('<div class="xl-strip"></div>') == 1  # its place


def test_a_long_answers_strip_has_a_bounded_number_of_cells() -> None:
    own, full = (scripted_tokens("word " * 200, strategy) for strategy in ("unified", "full"))
    assert difference_strip(own, full, "en").count("<i ") <= 64


def test_the_conversation_is_text_and_no_html() -> None:
    turns = (SessionRun(Request(HOSTILE), result(answer=HOSTILE)),)
    shown = conversation(Session(turns=turns), "en")
    assert html.escape(HOSTILE).replace("&quot;", "&#34;") in shown
    assert "<img" not in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_from_outside_is_html(language: str) -> None:
    fix = Fix(HOSTILE, True, HOSTILE)
    explanation = Explanation(True, "x", HOSTILE, HOSTILE, (HOSTILE, HOSTILE), (fix,), (), HOSTILE)
    failure = replace(
        FAILURE, type=HOSTILE, message=HOSTILE, module=HOSTILE, operation=HOSTILE,
        operands=(Operand(HOSTILE, HOSTILE, HOSTILE),), explanation=explanation,
    )  # fmt: skip
    failed = result(strategy="as_is", answer=None, failure=failure, model=HOSTILE, device=HOSTILE)
    answer = result(answer=HOSTILE, model=HOSTILE, reasons={"half": HOSTILE})
    shown = (
        runs_table((SessionRun(Request(HOSTILE), failed), SessionRun(Request(HOSTILE), answer)), language)
        + run_status(Session(turns=(SessionRun(Request(HOSTILE, file="p"), failed),)), language)
        + run_status(Session(turns=(SessionRun(Request(HOSTILE, file="p"), answer),)), language)
        + run_status(Session(running=Request(HOSTILE, strategy="full"), stage=Loading(HOSTILE, HOSTILE)), language)
        + head_line(Status(HOSTILE, HOSTILE, HOSTILE, {"half": HOSTILE}, ((HOSTILE, HOSTILE),)), language)
        + explanation_card(explanation, language)
        + notice(UserError("unknown_strategy", name=HOSTILE, known=HOSTILE), language)
    )
    assert "<img" not in shown
    assert 'onerror="' not in shown


def test_a_link_goes_to_https_only() -> None:
    references = (Reference("bad", "javascript:alert(1)"), Reference("good", "https://example.org/?a=1&b=2"))
    shown = explanation_card(Explanation(True, "x", "t", "c", references=references), "en")
    assert "javascript" not in shown
    assert 'href="https://example.org/?a=1&amp;b=2"' in shown


def test_text_that_turns_around_or_hides_is_cleaned() -> None:
    assert visible("a\u202eb\x00c\x1b[31m") == "abc[31m"
    assert ">abc[31m<" in macro("dtype_chip", "", "a\u202eb\x00c\x1b[31m")
