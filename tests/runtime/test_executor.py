"""The one thread that computes."""

from __future__ import annotations

import gc
import threading

from xcomposer_ui.runtime.executor import Worker


def test_all_work_is_done_in_one_thread_in_the_order_given() -> None:
    worker, done = Worker(), threading.Event()
    seen: list[tuple[int, int]] = []
    for n in range(3):
        worker.submit(lambda n=n: seen.append((n, threading.get_ident())))  # type: ignore[misc]
    worker.submit(done.set)
    assert done.wait(timeout=60)
    assert [n for n, _ in seen] == [0, 1, 2]
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_thread_ends_with_its_worker_and_not_before() -> None:
    worker, done = Worker(), threading.Event()
    found: list[threading.Thread] = []
    worker.submit(lambda: found.append(threading.current_thread()))
    worker.submit(done.set)
    assert done.wait(timeout=60)
    assert found[0].is_alive()
    assert found[0].daemon
    del worker
    gc.collect()
    found[0].join(timeout=60)
    assert not found[0].is_alive()


def test_without_work_there_is_no_thread() -> None:
    before = threading.active_count()
    worker = Worker()
    assert threading.active_count() == before
    del worker
