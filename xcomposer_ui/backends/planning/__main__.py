"""The process that plans: a question a line on stdin, its answer a line on stdout, until stdin ends.

`planning.worker` starts it. It gives way to runs, which may want the processor at the same time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from xcomposer_ui.backends.planning.planner import plan
from xcomposer_ui.backends.planning.prediction import predicted_bytes
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.plan import plan_as_json
from xcomposer_ui.planning.planner_process import request_from_json, shape_from_json

NICENESS = 10
"""Of a processor that a run wants too, a tenth; with less, a machine that is always busy would never predict."""


def serve(questions: Iterable[str], answers: TextIO) -> None:
    """Answer each line of `questions` with a line."""
    for line in questions:
        print(json.dumps(answered(json.loads(line))), file=answers, flush=True)


def answered(question: dict[str, Any]) -> dict[str, Any]:
    """{"answer": …}; {"mistake": code, "facts": …} for a user's; {"broke": …} for what ought not to happen."""
    try:
        if "plan" in question:
            return {"answer": plan_as_json(plan(request_from_json(question["plan"])))}
        return {"answer": predicted_bytes(shape_from_json(question["predict"]))}
    except UserError as mistake:
        return {"mistake": mistake.code, "facts": mistake.facts}
    except Exception as error:  # told to whoever asked, in the other process
        return {"broke": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve stdin; whatever a library prints goes to stderr, between the answers it would be taken for one."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    answers, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
