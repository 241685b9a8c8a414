"""Plans in a process of its own: a dry run holds Python's lock for seconds, which would slow a measured run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.plan import OnCard, PhasePeak, Plan, PlanRequest, StrategyPlan


@dataclass(frozen=True)
class RunShape:
    """What the peak memory of a run depends on.

    picture: (width, height), or None for text only. prompt_tokens: picture included, None where a run ended before it
    had a prompt; then text_length, in characters, stands in. new_tokens: of the answer, 1 at least. hd_num: most tiles,
    None for the member's own.
    """

    model: str
    device: str
    strategy: str
    half: str
    picture: tuple[int, int] | None
    prompt_tokens: int | None
    text_length: int
    new_tokens: int
    hd_num: int | None = None


def shape_from_json(told: Mapping[str, Any]) -> RunShape:
    """The shape whose fields `told` holds."""
    return RunShape(**{**told, "picture": _pair(told["picture"])})


def request_from_json(told: Mapping[str, Any]) -> PlanRequest:
    """The request whose fields `told` holds."""
    return PlanRequest(**{**told, "image": _pair(told["image"])})


def plan_from_json(told: Mapping[str, Any], request: PlanRequest) -> Plan:
    """The plan that `plan_as_json` wrote for `request`."""
    return Plan(
        model=told["model"],
        device=told["device"],
        parameters=told["parameters"],
        planned_sec=told["planned_sec"],
        prompt_tokens=told["prompt_tokens"],
        image_tokens=told["image_tokens"],
        request=request,
        strategies=tuple(_strategy(strategy) for strategy in told["strategies"]),
        memory_bytes=told["memory_bytes"],
        memory_name=told["memory_name"],
        notes=tuple(told["notes"]),
    )


def _strategy(told: Mapping[str, Any]) -> StrategyPlan:
    parts = ("allocated_bytes", "workspace_bytes", "reserved_bytes", "context_bytes")
    kept = (
        "strategy", "half", "weights_bytes", "kv_cache_bytes", "peak_phase", "fits", "fits_memory", "largest_batch",
        "largest_hd_num", "fails_in",
    )  # fmt: skip
    return StrategyPlan(
        phases={name: PhasePeak(**peak) for name, peak in told["phases"].items()},
        on_card=OnCard(**{part: told["on_card"][part] for part in parts}),
        **{name: told[name] for name in kept},
    )


def _pair(told: Any) -> tuple[int, int] | None:
    return None if told is None else (int(told[0]), int(told[1]))


IDLE_SEC = 300.0
"""So long after its last answer the process is ended: it holds some 400 MB."""

FOLDER = Path(__file__).resolve().parents[2]
START = (
    "import runpy, sys; sys.path.insert(0, sys.argv[1]); "
    "runpy.run_module('xcomposer_ui.backends.planning', {}, '__main__')"
)
COMMAND = (sys.executable, "-c", START, str(FOLDER))

Process = subprocess.Popen[str]


class PlannerProcess:
    """Starts its process with the first question, which takes seconds, and again after an end. Safe from any thread.

    One question at a time: the others wait.
    """

    def __init__(self, command: Sequence[str] = COMMAND, idle_sec: float = IDLE_SEC) -> None:
        self._command, self._idle_sec = command, idle_sec
        self._asking = threading.Lock()
        self._process: Process | None = None
        self._ending: threading.Timer | None = None
        self._at_end: weakref.finalize[..., Any] | None = None

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`. Takes seconds. Raises UserError where it cannot be planned."""
        return plan_from_json(self._asked({"plan": asdict(request)}), request)

    def predict(self, shape: RunShape) -> int:
        """Peak memory of a run, its weights included, in bytes. Takes seconds. Raises UserError as `plan` does."""
        return int(self._asked({"predict": asdict(shape)}))

    def start(self) -> None:
        """Start the process without a question, so that the first one does not wait for its libraries."""
        with self._asking:
            self._started()
            self._end_later()

    def close(self) -> None:
        """End the process, if it is there; the next question starts another."""
        with self._asking:
            self._end()

    def _asked(self, question: dict[str, Any]) -> Any:
        with self._asking:
            if self._ending is not None:
                self._ending.cancel()
            try:
                answer = self._exchanged(json.dumps(question))
            finally:
                self._end_later()
        if "mistake" in answer:
            raise UserError(answer["mistake"], **answer["facts"])
        if "broke" in answer:
            raise UserError("plan_broke_off", what=answer["broke"])
        return answer["answer"]

    def _exchanged(self, line: str) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
        except OSError:
            said = ""
        if not said:
            status = process.wait()
            self._end()
            return {"broke": f"exit status {status}"}
        answer: dict[str, Any] = json.loads(said)
        return answer

    def _started(self) -> Process:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
            self._at_end = weakref.finalize(self, _ended, self._process)  # at the end of this process too
        return self._process

    def _end_later(self) -> None:
        self._ending = threading.Timer(self._idle_sec, self.close)
        self._ending.daemon = True
        self._ending.start()

    def _end(self) -> None:
        if self._at_end is not None:
            self._at_end()
        self._process = self._at_end = None


def _ended(process: Process) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
