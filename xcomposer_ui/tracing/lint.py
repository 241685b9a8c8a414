"""What a pre-flight check of a model's dtypes finds, as records: the boundaries that clash under each strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.result import Operand, operands_as_json


@dataclass(frozen=True)
class Boundary:
    """One place where dtypes clash: the module whose code runs the operation, and what meets there.

    message: PyTorch's. family: of the explanation.
    """

    module: str | None
    operation: str | None
    operands: tuple[Operand, ...]
    message: str
    family: str | None = None

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The floating-point types that meet, without repeats."""
        return tuple(dict.fromkeys(o.dtype for o in self.operands if o.dtype.startswith(("float", "bfloat"))))


@dataclass(frozen=True)
class LintCase:
    """One strategy in one half type. boundaries: in the order of the run, each as if those before it were mended.

    stopped_by: the error that ended the run and is no clash that a cast would mend; None where it came to its end.
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
    """A model's check. model: as it was named; model_class: the class of the twin; parameters: of the twin."""

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
                "strategy": case.strategy,
                "half": case.half,
                "clean": case.clean,
                "boundaries": [_boundary_as_json(boundary) for boundary in case.boundaries],
                "stopped_by": case.stopped_by,
            }
            for case in lint.cases
        ],
    }


def _boundary_as_json(boundary: Boundary) -> dict[str, Any]:
    return {
        "module": boundary.module,
        "operation": boundary.operation,
        "dtypes": list(boundary.dtypes),
        "operands": operands_as_json(boundary.operands),
        "message": boundary.message,
        "family": boundary.family,
    }
