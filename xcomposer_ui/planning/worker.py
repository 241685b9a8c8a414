"""Plans in a process of its own: a rehearsal holds Python's lock for seconds, which a run would feel in its figures."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xcomposer_ui.errors import UserError
from xcomposer_ui.planning.records import Plan, PlanRequest
from xcomposer_ui.planning.wire import RunShape, plan_from_json

IDLE_SEC = 300.0
"""So long after its last answer the process is ended: it holds some 400 MB."""

FOLDER = Path(__file__).resolve().parents[2]
START = (
    "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_module('xcomposer_ui.backends.plan', {}, '__main__')"
)
COMMAND = (sys.executable, "-c", START, str(FOLDER))

Process = subprocess.Popen[str]


class PlanWorker:
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
