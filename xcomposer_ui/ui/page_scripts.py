"""The page's scripts, from `assets/scripts/`, and the events of HTML components."""

from __future__ import annotations

import json

from xcomposer_ui.core.settings import ASSETS

SCRIPTS = ASSETS / "scripts"
WHOLE_PAGE = ("copy", "head", "press", "runs", "roving", "paste", "files", "tabs", "connection")
"""The scripts that listen on the whole page."""


def script(name: str) -> str:
    return (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")


def head() -> str:
    """The scripts of the whole page, for its head."""
    return "".join(f"<script>\n{script(name)}</script>" for name in WHOLE_PAGE)


def triggers(*events: str) -> str:
    """`js_on_load` of an HTML component in which elements with a `data-event` trigger one of `events`.

    The event's data are the element's `data-` values.
    """
    return f"""const events = {json.dumps(events)};
element.addEventListener('click', (event) => {{
  const source = event.target.closest('[data-event]');
  if (source && events.includes(source.dataset.event)) trigger(source.dataset.event, {{...source.dataset}});
}});"""
