"""The page's endpoints for scripts, /run, /compare, /explain and /plan: the command line's field names, in JSON.

A user's mistake is an error of the call with the sentence as its message (gradio_client raises it as AppError), and so
is a run or a comparison that will not fit into memory, unless `anyway` is true; a run that failed is an answer like any
other, its `failure` filled.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from xcomposer_ui.compare.schedule import REPEATS
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES
from xcomposer_ui.core.request import Question
from xcomposer_ui.core.result import explanation_as_json
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.explain import explain
from xcomposer_ui.planning.plan import plan_as_json
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui import compare_handlers, handlers
from xcomposer_ui.ui.ask_tab import MODEL_QUEUE
from xcomposer_ui.ui.compare_session import CompareForm
from xcomposer_ui.ui.pictures import PictureInput
from xcomposer_ui.ui.plan_handlers import PlanForm, request_of
from xcomposer_ui.ui.plan_tab import PLAN_QUEUE
from xcomposer_ui.ui.preflight import Preflight
from xcomposer_ui.ui.session import Form

DEFAULTS = Question(text="")
PLANNED = PlanForm(model="")


def build_endpoints(settings: Settings, runner: Runner, preflight: Preflight) -> None:
    """Add the endpoints to the Blocks being built, on components that the page does not show."""

    def run(
        image: str | None = None, question: str = "", strategy: str = "", half: str = "", model: str = "",
        device: str = "", max_new_tokens: int = DEFAULTS.max_new_tokens, seed: int = DEFAULTS.seed,
        temperature: float = DEFAULTS.temperature, hd_num: int = 0, anyway: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """One question about one picture (or none) under one strategy; the JSON of `python -m xcomposer_ui run`.

        hd_num: 0 for the model's own. anyway: start what by its plan will not fit into memory.
        """
        form = Form(
            question or "", image, strategy, half or None, model or None, device or None, hd_num=hd_num or None,
            **handlers.numbers(max_new_tokens=max_new_tokens, seed=seed, temperature=temperature),
        )  # fmt: skip
        try:
            return handlers.answer(runner, form, preflight, anyway=anyway)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def compare(
        image: str | None = None, question: str = "", half: str = "", both_halves: bool = False, model: str = "",
        device: str = "", max_new_tokens: int = DEFAULTS.max_new_tokens, seed: int = DEFAULTS.seed,
        temperature: float = DEFAULTS.temperature, repeats: int = REPEATS, hd_num: int = 0, anyway: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """One question under every strategy; the JSON of `python -m xcomposer_ui compare`."""
        first = half if half and half != "auto" else None
        halves: tuple[str, ...] = (first,) if first else ()
        if both_halves:
            halves = tuple(dict.fromkeys((first or HALF_DTYPES[0], *HALF_DTYPES)))
        form = CompareForm(
            question or "", image, halves, model=model or None, device=device or None, hd_num=hd_num or None,
            **handlers.numbers(
                max_new_tokens=max_new_tokens, seed=seed, temperature=temperature, repeats=repeats
            ),
        )  # fmt: skip
        try:
            return compare_handlers.compared(runner, form, preflight, anyway=anyway)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def explain_text(text: str, language: str = "en") -> dict[str, Any]:
        """What a pasted error or traceback means; the JSON of `python -m xcomposer_ui explain`."""
        try:
            if language not in LANGUAGES:
                raise UserError("unknown_setting", name="language", value=language, known=", ".join(LANGUAGES))
            return explanation_as_json(explain(text or ""), language)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def plan(
        model: str = "", image: str = PLANNED.image, hd_num: int = 0,
        prompt_tokens: int = PLANNED.prompt_tokens, new_tokens: int = PLANNED.new_tokens, batch: int = PLANNED.batch,
        half: str = "", device: str = "", memory: float = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """What a run will need under every strategy; the JSON of `python -m xcomposer_ui plan`. memory: in GiB."""
        form = PlanForm(
            model or settings.model, image or "none", hd_num=hd_num or None, half=half or "auto",
            device=device or "auto", memory_gib=memory or None,
            **handlers.numbers(prompt_tokens=prompt_tokens, new_tokens=new_tokens, batch=batch),
        )  # fmt: skip
        try:
            return plan_as_json(preflight.plans.plan(request_of(form, settings, runner.status())))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    with gr.Row(visible=False):
        shown = gr.JSON()
        gr.Button().click(
            run,
            [
                PictureInput(type="filepath", image_mode=None), gr.Textbox(), gr.Textbox("autocast"),
                gr.Textbox(settings.half), gr.Textbox(settings.model), gr.Textbox(settings.device),
                gr.Number(DEFAULTS.max_new_tokens, precision=0), gr.Number(DEFAULTS.seed, precision=0),
                gr.Number(DEFAULTS.temperature), gr.Number(0, precision=0), gr.Checkbox(False),
            ],
            shown, api_name="run", concurrency_id=MODEL_QUEUE, concurrency_limit=1,
        )  # fmt: skip
        gr.Button().click(
            compare,
            [
                PictureInput(type="filepath", image_mode=None), gr.Textbox(), gr.Textbox(settings.half),
                gr.Checkbox(False), gr.Textbox(settings.model), gr.Textbox(settings.device),
                gr.Number(DEFAULTS.max_new_tokens, precision=0), gr.Number(DEFAULTS.seed, precision=0),
                gr.Number(DEFAULTS.temperature), gr.Number(REPEATS, precision=0), gr.Number(0, precision=0),
                gr.Checkbox(False),
            ],
            shown, api_name="compare", concurrency_id=MODEL_QUEUE, concurrency_limit=1,
        )  # fmt: skip
        gr.Button().click(
            plan,
            [
                gr.Textbox(settings.model), gr.Textbox(PLANNED.image), gr.Number(0, precision=0),
                gr.Number(PLANNED.prompt_tokens, precision=0), gr.Number(PLANNED.new_tokens, precision=0),
                gr.Number(PLANNED.batch, precision=0), gr.Textbox("auto"), gr.Textbox("auto"), gr.Number(0),
            ],
            shown, api_name="plan", concurrency_id=PLAN_QUEUE, concurrency_limit=1,
        )  # fmt: skip
        gr.Button().click(explain_text, [gr.Textbox(), gr.Textbox("en")], shown, api_name="explain")
