"""The Plan tab's handlers as plain functions: values in, a plan or the user's mistake out. No Gradio, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Status
from xcomposer_ui.core.families import published_names
from xcomposer_ui.core.request import TILE_SETTINGS
from xcomposer_ui.core.settings import Settings, is_hub_id
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.planning.cards import CARDS, Card
from xcomposer_ui.planning.plan import Plan, PlanRequest, memory_bytes, picture_size
from xcomposer_ui.planning.training_plan import TRAINING_FIELDS, TrainingPlan, TrainingPlanRequest
from xcomposer_ui.ui.preflight import CallersPlans

PICTURE = "1024x768"
"""The size of a plan's picture where none is given."""

COUNTS = ("prompt_tokens", "new_tokens", "batch")
"""The fields of a PlanRequest that are counts, 1 at least."""

DEFAULTS = TrainingPlanRequest(model="")

WHAT = ("answer", "train")
"""What is planned: an answer under every strategy, or a fine-tuning under every recipe."""


@dataclass(frozen=True)
class PlanSession:
    """planning: name of the model being planned, or None. plan: the last plan. notice: the user's last mistake.

    card: that the plan's memory was taken from; None for a number of GiB or this machine's memory.
    """

    plan: Plan | TrainingPlan | None = None
    planning: str | None = None
    notice: UserError | None = None
    card: Card | None = None


def offered(settings: Settings) -> tuple[str, ...]:
    """The models that can be planned: those that the page offers, and the published ones, whose sizes are known."""
    return tuple(dict.fromkeys((*settings.models, *published_names())))


def filled_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a plan's request among `values` of controls or of an endpoint's arguments.

    Empty values, and 0 for tiles or GiB, are left out: the lab chooses. An empty picture size means text only.
    """
    found = {name: value for name, value in values.items() if value or (name in COUNTS and value is not None)}
    return {**found, "image": values.get("image") or "none"}


def request_of(fields: Mapping[str, Any], settings: Settings, status: Status) -> PlanRequest:
    """The plan request of `fields`: those of PlanRequest, but `image` as "1024x768" or "none", and for the memory
    `memory_gib`, or `card`, a name of CARDS.

    With `what` as "train", it is a TrainingPlanRequest, whose fields may be among them too.
    half, device: missing or "auto" for the lab's choice. Of a hub id that is not offered only the config.json is read.
    Raises UserError for a value beyond its limits, and for a model that is neither offered nor a hub id.
    """
    known, model = offered(settings), fields.get("model", "").strip()
    if model not in known and not is_hub_id(model):
        raise UserError("unknown_model", name=model, known=", ".join(known))
    half, device = fields.get("half", "auto"), fields.get("device", "auto")
    half = status.half or settings.half if half == "auto" else half
    request = PlanRequest(
        model=model,
        image=picture_size(fields.get("image", PICTURE)),
        half=HALF_DTYPES[0] if half == "auto" else half,
        device=status.device or settings.device if device == "auto" else device,
        memory_bytes=_memory_bytes(fields),
        **{name: fields[name] for name in (*TILE_SETTINGS, *COUNTS) if name in fields},
    )
    if fields.get("what", WHAT[0]) == WHAT[0]:
        return request
    more = {name: fields[name] for name in TRAINING_FIELDS if name in fields}
    return TrainingPlanRequest(**vars(request), **more)


def plan_of(plans: CallersPlans, request: PlanRequest) -> Plan | TrainingPlan:
    """The plan of a run or of a fine-tuning, whichever is requested. Raises UserError."""
    return plans.plan_training(request) if isinstance(request, TrainingPlanRequest) else plans.plan(request)


def _memory_bytes(fields: Mapping[str, Any]) -> int | None:
    if (memory_gib := fields.get("memory_gib")) is not None:
        return memory_bytes(memory_gib)
    card = card_named(fields.get("card"))
    return None if card is None else card.usable_bytes


def card_named(name: str | None) -> Card | None:
    """The card called `name`; None for this machine's memory. Raises UserError for another name."""
    if not name:
        return None
    card = next((card for card in CARDS if card.name == name), None)
    if card is None:
        raise UserError("unknown_setting", name="card", value=name, known=", ".join(card.name for card in CARDS))
    return card


def planned(plans: CallersPlans, fields: Mapping[str, Any], settings: Settings, status: Status) -> PlanSession:
    """The session after planning `fields`, which takes seconds. A user's mistake is its `notice`."""
    try:
        card = None if "memory_gib" in fields else card_named(fields.get("card"))
        return PlanSession(plan=plan_of(plans, request_of(fields, settings, status)), card=card)
    except UserError as mistake:
        return PlanSession(notice=mistake)
