"""The queue for the model: in the order of the calls, visitors in turns, with what is before each."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import Message
from xcomposer_ui.runtime import model_queue
from xcomposer_ui.runtime.model_queue import ModelQueue

RUN, TRACE = Message("work.batch"), Message("work.trace")

Caller = Generator[Waiting, None, Callable[[], None]]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_SEC", "FAR_POLL_SEC"):
        monkeypatch.setattr(model_queue, name, 0.0)


def taken(caller: Caller) -> Callable[[], None] | None:
    """The function that releases the model if the next step of `caller` has it; None where it waits."""
    try:
        next(caller)
    except StopIteration as end:
        release: Callable[[], None] = end.value
        return release
    return None


def held(queue: ModelQueue, work: Message = RUN) -> Callable[[], None]:
    """Take the model, which is free; the function that releases it."""
    release = taken(queue.acquire(work))
    assert release is not None
    return release


def test_those_who_wait_see_their_place_and_what_runs() -> None:
    queue = ModelQueue()
    release = held(queue, TRACE)
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    assert next(first) == Waiting(1, TRACE)
    assert next(second) == Waiting(2, TRACE)
    release()
    assert next(second) == Waiting(1, RUN)
    assert taken(first)


def test_a_comparison_gives_way_between_two_measurements() -> None:
    queue = ModelQueue()
    release = held(queue)  # a measurement
    visitor = queue.acquire(TRACE)
    next(visitor)
    release()
    next_measurement = queue.acquire(RUN)
    assert not taken(next_measurement)
    assert taken(visitor)


def test_who_leaves_does_not_hold_up_the_others() -> None:
    queue = ModelQueue()
    release = held(queue)
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    next(first), next(second)
    first.close()
    release()
    assert taken(second)


def test_who_closes_at_the_moment_of_its_turn_gives_it_on() -> None:
    queue = ModelQueue()
    release = held(queue)
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    next(first), next(second)
    release()  # it is the first one's turn, which it has not seen
    first.close()
    assert taken(second)


def test_a_visitor_has_one_place_and_its_further_calls_come_after_the_others() -> None:
    calling: list[str | None] = []
    queue = ModelQueue(lambda: calling[-1])
    order: list[str] = []
    running: list[Callable[[], None]] = []

    def step(name: str, steps: Caller) -> None:
        if release := taken(steps):
            order.append(name)
            running.append(release)

    waiting: dict[str, Caller] = {}
    for name in ("a1", "a2", "a3", "b1", "x", "y", "b2", "c1"):
        calling.append(name[0] if len(name) == 2 else None)
        waiting[name] = queue.acquire(RUN)
        step(name, waiting[name])
    assert next(waiting["a3"]) == Waiting(6, RUN)
    while running:
        running.pop()()
        for name in waiting.keys() - order:
            step(name, waiting[name])
    assert order == ["a1", "b1", "x", "y", "c1", "a2", "b2", "a3"]


def test_a_place_never_gets_worse() -> None:
    calling = ["a"]
    queue = ModelQueue(lambda: calling[-1])
    held(queue)
    callers = []
    for visitor in "bacd":
        calling.append(visitor)
        callers.append(queue.acquire(RUN))
        next(callers[-1])
        assert next(callers[0]) == Waiting(1, RUN)


def test_of_two_models_each_runs_one_piece_of_work() -> None:
    queue = ModelQueue(models=2)
    release = held(queue, TRACE)
    held(queue)
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    assert (next(first), next(second)) == (Waiting(1, TRACE), Waiting(2, TRACE))
    release()
    assert taken(first) and not taken(second)


def test_who_just_waits_has_the_model_at_once_if_it_is_free() -> None:
    queue = ModelQueue()
    queue.wait(RUN)()
    assert held(queue)
