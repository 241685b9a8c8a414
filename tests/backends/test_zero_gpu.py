"""A ZeroGPU Space, by the real package `spaces` with its service and the card faked (`zero_gpu_space`)."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.backends.zero_gpu_space import Scheduler, environment
from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.backends import zero_gpu
from xcomposer_ui.backends.graph_decoder import decoder_for
from xcomposer_ui.backends.run_control import Stopped
from xcomposer_ui.compare.document import run_as_json
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Finished, Loading
from xcomposer_ui.core.images import open_picture
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import ASSETS, EMBEDDED, Settings
from xcomposer_ui.finetuning.request import FinetuningRequest
from xcomposer_ui.planning.default_choices import Machine
from xcomposer_ui.planning.hardware import Check
from xcomposer_ui.runtime import computations
from xcomposer_ui.runtime.backend import Backend, Progress, ProgressSnapshot, Work
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.ui.views.run_status import answered, loading_label

needs_spaces = pytest.mark.skipif(
    find_spec("spaces") is None or sys.platform != "linux", reason="needs the package spaces, on Linux"
)

TRIO = ASSETS / "examples" / "trio.png"
QUESTION = "What color is the circle?"
VISITOR = f"header.{base64.urlsafe_b64encode(b'{}').decode()}.signature"
TIMES = {"latency_sec", "time_to_first_token_sec", "tokens_per_sec", "load_sec"}

Call = Callable[..., dict[str, Any]]


class Space:
    """A lab that is being served, and its scheduler."""

    def __init__(self, folder: Path) -> None:
        self.scheduler = Scheduler()
        self.other_model = write_checkpoint(folder / "other")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.backends.zero_gpu_space", "--port", str(port)],
            env=environment(self.scheduler, folder) | {"XCOMPOSER_MODELS": str(self.other_model)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.printed: list[str] = []
        up = threading.Event()
        threading.Thread(target=self._read, args=(up,), daemon=True).start()
        up.wait(timeout=120)
        assert self.process.poll() is None and up.is_set(), "\n".join(self.printed)
        self.client = Client(f"http://127.0.0.1:{port}", headers={"x-ip-token": VISITOR}, verbose=False)

    def _read(self, up: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.rstrip())
            if line.startswith("The lab is at"):
                up.set()
        up.set()

    def prints(self, pattern: str) -> bool:
        """Whether a line begins with `pattern`, or one does within two minutes."""
        deadline = time.monotonic() + 120
        while not (found := any(re.match(pattern, line) for line in self.printed)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def run(self, **arguments: Any) -> dict[str, Any]:
        """The result of /run with `arguments` about a picture."""
        given = {"image": handle_file(str(TRIO)), "question": QUESTION, "strategy": "unified", **arguments}
        result: dict[str, Any] = self.client.predict(**given, api_name="/run")
        return result

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # with the processes that were lent a card
        self.process.wait()
        self.scheduler.close()


def needs_direct_writes(folder: Path) -> None:
    """Skip where `folder` cannot be written past the page cache, as `spaces` writes the placed weights."""
    try:
        os.close(os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError as error:
        pytest.skip(f"no direct writes in the temporary folder: {error.strerror}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder = tmp_path_factory.mktemp("space")
    needs_direct_writes(folder)
    space = Space(folder)
    yield space
    space.close()


@pytest.fixture
def space(served: Space) -> Space:
    """The space, its service willing."""
    served.scheduler.answer, served.scheduler.idle = "lend", True
    return served


@pytest.fixture(scope="module")
def plain() -> Runner:
    return Runner(Settings(device="cpu"), machine=Machine(Check))


def on_the_cpu(runner: Runner, strategy: str) -> dict[str, Any]:
    *_, last = runner.run(Request(QUESTION, open_picture(str(TRIO)), strategy=strategy, model=EMBEDDED))
    assert isinstance(last, Finished)
    return json.loads(json.dumps(run_as_json(last.result)))  # type: ignore[no-any-return]


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """`document` without what differs between two equal runs, or says where it ran."""
    left_out = {*TIMES, "reasons", "environment", "timeline", "question"}
    return {name: value for name, value in document.items() if name not in left_out}


@needs_spaces
@pytest.mark.slow
class TestSpace:
    def test_it_comes_up_and_says_what_it_has(self, space: Space) -> None:
        assert space.scheduler.calls[0][0] == "/startup-report"  # weights packed, and there is a function for a card
        assert any("tensors packing: 100%" in line for line in space.printed)
        assert space.prints(r"ok .*NVIDIA H200: runs go there")

    @pytest.mark.parametrize("strategy", ("unified", "autocast", "full"))
    def test_answer_and_figures_are_those_of_the_plain_backend(
        self, space: Space, plain: Runner, strategy: str
    ) -> None:
        found, expected = space.run(strategy=strategy), on_the_cpu(plain, strategy)
        assert without_times(found) == without_times(expected)
        assert found["answer"] == "The circle is red."
        assert found["peak_memory_bytes"] > found["weights_bytes"] > 0
        assert all(found[name] > 0 for name in TIMES - {"load_sec"})
        assert found["load_sec"] is None  # it was placed
        assert found["reasons"]["device"] == "ZeroGPU lends a card for each run: MIG-0"  # which only the process knows
        assert "nothing is kept" in found["reasons"]["kept"]

    def test_a_failure_crosses_with_its_explanation_and_the_trials(self, space: Space, plain: Runner) -> None:
        found, expected = space.run(strategy="as_is"), on_the_cpu(plain, "as_is")
        assert found["failure"]["message"] == "mat1 and mat2 must have the same dtype, but got Float and Half"
        assert found["failure"]["module"] == "vision_proj.0"
        assert without_times(found) == without_times(expected)
        assert all(fix["tried"] for fix in found["failure"]["explanation"]["fixes"])

    def test_a_run_counts_as_the_visitor_s_and_asks_for_longer_where_it_may_take_longer(self, space: Space) -> None:
        before = len(space.scheduler.durations())
        space.run(max_new_tokens=8)
        space.run(max_new_tokens=512)
        short, long = space.scheduler.durations()[before:]
        assert short < long
        asked = [parameters for path, parameters in space.scheduler.calls if path == "/schedule"]
        assert {parameters.get("token") for parameters in asked} == {VISITOR}
        lent = [path for path, _ in space.scheduler.calls]
        assert lent.count("/release") == lent.count("/schedule")

    def test_a_run_waits_for_a_card(self, space: Space) -> None:
        space.scheduler.answer = "queue"
        assert space.run()["answer"] == "The circle is red."

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        (("quota", "ZeroGPU's quota does not cover"), ("too long", "does not lend a card"), ("none", "no card free")),
    )
    def test_a_refusal_is_a_sentence(self, space: Space, answer: str, sentence: str) -> None:
        space.scheduler.answer = answer
        with pytest.raises(AppError, match=sentence):
            space.run()
        space.scheduler.answer = "lend"
        assert space.run()["answer"]

    def test_a_card_that_is_taken_away_is_a_sentence_and_the_next_run_has_a_new_process(self, space: Space) -> None:
        space.scheduler.idle = False
        space.scheduler.kill = True
        with pytest.raises(AppError, match="took the card away before the end"):
            space.client.predict(recipes="float32", steps=500, api_name="/train")
        assert space.run()["answer"] == "The circle is red."
        pids = [parameters["pid"] for path, parameters in space.scheduler.calls if path == "/allow"]
        assert pids[-1] != pids[-2]

    def test_a_comparison_and_a_fine_tuning_are_computed_on_the_card(self, space: Space) -> None:
        compared = space.client.predict(image=handle_file(str(TRIO)), question=QUESTION, repeats=1, api_name="/compare")
        assert {run["strategy"] for run in compared["runs"]} == {"as_is", "autocast", "unified", "full"}
        assert compared["divergence"]
        trained = space.client.predict(recipes="float32", steps=2, api_name="/train")
        assert trained["recipes"][0]["losses"]

    def test_another_model_is_read_where_it_is_used_and_the_cpu_needs_no_card(self, space: Space) -> None:
        space.scheduler.idle = False  # a new process, which knows the model
        result = space.run(model=str(space.other_model), max_new_tokens=4)
        assert result["load_sec"] > 0 and result["new_tokens"] > 0
        asked = len(space.scheduler.durations())
        assert space.run(device="cpu")["reasons"]["device"] == "you asked for it"
        assert len(space.scheduler.durations()) == asked
        assert "lends a card" in space.run()["reasons"]["device"]


@needs_spaces
@pytest.mark.slow
def test_a_stop_ends_a_run_between_two_tokens_and_the_process_computes_the_next(tmp_path: Path) -> None:
    needs_direct_writes(tmp_path)
    scheduler = Scheduler()
    done = subprocess.run(
        [sys.executable, "-m", "tests.backends.zero_gpu_space", "stop"],
        env=environment(scheduler, tmp_path), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    scheduler.close()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-2])
    assert found["stopped"] == 4 < found["whole"]
    assert found["answer"] == "Please show me a picture with drawn shapes."
    assert [path for path, _ in scheduler.calls].count("/allow") == 1


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> zero_gpu.ZeroGpuHost:
    """The embedded model as a process with a card has it, the card being the processor."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")
    monkeypatch.setattr(zero_gpu, "_HOSTS", {})
    host = zero_gpu._host(EMBEDDED, "auto")
    host.local.device, host.local.decoder = "cpu", decoder_for("auto", "cpu")
    return host


def works() -> list[Work[Any]]:
    """One of each kind that the runner has."""
    request = under(Request(QUESTION, Image.open(TRIO).convert("RGB"), model=EMBEDDED, max_new_tokens=4), "unified")
    tuning = FinetuningRequest(recipes=("float32",), steps=1, device="cpu")
    return [
        Work(computations.compute_run, (request, "chosen")),
        Work(computations.compute_run, (replace(request, strategy="as_is"), "chosen")),
        Work(computations.compute_batch, ([request, request], "chosen")),
        Work(computations.measure_divergence, (request, (("unified", "float16"), ("full", "float16")))),
        Work(computations.trace, (request,)),
        Work(computations.finetune, (tuning, "cpu", Check())),
    ]


@pytest.mark.slow
def test_work_progress_and_results_are_plain_data(host: zero_gpu.ZeroGpuHost) -> None:
    for work in works():
        updates = list(zero_gpu.compute_here(EMBEDDED, "auto", pickle.loads(pickle.dumps(work)), 1))
        crossed = pickle.loads(pickle.dumps(updates))
        assert isinstance(crossed[-1], zero_gpu.Outcome)
        assert crossed[-1].unwrapped() is not None
        assert all(isinstance(update, ProgressSnapshot) for update in crossed[:-1])


def raising(backend: Backend, progress: Progress, error: BaseException) -> None:
    raise error


def waiting(backend: Backend, progress: Progress, stopped: list[bool]) -> None:
    progress.text = lambda: "so far"
    progress.stop.wait()
    stopped.append(True)


def test_a_mistake_crosses_as_one_and_a_bug_with_its_traceback(host: zero_gpu.ZeroGpuHost) -> None:
    def outcome(error: BaseException) -> zero_gpu.Outcome:
        *_, last = zero_gpu.compute_here(EMBEDDED, "auto", Work(raising, (error,)), 1)
        assert isinstance(last, zero_gpu.Outcome)
        return pickle.loads(pickle.dumps(last))  # type: ignore[no-any-return]

    with pytest.raises(UserError) as mistake:
        outcome(UserError("unknown_model", name="x", known="y")).unwrapped()
    assert mistake.value.facts == {"name": "x", "known": "y"}
    with pytest.raises(Stopped):
        outcome(Stopped()).unwrapped()
    with pytest.raises(RuntimeError, match="KeyError: 'bug'"):
        outcome(KeyError("bug")).unwrapped()


def test_closing_stops_the_work_and_waits_for_its_end(host: zero_gpu.ZeroGpuHost) -> None:
    stopped: list[bool] = []
    updates = zero_gpu.compute_here(EMBEDDED, "auto", Work(waiting, (stopped,)), 1)
    shown = Progress()
    while shown.text is None:
        update = next(updates)
        assert isinstance(update, ProgressSnapshot)
        shown.show(update)
    assert shown.text() == "so far" and not stopped
    updates.close()
    assert stopped == [True]


@pytest.mark.slow
def test_nothing_is_kept_for_the_next_turn_and_a_fresh_process_warms_up_once(
    host: zero_gpu.ZeroGpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    generate = zero_gpu.LocalBackend.generate

    def counted(self: Any, request: Request, progress: Progress) -> Any:
        asked.append(request.max_new_tokens)
        return generate(self, request, progress)

    monkeypatch.setattr(zero_gpu.LocalBackend, "generate", counted)
    request = under(Request("What shapes are there?", model=EMBEDDED, max_new_tokens=6), "unified")
    for question in (request, replace(request, history=(("What shapes are there?", "None."),))):
        *_, last = zero_gpu.compute_here(EMBEDDED, "auto", Work(computations.compute_run, (question, "chosen")), 1)
        assert isinstance(last, zero_gpu.Outcome)
        assert last.unwrapped().measurement.reused_tokens == 0
    assert asked == [zero_gpu.WARM_UP_TOKENS, 6, 6]


class Refusal(Exception):
    """As gradio.Error, which `spaces` raises."""

    def __init__(self, title: str, message: str) -> None:
        self.title, self.message = title, message


@pytest.mark.parametrize("title", zero_gpu.REFUSALS)
def test_each_refusal_is_a_sentence_in_each_language(title: str) -> None:
    with pytest.raises(UserError) as refused, zero_gpu._refusals(42):
        raise Refusal(title, "Try again in 0:10:00.")
    for language in ("en", "zh"):
        sentence = refused.value.in_language(language)
        assert "“Try again in 0:10:00”" in sentence
        assert refused.value.code == "zero_gpu_none_free" or "42" in sentence
    assert any("\u4e00" <= letter <= "\u9fff" for letter in refused.value.in_language("zh"))


def test_a_service_that_fails_is_a_sentence_and_anything_else_a_bug() -> None:
    with pytest.raises(UserError, match="could not be reached: ZeroGPU API"), zero_gpu._refusals(1):
        raise RuntimeError("ZeroGPU API /schedule error: 500 (Internal Server Error)")
    with pytest.raises(Refusal), zero_gpu._refusals(1):
        raise Refusal("Another title", "x")


def test_the_page_says_that_a_run_waits_for_a_card_and_what_is_not_kept(host: zero_gpu.ZeroGpuHost) -> None:
    waits = Loading(EMBEDDED, "float16", stage="card")
    assert {language: loading_label(waits, language)[:7] for language in ("en", "zh")} == {
        "en": "Waiting", "zh": "正在等待 Ze",
    }  # fmt: skip
    result = computations.compute_run(
        host.local, Progress(), under(Request("What?", model=EMBEDDED, max_new_tokens=2), "unified"), "chosen"
    )
    assert "nothing is kept for the next turn" in answered(result, False, "en")
    assert "不为下一轮保留缓存" in answered(result, False, "zh")
