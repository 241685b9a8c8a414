"""The dtype path of a run: from the pixels through tower, projector, prompt and blocks to the next token."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from xcomposer_ui.core.families import families
from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.tracing.dtype_flow import Cast, DtypeFlow, ModuleCall

TEXT, PIXELS, TOWER, PROJECTOR, PROMPT = "text", "pixels", "tower", "projector", "prompt"
BLOCK, NORM, LOGITS, CHOICE, MODULE = "block", "norm", "logits", "choice", "module"

OTHER_FAMILIES: dict[str, tuple[str, ...]] = {
    TOWER: ("vision_tower", "vision_model", "visual"),
    PROJECTOR: ("multi_modal_projector", "connector", "merger", "language_projection"),
    TEXT: ("embed_tokens",),
    BLOCK: (r"layers\.\d+",),
    NORM: (r"(?:model|language_model)\.norm",),
    LOGITS: ("lm_head",),
}
"""Stage -> patterns of the modules that compute it in most of transformers' families. The outermost match is used."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class PathStep:
    """One row of the path: a module call, or an operation between two modules (`call` is None then).

    level: 0 for a stage, 1 for its submodules, and so on. dtypes_in, dtypes_out: floating-point types only.
    dtypes_parameters: of the weights of the module and its submodules.
    islands, casts_within: number of float32 islands and of other casting modules at deeper levels.
    """

    stage: str
    name: str
    level: int
    dtypes_in: tuple[str, ...]
    dtypes_out: tuple[str, ...]
    dtypes_parameters: tuple[str, ...] = ()
    casts: tuple[Cast, ...] = ()
    call: ModuleCall | None = None
    islands: int = 0
    casts_within: int = 0

    @property
    def failed(self) -> bool:
        return self.call is not None and self.call.failed

    @property
    def is_island(self) -> bool:
        return self.call is not None and self.call.is_island


def path(flow: DtypeFlow) -> tuple[PathStep, ...]:
    """The steps of `flow` in order of execution; equal calls of a module are one step.

    Added to the modules are, as far as the run got: the pixels before the tower, the prompt of text and image
    features before the first block, the choice of a token after the logits.
    """
    return tuple(_with_inner_totals(list(_merged(flow))))


def paths_aligned(first: DtypeFlow, second: DtypeFlow) -> Iterator[tuple[PathStep | None, PathStep | None]]:
    """The steps of two flows side by side; None where a step is in only one of them."""
    return paired(path(first), path(second), lambda step: (step.stage, step.name))


def step_as_json(step: PathStep) -> dict[str, Any]:
    """One step in the field names that scripts rely on."""
    return {
        "stage": step.stage,
        "module": step.name or None,
        "level": step.level,
        "dtypes_in": list(step.dtypes_in),
        "dtypes_out": list(step.dtypes_out),
        "dtypes_parameters": list(step.dtypes_parameters),
        "casts": [{"operation": c.operation, "from": c.from_dtype, "to": c.to_dtype} for c in step.casts],
        "island": step.is_island,
        "failed": step.failed,
        "calls": step.call.calls if step.call else None,
    }


def stage_of(name: str) -> str | None:
    """The stage that the module `name` computes; None for submodules of a stage and for all other modules."""
    return next((stage for stage, pattern in _stages(families()) if pattern.search(name)), None)


@lru_cache
def _stages(known: tuple[FamilyFacts, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(stage, pattern of its modules' names) for the `known` families and for most of transformers' others."""
    own = {
        stage: [re.escape(facts.stages[stage]) for facts in known if stage in facts.stages] for stage in OTHER_FAMILIES
    }
    return tuple(
        (stage, re.compile(rf"(?:^|\.)(?:{'|'.join((*own[stage], *names))})$"))
        for stage, names in OTHER_FAMILIES.items()
    )


def _merged(flow: DtypeFlow) -> Iterator[PathStep]:
    """A step for each row of the flow, and equal steps between modules once, where they first occur."""
    rows = {row.index: row for row in flow.rows()}
    between = _Between(flow)
    stages: list[ModuleCall] = []  # the running stage; empty outside the stages
    seen: set[tuple[str, tuple[Cast, ...]]] = set()
    for call in flow.calls:
        stages = [stage for stage in stages if stage.depth < call.depth]
        if not stages:
            yield from _new(between.before(call), seen)
            if stage_of(call.name):
                stages.append(call)
        # Outside the stages, a module without casts and weights of its own only calls them.
        if call.index in rows and (stages or call.casts or call.dtypes_parameters):
            stage = stages[0] if stages else call
            row, level = rows[call.index], call.depth - stage.depth
            yield PathStep(
                stage_of(stage.name) or MODULE, row.name, level, row.floats_in, row.floats_out, row.dtypes_parameters,
                row.casts, row,
            )  # fmt: skip
    yield from _new(between.at_end(), seen)


def _new(steps: Iterator[PathStep], seen: set[tuple[str, tuple[Cast, ...]]]) -> Iterator[PathStep]:
    for step in steps:
        if (step.stage, step.casts) not in seen:
            seen.add((step.stage, step.casts))
            yield step


class _Between:
    """The steps outside the modules: pixels, prompt, choice of a token."""

    def __init__(self, flow: DtypeFlow) -> None:
        self._outside = list(flow.outside)
        self._tower = next((call.index for call in flow.calls if stage_of(call.name) == TOWER), None)
        self._features: dict[str, tuple[str, ...]] = {}  # dtypes of the text's and the picture's embeddings
        self._last: str | None = None

    def before(self, call: ModuleCall) -> Iterator[PathStep]:
        """The steps directly before `call`, which is not inside a stage."""
        stage = stage_of(call.name)
        if call.index == self._tower:
            casts = self._taken(call.index)
            yield PathStep(
                PIXELS, "", 0, (casts[0].from_dtype,) if casts else call.floats_in, call.floats_in, casts=casts
            )
        elif self._tower is None or call.index > self._tower:
            casts = self._taken(call.index)
            if PROJECTOR in self._features and stage is None:
                dtypes = tuple(dict.fromkeys(self._features.get(TEXT, ()) + self._features.pop(PROJECTOR)))
                yield PathStep(PROMPT, "", 0, dtypes, call.floats_in, casts=casts)
            elif casts:
                yield self._cast(casts)
        # Casts before the tower's call are left for the pixels' step.
        if stage in (TEXT, PROJECTOR):
            self._features[stage] = call.floats_out
        self._last = stage or self._last

    def at_end(self) -> Iterator[PathStep]:
        if casts := self._taken(None):
            yield self._cast(casts)

    def _cast(self, casts: tuple[Cast, ...]) -> PathStep:
        stage = CHOICE if self._last == LOGITS else MODULE
        return PathStep(stage, "", 0, (casts[0].from_dtype,), (casts[-1].to_dtype,), casts=casts)

    def _taken(self, index: int | None) -> tuple[Cast, ...]:
        """Remove and return the remaining casts before the call `index`; None for all that remain."""
        taken = [outside for outside in self._outside if index is None or outside.before <= index]
        self._outside = self._outside[len(taken) :]
        return tuple(dict.fromkeys(replace(outside.cast, count=1) for outside in taken))


def _with_inner_totals(steps: list[PathStep]) -> Iterator[PathStep]:
    """Each step with the weights' dtypes, islands and casts of the steps inside it."""
    for place, step in enumerate(steps):
        inner = []
        for other in steps[place + 1 :]:
            if other.level <= step.level:
                break
            inner.append(other)
        weights = dict.fromkeys(dtype for other in (step, *inner) for dtype in other.dtypes_parameters)
        yield replace(
            step,
            dtypes_parameters=tuple(weights),
            islands=sum(other.is_island for other in inner),
            casts_within=sum(bool(other.casts) and not other.is_island for other in inner),
        )


def paired(
    left: Sequence[Row], right: Sequence[Row], name: Callable[[Row], Hashable]
) -> Iterator[tuple[Row | None, Row | None]]:
    """Pair the nth row of each name in `left` with the nth of that name in `right`; None where one side has none.

    Rows keep their order; where the two orders contradict each other, that of `left` is used.
    """
    lefts, rights = _numbered(left, name), _numbered(right, name)
    position = {key: index for index, key in enumerate(rights)}
    alone = deque(key for key in rights if key not in lefts)
    for key, row in lefts.items():
        while key in rights and alone and position[alone[0]] < position[key]:
            yield None, rights[alone.popleft()]
        yield row, rights.get(key)
    for key in alone:
        yield None, rights[key]


def _numbered(rows: Sequence[Row], name: Callable[[Row], Hashable]) -> dict[tuple[Hashable, int], Row]:
    """(name, number of earlier rows of that name) -> row."""
    seen: dict[Hashable, int] = {}
    numbered = {}
    for row in rows:
        key = name(row)
        numbered[key, seen.get(key, 0)] = row
        seen[key] = seen.get(key, 0) + 1
    return numbered
