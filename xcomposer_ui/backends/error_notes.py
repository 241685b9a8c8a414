"""`explain_dtypes`: the lab's explanations around a call of your own model's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.core.result import Explanation, Operand
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.operands import operand_name, operand_origin
from xcomposer_ui.explain.rule import Text
from xcomposer_ui.runtime.backend import FailureSite

_VERDICTS = {True: Text("yes", "是"), False: Text("no", "否"), None: Text("it depends", "视情况")}
_STRATEGIES = {
    "as_is": Text("half weights, nothing cast", "半精度权重，不做转换"),
    "autocast": Text("half weights under torch.autocast", "半精度权重，配 torch.autocast"),
    "unified": Text("inputs cast to the weights' dtype", "输入转换为权重的 dtype"),
    "full": Text("weights and inputs in float32", "权重与输入均为 float32"),
}
_WHERE, _WHY = Text("Where: ", "位置："), Text("Why: ", "原因：")


@contextmanager
def explain_dtypes(model: nn.Module, *, language: str = "en") -> Iterator[None]:
    """Within, a dtype error that `model` raises says where it arose, what met what, and what cures it.

    The error is raised on as it is, with the explanation as a note (`add_note`; on Python 3.10, which has no notes, at
    the end of its message). An error that has nothing to do with dtypes passes through untouched. Calls in here run
    several times slower, so take it off again once the clash is found; what torch.compile or TorchScript compiled
    cannot be looked into. language: "en" or "zh".
    """
    tracer = Tracer(model)
    try:
        with tracer:
            yield
    except Exception as error:
        explanation = explain(_said(error), language=language, device=_device(model))
        if explanation.recognised and not _explained(error, explanation):
            _add(error, _note(explanation, tracer.site(error), language))
        raise


def _said(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an error that cannot say what it is must come out as it is
        return ""


def _explained(error: Exception, explanation: Explanation) -> bool:
    """Whether a context manager inside this one explained it already: that one is nearer."""
    return any(text.startswith(f"{explanation.title}\n") for text in (*getattr(error, "__notes__", ()), *_parts(error)))


def _parts(error: Exception) -> list[str]:
    return str(error).split("\n\n")


def _device(model: nn.Module) -> str | None:
    weight = next(model.parameters(), None)
    return None if weight is None else weight.device.type


def _note(explanation: Explanation, site: FailureSite, language: str) -> str:
    where = ", ".join(part for part in (site.module, site.operation) if part)
    lines = [explanation.title, *([_WHERE.in_language(language) + where] if where else [])]
    lines += [_operand(operand, language) for operand in site.operands]
    lines.append(_WHY.in_language(language) + explanation.cause)
    for fix in explanation.fixes:
        verdict = _VERDICTS[fix.cures].in_language(language)
        strategy = _STRATEGIES.get(fix.strategy, Text(fix.strategy, fix.strategy)).in_language(language)
        lines.append(f"  {verdict:10} {fix.strategy} ({strategy}): {fix.why}")
    return "\n".join(lines)


def _operand(operand: Operand, language: str) -> str:
    shape = "x".join(str(size) for size in operand.shape) or "scalar"
    is_weight = operand.origin in ("parameter", "buffer")
    origin = "" if is_weight else f"; {operand_origin(operand, language)}"
    return f"  {operand.dtype:9} {operand_name(operand, language)} ({shape}){origin}"


def _add(error: Exception, note: str) -> None:
    add_note: Any = getattr(error, "add_note", None)
    if add_note is not None:
        add_note(note)
    else:  # Python 3.10
        error.args = (f"{error}\n\n{note}", *error.args[1:])
