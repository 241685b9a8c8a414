"""The table of figures: fields that exist, texts with units, and what was not measured."""

from __future__ import annotations

from dataclasses import fields

import pytest

from xcomposer_ui.compare.divergence import Divergence
from xcomposer_ui.core.messages import LANGUAGES, sentences
from xcomposer_ui.core.metrics import METRICS, metric_of, metrics, weights_share
from xcomposer_ui.core.result import Measurement
from xcomposer_ui.core.units import joined, memory, share, small
from xcomposer_ui.finetuning.result import RecipeResult, recipe_as_json

RECORDS = {
    "run": {field.name for field in fields(Measurement)},
    "divergence": {field.name for field in fields(Divergence)},
    "training": set(recipe_as_json(RecipeResult("float32"))),
}
ON_SCREEN = {"tiles", "runs", "comparison", "divergence", "terminal", "training"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.field)
def test_a_row_names_a_field_and_texts_that_exist(metric) -> None:  # type: ignore[no-untyped-def]
    assert metric.compute or metric.field in RECORDS[metric.source]
    assert metric.label or not ON_SCREEN & metric.places
    assert metric.heading or "markdown" not in metric.places
    for language in LANGUAGES:
        for code in (metric.label, metric.unknown, metric.summary):
            assert not code or code in sentences(language)


def test_fields_are_unique() -> None:
    assert len({metric.field for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize(
    ("field", "value", "shown", "cell"),
    [
        ("latency_sec", 0.842, "842 ms", "0.842"),
        ("tokens_per_sec", 31.4, "31.4 tok/s", "31.4"),
        ("peak_memory_bytes", 15_414_067, "14.7 MiB", "14.70"),
        ("weights_share", 0.5, "50%", "50%"),
        ("mean_kl_divergence", 0.0001, "1.00e-04 nats", "0.0001"),
        ("mean_kl_divergence", None, "not finite", "not finite"),
        ("top1_agreement", 2 / 3, "66.7%", "0.6667"),
        ("first_different_token", 1234, "1235", "1235"),
        ("first_different_token", None, "none", "none"),
        ("largest_activation_share", 0.00001, "< 0.01%", "< 0.01%"),
        ("latency_sec", None, "—", "—"),
    ],
)
def test_a_value_is_shown_with_its_unit(field: str, value: float | None, shown: str, cell: str) -> None:
    metric = metric_of(field)
    record = {field: value} if metric.compute is None else {"weights_bytes": 1, "peak_memory_bytes": 2}
    assert (metric.of(record), metric.cell_of(record)) == (shown, cell)


def test_a_share_of_unknown_memory_is_unknown() -> None:
    assert weights_share({"weights_bytes": None, "peak_memory_bytes": 1}) is None
    assert weights_share({"weights_bytes": 1, "peak_memory_bytes": None}) is None


def test_a_label_and_its_figure_make_a_phrase() -> None:
    record = {
        "latency_sec": 0.842,
        "time_to_first_token_sec": 0.2,
        "tokens_per_sec": 31.4,
        "peak_memory_bytes": 1 << 30,
    }
    phrases = [metric.labelled(record) for metric in metrics("terminal")]
    assert phrases == ["latency 842 ms", "first token 200 ms", "31.4 tok/s", "peak memory 1.00 GiB"]


def test_a_summary_is_a_median_and_perhaps_its_range() -> None:
    distribution = {"lowest": 0.001, "median": 0.002, "highest": 0.003}
    assert metric_of("mean_kl_divergence").summary_of(distribution) == "0.00200 (0.00100 – 0.00300)"
    assert metric_of("latency_sec").summary_of(distribution) == "2.00 ms"
    assert metric_of("latency_sec").summary_of(None) == "—"


def test_units_of_bytes_and_small_numbers() -> None:
    assert joined(memory(35 << 30, 2)) == "35.00 GiB"
    assert joined(memory(None)) == "—"
    assert (small(0), small(0.0841), small(0.00084)) == ("0", "0.0841", "8.40e-04")
    assert (share(0), share(0.5), share(0.00009)) == ("0.00%", "50.00%", "< 0.01%")
