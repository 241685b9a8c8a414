"""What the planning process computes in tests. Imports little: the process imports this module each time it starts."""

from __future__ import annotations

import os

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape

SHAPE = RunShape("m", "full", "float16", (64, 48), 12, 9, device="cpu", prompt_tokens=80)


def pid_of(shape: RunShape) -> int:
    return os.getpid()


def niceness_of(shape: RunShape) -> int:
    return os.nice(0)


def threads_of(shape: RunShape) -> int:
    import torch

    return torch.get_num_threads()


def mistaken(request: PlanRequest) -> Plan:
    raise UserError("no_such_model", name=request.model)


def broken(shape: RunShape) -> int:
    raise KeyError(1)


def endless(request: PlanRequest) -> Plan:
    while True:
        pass


def killed(shape: RunShape) -> int:
    os._exit(3)


def without_memory(request: PlanRequest) -> Plan:
    """No plan, but the memory that the request came with, as a mistake."""
    raise UserError("plan_broke_off", what=f"{request.memory_bytes} of {request.memory_of}")
