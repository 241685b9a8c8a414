"""The Plan tab: memory of a run or of a fine-tuning, the cards that it fits, and the check of this machine."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from xcomposer_ui.core.messages import text
from xcomposer_ui.core.request import TILE_SETTINGS
from xcomposer_ui.core.settings import HALVES
from xcomposer_ui.finetuning.recipes import OPTIMIZERS
from xcomposer_ui.planning.cards import CARDS
from xcomposer_ui.ui.ask_form import choices
from xcomposer_ui.ui.controls import NumberInput, clear_notice, model_choices
from xcomposer_ui.ui.gradio_sessions import caller_gone_or_back
from xcomposer_ui.ui.html import short_name
from xcomposer_ui.ui.localization import QUIET, Localization
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.plan_handlers import COUNTS, DEFAULTS, PICTURE, WHAT, PlanSession, filled_in, offered, planned
from xcomposer_ui.ui.preflight import CallersPlans
from xcomposer_ui.ui.views.notices import notice
from xcomposer_ui.ui.views.plan import check_panel, plan_view

PLAN_QUEUE = "plan"
"""The queue of plans, apart from that of runs."""

Steps = Generator[dict[Any, Any], None, None]


class PlanTab:
    """The tab's components and events."""

    def __init__(self, page: Page, tab: gr.Tab) -> None:
        self.page, words = page, page.words
        self.plans = CallersPlans(page.checks.shared_plans, caller_gone_or_back)
        self.session = gr.State(PlanSession())
        with gr.Row(elem_classes="xl-ask"):
            with gr.Column(scale=4, min_width=300, elem_classes="xl-left"):
                self._form(words)
            with gr.Column(scale=9, min_width=300, elem_classes="xl-right"):
                self.planned = words.view(lambda language: plan_view(PlanSession(), language), elem_id="planned")
                with words.make(gr.Accordion, {"label": "check.title"}, open=False, elem_id="check-section"):
                    self.check = words.view(self._checked, elem_id="check")
        self._wire(page.language, tab)

    def outputs(self) -> list[Any]:
        """Components that the tab's events change."""
        return [self.session, self.notice, self.planned, self.run, self.check]

    def shown(self, session: PlanSession, language: str) -> dict[Any, Any]:
        """Component -> value that shows `session` and the machine's check in `language`."""
        return {
            self.notice: notice(session.notice, language),
            self.planned: plan_view(session, language),
            self.run: gr.update(value=text("plan.run" if session.planning is None else "plan.busy", language)),
            self.check: self._checked(language),
        }

    def restored(self, query: Mapping[str, str]) -> dict[Any, Any]:
        """Component -> value for the model in the page's address; empty where it has none that can be planned."""
        model = query.get("plan")
        return {self.controls["model"]: model} if model in offered(self.page.settings) else {}

    def _checked(self, language: str) -> str:
        return check_panel(self.page.runner.machine.known, language)

    def _form(self, words: Localization) -> None:
        self.controls: dict[str, Any] = {}
        self.controls["model"] = words.make(
            gr.Dropdown,
            {"label": "model", "info": "plan.model.info"},
            choices=model_choices(offered(self.page.settings)), value=self.page.settings.model,
            allow_custom_value=True, elem_id="plan-model",
        )  # fmt: skip
        cards = [(f"{card.name} ({card.example})", card.name) for card in CARDS]
        self.controls["card"] = words.make(
            gr.Dropdown,
            {"label": "plan.card", "choices": [("plan.card.here", ""), *cards]},
            value="", elem_id="plan-card",
        )  # fmt: skip
        self.controls["memory_gib"] = words.make(
            NumberInput, {"label": "plan.memory", "info": "plan.memory.info"}, value=0, minimum=0, elem_id="plan-memory"
        )
        self.controls["what"] = words.make(
            gr.Radio, {"label": "plan.what", "choices": [(f"plan.what.{name}", name) for name in WHAT]},
            value=WHAT[0], elem_id="plan-what",
        )  # fmt: skip
        self.controls["image"] = words.make(
            gr.Textbox, {"label": "plan.image", "info": "plan.image.info"}, value=PICTURE, elem_id="plan-image"
        )
        for name in TILE_SETTINGS:
            self.controls[name] = words.make(
                NumberInput, {"label": f"plan.{name}", "info": f"plan.{name}.info"},
                value=0, precision=0, minimum=0, elem_id=_id_of(name),
            )  # fmt: skip
        with gr.Row():
            for name in COUNTS:
                self.controls[name] = words.make(
                    NumberInput, {"label": f"plan.{name}"},
                    value=getattr(DEFAULTS, name), precision=0, minimum=1, min_width=90, elem_id=_id_of(name),
                )  # fmt: skip
        self.controls["half"] = words.make(
            gr.Radio, {"label": "half", "choices": choices(HALVES)},
            value=self.page.settings.half, elem_id="plan-half",
        )  # fmt: skip
        self.training = self._training_controls(words)
        self.controls |= self.training
        self.notice = gr.HTML("", elem_id="plan-notice", elem_classes="xl-notice-place")
        with gr.Row(elem_classes="xl-buttons"):
            self.run = words.make(gr.Button, {"value": "plan.run"}, variant="primary", elem_id="plan")

    def _training_controls(self, words: Localization) -> dict[str, Any]:
        """The controls of a fine-tuning, hidden until it is what is planned."""
        return {
            "optimizer": words.make(
                gr.Radio, {"label": "train.optimizer", "choices": [(f"train.{o}", o) for o in OPTIMIZERS]},
                value=DEFAULTS.optimizer, visible=False, elem_id="plan-optimizer",
            ),
            "lora_rank": words.make(
                NumberInput, {"label": "plan.lora_rank", "info": "plan.lora_rank.info"},
                value=0, precision=0, minimum=0, visible=False, elem_id="plan-lora-rank",
            ),
            "trains_tower": words.make(
                gr.Checkbox, {"label": "plan.trains_tower", "info": "plan.trains_tower.info"},
                value=DEFAULTS.trains_tower, visible=False, elem_id="plan-trains-tower",
            ),
        }  # fmt: skip

    def _shown_controls(self, what: str) -> dict[Any, Any]:
        """The controls of what is planned: a recipe has its own dtypes, a run no optimizer."""
        trains = what == WHAT[1]
        shown = {control: gr.update(visible=trains) for control in self.training.values()}
        return {**shown, self.controls["half"]: gr.update(visible=not trains)}

    def _wire(self, language: gr.Radio, tab: gr.Tab) -> None:
        gr.on(
            [self.run.click, self.controls["image"].submit], self._planned,
            [self.session, language, *self.controls.values()], [self.session, self.notice, self.planned, self.run],
            show_progress="hidden", api_visibility="private",
            concurrency_id=PLAN_QUEUE, concurrency_limit=1, trigger_mode="multiple",
        )  # fmt: skip
        clear_notice(self.notice, self.controls.values())
        what = self.controls["what"]
        what.change(self._shown_controls, what, [*self.training.values(), self.controls["half"]], **QUIET)
        tab.select(self._checked, language, self.check, **QUIET)

    def _planned(self, before: PlanSession, language: str, request: gr.Request, *values: Any) -> Steps:
        """Component -> value while planning and after; a second press gives up the plan of the first one."""
        language_now = self.page.words.languages.current(request.session_hash, language)
        fields = filled_in(dict(zip(self.controls, values, strict=True)))
        yield self._step(replace(before, planning=short_name(fields.get("model", "")), notice=None), language_now())
        session = planned(self.plans, fields, self.page.settings, self.page.runner.status())
        if session.notice is not None and session.notice.code == "given_up":
            return
        if session.notice is not None:  # the last plan stays visible beside the mistake
            session = PlanSession(plan=before.plan, notice=session.notice, card=before.card)
        yield self._step(session, language_now())

    def _step(self, session: PlanSession, language: str) -> dict[Any, Any]:
        shown = self.shown(session, language)
        return {self.session: session, **{part: shown[part] for part in (self.notice, self.planned, self.run)}}


def _id_of(name: str) -> str:
    """The element id of the number box of a request's field."""
    return f"plan-{name.replace('_', '-')}"
