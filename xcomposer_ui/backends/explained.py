"""`explain_dtypes`: the lab's explanations around a call of your own model's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from xcomposer_ui.backend import FailureSite
from xcomposer_ui.backends.trace.tracer import Tracer
from xcomposer_ui.explain import explain
from xcomposer_ui.records import Explanation

_VERDICTS = {True: "yes", False: "no", None: "it depends"}
_STRATEGIES = {
    "as_is": "half weights, nothing cast",
    "autocast": "half weights under torch.autocast",
    "unified": "inputs cast to the weights' dtype",
    "full": "weights and inputs in float32",
}


@contextmanager
def explain_dtypes(model: nn.Module, *, language: str = "en") -> Iterator[None]:
    """Within, a dtype error that `model` raises says where it arose, what met what, and what cures it.

    The error is raised on as it is, with the explanation as a note (`add_note`; on Python 3.10, which has no notes, at
    the end of its message). An error that has nothing to do with dtypes passes through untouched. Calls in here run
    several times slower, so take it off again once the clash is found; modules compiled by torch.compile cannot be
    looked into. language: "en" or "zh".
    """
    tracer = Tracer(model)
    try:
        with tracer:
            yield
    except Exception as error:
        explanation = explain(f"{type(error).__name__}: {error}", language=language, device=_device(model))
        if explanation.recognised:
            _add(error, _note(explanation, tracer.site(error)))
        raise


def _device(model: nn.Module) -> str | None:
    weight = next(model.parameters(), None)
    return None if weight is None else weight.device.type


def _note(explanation: Explanation, site: FailureSite) -> str:
    lines = [f"{explanation.title}."]
    if site.module or site.operation:
        lines.append("Where: " + ", ".join(part for part in (site.module, site.operation) if part))
    for operand in site.operands:
        shape = "x".join(str(size) for size in operand.shape) or "scalar"
        origin = "" if operand.origin in ("parameter", "buffer") else f"; {operand.origin}"
        lines.append(f"  {operand.dtype:9} {operand.name} ({shape}){origin}")
    lines.append(f"Why: {explanation.cause}")
    lines += [
        f"  {_VERDICTS[fix.cures]:10} {fix.strategy} ({_STRATEGIES.get(fix.strategy, fix.strategy)}): {fix.why}"
        for fix in explanation.fixes
    ]
    return "\n".join(lines)


def _add(error: Exception, note: str) -> None:
    add_note: Any = getattr(error, "add_note", None)
    if add_note is not None:
        add_note(note)
    else:  # Python 3.10
        error.args = (f"{error}\n\n{note}", *error.args[1:])
