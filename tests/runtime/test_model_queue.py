"""The queue for the model: in the order of the calls, with what is before each."""

from __future__ import annotations

from collections.abc import Generator

from xcomposer_ui.core.events import Waiting
from xcomposer_ui.core.messages import Message
from xcomposer_ui.runtime.model_queue import ModelQueue

RUN, TRACE = Message("work.batch"), Message("work.trace")


def taken(caller: Generator[Waiting, None, None]) -> bool:
    """Whether the next step of `caller` has the model, rather than waits."""
    return next(caller, None) is None


def test_a_free_model_is_there_at_once() -> None:
    assert taken(ModelQueue().acquire(RUN))


def test_those_who_wait_see_their_place_and_what_runs() -> None:
    queue = ModelQueue()
    assert taken(queue.acquire(TRACE))
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    assert next(first) == Waiting(1, TRACE)
    assert next(second) == Waiting(2, TRACE)
    queue.release()
    assert next(second) == Waiting(1, None)  # the first has not asked again yet
    assert taken(first)
    assert next(second) == Waiting(1, RUN)


def test_a_comparison_gives_way_between_two_measurements() -> None:
    queue = ModelQueue()
    assert taken(queue.acquire(RUN))  # a measurement
    visitor = queue.acquire(TRACE)
    next(visitor)
    queue.release()
    next_measurement = queue.acquire(RUN)
    assert not taken(next_measurement)
    assert taken(visitor)


def test_who_leaves_does_not_hold_up_the_others() -> None:
    queue = ModelQueue()
    assert taken(queue.acquire(RUN))
    first, second = queue.acquire(RUN), queue.acquire(RUN)
    next(first), next(second)
    first.close()
    queue.release()
    assert taken(second)
