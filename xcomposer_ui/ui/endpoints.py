"""The page's endpoints for scripts (/run, /compare, /explain, /plan, /train): the command line's field names, in JSON.

A user's mistake is an error of the call with the sentence as its message (gradio_client raises it as AppError), and so
is a run or a comparison that will not fit into memory, unless `anyway` is true; a run that failed is a result like any
other, its `failure` filled. What needs no work to be found, such as a wrong kind or number of values, is refused before
the call is queued. Work whose caller has disconnected is given up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES
from xcomposer_ui.core.request import TILE_SETTINGS, Request, Setting, settings_of
from xcomposer_ui.core.result import explanation_as_json
from xcomposer_ui.core.strategies import HALF_DTYPES
from xcomposer_ui.explain import explain
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.planning.plan import PlanRequest, plan_as_json
from xcomposer_ui.planning.training_plan import TrainingPlan, training_plan_as_json
from xcomposer_ui.ui import compare_handlers, handlers, plan_handlers, train_handlers
from xcomposer_ui.ui.call_check import REFUSED
from xcomposer_ui.ui.controls import PictureInput, filled_in
from xcomposer_ui.ui.gradio_sessions import caller_gone
from xcomposer_ui.ui.localization import SessionLanguages
from xcomposer_ui.ui.page import Page
from xcomposer_ui.ui.plan_tab import PLAN_QUEUE
from xcomposer_ui.ui.run_tab import MODEL_QUEUE, MOST_COMPUTING


@dataclass(frozen=True)
class Parameter:
    """One argument of an endpoint. component: not shown; Gradio reads the argument through it."""

    name: str
    default: Any
    component: Any


def setting_parameters(*records: type) -> list[Parameter]:
    """The flagged settings of `records`; 0 stands for the model's own number.

    Scripts may give arguments by position, so that their order is part of the contract: the first record's whole
    numbers, its other numbers, the other records' settings, and last those that a model has of its own.
    """
    first, *others = (settings_of(record, flagged=True) for record in records)
    fixed = sorted((s for s in first if s.default is not None), key=lambda s: s.kind is float)
    own = [s for s in first if s.default is None]
    return [
        number_parameter(s.name, s.default or 0, whole=s.kind is int)
        for s in (*fixed, *(s for settings in others for s in settings), *own)
    ]


def number_parameter(name: str, default: float, *, whole: bool = True) -> Parameter:
    return Parameter(name, default, gr.Number(default, precision=0 if whole else None))


def text_parameter(name: str, initial: str = "", default: str = "") -> Parameter:
    """A parameter that is a text. initial: the component's value."""
    return Parameter(name, default, gr.Textbox(initial))


class JsonAnswer(gr.JSON):
    """The JSON of an endpoint. The page, which never shows it, need not load a viewer of JSON: three files."""

    def get_block_name(self) -> str:
        return "html"


def add_endpoint(
    name: str,
    function: Callable[..., dict[str, Any]],
    parameters: Sequence[Parameter],
    queue: str | None = None,
    check: Callable[..., object] | None = None,
) -> None:
    """Add the endpoint /`name` to the Blocks being built; `function` takes the parameters by name.

    check: called in the same way before a call is queued; it returns at once, or raises UserError.
    """

    def call(*values: Any) -> dict[str, Any]:
        try:
            return function(**dict(zip((p.name for p in parameters), values, strict=True)))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    if check is not None:
        defaults = {p.name: p.default for p in parameters}
        call.check_values = lambda values: check(**defaults | dict(values))  # type: ignore[attr-defined]
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Gradio names the arguments after it
        [inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=p.default) for p in parameters]
    )
    call.__name__, call.__doc__ = name, function.__doc__
    limit = MOST_COMPUTING if queue == MODEL_QUEUE else 1  # the runner has a queue of its own
    queued: dict[str, Any] = {"concurrency_id": queue, "concurrency_limit": limit} if queue else {}
    gr.Button().click(call, [p.component for p in parameters], JsonAnswer(), api_name=name, **queued)


def add_refusal(languages: SessionLanguages) -> None:
    """Add the event that ends with the sentence of a refused call, in the language of the session's page."""

    def refused(sentences: dict[str, str], request: gr.Request) -> None:
        raise gr.Error(sentences[languages.of(request.session_hash)], print_exception=False)

    gr.Button().click(
        refused,
        JsonAnswer(),
        api_name=REFUSED,
        api_visibility="private",
        concurrency_limit=None,
        show_progress="hidden",
    )


def build_endpoints(page: Page) -> None:
    """Add the endpoints to the Blocks being built, on components that the page does not show."""
    settings, runner, checks = page.settings, page.runner, page.checks

    def checked_run(anyway: bool, **values: Any) -> dict[str, Any]:
        fields = _fields(values, settings_of(Request)) | {"strategy": values["strategy"]}
        runner.resolved(Request(**fields))
        return fields

    def run(anyway: bool, **values: Any) -> dict[str, Any]:
        """One question about one picture (or none) under one strategy; the JSON of `python -m xcomposer_ui run`.

        0 tiles stand for the model's own number. anyway: start what by its plan will not fit into memory.
        """
        return handlers.run_once(runner, checked_run(anyway, **values), checks, caller_gone(), anyway=anyway)

    def checked_comparison(anyway: bool, both_halves: bool, **values: Any) -> dict[str, Any]:
        fields = _fields(values, (*settings_of(Request), *settings_of(ComparisonSettings)))
        half = fields.pop("half")
        halves = () if half in (None, "auto") else (half,)
        if both_halves:
            halves = tuple(dict.fromkeys((*halves, *HALF_DTYPES)))
        question, settings = compare_handlers.split_fields({**fields, "halves": halves})
        runner.resolved(Request(**question)), ComparisonSettings(**settings)
        return {**fields, "halves": halves}

    def compare(anyway: bool, both_halves: bool, **values: Any) -> dict[str, Any]:
        """One question under every strategy; the JSON of `python -m xcomposer_ui compare`."""
        fields = checked_comparison(anyway, both_halves, **values)
        return compare_handlers.compare_once(runner, fields, checks, caller_gone(), anyway=anyway)

    def explain_text(text: str, language: str) -> dict[str, Any]:
        """What a pasted error or traceback means; the JSON of `python -m xcomposer_ui explain`."""
        if language not in LANGUAGES:
            raise UserError("unknown_setting", name="language", value=language, known=", ".join(LANGUAGES))
        return explanation_as_json(explain(text or ""), language)

    def checked_plan(model: str, memory: float, train: bool, train_tower: bool, **values: Any) -> PlanRequest:
        changed = values["optimizer"] != plan_handlers.DEFAULTS.optimizer
        given = {"optimizer": changed, "lora_rank": values["lora_rank"], "train_tower": train_tower}
        if not train and (flag := next((name for name, value in given.items() if value), None)):
            raise UserError("only_with_train", flag=flag, train="train")
        named = {"model": model or settings.model, "memory_gib": memory, "trains_tower": train_tower}
        fields = plan_handlers.filled_in({**values, **named, "what": plan_handlers.WHAT[bool(train)]})
        return plan_handlers.request_of(fields, settings, runner.status())

    def plan(**values: Any) -> dict[str, Any]:
        """What a run will need under every strategy; the JSON of `python -m xcomposer_ui plan`. memory: in GiB.

        train: what a fine-tuning will need under every recipe; the JSON of `plan --train`.
        """
        planned = plan_handlers.plan_of(checks.plans, checked_plan(**values))
        return training_plan_as_json(planned) if isinstance(planned, TrainingPlan) else plan_as_json(planned)

    def checked_training(recipes: str, device: str, **values: Any) -> dict[str, Any]:
        names = tuple(dict.fromkeys(name for name in (recipes or "").split(",") if name))
        fields = values | {"recipes": names, "device": device or None}
        FinetuningRequest(**fields)
        return fields

    def train(**values: Any) -> dict[str, Any]:
        """Fine-tune the embedded model; the JSON of `python -m xcomposer_ui train`. recipes: separated by commas."""
        return train_handlers.finetune_once(runner, checked_training(**values), caller_gone())

    with gr.Row(visible=False):
        add_refusal(page.words.languages)
        picture = Parameter("image", None, PictureInput(type="filepath", image_mode=None))
        question, half = text_parameter("question"), text_parameter("half", settings.half)
        lab = (text_parameter("model", settings.model), text_parameter("device", settings.device))
        anyway = Parameter("anyway", False, gr.Checkbox(False))
        strategy = text_parameter("strategy", Request.strategy)
        numbers = setting_parameters(Request)
        add_endpoint("run", run, [picture, question, strategy, half, *lab, *numbers, anyway], MODEL_QUEUE, checked_run)
        both = Parameter("both_halves", False, gr.Checkbox(False))
        numbers = setting_parameters(Request, ComparisonSettings)
        add_endpoint(
            "compare", compare, [picture, question, half, both, *lab, *numbers, anyway], MODEL_QUEUE, checked_comparison
        )
        counts = [number_parameter(name, getattr(plan_handlers.DEFAULTS, name)) for name in plan_handlers.COUNTS]
        add_endpoint(
            "plan", plan,
            [
                lab[0], text_parameter("image", plan_handlers.PICTURE, plan_handlers.PICTURE),
                *(number_parameter(name, 0) for name in TILE_SETTINGS), *counts,
                text_parameter("half", "auto"), text_parameter("device", "auto"),
                number_parameter("memory", 0, whole=False), Parameter("train", False, gr.Checkbox(False)),
                text_parameter("optimizer", plan_handlers.DEFAULTS.optimizer, plan_handlers.DEFAULTS.optimizer),
                number_parameter("lora_rank", 0),
                Parameter("train_tower", False, gr.Checkbox(False)),
            ],
            PLAN_QUEUE,
            checked_plan,
        )  # fmt: skip
        tuned = FinetuningRequest()
        named = {"recipes": ",".join(tuned.recipes), "kind": tuned.kind, "optimizer": tuned.optimizer}
        words = [text_parameter(name, default, default) for name, default in named.items()]
        numbers = setting_parameters(FinetuningRequest)
        add_endpoint("train", train, [*words, lab[1], *numbers], MODEL_QUEUE, checked_training)
        text = Parameter("text", inspect.Parameter.empty, gr.Textbox())
        add_endpoint("explain", explain_text, [text, text_parameter("language", "en", "en")])


def _fields(values: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, Any]:
    """The request's fields among an endpoint's arguments; an empty text leaves the choice to the lab."""
    return {
        "text": values["question"] or "",
        "file": values["image"],
        **{name: values[name] or None for name in ("half", "model", "device")},
        **filled_in(settings, values),
    }
