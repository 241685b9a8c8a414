"""A run's or a comparison's document as a report to keep or to hand on: Markdown, JSON, CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from xcomposer_ui.compare.csv_table import FIELDS, as_csv, rows
from xcomposer_ui.compare.script import script
from xcomposer_ui.core.errors import UserError

UNKNOWN = "—"
SURROUNDINGS = ("question", "environment")
"""What stands beside a run's own fields in its JSON."""


def as_document(found: object) -> dict[str, Any]:
    """The JSON of `compare`, or that of `run` as a comparison of one. Raises UserError where it is neither."""
    document = found
    if isinstance(found, dict) and "strategy" in found:
        surroundings = {name: found[name] for name in SURROUNDINGS if name in found}
        run = {name: value for name, value in found.items() if name not in SURROUNDINGS}
        document = {"runs": [run], **surroundings}
    if not isinstance(document, dict) or not _whole(document.get("runs"), document.get("question")):
        raise UserError("no_report")
    return document


def _whole(runs: object, question: object) -> bool:
    """Whether `runs` are some, and of `question` it is known what was asked: without it nothing can be repeated."""
    asked = isinstance(question, dict) and isinstance(question.get("text"), str)
    if not asked or not isinstance(runs, list):
        return False
    return bool(runs) and all(isinstance(run, dict) and "strategy" in run for run in runs)


def markdown(document: Mapping[str, Any]) -> str:
    """The whole report: question, settings, figures with units, answers, failures, divergence, versions, script."""
    parts = [
        "# XComposer precision lab: report",
        (document.get("verdict") or {}).get("en", ""),
        _question(document.get("question")),
        _figures(document),
        _answers(document),
        _failures(document),
        _divergence(document),
        _environment(document.get("environment")),
        f"## Repeat it\n\n{_fenced(script(document), 'python')}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(document: Mapping[str, Any]) -> str:
    """The document itself, to be read by programs and by `report`."""
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_table(document: Mapping[str, Any]) -> str:
    """One CSV row a run."""
    return as_csv(FIELDS, rows(document))


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "md": markdown,
    "json": as_json,
    "csv": as_table,
    "py": script,
}
"""A format's name, which its files end in -> what makes it from a document."""


def _question(question: Mapping[str, Any] | None) -> str:
    if question is None:
        return ""
    image = question.get("image")
    lines = ["## Question", "", _fenced(str(question["text"]))]
    if image:
        lines += ["", f"- picture: {image['width']} × {image['height']} pixels, SHA-256 {_hashes(image)}"]
        if "png_base64" in image:
            lines += ["", f"![the picture](data:image/png;base64,{image['png_base64']})"]
    else:
        lines += ["", "- no picture: text alone"]
    names = ("max_new_tokens", "temperature", "top_p", "repetition_penalty", "seed")
    lines += [f"- {name}: {question.get(name, UNKNOWN)}" for name in names]
    if question.get("hd_num") is not None:
        lines.append(f"- hd_num: {question['hd_num']}, the most tiles of the picture")
    for asked, answered in question.get("history") or ():
        lines.append(f"- earlier: {_inline(asked)} → {_inline(answered)}")
    return "\n".join(lines)


def _hashes(image: Mapping[str, Any]) -> str:
    pixels = f"{image['pixels_sha256']} (of the RGB values)"
    return f"{image['file_sha256']} (of the file), {pixels}" if image.get("file_sha256") else pixels


def _figures(document: Mapping[str, Any]) -> str:
    heads = ("strategy", "weights", "latency (s)", "lowest–highest (s)", "first token (s)", "tokens/s",
             "peak memory (MiB)", "weights' share", "like full precision")  # fmt: skip
    table = [_line(heads), _line("---" for _ in heads)]
    for run in document["runs"]:
        low, high = (run.get("spread") or {}).get("latency_sec") or (None, None)
        memory = run.get("peak_memory_bytes")
        share = run.get("weights_share")
        table.append(_line((
            f"{run['strategy']} ({run.get('half')})", run.get("weights_dtype"), _number(run.get("latency_sec")),
            f"{_number(low)}–{_number(high)}" if low is not None else UNKNOWN,
            _number(run.get("time_to_first_token_sec")), _number(run.get("tokens_per_sec")),
            UNKNOWN if memory is None else f"{memory / 2**20:.2f}", UNKNOWN if share is None else f"{share:.0%}",
            {True: "yes", False: "no"}.get(run.get("same_as_full"), UNKNOWN),
        )))  # fmt: skip
    first = document["runs"][0]
    said = f"{first.get('model')} on {first.get('device')}; medians of the repeats. "
    kinds = {run.get("peak_memory_kind") for run in document["runs"]} - {None}
    return "## Figures\n\n" + said + f"Memory: {', '.join(sorted(kinds)) or UNKNOWN}.\n\n" + "\n".join(table)


def _answers(document: Mapping[str, Any]) -> str:
    answered = [run for run in document["runs"] if run.get("answer") is not None]
    blocks = [f"**{run['strategy']} ({run.get('half')})**\n\n{_fenced(run['answer'])}" for run in answered]
    return "## Answers\n\n" + "\n\n".join(blocks) if blocks else ""


def _failures(document: Mapping[str, Any]) -> str:
    blocks = []
    for run in document["runs"]:
        failure = run.get("failure")
        if failure:
            where = f"\n\nat `{_inline(failure['module'])}` ({failure['operation']})" if failure.get("module") else ""
            blocks.append(
                f"**{run['strategy']} ({run.get('half')})**\n\n{_fenced(failure['type'] + ': ' + failure['message'])}"
                f"{where}\n\n{_inline((failure.get('explanation') or {}).get('cause', ''))}"
            )
    return "## Failures\n\n" + "\n\n".join(blocks) if blocks else ""


def _divergence(document: Mapping[str, Any]) -> str:
    entries = list(document.get("divergence") or ())
    if not entries:
        return ""
    floor = document.get("floor")
    heads = ("against full precision", "max |Δ logit|", "mean KL (nats)", "top-1 agreement", "first different token",
             "largest activation / dtype's limit", "not finite")  # fmt: skip
    table = [_line(heads), _line("---" for _ in heads)]
    for entry in [*entries, *([floor] if floor else [])]:
        name = "float32 against float64 (the floor)" if entry is floor else f"{entry['strategy']} ({entry['half']})"
        first = entry.get("first_different_token")
        share = entry.get("largest_activation_share")
        table.append(_line((
            name, _number(entry.get("max_abs_logit_difference")), _number(entry.get("mean_kl_divergence")),
            _number(entry.get("top1_agreement")), UNKNOWN if first is None else first,
            _share(share), entry.get("first_non_finite_module") or "none",
        )))  # fmt: skip
    forced = "By teacher forcing full precision's own tokens; token indices from 0, in free running."
    return f"## Divergence\n\n{forced}\n\n" + "\n".join(table)


def _environment(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    return "## Environment\n\n" + "\n".join(f"- {k}: {UNKNOWN if v is None else _inline(v)}" for k, v in found.items())


def _line(cells: Any) -> str:
    return "| " + " | ".join(_inline(cell) for cell in cells) + " |"


def _inline(value: object) -> str:
    """`value` on one line, its pipes and angle brackets harmless."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any within."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.2%}" if share == 0 or share >= 1e-4 else "< 0.01%"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"
