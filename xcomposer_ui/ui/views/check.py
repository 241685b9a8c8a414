"""What this machine is, and what follows for each strategy."""

from __future__ import annotations

from xcomposer_ui.core.messages import text, worded
from xcomposer_ui.planning.hardware import Check, CheckItem
from xcomposer_ui.ui.views.marks import escaped

COLUMNS = ("name", "value", "consequence")


def check_panel(check: Check | None, language: str) -> str:
    """`check` as a table; None is not known yet."""
    title = escaped(text("check.title", language))
    if check is None:
        said = f'<p class="xl-quiet">{escaped(text("check.pending", language))}</p>'
        return f'<section class="xl-runs"><header><h3>{title}</h3></header>{said}</section>'
    kind, key = ("xl-quiet", "check.ok") if check.ok else ("xl-failed", "check.bad")
    head = "".join(f'<th scope="col">{escaped(text(f"check.column.{name}", language))}</th>' for name in COLUMNS)
    rows = "".join(_row(item, language) for item in check.items)
    return (
        f'<section class="xl-runs xl-check"><header><h3>{title}</h3></header>'
        f'<p class="{kind}">{escaped(text(key, language))}</p><div class="xl-scroll">'
        f'<table class="xl-table"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _row(item: CheckItem, language: str) -> str:
    said = escaped(text(f"check.verdict.{item.verdict}", language))
    told = (item.name, item.value, item.consequence)
    cells = "".join(f"<td>{escaped(worded(sentence, language))}</td>" for sentence in told)
    return f'<tr><td><span class="xl-mark xl-mark-{item.verdict}">{said}</span></td>{cells}</tr>'
