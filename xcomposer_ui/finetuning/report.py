"""A fine-tuning's document as a file: Markdown, JSON, CSV, and the script that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xcomposer_ui.compare.document import environment
from xcomposer_ui.compare.report import as_csv, as_json, environment_section, failure_line, fenced, inline, table
from xcomposer_ui.core.messages import LANGUAGES, text
from xcomposer_ui.core.metrics import metric_of, metrics
from xcomposer_ui.core.units import joined, memory
from xcomposer_ui.finetuning.recipes import recipe_named
from xcomposer_ui.finetuning.result import MEMORY_FIGURES, Finetuning, finetuning_as_json
from xcomposer_ui.finetuning.script import script
from xcomposer_ui.finetuning.verdicts import verdict

FIGURES = (*metrics("training", "training"), metric_of("peak_memory_bytes"))
"""The figures of a recipe, in the order of the tables' columns."""


def document_of(finetuning: Finetuning) -> dict[str, Any]:
    """The self-contained JSON of `finetuning`: its results, the verdicts and the environment."""
    verdicts = {r.recipe: verdict(r, finetuning) for r in finetuning.recipes}
    return {
        **finetuning_as_json(finetuning),
        "verdicts": {
            language: {name: found.in_language(language) for name, found in verdicts.items() if found is not None}
            for language in LANGUAGES
        },
        "environment": environment(finetuning.device, {}),
    }


def markdown(document: Mapping[str, Any]) -> str:
    """The whole report: settings, figures, verdicts, failures, memory, versions, script."""
    parts = [
        "# XComposer precision lab: training",
        _settings(document),
        _figures(document),
        _verdicts(document),
        _failures(document),
        _memory(document),
        environment_section(document["environment"]),
        f"## Repeat it\n\n{fenced(script(document), 'python')}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_table(document: Mapping[str, Any]) -> str:
    """The document as CSV, one row per step of each recipe, with the recipe's figures in each."""
    figures = [metric.field for metric in FIGURES]
    fields = ("recipe", "step", "loss", "gradient_norm", "step_loss_scale", *figures, "finished", "failure")
    return as_csv(fields, (row for recipe in document["recipes"] for row in _rows(recipe)))


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "md": markdown,
    "json": as_json,
    "csv": as_table,
    "py": script,
}
"""Name of a format, which is also its file extension -> the function that writes a document in it."""


def _rows(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = {metric.field: metric.value(recipe) for metric in FIGURES}
    own |= {name: recipe[name] for name in ("recipe", "finished")} | {"failure": failure_line(recipe["failure"])}
    scales = recipe["loss_scales"] or [None] * len(recipe["losses"])
    steps = zip(recipe["losses"], recipe["gradient_norms"], scales, strict=True)
    rows = [
        {**own, "step": n, "loss": loss, "gradient_norm": norm, "step_loss_scale": scale}
        for n, (loss, norm, scale) in enumerate(steps, 1)
    ]
    return rows or [own]


def _settings(document: Mapping[str, Any]) -> str:
    lines = [f"- {name}: {inline(value)}" for name, value in document["settings"].items() if name != "recipes"]
    return "\n".join(["## Settings", "", *lines, *(f"- {inline(note)}" for note in document["notes"])])


def _figures(document: Mapping[str, Any]) -> str:
    heads = ["recipe", *(metric.heading for metric in FIGURES)]
    rows = [[entry["recipe"], *(metric.cell_of(entry) for metric in FIGURES)] for entry in document["recipes"]]
    return f"## Figures\n\n{table(heads, rows)}"


def _verdicts(document: Mapping[str, Any]) -> str:
    lines = [f"- {_name(name)}: {sentence}" for name, sentence in document["verdicts"]["en"].items()]
    return "\n".join(["## Verdicts", "", *lines]) if lines else ""


def _failures(document: Mapping[str, Any]) -> str:
    blocks = []
    for entry in document["recipes"]:
        if failure := entry["failure"]:
            cause = inline(failure["explanation"]["cause"])
            blocks.append(f"**{_name(entry['recipe'])}**\n\n{fenced(failure_line(failure) or '')}\n\n{cause}")
    return "## Failures\n\n" + "\n\n".join(blocks) if blocks else ""


def _memory(document: Mapping[str, Any]) -> str:
    rows = [
        [entry["recipe"], *(_measured_and_predicted(entry, name) for name in MEMORY_FIGURES)]
        for entry in document["recipes"]
        if entry["memory"] or entry["predicted_memory"]
    ]
    head = "## Memory of a step\n\nMeasured / predicted."
    return f"{head}\n\n{table(['recipe', *MEMORY_FIGURES], rows)}" if rows else ""


def _measured_and_predicted(entry: Mapping[str, Any], name: str) -> str:
    measured = {**(entry["memory"] or {}), "peak": entry["peak_memory_bytes"]}
    figures = measured.get(name), (entry["predicted_memory"] or {}).get(name)
    return " / ".join(joined(memory(figure)) for figure in figures)


def _name(recipe: str) -> str:
    return text(recipe_named(recipe).key, "en")
