"""What the Plan tab asks and shows, and the check beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.planning.machines import A100, GOOD, facts
from tests.planning.scripted import GIB, ScriptedPlans, a_plan
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.messages import sentences, worded
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import PLANNED
from xcomposer_ui.planning.hardware import Check, Gpu, checked
from xcomposer_ui.planning.plan import PlanRequest
from xcomposer_ui.ui.plan_handlers import PlanSession, card_named, offered, planned, request_of
from xcomposer_ui.ui.views.axis import memory_axis
from xcomposer_ui.ui.views.charts import MemoryBar, memory_bars
from xcomposer_ui.ui.views.plan import check_panel, plan_view

STATUS = Status("embedded", "cpu", "float16")

FORM = {"model": "embedded", "image": "640x480", "hd_num": 9, "prompt_tokens": 20, "new_tokens": 30, "batch": 2}


def test_a_form_becomes_a_request() -> None:
    settings = Settings()
    request = request_of({**FORM, "memory_gib": 1.5}, settings, STATUS)
    assert request == PlanRequest("embedded", (640, 480), 9, 20, 30, 2, "float16", "cpu", int(1.5 * GIB))
    unknown = request_of({"model": "embedded", "image": "none"}, settings, Status("embedded", None, None))
    assert (unknown.image, unknown.half, unknown.device, unknown.memory_bytes) == (None, "float16", "auto", None)
    assert request_of({"model": "embedded", "half": "bfloat16", "device": "cpu"}, settings, STATUS).half == "bfloat16"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"model": "/etc"}, "unknown_model"),
        ({"image": "big"}, "bad_picture_size"),
        ({"batch": 0}, "out_of_range"),
        ({"memory_gib": 0}, "out_of_range"),
        ({"batch": 1.5}, "not_whole"),
        ({"what": "train", "lora_rank": 1.5}, "not_whole"),
        ({"half": "float8"}, "unknown_half"),
        ({"device": "tpu"}, "unknown_setting"),
    ],
)
def test_a_mistake_is_a_notice(form: dict[str, Any], code: str) -> None:
    plans = ScriptedPlans()
    session = planned(plans, {"model": "embedded", **form}, Settings(), STATUS)
    assert session.notice is not None and session.notice.code == code
    assert plans.asked == []


def test_the_published_models_are_offered_and_so_are_the_settings_own() -> None:
    names = offered(Settings(model="org/own"))
    assert {"org/own", "embedded", "internlm/internlm-xcomposer2-vl-7b"} <= set(names)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_plan_shows_every_figure_as_text(language: str) -> None:
    shown = plan_view(PlanSession(a_plan(PlanRequest("m<b>"), tiles=40)), language)
    assert "m&lt;b&gt;" in shown
    assert shown.count("data-strategy=") == len(PLANNED)
    row = re.search(r'<tr data-strategy="unified" role="row">(.*?)</tr>', shown)
    assert row is not None
    figures = re.findall(r'xl-number">([^<]*)<', row[1])
    assert figures[:2] == ["16.0 GiB", "2.00 GiB"]
    assert figures[2:6] == ["1.00 GiB", "2.00 GiB", "1.00 GiB", "19.0 GiB"]
    assert figures[-2:] == ["7", "40"]
    failing = re.search(r'<tr data-strategy="as_is" role="row">(.*?)</tr>', shown)
    assert failing is not None and "—" in failing[1] and "<small>" in failing[1]
    assert shown.count("<figure") == 2
    assert shown.count("✓") + shown.count("✕") == (len(PLANNED) - 1) * 10  # as_is ends before its peak: it has no mark


def test_the_plan_begins_with_what_fits() -> None:
    plan = a_plan(PlanRequest("m"))
    small = tuple(replace(each, fits_memory=each.strategy != "full") for each in plan.strategies)
    card = card_named("24 GB")
    english = plan_view(PlanSession(replace(plan, strategies=small), card=card), "en")
    assert "On 24 GB – fits: Autocast, Unified (19.6 GiB); too large: Full precision (35.6 GiB); ends in" in english
    assert english.index("On 24 GB") < english.index("<table") < english.index("<figure")
    chinese = plan_view(PlanSession(replace(plan, strategies=small)), "zh")
    assert "24.0 GiB – 放得下：" in chinese and "（19.6 GiB）；放不下" in chinese
    assert "xl-headline" not in plan_view(PlanSession(replace(plan, memory_bytes=None)), "en")


def test_a_machine_without_a_card_gets_no_chart_of_one() -> None:
    here = replace(a_plan(PlanRequest("m")), memory_name="free here")
    assert plan_view(PlanSession(here), "en").count("<figure") == 1


def test_a_card_is_chosen_by_name_and_a_number_of_gib_goes_before_it() -> None:
    settings = Settings()
    card = card_named("24 GB")
    assert card is not None
    chosen = {"model": "embedded", "card": "24 GB"}
    assert request_of(chosen, settings, STATUS).memory_bytes == card.usable_bytes
    assert request_of({**chosen, "memory_gib": 2}, settings, STATUS).memory_bytes == 2 * GIB
    assert request_of({"model": "embedded", "card": ""}, settings, STATUS).memory_bytes is None
    assert planned(ScriptedPlans(), chosen, settings, STATUS).card == card
    assert planned(ScriptedPlans(), {**chosen, "memory_gib": 2}, settings, STATUS).card is None
    mistake = planned(ScriptedPlans(), {"model": "embedded", "card": "5 GB"}, settings, STATUS).notice
    assert mistake is not None and mistake.code == "unknown_setting"


def test_any_hub_id_can_be_planned_and_no_folder_of_the_server() -> None:
    assert request_of({"model": " org/other "}, Settings(), STATUS).model == "org/other"
    for model in ("/etc", "../secret", "org/a/b", "nothing"):
        with pytest.raises(UserError, match="not offered"):
            request_of({"model": model}, Settings(), STATUS)


def test_bars_begin_at_zero_on_one_axis_with_its_unit() -> None:
    bars = [MemoryBar("a", (GIB, GIB)), MemoryBar("b", (4 * GIB, 0))]
    shown = memory_bars("t", ["x", "y"], bars, (5 * GIB, "limit"))
    widths = [float(w) for w in re.findall(r'<i class="xl-part-\d" style="width:([\d.]+)%', shown)]
    assert widths == [20.0, 20.0, 80.0, 0.0]
    assert 'left:100.00%"></u>' in shown
    assert ">GiB</span>" in shown
    assert '<span style="left:0.00%">0</span>' in shown
    far = memory_bars("t", ["x", "y"], bars, (50 * GIB, "limit"))
    assert "</u>" not in far and "limit" in far


@pytest.mark.parametrize("most", [1, 700, 14_000_000, 3 << 20, 17 * GIB, 141 * 10**9])
def test_an_axis_holds_its_values_in_few_round_steps(most: int) -> None:
    axis = memory_axis(most)
    assert most <= axis.end <= 2 * most
    assert axis.ticks[0].value == 0
    assert axis.ticks[-1].value == pytest.approx(axis.end)
    assert 2 <= len(axis.ticks) <= 7


def some_checks() -> list[Check]:
    """Machines of every kind that the check tells apart."""
    cards = [
        A100,
        Gpu("T4", (7, 5), 15 << 30, 14 << 30, None, ("sm_75",)),
        Gpu("P40", (6, 1), 24 << 30, 23 << 30, "1", ("sm_80",)),
        Gpu("K80", (3, 7), 11 << 30, 11 << 30, "1", ()),
        Gpu("new", (12, 0), 11 << 30, 11 << 30, "1", ("compute_90",)),
        Gpu("P100", (6, 0), 11 << 30, 11 << 30, "1", ("sm_60",)),
    ]
    old = dict.fromkeys(GOOD, "1.0")
    changes: list[dict[str, object]] = [
        {},
        {"cuda": "12.4"},
        {"flash_attention": True, "cpu_flags": frozenset({"avx512_fp16", "amx_bf16"})},
        {"processor": "", "cpu_flags": None, "free_bytes": None},
        {"processor": "arm64", "cpu_flags": frozenset({"fp16_arith"}), "apple_gpu": "Apple M2"},
        {"versions": old},
        {"versions": dict.fromkeys(GOOD)},
        {"versions": {**GOOD, "PyTorch": "2.99", "sentencepiece": "0.2.2"}},
        {"versions": {**GOOD, "gradio": "unknown"}},
        *({"gpu": card, "cuda": "12.4"} for card in cards),
    ]
    return [checked(facts(**change)) for change in changes]


def test_every_sentence_of_the_check_has_its_chinese() -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    for check in some_checks():
        for item in check.items:
            assert chinese.search(worded(item.consequence, "zh")), item.consequence
            assert not chinese.search(worded(item.consequence, "en"))


def test_the_machines_bring_out_every_sentence_of_the_check() -> None:
    """Only then does the test above see them all."""
    heads = ("check.version.", "check.gpu.", "check.half.", "check.cpu.", "check.combination.")
    brought = {item.consequence.code for check in some_checks() for item in check.items}  # type: ignore[union-attr]
    assert brought == {code for code in sentences("en") if code.startswith(heads)}


def test_the_check_shows_verdicts_in_words() -> None:
    bad = checked(facts(versions={**GOOD, "PyTorch": "1.0"}))
    assert "xl-mark-bad" in check_panel(bad, "en") and "正常" in check_panel(bad, "zh")
    assert "xl-table" not in check_panel(None, "en")
