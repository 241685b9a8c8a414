"""The text of a bug report for the model's own tracker, from a failed run or from divergent figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xcomposer_ui.compare.report import variant
from xcomposer_ui.compare.script import script
from xcomposer_ui.core.units import UNKNOWN


def bug_report(document: Mapping[str, Any]) -> str:
    """The report in Markdown: a title line, what was done, expected and observed, versions, and a script."""
    failed = [run for run in document["runs"] if run.get("failure")]
    title, happened = _of_failure(failed[0]) if failed else _of_divergence(document)
    run = failed[0] if failed else document["runs"][0]
    environment = document.get("environment") or {}
    versions = "\n".join(f"- {name}: {value}" for name, value in environment.items() if value is not None)
    answered = [variant(run) for run in document["runs"] if run.get("answer") is not None]
    return "\n\n".join((
        title,
        f"**What I did**\n\nAsked `{run.get('model')}` on {run.get('device')} one question"
        f"{_about_picture(document)}, weights in {run.get('weights_dtype')}.",
        "**What I expected**\n\nThe answer that float32 weights give, or one as good.",
        f"**What happened**\n\n{happened}",
        f"**What works**\n\n{', '.join(answered) or 'nothing that was tried'}",
        f"**Versions**\n\n{versions or UNKNOWN}",
        f"**To reproduce**\n\n~~~~python\n{script(document).rstrip()}\n~~~~",
    )) + "\n"  # fmt: skip


def _of_failure(run: Mapping[str, Any]) -> tuple[str, str]:
    failure = run["failure"]
    message = " ".join(str(failure["message"]).split())
    where = ""
    if failure.get("module"):
        operands = "".join(
            f"\n- {o['name']}: {o['dtype']} {o.get('shape', '')}, {o['origin']}" for o in failure.get("operands") or ()
        )
        where = f"\n\nAt `{failure['module']}` ({failure['operation']}):{operands}"
    traced = failure.get("traceback") or f"{failure['type']}: {failure['message']}"
    return f"# {failure['type']}: {message[:120]}", f"~~~~\n{traced.rstrip()}\n~~~~{where}"


def _of_divergence(document: Mapping[str, Any]) -> tuple[str, str]:
    entries = [d for d in document.get("divergence") or () if d.get("first_different_token") is not None]
    broken = [d for d in document.get("divergence") or () if d.get("first_non_finite_module")]
    if broken:
        d = broken[0]
        name = f"{d['strategy']} in {d['half']}"
        return (
            f"# {name} gives values that are not finite, from {d['first_non_finite_module']} on",
            f"{d['non_finite_positions']} positions of the answer have logits that are NaN or infinite.",
        )
    if entries:
        d = entries[0]
        return (
            f"# {d['strategy']} in {d['half']} answers differently from float32",
            f"The answers part at token {d['first_different_token'] + 1}; mean KL divergence "
            f"{d['mean_kl_divergence']} nats, largest difference of a logit {d['max_abs_logit_difference']}.",
        )
    return "# No failure was seen", "Every strategy answered, and no answer differs from float32's."


def _about_picture(document: Mapping[str, Any]) -> str:
    image = (document.get("question") or {}).get("image")
    return f" about a picture of {image['width']} × {image['height']} pixels" if image else ""
