"""The Plan tab's handlers as plain functions: a form in, a plan or the user's mistake out. No Gradio, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.families import published_names
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.core.units import GIB
from xcomposer_ui.planning.plan import Plan, PlanRequest, RunShape, checked_request, picture_size

DEFAULTS = PlanRequest(model="")


class Plans(Protocol):
    """Makes plans: a PlannerProcess."""

    def plan(self, request: PlanRequest) -> Plan:
        """The plan of `request`. Raises UserError."""

    def predict(self, shape: RunShape) -> int:
        """Peak memory of a run in bytes. Raises UserError."""


@dataclass(frozen=True)
class PlanForm:
    """Values of the controls. image: "1024x768" or "none". half, device: "auto" for the lab's choice.

    memory_gib: memory to fit, None for this machine's.
    """

    model: str
    image: str = "1024x768"
    hd_num: int | None = None
    prompt_tokens: int = DEFAULTS.prompt_tokens
    new_tokens: int = DEFAULTS.new_tokens
    batch: int = DEFAULTS.batch
    half: str = "auto"
    device: str = "auto"
    memory_gib: float | None = None


@dataclass(frozen=True)
class PlanSession:
    """planning: name of the model being planned, or None. plan: the last plan. notice: the user's last mistake."""

    plan: Plan | None = None
    planning: str | None = None
    notice: UserError | None = None


def offered(settings: Settings) -> tuple[str, ...]:
    """The models that can be planned: those that the page offers, and the published ones, whose sizes are known."""
    return tuple(dict.fromkeys((*settings.models, *published_names())))


def request_of(form: PlanForm, settings: Settings, status: Status) -> PlanRequest:
    """The plan request of `form`. Raises UserError for a value beyond its limits or a model that is not offered."""
    known = offered(settings)
    if form.model not in known:
        raise UserError("unknown_model", name=form.model, known=", ".join(known))
    half = form.half if form.half != "auto" else status.half or settings.half
    device = form.device if form.device != "auto" else status.device or settings.device
    return checked_request(
        PlanRequest(
            model=form.model,
            image=picture_size(form.image),
            hd_num=form.hd_num,
            prompt_tokens=form.prompt_tokens,
            new_tokens=form.new_tokens,
            batch=form.batch,
            half=HALF_DTYPES[0] if half == "auto" else half,
            device=device,
            memory_bytes=None if form.memory_gib is None else int(form.memory_gib * GIB),
        )
    )


def planned(plans: Plans, form: PlanForm, settings: Settings, status: Status) -> PlanSession:
    """The session after planning `form`, which takes seconds. A user's mistake is its `notice`."""
    try:
        return PlanSession(plan=plans.plan(request_of(form, settings, status)))
    except UserError as mistake:
        return PlanSession(notice=mistake)
