"""The texts of Gradio's components: initially in the browser's language, then in the one chosen on the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gradio as gr

from xcomposer_ui.core.messages import LANGUAGES, sentences, text

Part = TypeVar("Part")
Key = str | Sequence[tuple[str, str]]
"""A text's key; or, for choices, (key, value) pairs. Keys without a text (a model's name) are shown as they are."""

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For events that only redraw: they do not queue, show no progress, and are hidden from scripts."""


MOST_VISITORS = 10_000
"""Sessions that are remembered; the least recently used one is dropped first."""


class SessionLanguages:
    """The language of each session's page, which runs in progress follow. Thread-safe."""

    def __init__(self) -> None:
        self._chosen: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def choose(self, visitor: str | None, language: str) -> None:
        """Record the language of `visitor`, Gradio's session hash; None (a call without a page) is ignored."""
        if visitor is None:
            return
        with self._lock:
            self._chosen[visitor] = language
            self._chosen.move_to_end(visitor)
            while len(self._chosen) > MOST_VISITORS:
                self._chosen.popitem(last=False)

    def is_known(self, visitor: str | None) -> bool:
        """Whether `visitor`'s page has told its language."""
        return visitor in self._chosen

    def current(self, visitor: str | None, at_first: str) -> Callable[[], str]:
        """A function that returns the current language of `visitor`'s page; `at_first` where it has told none yet."""
        self.choose(visitor, self._chosen.get(visitor or "", at_first))
        return lambda: self._chosen.get(visitor or "", at_first)

    def of(self, visitor: str | None, otherwise: str = "en") -> str:
        """The language of `visitor`'s page; `otherwise` where it has told none."""
        return self._chosen.get(visitor or "", otherwise)


class Localization:
    """Makes components, and records which texts each has, so that they can be changed to another language.

    language: the first language, one of `LANGUAGES`; "auto": the browser's, by `gr.I18n`, which cannot be switched
    later: `updates` does that. languages: the language of each session's page.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.languages = SessionLanguages()
        self._bound: list[tuple[Any, dict[str, Key]]] = []
        self._views: dict[str, Callable[[str], str]] = {}
        self._static: dict[Any, Callable[[str], str]] = {}

    def make(self, kind: Callable[..., Part], texts: dict[str, Key], **properties: Any) -> Part:
        """`kind` made with `properties`, and with `texts`: property -> key of its text."""
        part = kind(**{name: _worded(key, self.language) for name, key in texts.items()}, **properties)
        self._bound.append((part, texts))
        return part

    def view(self, shown: Callable[[str], str], **properties: Any) -> gr.HTML:
        """An HTML component whose initial value is `shown(language)`; later values come from the handlers."""
        name = f"view.{len(self._views)}"
        self._views[name] = shown
        value = gr.I18n()(name) if self.language == "auto" else shown(self.language)
        return gr.HTML(value, **properties)

    def static(self, shown: Callable[[str], str], **properties: Any) -> gr.HTML:
        """An HTML component that depends on the language alone."""
        part = self.view(shown, **properties)
        self._static[part] = shown
        return part

    def i18n(self) -> gr.I18n:
        """The texts of the components, for `launch(i18n=)`: the page is sent all of them."""
        labels = [key for _, texts in self._bound for key in texts.values()]
        keys = {label for key in labels for label in ([key] if isinstance(key, str) else dict(key))}
        languages = {
            language: {key: text(key, language) for key in sorted(keys & sentences(language).keys())}
            | {name: shown(language) for name, shown in self._views.items()}
            for language in LANGUAGES
        }
        return gr.I18n(**languages)

    def components(self) -> list[Any]:
        """Every component that `updates` changes."""
        return [*(part for part, _ in self._bound), *self._static]

    def updates(self, language: str) -> dict[Any, Any]:
        """Component -> update that puts its texts into `language`."""
        return {
            part: gr.update(**{name: _worded(key, language) for name, key in texts.items()})
            for part, texts in self._bound
        } | {part: shown(language) for part, shown in self._static.items()}


def _worded(key: Key, language: str) -> Any:
    """The texts of `key` in `language`; "auto": what Gradio shows in the browser's language."""
    if not isinstance(key, str):
        return [(_worded(label, language), value) for label, value in key]
    if key not in sentences("en"):
        return key
    return gr.I18n()(key) if language == "auto" else text(key, language)
