"""The figures of a run, one row each: the columns of page tables, CSV, Markdown and the command line.

To add a figure, measure it into a field of `Measurement` or `Divergence` (or compute it from other fields) and add a
row to `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from xcomposer_ui.core import units
from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import UNKNOWN, Figure, joined

Record = Mapping[str, Any]
"""The fields of a `Measurement` or a `Divergence` (`vars` of it), or a run or a divergence in a document's JSON."""

Source = Literal["run", "divergence", "training"]
Place = Literal[
    "tiles", "runs", "comparison", "divergence", "summary", "markdown", "terminal", "csv", "runs.csv", "training"
]
"""Where a figure can be shown. "csv" is the file of a comparison or a report, "runs.csv" that of a session's runs;
"training" is the page's table of recipes."""

CSV: frozenset[Place] = frozenset(("csv", "runs.csv"))
EVERYWHERE: frozenset[Place] = CSV | {"runs", "comparison", "markdown", "terminal"}
TRAINING: frozenset[Place] = frozenset(("training", "markdown", "terminal", "csv"))
DIVERGENCE: frozenset[Place] = frozenset(("divergence", "csv", "markdown"))


def number(value: float) -> str:
    """`value` with four significant digits, for a report's table."""
    return f"{value:.4g}"


def ordinal(index: float) -> str:
    """The place that people give to what has `index`: they count from 1."""
    return f"{index + 1:g}"


def unitless(shown: Callable[[Any], str]) -> Callable[[Any], Figure]:
    """The function that gives the figure of a value without a unit, as `shown` writes it."""
    return lambda value: (shown(value), "")


plain_figure = unitless(str)
_percent = "{:.0%}".format


def weights_share(run: Record) -> float | None:
    """The weights' share of the peak memory, 0..1; None where either is unknown."""
    weights, peak = run.get("weights_bytes"), run.get("peak_memory_bytes")
    return None if weights is None or not peak else weights / peak


@dataclass(frozen=True)
class Metric:
    """One figure.

    field: its name in JSON and CSV, with the unit.
    label: the locales' code of its name; "" for one that only files show.
    figure: formats a value that is not None as (number, unit).
    heading: its name in a report's tables, with the unit of the cells. cell: formats a value that is not None for them.
    source: the kind of record that has it. places: where it is shown.
    compute: computes the value from other fields of the record; None where the record has the field itself.
    unknown: the locales' code of the text for None; "" for a dash.
    repeated: measured in each repeat of a comparison, which shows the median. spread: whether tables show the lowest
    and highest of the repeats too.
    distributed: whether summaries of many questions give its quartiles.
    summary: the locales' code of its heading in the page's table of many questions, where it is shown there.
    summary_range: whether that table shows the lowest and highest beside the median.
    """

    field: str
    label: str = ""
    figure: Callable[[Any], Figure] = plain_figure
    heading: str = ""
    cell: Callable[[Any], str] = number
    source: Source = "run"
    places: frozenset[Place] = EVERYWHERE
    compute: Callable[[Record], Any] | None = None
    unknown: str = ""
    repeated: bool = False
    spread: bool = False
    distributed: bool = False
    summary: str = ""
    summary_range: bool = False

    @property
    def name(self) -> str:
        """The last part of the label's code: "latency"."""
        return self.label.rpartition(".")[2]

    def value(self, record: Record) -> Any:
        """This figure of `record`; None where it is unknown."""
        return self.compute(record) if self.compute else record.get(self.field)

    def shown(self, value: Any, language: str = "en") -> str:
        """`value` with its unit, for people."""
        if value is None:
            return text(self.unknown, language) if self.unknown else UNKNOWN
        return joined(self.figure(value))

    def of(self, record: Record, language: str = "en") -> str:
        """This figure of `record` with its unit, for people."""
        return self.shown(self.value(record), language)

    def cell_of(self, record: Record) -> str:
        """This figure of `record` as a cell of a report, in the heading's unit."""
        value = self.value(record)
        return self.shown(None) if value is None else self.cell(value)

    def summary_of(self, distribution: Mapping[str, float] | None) -> str:
        """The median of a distribution over many questions, with its range where `summary_range` is set."""
        if distribution is None:
            return UNKNOWN
        if not self.summary_range:
            return self.shown(distribution["median"])
        median, lowest, highest = (self.figure(distribution[name])[0] for name in ("median", "lowest", "highest"))
        return f"{median} ({lowest} – {highest})"

    def labelled(self, record: Record) -> str:
        """This figure with its name, in English, as part of a sentence: "latency 842 ms"."""
        if self.figure is units.rate:  # the unit names it
            return self.of(record)
        name = text(self.label, "en")
        return f"{name[:1].lower()}{name[1:]} {self.of(record)}"

    def spread_fields(self) -> tuple[str, str]:
        """The names of the lowest and highest over the repeats: "latency_lowest_sec", "latency_highest_sec"."""
        name, _, unit = self.field.rpartition("_")
        return f"{name}_lowest_{unit}", f"{name}_highest_{unit}"


METRICS = (
    Metric("new_tokens", places=CSV),
    Metric("prompt_tokens", places=CSV),
    Metric("load_sec", figure=units.seconds, places=CSV),
    Metric(
        "latency_sec", "metric.latency", units.seconds, "latency (s)",
        places=EVERYWHERE | {"tiles"}, repeated=True, spread=True, distributed=True,
    ),
    Metric(
        "time_to_first_token_sec", "metric.first", units.seconds, "first token (s)",
        places=EVERYWHERE | {"tiles"}, repeated=True, distributed=True,
    ),
    Metric(
        "tokens_per_sec", "metric.rate", units.rate, "tokens/s",
        places=EVERYWHERE | {"tiles"}, repeated=True, distributed=True,
    ),
    Metric(
        "peak_memory_bytes", "metric.memory", units.memory, "peak memory (MiB)",
        cell=lambda value: f"{value / units.MIB:.2f}",
        places=EVERYWHERE | {"tiles", "summary"}, repeated=True, distributed=True, summary="compare.batch.memory",
    ),
    Metric("peak_memory_kind", places=CSV),
    Metric("device_latency_sec", figure=units.seconds, places=CSV, repeated=True),
    Metric("device_time_to_first_token_sec", figure=units.seconds, places=CSV, repeated=True),
    Metric("device_tokens_per_sec", figure=units.rate, places=CSV, repeated=True),
    Metric("bandwidth_share", figure=unitless(_percent), places=CSV, repeated=True),
    Metric("record_sec", figure=units.seconds, places=CSV),
    Metric("decoder", heading="decoder", cell=str, places=CSV | {"markdown"}),
    Metric("weights_bytes", figure=units.memory, places=frozenset({"csv"})),
    Metric(
        "weights_share", figure=unitless(_percent), heading="weights' share",
        cell=_percent, places=frozenset(("csv", "markdown")), compute=weights_share,
    ),
    Metric("reused_tokens", places=frozenset({"runs.csv"})),
    Metric("reused_picture", places=frozenset({"runs.csv"})),
    Metric(
        "max_abs_logit_difference", "metric.max_logit", unitless(units.small), "max |Δ logit|",
        source="divergence", places=DIVERGENCE, unknown="compare.not_finite", distributed=True,
    ),
    Metric(
        "mean_kl_divergence", "metric.kl", lambda value: (units.small(value), "nats"), "mean KL (nats)",
        source="divergence", places=DIVERGENCE | {"summary", "terminal"}, unknown="compare.not_finite",
        distributed=True, summary="compare.batch.kl", summary_range=True,
    ),
    Metric(
        "top1_agreement", "metric.top1", unitless("{:.1%}".format), "top-1 agreement",
        source="divergence", places=DIVERGENCE, distributed=True,
    ),
    Metric(
        "first_different_token", "metric.different", unitless(ordinal), "first different token",
        ordinal, source="divergence",
        places=frozenset(("csv", "markdown", "terminal")), unknown="metric.none", distributed=True,
    ),
    Metric(
        "largest_activation_share", "metric.activation", unitless(units.share),
        "largest activation / dtype's limit", units.share,
        source="divergence", places=DIVERGENCE, distributed=True,
    ),
    Metric("largest_activation_module", source="divergence", places=frozenset({"csv"})),
    Metric("non_finite_positions", source="divergence", places=frozenset({"csv"})),
    Metric(
        "final_loss", "metric.final_loss", unitless(units.significant),
        "final loss (mean of up to 5 steps)", source="training", places=TRAINING,
    ),
    Metric("accuracy_before", "metric.before", unitless(_percent), "right before", source="training", places=TRAINING),
    Metric("accuracy_after", "metric.after", unitless(_percent), "right after", source="training", places=TRAINING),
    Metric(
        "gradient_underflow", "metric.underflow", unitless(units.share), "gradient underflow",
        units.share, source="training", places=TRAINING,
    ),
    Metric(
        "swallowed_updates", "metric.swallowed", unitless(units.share), "swallowed updates",
        units.share, source="training", places=TRAINING,
    ),
    Metric(
        "loss_scale", "metric.loss_scale", unitless("{:.0f}".format), "loss scale",
        source="training", places=TRAINING - {"terminal"},
    ),
    Metric(
        "skipped_steps", "metric.skipped", heading="skipped steps", source="training", places=TRAINING - {"terminal"},
    ),
    Metric("step_sec", "metric.step", units.seconds, "step (s)", source="training", places=TRAINING),
    Metric(
        "first_non_finite_module", heading="not finite", cell=str,
        source="divergence", places=frozenset(("csv", "markdown")), unknown="metric.none",
    ),
)  # fmt: skip


def metrics(place: Place, source: Source = "run") -> tuple[Metric, ...]:
    """The figures of `source` that `place` shows, in order."""
    return tuple(metric for metric in METRICS if place in metric.places and metric.source == source)


def metric_of(field: str) -> Metric:
    """The row of `field`. Raises StopIteration where there is none."""
    return next(metric for metric in METRICS if metric.field == field)


def repeated() -> tuple[Metric, ...]:
    return tuple(metric for metric in METRICS if metric.repeated)


def distributed() -> tuple[Metric, ...]:
    return tuple(metric for metric in METRICS if metric.distributed)
