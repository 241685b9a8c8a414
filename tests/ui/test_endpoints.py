"""/run and /explain, called as a script calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.checkpoints import write_checkpoint
from tests.planning.scripted import GIB, a_plan, a_training_plan
from tests.ui.scripted import MESSAGE, ScriptedRunner
from tests.ui.test_preflight import Tight
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.result import explanation_as_json
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.explain import explain
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.plan import PlanRequest, plan_as_json
from xcomposer_ui.planning.training_plan import TrainingPlanRequest, training_plan_as_json
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.handlers import run_once
from xcomposer_ui.ui.serve import launch

Connect = Callable[[object], Client]


@pytest.fixture(scope="module")
def scripted() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture(scope="module")
def client(connected: Connect, scripted: ScriptedRunner) -> Client:
    return connected(scripted)


def test_only_the_documented_endpoints_have_names(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/run", "/compare", "/explain", "/plan", "/train"}
    assert [parameter["parameter_name"] for parameter in named["/run"]["parameters"]] == [
        "image", "question", "strategy", "half", "model", "device", "max_new_tokens", "seed", "temperature",
        "hd_num", "stress_exponent", "anyway",
    ]  # fmt: skip
    assert [parameter["parameter_name"] for parameter in named["/compare"]["parameters"]] == [
        "image", "question", "half", "both_halves", "model", "device", "max_new_tokens", "seed", "temperature",
        "repeats", "hd_num", "stress_exponent", "anyway",
    ]  # fmt: skip
    assert [parameter["parameter_name"] for parameter in named["/train"]["parameters"]] == [
        "recipes", "kind", "optimizer", "device", "steps", "batch", "seed", "learning_rate", "loss_divisor", "epsilon",
    ]  # fmt: skip
    assert [parameter["parameter_name"] for parameter in named["/explain"]["parameters"]] == ["text", "language"]


def test_run_answers_in_the_command_lines_words(client: Client, picture: str, scripted: ScriptedRunner) -> None:
    asked = {"image": handle_file(picture), "question": "What?", "strategy": "unified"}
    told = client.predict(**asked, seed=5, hd_num=9, api_name="/run")
    expected = run_once(scripted, {"text": "What?", "file": picture, "strategy": "unified", "seed": 5, "hd_num": 9})  # type: ignore[arg-type]
    assert told == json.loads(json.dumps(expected))
    assert told["question"]["text"] == "What?"
    assert told["answer"] == "You asked: What?"
    assert (told["seed"], told["hd_num"], told["question"]["hd_num"]) == (5, 9, 9)


def test_train_answers_in_the_command_lines_words(client: Client) -> None:
    told = client.predict(recipes="float32,no_autocast", steps=2, api_name="/train")
    assert [entry["recipe"] for entry in told["recipes"]] == ["float32", "no_autocast"]
    assert told["recipes"][0]["accuracy_after"] == 0.9
    assert told["recipes"][1]["failure"]["type"] == "ValueError"
    assert told["settings"]["steps"] == 2
    with pytest.raises(AppError, match="There is no recipe"):
        client.predict(recipes="fp16", api_name="/train")


def test_a_failed_run_is_an_answer_with_its_failure(client: Client, picture: str) -> None:
    told = client.predict(image=handle_file(picture), question="What?", strategy="as_is", api_name="/run")
    assert told["answer"] is None
    assert told["failure"]["message"] == MESSAGE
    assert told["failure"]["operands"][1]["dtype"] == "float32"
    assert told["tokens_per_sec"] is None


def test_what_will_not_fit_is_an_error_unless_it_is_asked_for_anyway() -> None:
    runner = ScriptedRunner(has_room=MemoryBudget("cpu", 24 * GIB), model="org/large")
    settings = Settings(model="org/large", port=0)
    app, address, _ = launch(settings, runner, Tight())  # type: ignore[arg-type]  # the double has its interface
    try:
        client = Client(address, verbose=False)
        with pytest.raises(AppError, match=r"needed: full 35.00 GiB.* What fits: autocast\."):
            client.predict(question="What?", strategy="full", api_name="/run")
        assert runner.asked == []
        assert client.predict(question="What?", strategy="full", anyway=True, api_name="/run")["answer"]
        assert client.predict(question="What?", strategy="unified", api_name="/run")["answer"]
    finally:
        app.close()


def test_a_picture_may_be_left_out(client: Client) -> None:
    assert client.predict(question="What?", strategy="as_is", api_name="/run")["answer"] == "You asked: What?"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"question": ""}, UserError("empty_question")),
        ({"strategy": "magic"}, UserError("unknown_strategy", name="magic", known="as_is, autocast, unified, full")),
        ({"question": "x" * 100_000}, UserError("long_question", length=100_000, longest=8000)),
        ({"max_new_tokens": 0}, UserError("out_of_range", name="max_new_tokens", value=0, lowest=1, highest=4096)),
        ({"hd_num": 97}, UserError("out_of_range", name="hd_num", value=97, lowest=1, highest=96)),
    ],
)
def test_a_users_mistake_is_an_error_with_its_sentence(
    client: Client, change: dict[str, object], error: UserError
) -> None:
    with pytest.raises(AppError) as raised:
        client.predict(**{"question": "What?", "strategy": "full", "api_name": "/run", **change})
    assert str(raised.value) == str(error)


@pytest.mark.parametrize("name", ["text.png", "drawing.svg", "empty.png"])
def test_a_broken_picture_is_an_error_with_a_sentence(client: Client, tmp_path: Path, name: str) -> None:
    broken = tmp_path / name
    broken.write_text("" if name == "empty.png" else "<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(AppError) as raised:
        client.predict(image=handle_file(str(broken)), question="What?", strategy="full", api_name="/run")
    sentence = str(raised.value)
    assert name in sentence
    assert "/" not in sentence.replace(name, "").replace("16/9", "")


def test_a_path_on_the_server_is_not_read(client: Client) -> None:
    with pytest.raises(AppError):
        client.predict(
            image={"path": __file__, "meta": {"_type": "gradio.FileData"}},
            question="What?",
            strategy="full",
            api_name="/run",
        )


def test_explain_answers_in_the_command_lines_words(client: Client) -> None:
    assert client.predict(text=MESSAGE, api_name="/explain") == explanation_as_json(explain(MESSAGE))
    assert client.predict(text=MESSAGE, language="zh", api_name="/explain") == explanation_as_json(
        explain(MESSAGE), "zh"
    )
    assert client.predict(text="prose", api_name="/explain")["recognised"] is False


def test_explain_refuses_a_language_it_does_not_speak(client: Client) -> None:
    with pytest.raises(AppError, match="Choose one of: en, zh"):
        client.predict(text=MESSAGE, language="fr", api_name="/explain")


def test_the_real_runner_fails_and_answers_for_real(
    connected: Connect, picture: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = str(write_checkpoint(tmp_path_factory.mktemp("model")))
    client = connected(Runner(Settings(model=checkpoint)))
    asked = {"image": handle_file(picture), "question": "What?", "max_new_tokens": 4, "api_name": "/run"}
    failed = client.predict(strategy="as_is", model=checkpoint, **asked)
    assert failed["failure"]["message"] == MESSAGE
    assert failed["failure"]["module"] == "vision_proj.0"
    told = client.predict(strategy="unified", model=checkpoint, **asked)
    assert told["failure"] is None
    assert told["weights_dtype"] == "float16"
    assert told["peak_memory_bytes"] > 0


def test_plan_answers_in_the_command_lines_words(client: Client) -> None:
    told = client.predict(image="640x480", batch=2, memory=24, api_name="/plan")
    assert told == plan_as_json(a_plan(PlanRequest("embedded", (640, 480), batch=2, device="cpu")))
    with pytest.raises(AppError, match="picture size"):
        client.predict(image="large", api_name="/plan")
    for more in ({"lora_rank": 4}, {"optimizer": "sgd"}, {"train_tower": True}):
        with pytest.raises(AppError, match=f"{next(iter(more))} is for planning fine-tuning: add train"):
            client.predict(**more, api_name="/plan")


def test_plan_of_a_fine_tuning_answers_in_the_command_lines_words(client: Client) -> None:
    told = client.predict(image="640x480", train=True, optimizer="sgd", lora_rank=8, api_name="/plan")
    request = TrainingPlanRequest("embedded", (640, 480), device="cpu", optimizer="sgd", lora_rank=8)
    assert told == training_plan_as_json(a_training_plan(request))
