"""Planning in a separate process: a dry run holds the GIL for seconds, which would slow a measured run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Protocol, TypeVar

from xcomposer_ui.core.callers import Gone, stays
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape
from xcomposer_ui.planning.training_plan import TrainingPlan, TrainingPlanRequest

IDLE_SEC = 300.0
"""Seconds after its last result until the process, which uses some 400 MB, is ended."""

NICENESS = 10
"""The process gets a tenth of a busy core; with a higher niceness it would get no time on a busy machine."""

LONGEST_SEC = 600.0
"""Time limit of a computation. A plan takes 3 to 20 seconds, one of fine-tuning twice that, and several times as long
beside other work."""

START_SEC = 60.0
"""How long a process may take to start before it is killed unseen."""

POLL_SEC = 0.25
"""Between two looks at the time limit and at whether the caller is still there."""

Argument = TypeVar("Argument")
AnyRequest = TypeVar("AnyRequest", bound=PlanRequest)
Result = TypeVar("Result")


def compute_in_one_thread() -> None:
    """Have PyTorch, which is imported later, plan in one thread where OMP_NUM_THREADS does not say otherwise.

    A run of a small model takes as many, and the scratch memory of its kernels depends on them.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def plan_request(request: PlanRequest) -> Plan:
    """The plan of `request`, computed in this process. Imports torch."""
    from xcomposer_ui.backends.planning.planner import plan

    return plan(request)


def plan_training_request(request: TrainingPlanRequest) -> TrainingPlan:
    """The plan of a fine-tuning, computed in this process. Imports torch."""
    from xcomposer_ui.backends.planning.training_planner import plan_training

    return plan_training(request)


def predict_shape(shape: RunShape) -> int:
    """Peak memory of a run in bytes, computed in this process. Imports torch."""
    from xcomposer_ui.backends.planning.planner import predicted_bytes

    return predicted_bytes(shape)


class Plans(Protocol):
    """Makes plans: a PlannerProcess, or what stands for it."""

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`. Raises UserError."""

    def plan_training(self, request: TrainingPlanRequest) -> TrainingPlan:
        """The plan of a fine-tuning, as `plan`."""

    def predict(self, shape: RunShape) -> int:
        """Peak memory of a run in bytes, as `plan`."""


class PlannerProcess:
    """Starts its process on demand, ends it when it was idle for `idle_sec`, and replaces one that died.

    Safe from any thread. One computation at a time; further ones wait. The process is killed, and replaced by the next
    computation, where one takes longer than `longest_sec` or its caller is gone.

    plan, predict: the functions that the process calls; picklable by name.
    card: returns the memory of a card that the process cannot see, because it is lent; plans for “cuda” on this machine
    are for that.
    threads: returns how many of the CPU's threads a run takes, on which the scratch memory of its kernels depends; None
    while that is unknown.
    """

    def __init__(
        self,
        idle_sec: float = IDLE_SEC,
        plan: Callable[[PlanRequest], Plan] = plan_request,
        predict: Callable[[RunShape], int] = predict_shape,
        longest_sec: float = LONGEST_SEC,
        card: Callable[[], MemoryBudget | None] | None = None,
        threads: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._idle_sec, self._longest_sec = idle_sec, longest_sec
        self._plan, self._predict = plan, predict
        self._card, self._threads = card, threads
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None
        self._idle_timer: threading.Timer | None = None

    def plan(self, request: PlanRequest, gone: Gone = stays) -> Plan:
        """The plan of `request`. Takes seconds. Raises UserError where it cannot be planned, or is given up."""
        return self._computed(self._plan, self._on_card(request), gone)

    def plan_training(self, request: TrainingPlanRequest, gone: Gone = stays) -> TrainingPlan:
        """The plan of a fine-tuning, as `plan`."""
        return self._computed(plan_training_request, self._on_card(request), gone)

    def predict(self, shape: RunShape, gone: Gone = stays) -> int:
        """Peak memory of a run, weights included, in bytes. Takes seconds. Arguments and errors as of `plan`."""
        return self._computed(self._predict, shape, gone)

    def start(self) -> None:
        """Start the process and its imports without waiting, so that the first plan does not wait for them."""
        with self._lock:
            self._submitted(_import_planner, None)
            self._close_when_idle()

    def close(self) -> None:
        """End the process if it runs; the next computation starts another."""
        with self._lock:
            self._kill()  # at once: an orderly end of what it imported may take minutes

    def _on_card(self, request: AnyRequest) -> AnyRequest:
        """`request` with the lent card's memory, if it is for that."""
        budget = None if self._card is None or request.memory_bytes is not None else self._card()
        if budget is None or request.device != budget.device:
            return request
        return replace(request, memory_bytes=budget.bytes, memory_of="card")

    def _computed(self, compute: Callable[[Argument], Result], argument: Argument, gone: Gone) -> Result:
        with self._turn(gone):
            try:
                return self._awaited(self._submitted(compute, argument), gone)
            except RuntimeError as error:  # the process died, or the pool is shut down because the interpreter exits
                self._end()
                raise UserError("plan_broke_off", what=str(error)) from error
            finally:
                self._close_when_idle()

    @contextlib.contextmanager
    def _turn(self, gone: Gone) -> Iterator[None]:
        """The context of a computation's turn. Raises UserError where its caller is gone before."""
        while not self._lock.acquire(timeout=POLL_SEC):
            if gone():
                raise UserError("given_up")
        try:
            yield
        finally:
            self._lock.release()

    def _awaited(self, future: Future[Result], gone: Gone) -> Result:
        """The result of `future`. Raises UserError, the process killed, at the time limit or if the caller is gone."""
        started = time.monotonic()
        while True:
            try:
                return future.result(timeout=POLL_SEC)
            except NotYet:
                if gone():
                    self._kill()
                    raise UserError("given_up") from None
                if time.monotonic() - started > self._longest_sec:
                    self._kill()
                    raise UserError("plan_too_long", limit=round(self._longest_sec)) from None

    def _submitted(self, compute: Callable[[Argument], Result], argument: Argument) -> Future[Result]:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        try:
            return self._started().submit(_guarded, compute, argument, self._threads())
        except BrokenExecutor:  # the process died while it was idle
            self._end()
            return self._started().submit(_guarded, compute, argument, self._threads())

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            spawn = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(max_workers=1, mp_context=spawn, initializer=_prepare)
            self._pid = self._executor.submit(os.getpid)
        return self._executor

    def _close_when_idle(self) -> None:
        self._idle_timer = threading.Timer(self._idle_sec, self.close)
        self._idle_timer.daemon = True
        self._idle_timer.start()

    def _kill(self) -> None:
        """End the process at once, also in the middle of a computation."""
        if self._pid is not None:
            with contextlib.suppress(NotYet, BrokenExecutor, ProcessLookupError):
                os.kill(self._pid.result(timeout=START_SEC), getattr(signal, "SIGKILL", signal.SIGTERM))
        self._end()

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor = None


def _guarded(compute: Callable[[Argument], Result], argument: Argument, threads: int | None) -> Result:
    """`compute(argument)`; any exception but a UserError becomes one, because many exceptions cannot be pickled."""
    try:
        if threads is not None:
            from xcomposer_ui.backends.planning.kernels import measure_in  # imports torch

            measure_in(threads)
        return compute(argument)
    except UserError:
        raise
    except Exception as error:
        raise UserError("plan_broke_off", what=f"{type(error).__name__}: {error}") from error


def _prepare() -> None:
    """Set up the process: one thread, low priority, stdout (the parent's JSON) to stderr, end with the parent."""
    compute_in_one_thread()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A pool's process has both ends of its queue open, so it does not notice when its parent is killed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _import_planner(_: None) -> None:
    import xcomposer_ui.backends.planning.planner  # noqa: F401
