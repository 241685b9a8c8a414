"""Records of a model's dtype check: the boundaries where dtypes clash under each strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.result import Operand, operands_as_json
from xcomposer_ui.tracing.dtype_flow import is_floating


@dataclass(frozen=True)
class Boundary:
    """One place where dtypes clash: the module whose code runs the operation, and the operands.

    message: PyTorch's. family: of the explanation.
    """

    module: str | None
    operation: str | None
    operands: tuple[Operand, ...]
    message: str
    family: str | None = None

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The operands' floating-point types, without repeats."""
        return tuple(dict.fromkeys(o.dtype for o in self.operands if is_floating(o.dtype)))


@dataclass(frozen=True)
class LintCase:
    """One strategy in one half type. boundaries: in order of execution, each found with the earlier ones cast.

    stopped_by: the error that ended the run and that a cast does not remove; None if the run completed.
    """

    strategy: str
    half: str
    boundaries: tuple[Boundary, ...] = ()
    stopped_by: str | None = None

    @property
    def clean(self) -> bool:
        return not self.boundaries and self.stopped_by is None


@dataclass(frozen=True)
class Lint:
    """A model's check. model: its name as given; model_class, parameters: of the tiny model that was run instead."""

    model: str
    model_class: str
    parameters: int
    cases: tuple[LintCase, ...]

    @property
    def ok(self) -> bool:
        return all(case.clean for case in self.cases)


def lint_as_json(lint: Lint) -> dict[str, Any]:
    """`lint` in the field names that scripts rely on."""
    return {
        "ok": lint.ok,
        "model": lint.model,
        "model_class": lint.model_class,
        "twin_parameters": lint.parameters,
        "cases": [
            {
                **record_as_data(case),
                "clean": case.clean,
                "boundaries": [_boundary_as_json(boundary) for boundary in case.boundaries],
            }
            for case in lint.cases
        ],
    }


def _boundary_as_json(boundary: Boundary) -> dict[str, Any]:
    operands = operands_as_json(boundary.operands)
    return {**record_as_data(boundary), "dtypes": list(boundary.dtypes), "operands": operands}
