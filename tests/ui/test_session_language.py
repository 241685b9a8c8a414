"""The language that each page speaks."""

from __future__ import annotations

import pytest

from xcomposer_ui.ui import localization
from xcomposer_ui.ui.localization import SessionLanguages


def test_a_run_speaks_the_language_that_was_chosen_since_it_began() -> None:
    languages = SessionLanguages()
    spoken, other = languages.current("a", "en"), languages.current("b", "zh")
    assert (spoken(), other()) == ("en", "zh")
    languages.choose("a", "zh")
    assert (spoken(), other()) == ("zh", "zh")


def test_a_run_does_not_change_what_the_page_was_told() -> None:
    """The switch shows its first value until the page has drawn what it was given."""
    languages = SessionLanguages()
    languages.choose("a", "zh")
    assert languages.current("a", "en")() == "zh"
    assert languages.of("a", "en") == "zh"


def test_a_call_without_a_page_speaks_what_it_was_told() -> None:
    languages = SessionLanguages()
    spoken = languages.current(None, "zh")
    languages.choose(None, "en")
    assert spoken() == "zh"


def test_old_visitors_are_forgotten_and_not_those_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localization, "MOST_VISITORS", 2)
    languages = SessionLanguages()
    first = languages.current("a", "en")
    languages.choose("a", "zh")
    languages.choose("b", "en")
    languages.choose("a", "zh")
    languages.choose("c", "en")
    assert first() == "zh"
    assert len(languages._chosen) == 2
