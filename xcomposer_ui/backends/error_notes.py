"""`explain_dtypes`: explanations of the dtype errors that any PyTorch model raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from xcomposer_ui.backends.tracing.tracer import Tracer, with_causes
from xcomposer_ui.core.messages import LANGUAGES, language_of, sentences, text, worded
from xcomposer_ui.core.result import Explanation, Operand
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.rules.autocast_origin import with_recorded_origin
from xcomposer_ui.tracing.dtype_flow import FailureSite


@contextmanager
def explain_dtypes(model: nn.Module, *, language: str = "en") -> Iterator[None]:
    """Within, a dtype error that `model` raises says where it arose, what met what, and what cures it.

    The error is raised on as it is, with the explanation as a note (`add_note`; on Python 3.10, which has no notes, at
    the end of its message). An error that has nothing to do with dtypes passes through untouched. Calls in here run
    several times slower, so take it off again once the clash is found; what torch.compile or TorchScript compiled
    cannot be looked into. language: "en", "zh" or another that the lab has a file for; English for others.
    Raises TypeError where `model` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"explain_dtypes takes a torch.nn.Module, not {type(model).__name__}")
    tracer = Tracer(model)
    try:
        with tracer:
            yield
    except Exception as error:
        for raised in with_causes(error):
            site = tracer.site(raised)
            explained = explain(_message(raised), device=_device(model), operation=site.operation)
            explanation = with_recorded_origin(explained, site.operands)
            if explanation.recognised:
                if not _is_explained(error, explanation):
                    _add(error, _note(explanation, site, language_of(language)))
                break
            if raised.__suppress_context__ and raised.__cause__ is None:  # "from None" hides what was before
                break
        raise


def _message(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an error that cannot say what it is must come out as it is
        return ""


def _is_explained(error: Exception, explanation: Explanation) -> bool:
    """Whether a context manager inside this one explained it already: that one is nearer."""
    titles = tuple(f"{worded(explanation.title, language)}\n" for language in LANGUAGES)
    return any(part.startswith(titles) for part in (*getattr(error, "__notes__", ()), *str(error).split("\n\n")))


def _device(model: nn.Module) -> str | None:
    weight = next(model.parameters(), None)
    return None if weight is None else weight.device.type


def _note(explanation: Explanation, site: FailureSite, language: str) -> str:
    place = ", ".join(part for part in (site.module, site.operation) if part)
    lines = [worded(explanation.title, language)]
    if place:
        lines.append(text("note.where", language, place=place))
    lines += [_operand(operand, language) for operand in site.operands]
    lines.append(text("note.why", language, cause=worded(explanation.cause, language)))
    for fix in explanation.fixes:
        verdict = text(f"note.cures.{str(fix.cures).lower()}", language)
        strategy = sentences(language).get(f"note.strategy.{fix.strategy}", fix.strategy)
        lines.append(f"  {verdict:10} {fix.strategy} ({strategy}): {worded(fix.why, language)}")
    return "\n".join(lines)


def _operand(operand: Operand, language: str) -> str:
    shape = "x".join(str(size) for size in operand.shape) or "scalar"
    origin = "" if operand.is_weight else f"; {worded(operand.origin, language)}"
    return f"  {operand.dtype:9} {worded(operand.name, language)} ({shape}){origin}"


def _add(error: Exception, note: str) -> None:
    add_note: Any = getattr(error, "add_note", None)
    if add_note is not None:
        add_note(note)
    else:  # Python 3.10
        error.args = (f"{error}\n\n{note}", *error.args[1:])
