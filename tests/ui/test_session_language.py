"""The language that each page speaks."""

from __future__ import annotations

import pytest

from xcomposer_ui.ui import session_language
from xcomposer_ui.ui.session_language import SessionLanguages


def test_a_run_speaks_the_language_that_was_chosen_since_it_began() -> None:
    languages = SessionLanguages()
    spoken, other = languages.spoken("a", "en"), languages.spoken("b", "zh")
    assert (spoken(), other()) == ("en", "zh")
    languages.choose("a", "zh")
    assert (spoken(), other()) == ("zh", "zh")


def test_a_call_without_a_page_speaks_what_it_was_told() -> None:
    languages = SessionLanguages()
    spoken = languages.spoken(None, "zh")
    languages.choose(None, "en")
    assert spoken() == "zh"


def test_old_visitors_are_forgotten_and_not_those_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_language, "MOST_VISITORS", 2)
    languages = SessionLanguages()
    first = languages.spoken("a", "en")
    languages.choose("a", "zh")
    languages.choose("b", "en")
    languages.choose("a", "zh")
    languages.choose("c", "en")
    assert first() == "zh"
    assert len(languages._chosen) == 2
