"""A stop has the last word: steps that come after it show what it made, and the run ends."""

from __future__ import annotations

from collections.abc import Generator

from xcomposer_ui.ui.run_tab import ActiveRuns

VISITOR = "a visitor"


def counting(closed: list[bool]) -> Generator[str, None, None]:
    try:
        yield from ("one", "two", "three")
    finally:
        closed.append(True)


def test_a_run_that_nobody_stops_shows_its_own_steps() -> None:
    going, closed = ActiveRuns[str](), []
    assert list(going.followed(VISITOR, "none", counting(closed))) == ["one", "two", "three"]
    assert closed == [True]


def test_after_a_stop_only_what_the_stop_made_is_shown() -> None:
    going, closed = ActiveRuns[str](), []
    steps = going.followed(VISITOR, "none", counting(closed))
    assert next(steps) == "one"
    assert going.stop(VISITOR, "stale", lambda latest: f"{latest}, stopped") == "one, stopped"
    assert list(steps) == ["one, stopped"]
    assert closed == [True]


def test_a_second_stop_changes_nothing() -> None:
    going = ActiveRuns[str]()
    steps = going.followed(VISITOR, "none", counting([]))
    next(steps)
    assert going.stop(VISITOR, "", str.upper) == "ONE"
    assert going.stop(VISITOR, "", str.title) == "ONE"


def test_where_nothing_goes_on_the_session_given_is_ended() -> None:
    going = ActiveRuns[str]()
    list(going.followed(VISITOR, "none", counting([])))
    assert going.stop(VISITOR, "idle", str.upper) == "IDLE"


def test_visitors_do_not_stop_one_another() -> None:
    going = ActiveRuns[str]()
    steps = going.followed(VISITOR, "none", counting([]))
    next(steps)
    going.stop("another", "", str.upper)
    assert next(steps) == "two"


def test_a_closed_run_is_forgotten() -> None:
    going, closed = ActiveRuns[str](), []
    steps = going.followed(VISITOR, "none", counting(closed))
    next(steps)
    steps.close()
    assert closed == [True]
    assert going.stop(VISITOR, "idle", str.upper) == "IDLE"
