"""Runners in processes of their own, on this machine or on a cluster: Ray actors, each with the checkpoint loaded once.

Ray is an optional extra of the package, and is imported only here.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.settings import MOST_WORKERS, Settings
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.runtime.runner import Runner

MOST_ATTEMPTS = 3
"""Workers that a task is given to, one after the other, if they die of it."""

POLL_SEC = 0.5
"""Interval at which a waiting caller can be interrupted."""

STREAM_POLL_SEC = 0.25
"""Interval at which a caller that follows a stream gets a chance to stop it."""

CONNECT_SEC = 10.0

RunnerState = tuple[Status, MemoryBudget | None]
"""A runner's status and memory budget."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerFacts:
    """Where a result was computed. node: the machine's name. process: its id there."""

    node: str
    process: int
    device: str | None


@dataclass(frozen=True)
class Completed(Generic[Task, Result]):
    """A task's result, or the user's mistake that it ended with. worker: None where every worker died of the task."""

    task: Task
    result: Result | UserError
    worker: WorkerFacts | None

    @property
    def worker_as_json(self) -> dict[str, Any] | None:
        return None if self.worker is None else asdict(self.worker)


class RunnerActor:
    """The class of the actors: one runner in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._runner = Runner(settings)
        self._stopped = 0

    def compute(self, function: Callable[..., Any], *arguments: Any) -> tuple[Any, WorkerFacts]:
        """(the result of `function` with this process's runner, or the user's mistake, and where it was computed)."""
        try:
            result = function(self._runner, *arguments)
        except UserError as mistake:  # as data: Ray would wrap it in an exception of its own
            result = mistake
        return result, WorkerFacts(socket.gethostname(), os.getpid(), self._runner.status().device)

    def streamed(self, number: int, method: str, *arguments: Any) -> Generator[Any, None, None]:
        """What the runner's `method` yields, until `stop(number)`; the user's mistake, if any, comes last."""
        events = getattr(self._runner, method)(*arguments)
        try:
            for event in events:
                yield event
                if self._stopped == number:
                    return
        except UserError as mistake:
            yield mistake
        finally:
            events.close()

    def stop(self, number: int) -> None:
        """Stop a stream; called beside it."""
        self._stopped = number


class WorkerPool:
    """Runner processes that compute tasks in any order. A worker that dies is replaced, and its task is given again.

    As a context manager it ends its workers, and the local cluster that it started.

    Args:
        settings: of each worker's runner.
        workers: their number, at least 1; each has a share of the processor's cores, or one GPU.
        address: of a running Ray cluster, whose nodes have this package installed; None starts a local one.
    Raises UserError where Ray is not installed, the cluster cannot be reached, or it has fewer GPUs than workers.
    """

    def __init__(self, settings: Settings, workers: int, address: str | None = None) -> None:
        if not 1 <= workers <= MOST_WORKERS:
            raise UserError("out_of_range", name="workers", value=workers, lowest=1, highest=MOST_WORKERS)
        self._ray = _imported()
        cores = 1 if address else max(1, (os.cpu_count() or 1) // workers)
        self._connect(address, cores * workers)
        try:
            self._options = {
                "num_cpus": cores,
                "num_gpus": self._gpus_each(settings.device, workers),
                "max_restarts": 0,
                "max_concurrency": 2,  # a stream, and its stop
            }
            self._settings = settings
            self._actors = [self._started() for _ in range(workers)]
            self._idle = deque(self._actors)
            self._numbers = itertools.count(1)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are computing."""
        self._ray.shutdown()

    def completed(
        self,
        function: Callable[[Runner, Any], Result],
        take: Callable[[], Task | None],
        argument: Callable[[Task], Any],
    ) -> Generator[Completed[Task, Result], None, None]:
        """Compute tasks and yield each as it is completed; ends when there is neither a task left nor one in progress.

        Args:
            function: called in a worker with its runner and the task's argument; defined in a module.
            take: called whenever a worker is free; None where there is no task at the moment.
            argument: of a task; picklable.
        """
        idle, again = self._idle, deque[tuple[Task, int]]()
        running: dict[Any, tuple[Any, Task, int]] = {}
        while True:
            while idle and (given := again.popleft() if again else _first_attempt(take())):
                actor = idle.popleft()
                running[actor.compute.remote(function, argument(given[0]))] = (actor, *given)
            if not running:
                return
            ended, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL_SEC)
            for reference in ended:
                actor, task, attempt = running.pop(reference)
                try:
                    result, worker = self._ray.get(reference)
                except self._ray.exceptions.RayTaskError:
                    raise  # a bug in what was computed
                except self._ray.exceptions.RayError:  # the worker died
                    idle.append(self._replaced(actor))
                    if attempt < MOST_ATTEMPTS:
                        again.append((task, attempt + 1))
                    else:
                        yield Completed(task, UserError("worker_died", times=attempt), None)
                else:
                    idle.append(actor)
                    yield Completed(task, result, worker)

    def warm_up(self) -> None:
        """Load in each worker the weights that its first run needs. Raises UserError as the first run would."""
        for loading in [actor.compute.remote(Runner.warm_up) for actor in self._actors]:
            self._result(loading)

    def state(self) -> RunnerState:
        return self._state_of(self._actors[0])

    def forget(self) -> None:
        """Let each worker drop its prefix cache. Returns at once."""
        for actor in self._actors:
            actor.compute.remote(Runner.forget)

    def streamed(self, method: str, *arguments: Any) -> Generator[Any, None, RunnerState]:
        """Yield what the runner's `method` yields in an idle worker, the last thing again while nothing new comes.

        Returns the worker's state after it. Closing the generator stops the work. Where the worker dies, another one
        begins anew. At most as many at once as there are workers. Raises UserError as the method does.
        """
        for _ in range(MOST_ATTEMPTS):
            actor = self._idle.popleft()
            try:
                yield from self._stream(actor, method, arguments)
                return self._state_of(actor)
            except self._ray.exceptions.RayTaskError:
                raise  # a bug in what was computed
            except self._ray.exceptions.RayError:  # the worker died
                actor = self._replaced(actor)
            finally:
                self._idle.append(actor)
        raise UserError("worker_died", times=MOST_ATTEMPTS)

    def _result(self, reference: Any) -> Any:
        """What an actor's `compute` returned. Raises the user's mistake, if that is what it ended with."""
        result, _ = self._ray.get(reference)
        if isinstance(result, UserError):
            raise result
        return result

    def _state_of(self, actor: Any) -> RunnerState:
        state: RunnerState = self._result(actor.compute.remote(_state))
        return state

    def _stream(self, actor: Any, method: str, arguments: tuple[Any, ...]) -> Generator[Any, None, None]:
        number = next(self._numbers)
        events = actor.streamed.options(num_returns="streaming").remote(number, method, *arguments)
        latest: list[Any] = []
        try:
            while True:
                ready, _ = self._ray.wait([events], timeout=STREAM_POLL_SEC, fetch_local=False)
                if ready:
                    try:
                        latest = [self._ray.get(next(events))]
                    except StopIteration:
                        return
                    if isinstance(latest[0], UserError):
                        raise latest[0]
                yield from latest
        finally:
            actor.stop.remote(number)
            for _ in events:  # ends at the next event, or has ended
                pass

    def _connect(self, address: str | None, cores: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
        local = {"num_cpus": cores, "include_dashboard": False}
        try:
            _check_reachable(address)
            self._ray.init(address, log_to_driver=False, logging_level="ERROR", **({} if address else local))
        except (OSError, ValueError, RuntimeError) as error:  # OSError: of a socket, with ConnectionError
            raise UserError("no_cluster", address=address or "local", what=str(error).split("\n")[0]) from error

    def _gpus_each(self, device: str, workers: int) -> int:
        """GPUs of each worker: one where the device is CUDA, or chosen automatically and there are enough."""
        gpus = int(self._ray.cluster_resources().get("GPU", 0))
        if device == "cuda" and gpus < workers:
            raise UserError("few_gpus", gpus=gpus, workers=workers)
        return int(device in ("auto", "cuda") and gpus >= workers)

    def _started(self) -> Any:
        return self._ray.remote(RunnerActor).options(**self._options).remote(self._settings)

    def _replaced(self, actor: Any) -> Any:
        self._actors[self._actors.index(actor)] = fresh = self._started()
        return fresh


def _state(runner: Runner) -> RunnerState:
    """Finds out the device first."""
    runner.machine.check()
    runner.open()
    return runner.status(), runner.memory_budget()


def _first_attempt(task: Task | None) -> tuple[Task, int] | None:
    return None if task is None else (task, 1)


def _check_reachable(address: str | None) -> None:
    """Raise OSError where nothing listens at `address`, host:port; Ray itself would go on trying for minutes."""
    host, colon, port = (address or "").rpartition("//")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SEC).close()


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("no_ray") from error
    return ray
