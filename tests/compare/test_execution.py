"""Comparing on a scripted runner: order, failures, stopping, what is known after each step."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.compare import scripted
from tests.compare.scripted import ScriptedRunner
from tests.requests import result_of
from xcomposer_ui.compare.comparison import ComparedRun, Comparison, comparison_as_json
from xcomposer_ui.compare.execution import ComparisonProgress, ComparisonSettings, compare
from xcomposer_ui.compare.schedule import Variant
from xcomposer_ui.compare.verdict import headline, host_bound, variant_verdict, verdict
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import Measurement, result_as_json

ASK = Request("What is there?", max_new_tokens=9)


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


PLAN = ComparisonSettings()


def finished(runner: ScriptedRunner, plan: ComparisonSettings = PLAN) -> Comparison:
    *_, last = compare(runner, ASK, plan)
    assert last.stage == "finished"
    assert last.done == last.total
    return last.comparison


def test_all_warm_up_before_any_is_measured(runner: ScriptedRunner) -> None:
    finished(runner)
    tokens = [new for _, _, new in runner.asked]
    assert tokens[:4] == [2] * 4
    assert set(tokens[4:]) == {9}


def test_a_failure_takes_its_place_is_not_repeated_and_the_others_go_on(runner: ScriptedRunner) -> None:
    comparison = finished(runner, ComparisonSettings(repeats=3))
    assert [(r.variant.strategy, len(r.repeats)) for r in comparison.runs] == [
        ("as_is", 1), ("autocast", 3), ("unified", 3), ("full", 3),
    ]  # fmt: skip
    assert comparison.runs[0].result.failure is not None


def test_progress_counts_what_is_done_and_leaves_nothing_out(runner: ScriptedRunner) -> None:
    steps = list(compare(runner, ASK, ComparisonSettings(repeats=3)))
    counts = [step.done for step in steps]
    assert sorted(set(counts)) == list(range(counts[-1] + 1))
    assert steps[0].total - steps[-1].total == 2  # of the one that failed and is not repeated


def test_figures_are_medians_with_their_spread(runner: ScriptedRunner) -> None:
    full = finished(runner, ComparisonSettings(repeats=3)).full
    assert full is not None
    assert full.result.measurement.latency_sec == 1.001
    spread = full.spread("latency_sec")
    assert spread is not None
    assert (spread.lowest, spread.median, spread.highest) == (1.0, 1.001, 1.002)
    assert full.weights_share == 0.8


def test_weights_that_do_not_fit_beside_each_other_are_taken_in_turn() -> None:
    runner = ScriptedRunner(room_for=1)
    assert finished(runner, ComparisonSettings(repeats=2)).order == "grouped"
    dtypes = ["float32" if s == "full" else h for s, h, n in runner.asked]
    assert sum(a != b for a, b in pairwise(dtypes)) == 3  # once to warm up, once to measure
    news = [n for _, _, n in runner.asked]
    firsts = [n for n in range(4, len(news)) if dtypes[n] != dtypes[n - 1]]
    assert [news[n] for n in firsts] == [2, 2]  # weights that were just loaded warm up again before they count


def test_weights_are_loaded_once_to_warm_up_whatever_the_order_of_strategies(runner: ScriptedRunner) -> None:
    finished(runner, ComparisonSettings(halves=("float16", "bfloat16")))
    dtypes = ["float32" if s == "full" else h for s, h, n in runner.asked if n == 2]
    assert sum(a != b for a, b in pairwise(dtypes)) == 2


def test_a_question_that_follows_another_needs_no_warm_up(runner: ScriptedRunner) -> None:
    runner.loaded = ["float16", "float32"]
    assert finished(runner, ComparisonSettings(warm_up=False)).order == "interleaved"
    assert {n for _, _, n in runner.asked} == {9}


def test_each_step_knows_what_was_done(runner: ScriptedRunner) -> None:
    steps = list(compare(runner, ASK, ComparisonSettings(repeats=1)))
    known = [len(step.comparison.runs) for step in steps]
    assert known == sorted(known)
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["warm_up", "run", "divergence", "finished"]


def test_closing_stops_the_run_and_keeps_what_is_done(runner: ScriptedRunner) -> None:
    kept: ComparisonProgress | None = None
    steps = compare(runner, ASK)
    for step in steps:
        kept = step
        if len(step.comparison.runs) == 2 and step.event.__class__.__name__ == "TextSoFar":
            break
    steps.close()
    assert kept is not None
    assert len(kept.comparison.runs) == 2
    assert runner.closed == 1
    assert runner.diverged == 0


def test_divergence_can_be_left_out(runner: ScriptedRunner) -> None:
    assert finished(runner, ComparisonSettings(divergence=False)).divergences.entries == ()
    assert runner.diverged == 0


@pytest.mark.parametrize(
    ("question", "settings", "code"),
    [
        ({"text": " "}, {}, "empty_question"),
        ({}, {"halves": ("float8",)}, "unknown_half"),
        ({}, {"repeats": 0}, "out_of_range"),
        ({"model": "../../etc"}, {}, "unknown_model"),
    ],
)
def test_mistakes_are_user_errors(
    runner: ScriptedRunner, question: dict[str, Any], settings: dict[str, Any], code: str
) -> None:
    with pytest.raises(UserError) as caught:
        list(compare(runner, replace(ASK, **question), ComparisonSettings(**settings)))
    assert caught.value.code == code


def test_the_json_has_the_runs_fields_and_the_divergence(runner: ScriptedRunner) -> None:
    comparison = finished(runner)
    document = comparison_as_json(comparison, {"question": {"text": "x"}})
    assert [run["strategy"] for run in document["runs"]] == ["as_is", "autocast", "unified", "full"]
    for run, record in zip(document["runs"], comparison.runs, strict=True):
        assert result_as_json(record.result).items() <= run.items()
        assert run["repeats"] == len(record.repeats)
    by_strategy = {entry["strategy"]: entry for entry in document["divergence"]}
    assert list(by_strategy) == ["autocast", "unified"]
    assert by_strategy["unified"]["first_different_token"] == 2
    assert by_strategy["autocast"]["first_different_token"] is None
    assert {"module", "relative_error", "cosine", "max_abs_value"} <= by_strategy["unified"]["layers"][0].keys()
    assert document["floor"]["strategy"] == "full"
    assert document["question"] == {"text": "x"}


def test_the_verdict_follows_from_the_figures(runner: ScriptedRunner) -> None:
    assert verdict(finished(runner)) == (
        "Against full precision: float16 as reported fails (RuntimeError); "
        "float16 under autocast: same answer, 60 % of the memory, 0.9 × the time; "
        "unified float16: another answer from token 3 on, 60 % of the memory, 0.8 × the time."
    )
    assert verdict(finished(runner), "zh").startswith("与全精度相比：float16 原样运行失败（RuntimeError）；")


def test_the_headline_says_what_differs_what_it_saves_and_what_failed(runner: ScriptedRunner) -> None:
    comparison = finished(runner)
    assert headline(comparison) == "1 of 2 answered differently from full precision; 1 failed"
    assert comparison.full is not None
    alike = [run for run in comparison.runs if run.variant.strategy != "full" and comparison.same_as_full(run)]
    expected = {0.5: "Half the memory, same answer", 0.7: "70 % of the memory, same answer", 1: "Same answer"}
    for share, said in expected.items():
        full = with_memory(comparison.full, 1000)
        runs = (full, *(with_memory(run, int(1000 * share)) for run in alike))
        assert headline(replace(comparison, runs=runs)) == said
    assert headline(replace(comparison, runs=(comparison.full,))) == headline(Comparison(())) == ""
    assert headline(comparison, "zh") == "2 个回答中有 1 个与全精度不同；1 个失败"


def with_memory(run: ComparedRun, peak_bytes: int) -> ComparedRun:
    repeats = (replace(r, measurement=replace(r.measurement, peak_memory_bytes=peak_bytes)) for r in run.repeats)
    return replace(run, repeats=tuple(repeats))


def test_each_variant_has_its_own_verdict(runner: ScriptedRunner) -> None:
    comparison = finished(runner)
    said = {run.variant.strategy: variant_verdict(comparison, run, "en") for run in comparison.runs}
    assert said["as_is"] == "fails (RuntimeError)"
    assert said["full"] == "the reference"
    assert "answer" in said["unified"] and "of the memory" in said["unified"]


def test_the_verdict_claims_no_difference_that_the_repeats_do_not_show(
    runner: ScriptedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scripted.SECONDS, "autocast", 1.001)
    assert "no difference in time beyond the repeats' own spread" in verdict(finished(runner))


def test_the_verdict_says_when_there_is_nothing_to_compare_with() -> None:
    runner = ScriptedRunner(fails=("full",))
    assert verdict(finished(runner)) == (
        "Full precision fails (RuntimeError), and there is nothing to compare with: "
        "float16 as reported answered; float16 under autocast answered; unified float16 answered."
    )
    assert verdict(Comparison(())) == "Nothing has been measured yet."


def test_the_verdict_names_all_where_all_fail() -> None:
    runner = ScriptedRunner(fails=("as_is", "autocast", "unified", "full"))
    said = verdict(finished(runner))
    assert said.startswith("No strategy answered: float16 as reported fails (RuntimeError); ")
    assert said.endswith("; full precision fails (RuntimeError).")
    assert "autocast 下的 float16 失败（RuntimeError）" in verdict(finished(runner), "zh")


def test_the_verdict_does_not_call_a_failure_what_was_not_measured_yet(runner: ScriptedRunner) -> None:
    said = [verdict(step.comparison, language) for step in compare(runner, ASK) for language in ("en", "zh")]
    assert any(s.startswith("Full precision has not been measured") for s in said)
    assert not any("Full precision fails" in s or "全精度失败" in s for s in said)


def changed(comparison: Comparison, strategy: str, **measured: Any) -> Comparison:
    """`comparison` with figures of one strategy's repeats replaced; `answers` gives each repeat its answer."""
    answers = measured.pop("answers", None)
    runs = []
    for run in comparison.runs:
        repeats = run.repeats
        if run.variant.strategy == strategy:
            repeats = tuple(replace(r, measurement=replace(r.measurement, **measured)) for r in repeats)
            if answers is not None:
                repeats = tuple(replace(r, answer=a) for r, a in zip(repeats, answers, strict=True))
        runs.append(replace(run, repeats=repeats))
    return replace(comparison, runs=tuple(runs))


@pytest.mark.parametrize(
    ("latency", "said"),
    [(123.4, "123 × the time"), (9.97, "10 × the time"), (1.04, "about the same time"), (0.05, "0.051 × the time")],
)
def test_the_verdict_writes_ratios_as_people_do(runner: ScriptedRunner, latency: float, said: str) -> None:
    found = finished(runner, ComparisonSettings(repeats=1))
    full = found.full
    assert full is not None
    times = changed(changed(found, "unified", latency_sec=latency), "full", latency_sec=0.99 if latency < 1 else 1.0)
    assert said in verdict(times)


def test_the_verdict_tells_other_tokens_from_another_text(runner: ScriptedRunner) -> None:
    found = changed(finished(runner), "unified", answers=["a red circle"] * 3)
    assert "same text, of other tokens from token 3 on" in verdict(found)


def test_the_verdict_tells_of_answers_that_change_from_repeat_to_repeat(runner: ScriptedRunner) -> None:
    found = changed(finished(runner), "autocast", answers=["a red circle", "a red circle", "a blue circle"])
    assert "float16 under autocast: not the same answer in every repeat" in verdict(found)


@pytest.mark.parametrize(
    ("shares", "said"), [((None, None), ""), ((0.5, 0.6), ""), ((0.5, 0.1), "10%"), ((0.34, None), "34%")]
)
def test_a_comparison_warns_where_decoding_waited_for_the_host(
    shares: tuple[float | None, float | None], said: str
) -> None:
    runs = tuple(
        ComparedRun(Variant(name, "float16"), (result_of(name, Measurement(bandwidth_share=share)),))
        for name, share in zip(("full", "unified"), shares, strict=True)
    )
    warning = host_bound(Comparison(tuple(run.variant for run in runs), runs))
    assert bool(warning) == bool(said)
    assert said in warning
