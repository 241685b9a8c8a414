"""A fine-tuning on the page: verdicts, curves, the gradients' magnitudes, tables, memory, failures, downloads."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.units import UNKNOWN, share, small
from xcomposer_ui.finetuning.probe import Largest
from xcomposer_ui.finetuning.recipes import Recipe
from xcomposer_ui.finetuning.report import FIGURES, FORMATS
from xcomposer_ui.finetuning.result import MEMORY_FIGURES, MEMORY_PARTS, Finetuning, RecipeResult, recipe_as_json
from xcomposer_ui.finetuning.verdicts import verdict
from xcomposer_ui.ui.html import render
from xcomposer_ui.ui.train_handlers import TrainSession
from xcomposer_ui.ui.views.axis import log_axis, number_axis
from xcomposer_ui.ui.views.charts import MemoryBar, memory_bars
from xcomposer_ui.ui.views.downloads import links
from xcomposer_ui.ui.views.explanation import failure_card
from xcomposer_ui.ui.views.run_status import waiting_message
from xcomposer_ui.ui.views.training_charts import StepCurve, gradient_histograms, step_curves


def training_view(session: TrainSession, language: str, link: str = "") -> Markup:
    """The results on the Train tab for `session`. link: the address that restores its settings."""
    found = session.finetuning
    return render(
        "training",
        language,
        stage=_stage(session, language) if session.running else None,
        results=_results(found, language) if found is not None and found.recipes else None,
        downloads=links(FORMATS, session.document, "training", link, language)
        if session.document is not None
        else None,
    )


def line_of(recipe: Recipe) -> str:
    """The kind of line that tells recipes of one dtype apart."""
    if recipe.autocast is None and recipe.computed_dtype != "float32":
        return "dotted" if recipe.master_weights else "dashed"
    return "dotted" if recipe.autocast == "float16" and not recipe.scaled else "solid"


def _stage(session: TrainSession, language: str) -> dict[str, Any]:
    found = session.finetuning
    if session.waiting is not None:
        return {"text": waiting_message(session.waiting).in_language(language), "share": None}
    if found is None or not found.recipes:
        return {"text": text("train.stage.drawing", language), "share": None}
    last, total = found.recipes[-1], found.request.steps
    facts = {"recipe": _name(last, language), "step": len(last.losses), "steps": total}
    stage = found.stage if found.stage in ("before", "after") else "train"
    return {"text": text(f"train.stage.{stage}", language, **facts), "share": found.done}


def _results(found: Finetuning, language: str) -> dict[str, Any]:
    return {
        "finetuning": found,
        "verdicts": [(r.method, sentence) for r in found.recipes if (sentence := verdict(r, found)) is not None],
        "histograms": gradient_histograms(found.recipes, language),
        "curves": [_losses(found, language), _norms(found, language)] if any(r.losses for r in found.recipes) else [],
        "heads": [text("train.recipe", language), *(text(metric.label, language) for metric in FIGURES)],
        "rows": [(r.method, _figures(r, language)) for r in found.recipes],
        "ranges": _ranges(found, language),
        "modules": _modules(found, language),
        "memory": _memory(found, language),
        "failures": [(r.method, failure_card(r.failure, language)) for r in found.recipes if r.failure is not None],
    }


def _figures(result: RecipeResult, language: str) -> list[str]:
    record = recipe_as_json(result)
    return [metric.of(record, language) for metric in FIGURES]


def _losses(found: Finetuning, language: str) -> Markup:
    most = max((loss for r in found.recipes for loss in r.losses if loss is not None), default=1.0)
    curves = [_curve(r, r.losses, language) for r in found.recipes if r.losses]
    return step_curves(text("train.chart.loss", language), curves, number_axis(most), found.request.steps, language)


def _norms(found: Finetuning, language: str) -> Markup:
    norms = [norm for r in found.recipes for norm in r.gradient_norms if norm]
    curves = [_curve(r, r.gradient_norms, language) for r in found.recipes if r.losses]
    return step_curves(text("train.chart.norm", language), curves, log_axis(norms), found.request.steps, language)


def _curve(result: RecipeResult, values: tuple[float | None, ...], language: str) -> StepCurve:
    method = result.method
    return StepCurve(_name(result, language), method.computed_dtype, line_of(method), values)


def _ranges(found: Finetuning, language: str) -> dict[str, Any]:
    """The largest gradient and activation of each recipe against its dtype's limit."""
    columns = ("largest_gradient", "largest_activation")
    rows = [(r.method, [_largest(r.largest(column)) for column in columns]) for r in found.recipes if r.probes]
    return {"heads": [text(f"train.{name}", language) for name in ("recipe", *columns)], "rows": rows}


def _largest(largest: Largest | None) -> tuple[str, str]:
    if largest is None:
        return UNKNOWN, ""
    percent = f"{largest.share:.3%}" if largest.share >= 1e-5 else f"{largest.share:.1e}"
    return f"{small(largest.value)} ({percent})", largest.module


def _modules(found: Finetuning, language: str) -> dict[str, Any] | None:
    """Underflow and swallowed updates of each module, a column for each recipe."""
    probed = [r for r in found.recipes if r.probes]
    if not probed:
        return None
    counts = [{counts.module: counts for counts in r.modules} for r in probed]
    cells = [
        (module, [_shares(one[module].gradients.underflow, one[module].updates.share) for one in counts])
        for module in counts[0]
    ]
    return {"heads": [text("train.module", language), *(_name(r, language) for r in probed)], "rows": cells}


def _shares(underflow: float | None, swallowed: float | None) -> str:
    return " / ".join(UNKNOWN if value is None else share(value) for value in (underflow, swallowed))


def _memory(found: Finetuning, language: str) -> dict[str, Any] | None:
    """The measured parts as bars, and a table of what was measured with what was predicted."""
    bars = [
        MemoryBar(_name(r, language), tuple(getattr(r.memory, part) or 0 for part in MEMORY_PARTS))
        for r in found.recipes
        if r.memory is not None
    ]
    legend = [text(f"train.memory.{part}", language) for part in MEMORY_PARTS]
    rows = [r for r in found.recipes if r.memory is not None or r.predicted_memory is not None]
    if not rows:
        return None
    heads = [text("train.recipe", language), *(text(f"train.memory.{name}", language) for name in MEMORY_FIGURES)]
    chart = memory_bars(text("train.memory", language), legend, bars) if bars else ""
    return {"chart": chart, "heads": heads, "figures": MEMORY_FIGURES, "rows": rows}


def _name(result: RecipeResult, language: str) -> str:
    return text(result.method.key, language)
