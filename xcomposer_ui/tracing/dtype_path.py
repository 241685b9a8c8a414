"""A flow as a reader follows it: from the pixels over tower, projector and prompt, through each block, to the token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from xcomposer_ui.core.families import families
from xcomposer_ui.core.families.facts import FamilyFacts
from xcomposer_ui.tracing.alignment import paired
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
"""Stage -> patterns of the modules that compute it in most of transformers' families. The outermost match counts."""


@dataclass(frozen=True)
class PathStep:
    """One row of the path: a module on its way, or what happens between two modules (`call` is None then).

    level: 0 for a stage, 1 for its parts, and so on. dtypes_in, dtypes_out: floating-point types only.
    dtypes_parameters: of the module's own weights and of its parts'.
    islands, casts_within: how many float32 islands and casting modules lie inside, at deeper levels.
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
    """The steps of `flow` in the order in which they happened; equal calls of a module are one step.

    Before the tower stand the pixels, before the first block the prompt that text and image features make up, after
    the logits the choice of a token, wherever the flow came that far.
    """
    return tuple(_with_insides(list(_merged(flow))))


def paths_aligned(first: DtypeFlow, second: DtypeFlow) -> Iterator[tuple[PathStep | None, PathStep | None]]:
    """The steps of two flows side by side: None where a step was taken in one of them only."""
    return paired(path(first), path(second), lambda step: (step.stage, step.name))


def path_as_json(steps: tuple[PathStep, ...]) -> list[dict[str, Any]]:
    """`steps` in the field names that scripts rely on."""
    return [step_as_json(step) for step in steps]


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
    """The stage that the module `name` computes, None for parts of a stage and for all other modules."""
    return next((stage for stage, pattern in _stages(families()) if pattern.search(name)), None)


@lru_cache
def _stages(known: tuple[FamilyFacts, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(stage, pattern of the names of its modules) for the lab's own families and for most others."""
    own = {
        stage: [re.escape(facts.stages[stage]) for facts in known if stage in facts.stages] for stage in OTHER_FAMILIES
    }
    return tuple(
        (stage, re.compile(rf"(?:^|\.)(?:{'|'.join((*own[stage], *names))})$"))
        for stage, names in OTHER_FAMILIES.items()
    )


def _merged(flow: DtypeFlow) -> Iterator[PathStep]:
    """A step for each row of the flow; what happens between modules comes once, where it first does."""
    rows = {row.index: row for row in flow.rows()}
    between = _Between(flow)
    stages: list[ModuleCall] = []  # the stage that is running, none where none is
    told: set[tuple[str, tuple[Cast, ...]]] = set()
    for call in flow.calls:
        stages = [stage for stage in stages if stage.depth < call.depth]
        if not stages:
            yield from _new(between.before(call), told)
            if stage_of(call.name):
                stages.append(call)
        if call.index in rows and not (not stages and _only_wraps(call)):
            stage = stages[0] if stages else call
            yield _step(rows[call.index], stage_of(stage.name) or MODULE, call.depth - stage.depth)
    yield from _new(between.at_end(), told)


def _only_wraps(call: ModuleCall) -> bool:
    """Whether the module does nothing to dtypes but call the stages."""
    return not call.casts and not call.dtypes_parameters


def _step(row: ModuleCall, stage: str, level: int) -> PathStep:
    return PathStep(stage, row.name, level, row.floats_in, row.floats_out, row.dtypes_parameters, row.casts, row)


def _new(steps: Iterator[PathStep], told: set[tuple[str, tuple[Cast, ...]]]) -> Iterator[PathStep]:
    for step in steps:
        if (step.stage, step.casts) not in told:
            told.add((step.stage, step.casts))
            yield step


class _Between:
    """What happens outside the modules: to the pixels, to the prompt, to the logits."""

    def __init__(self, flow: DtypeFlow) -> None:
        self._outside = list(flow.outside)
        self._tower = next((call.index for call in flow.calls if stage_of(call.name) == TOWER), None)
        self._met: dict[str, tuple[str, ...]] = {}
        self._last: str | None = None

    def before(self, call: ModuleCall) -> Iterator[PathStep]:
        """The steps between the calls that came before and `call`, which no stage contains."""
        stage = stage_of(call.name)
        if call.index == self._tower:
            casts = self._taken(call.index)
            yield PathStep(
                PIXELS, "", 0, (casts[0].from_dtype,) if casts else call.floats_in, call.floats_in, casts=casts
            )
        elif self._tower is None or call.index > self._tower:
            casts = self._taken(call.index)
            if PROJECTOR in self._met and stage is None:
                met = tuple(dict.fromkeys(self._met.get(TEXT, ()) + self._met.pop(PROJECTOR)))
                yield PathStep(PROMPT, "", 0, met, call.floats_in, casts=casts)
            elif casts:
                yield self._cast(casts)
        # What was done before the tower was called was done to the pixels.
        if stage in (TEXT, PROJECTOR):
            self._met[stage] = call.floats_out
        self._last = stage or self._last

    def at_end(self) -> Iterator[PathStep]:
        """The steps after the last call."""
        if casts := self._taken(None):
            yield self._cast(casts)

    def _cast(self, casts: tuple[Cast, ...]) -> PathStep:
        stage = CHOICE if self._last == LOGITS else MODULE
        return PathStep(stage, "", 0, (casts[0].from_dtype,), (casts[-1].to_dtype,), casts=casts)

    def _taken(self, index: int | None) -> tuple[Cast, ...]:
        """The casts before the call `index` that were not taken yet; None for all that are left."""
        taken = [outside for outside in self._outside if index is None or outside.before <= index]
        self._outside = self._outside[len(taken) :]
        return tuple(dict.fromkeys(replace(outside.cast, count=1) for outside in taken))


def _with_insides(steps: list[PathStep]) -> Iterator[PathStep]:
    """Each step with what is hidden where only its own level is shown: its parts' weights, islands and casts."""
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
