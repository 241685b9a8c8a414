"""Which of Gradio's sessions are released, by a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from xcomposer_ui.ui.gradio_sessions import MOST_CLOSED, PAGE_SEC, SCRIPT_SEC, GradioSessions


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def sessions(now: list[float]) -> GradioSessions:
    return GradioSessions(lambda: now[0])


def gradio(*sessions: str, busy: str = "") -> Any:
    """What Gradio keeps of `sessions`. busy: the one with an event in the queue."""
    events = {"event": SimpleNamespace(session_hash=busy)} if busy else {}
    kept = {session: object() for session in sessions}
    queue = SimpleNamespace(
        event_ids_to_events=events, pending_messages_per_session=dict(kept), pending_event_ids_session=dict(kept)
    )
    holder = SimpleNamespace(session_data=dict(kept), time_last_used=dict(kept))
    return SimpleNamespace(state_holder=holder, get_blocks=lambda: SimpleNamespace(_queue=queue))


def kept(app: Any) -> list[str]:
    return list(app.state_holder.session_data)


def test_a_script_is_released_a_minute_after_its_last_call(sessions: GradioSessions, now: list[float]) -> None:
    app = gradio("script")
    sessions.used("script")
    now[0] = SCRIPT_SEC - 1
    sessions.sweep(app)
    assert kept(app) == ["script"]
    now[0] += SCRIPT_SEC
    sessions.sweep(app)
    assert kept(app) == []
    assert not app.get_blocks()._queue.pending_messages_per_session


def test_an_open_page_is_kept_and_a_closed_one_for_an_hour(sessions: GradioSessions, now: list[float]) -> None:
    app = gradio("page")
    with sessions.open("page"), sessions.open("page"):
        now[0] = 10 * PAGE_SEC
        sessions.sweep(app)
        assert kept(app) == ["page"]
    now[0] += PAGE_SEC - 1
    sessions.sweep(app)
    assert kept(app) == ["page"]
    now[0] += 100
    sessions.sweep(app)
    assert kept(app) == []


def test_of_many_closed_pages_the_last_ones_are_kept(sessions: GradioSessions, now: list[float]) -> None:
    names = [f"page{n}" for n in range(MOST_CLOSED + 5)]
    app = gradio(*names)
    for name in names:
        now[0] += 1
        with sessions.open(name):
            pass
    sessions.sweep(app)
    assert kept(app) == names[5:]


def test_what_still_runs_is_kept(sessions: GradioSessions, now: list[float]) -> None:
    app = gradio("script", busy="script")
    sessions.used("script")
    now[0] = 10 * SCRIPT_SEC
    sessions.sweep(app)
    assert kept(app) == ["script"]


def test_sessions_nobody_saw_begin_have_their_minute_too(sessions: GradioSessions, now: list[float]) -> None:
    app = gradio("unknown")
    now[0] = 1000.0
    sessions.sweep(app)
    assert kept(app) == ["unknown"]
    now[0] += SCRIPT_SEC
    sessions.sweep(app)
    assert kept(app) == []
