"""The runner on a scripted backend: events, the lock, stopping, failures as data, the user's mistakes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from PIL import Image

from tests.requests import under
from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.events import Finished, FinishedBatch, Loading, TextSoFar, TryingRemedies, Waiting
from xcomposer_ui.core.request import MemoryRequest, Request
from xcomposer_ui.core.result import Measurement, Operand, result_as_json
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.runtime.backend import BatchCallResult, CallResult, Progress, Result, Work
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, FailureSite, Traced, Tracing

PICTURE = Image.new("RGB", (8, 8))
ASK = Request("What?", PICTURE, strategy="unified")
CLASH = "mat1 and mat2 must have the same dtype, but got Float and Half"


class Stopped(BaseException):
    """What ends a download in the middle."""


class ScriptedBackend:
    """Implements the real interface: loads at once, says its words one by one, fails under as_is."""

    def __init__(self, model: str, device: str) -> None:
        self.model = model
        self.device = "cpu" if device == "auto" else device
        self.reasons = {"device": "scripted"}
        self.held: list[str] = []
        self.asked: list[Request] = []
        self.traced: list[Request] = []
        self.hold_trace = False
        self.busy = 0
        self.most_busy = 0
        self.pause_sec = 0.05
        self.hold_answer = threading.Event()  # set: an answer goes on past its first word only where it is stopped
        self.stopped = 0
        self.forgotten = 0
        self.tried = 0
        self.hold_trial = threading.Event()  # set: a remedy's trial ends only where it is stopped, or this is cleared
        self.revision: str | None = None
        self.fetched = 0
        self.arrived = threading.Event()
        self.threads: set[int] = set()

    def fetch(self, progress: Progress) -> None:
        self.fetched += 1
        if self.model == "org/model":
            progress.stage, progress.fraction = "download", 0.5
            while not self.arrived.wait(0.01):
                if progress.stop.is_set():
                    raise Stopped
            progress.stage, self.revision = "load", "abc123"
        if self.model == "org/gated":
            raise UserError("hub_gated", name=self.model)

    def budget_bytes(self) -> int | None:
        return None

    def loaded(self) -> tuple[str, ...]:
        return tuple(self.held)

    def load(self, dtype: str, progress: Progress) -> float | None:
        self.threads.add(threading.get_ident())
        if dtype in self.held:
            return None
        for fraction in (0.5, 1.0):
            progress.fraction = fraction
            time.sleep(self.pause_sec)
        self.held.append(dtype)
        return 0.1

    def compute(self, work: Work[Result], progress: Progress) -> Result:
        return work.function(self, progress, *work.arguments)

    def generate(self, request: Request, progress: Progress) -> CallResult:
        self.busy += 1
        self.threads.add(threading.get_ident())
        self.most_busy = max(self.most_busy, self.busy)
        try:
            self.asked.append(request)
            if request.strategy == "as_is":
                site = FailureSite("vision_proj.0", "aten.addmm", (Operand("a", "float32", "b"),))
                return CallResult(Measurement(), None, False, "RuntimeError", CLASH, "Traceback …", site)
            said: list[str] = []
            progress.text = lambda: " ".join(said)
            for word in ("one", request.text, "three"):
                said.append(word)
                time.sleep(self.pause_sec)
                while self.hold_answer.is_set() and not progress.stop.is_set():
                    time.sleep(0.01)
                if progress.stop.is_set():
                    self.stopped += 1
                    return CallResult(Measurement(), " ".join(said), stopped=True)
            return CallResult(Measurement(latency_sec=1.0, new_tokens=3), " ".join(said))
        finally:
            self.busy -= 1

    def measure_divergence(
        self, request: Request, variants: Sequence[tuple[str, str]], progress: Progress
    ) -> Divergences:
        return Divergences()

    def try_remedy(self, request: Request, progress: Progress) -> CallResult | None:
        self.tried += 1
        while self.hold_trial.is_set() and not progress.stop.is_set():
            time.sleep(0.01)
        if request.strategy == "full":
            return None
        if request.strategy == "unified":
            return CallResult(Measurement(), failure_type="RuntimeError", message="another clash")
        return CallResult(Measurement(), "one")

    def trace_dtypes(self, request: Request, progress: Progress) -> DtypeFlow:
        self.traced.append(request)
        while self.hold_trace and not progress.stop.is_set():
            time.sleep(0.01)
        failed = request.strategy == "as_is"
        return DtypeFlow((), CLASH if failed else None)

    def generate_batch(self, requests: Sequence[Request], progress: Progress) -> BatchCallResult:
        outcomes = tuple(self.generate(request, progress) for request in requests[:2])
        return BatchCallResult(outcomes, len(outcomes))

    def forget(self) -> None:
        self.forgotten += 1

    def unload(self) -> None:
        self.held.clear()


@pytest.fixture
def backends() -> list[ScriptedBackend]:
    return []


@pytest.fixture
def runner(backends: list[ScriptedBackend]) -> Runner:
    def opened(model: str, device: str) -> ScriptedBackend:
        if device == "cuda":
            raise UserError("no_cuda")
        backends.append(ScriptedBackend(model, device))
        return backends[-1]

    return Runner(Settings(models=("embedded", "other", "org/model", "org/gated")), opened)


def test_a_run_tells_of_loading_then_text_then_the_result(runner: Runner) -> None:
    events = list(runner.run(ASK))
    kinds = [type(event) for event in events]
    assert kinds[0] is Loading
    assert kinds.index(TextSoFar) > kinds.index(Loading)
    assert isinstance(events[-1], Finished)
    result = events[-1].result
    assert (result.answer, result.weights_dtype, result.device) == ("one What? three", "float16", "cpu")
    assert result.measurement.load_sec == 0.1
    assert result.reasons["device"] == "scripted"


def test_what_came_of_the_remedies_so_far_is_an_event(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.open()
    backends[0].hold_trial.set()
    run = runner.run(under(ASK, "as_is"))
    first = next(event for event in run if isinstance(event, TryingRemedies))
    assert (first.failure.message, first.pending) == (CLASH, ("autocast", "unified", "full"))
    assert not any(fix.tried for fix in first.failure.explanation.fixes if fix.strategy != "as_is")
    backends[0].hold_trial.clear()
    *_, last = run
    assert isinstance(last, Finished) and last.result.failure is not None
    tried = {fix.strategy: fix.tried for fix in last.result.failure.explanation.fixes}
    assert tried == {"as_is": True, "autocast": True, "unified": True, "full": False}


def test_half_weights_are_loaded_once_for_three_strategies(runner: Runner, backends: list[ScriptedBackend]) -> None:
    for strategy in ("as_is", "autocast", "unified"):
        list(runner.run(under(ASK, strategy, None)))
    assert backends[0].held == ["float16"]
    list(runner.run(under(ASK, "full", None)))
    assert backends[0].held == ["float16", "float32"]


def test_an_expected_failure_is_a_result_with_its_site_and_explanation(runner: Runner) -> None:
    *_, last = runner.run(under(ASK, "as_is"))
    assert isinstance(last, Finished)
    failure = last.result.failure
    assert failure is not None
    assert last.result.answer is None
    assert (failure.message, failure.module, failure.operation) == (CLASH, "vision_proj.0", "aten.addmm")
    assert failure.explanation.recognised
    assert failure.explanation.dtypes == ("float32", "float16")
    assert {fix.strategy: (fix.cures, fix.tried, fix.failed_with) for fix in failure.explanation.fixes} == {
        "as_is": (False, True, CLASH),
        "autocast": (True, True, None),
        "unified": (False, True, "another clash"),
        "full": (True, False, None),  # not tried: what the table knows
    }
    json = result_as_json(last.result)["failure"]
    assert json["operands"][0] == {"name": "a", "dtype": "float32", "origin": "b", "shape": []}


def test_closing_stops_the_run_and_leaves_the_model_free(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.warm_up()
    backends[0].hold_answer.set()
    run = runner.run(replace(ASK, text="x"))
    next(event for event in run if isinstance(event, TextSoFar))
    run.close()
    following = runner.run(ASK)  # the model is free once the stopped run has really ended
    backends[0].hold_answer.clear()
    *_, last = following
    assert isinstance(last, Finished)
    assert backends[0].stopped == 1
    assert last.result.answer == "one What? three"


def test_the_last_event_comes_again_while_nothing_is_new(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.warm_up()
    backends[0].hold_answer.set()
    late = threading.Timer(60, backends[0].hold_answer.clear)  # else a runner that says nothing waits for ever
    late.start()
    run = runner.run(ASK)
    assert [event for event, _ in zip(run, range(4), strict=False)][1:] == [TextSoFar("one")] * 3
    run.close()
    late.cancel()


def test_two_visitors_never_compute_at_once_and_the_second_waits(
    runner: Runner, backends: list[ScriptedBackend]
) -> None:
    waiting: list[str] = []
    answers: dict[str, str | None] = {}

    def visit(text: str) -> None:
        for event in runner.run(replace(ASK, text=text)):
            if isinstance(event, Waiting) and text not in waiting:
                waiting.append(text)
                if len(waiting) == 2:
                    backends[0].hold_answer.clear()
            if isinstance(event, Finished):
                answers[text] = event.result.answer

    list(runner.run(ASK))
    backends[0].hold_answer.set()  # the first visitor's answer is held until the two others wait
    threads = [threading.Thread(target=visit, args=(text,)) for text in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backends[0].most_busy == 1
    assert answers == {text: f"one {text} three" for text in "abc"}
    assert len(waiting) == 2


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda r: r.run(under(ASK, "quantum")), "unknown_strategy"),
        (lambda r: r.run(under(ASK, "unified", "float8")), "unknown_half"),
        (lambda r: r.run(replace(ASK, model="../../etc")), "unknown_model"),
        (lambda r: r.run(replace(ASK, device="cuda")), "no_cuda"),
        (lambda r: r.run(replace(ASK, device="tpu")), "unknown_setting"),
        (lambda r: r.run(Request("  ", PICTURE)), "empty_question"),
        (lambda r: r.run(Request("x" * 100_000, PICTURE)), "long_question"),
        (lambda r: r.run(Request("<ImageHere>" * 3, PICTURE)), "image_marks"),
        (lambda r: r.run(Request("a [UNUSED_TOKEN_145] b", PICTURE)), "control_token"),
        (lambda r: r.run(Request("a", PICTURE, max_new_tokens=0)), "out_of_range"),
        (lambda r: r.run(Request("a", PICTURE, temperature=float("nan"))), "out_of_range"),
        (lambda r: r.run(Request("a", PICTURE, hd_num=0)), "out_of_range"),
        (lambda r: r.run(Request("a", PICTURE, hd_num=97)), "out_of_range"),
        (lambda r: r.run(Request("a", PICTURE, hd_num=9)), "no_tiles"),
        (lambda r: r.run_batch([replace(ASK, hd_num=9)]), "no_tiles"),
        (lambda r: r.trace(replace(ASK, hd_num=9)), "no_tiles"),
        (lambda r: r.diverge(Request("a", PICTURE, hd_num=9), [("unified", "float16")]), "no_tiles"),
    ],
)
def test_mistakes_are_user_errors_and_the_next_run_works(runner: Runner, call: Callable, code: str) -> None:
    with pytest.raises(UserError) as caught:
        list(call(runner))
    assert caught.value.code == code
    *_, last = runner.run(ASK)
    assert isinstance(last, Finished)


def test_tiles_reach_a_model_of_which_nothing_is_known_yet(runner: Runner, backends: list[ScriptedBackend]) -> None:
    *_, last = runner.run(replace(ASK, hd_num=9, model="other"))
    assert isinstance(last, Finished)
    assert backends[-1].asked[-1].hd_num == last.result.request.hd_num == result_as_json(last.result)["hd_num"] == 9
    full = Request("What?", PICTURE, hd_num=9, strategy="full", model="other")
    assert runner.resolved(full).memory_query() == MemoryRequest("other", "full", "float16", (8, 8), 5, 256, 9)


def test_all_that_computes_does_so_in_one_thread(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.warm_up()
    visits = [threading.Thread(target=lambda: list(runner.run(ASK))) for _ in range(2)]
    for visit in visits:
        visit.start()
    for visit in visits:
        visit.join()
    list(runner.run(under(ASK, "full", None)))
    assert len(backends[0].threads) == 1
    assert threading.get_ident() not in backends[0].threads


def test_a_warm_up_that_fails_says_why_and_leaves_the_model_free(runner: Runner) -> None:
    runner.settings = Settings(device="cuda", models=("embedded", "other"))
    with pytest.raises(UserError):
        runner.warm_up()
    assert isinstance(list(runner.run(replace(ASK, device="cpu")))[-1], Finished)


def test_a_bug_in_the_backend_is_raised_and_frees_the_model(runner: Runner, backends: list[ScriptedBackend]) -> None:
    list(runner.run(ASK))
    broken = backends[0].generate
    backends[0].generate = lambda *_: {}["missing"]  # type: ignore[assignment,index]
    with pytest.raises(KeyError):
        list(runner.run(ASK))
    backends[0].generate = broken  # type: ignore[method-assign]
    assert list(runner.run(ASK))


def test_another_model_frees_the_one_before(runner: Runner, backends: list[ScriptedBackend]) -> None:
    list(runner.run(ASK))
    list(runner.run(replace(ASK, model="other")))
    assert backends[0].held == []
    assert runner.status().loaded == (("other", "float16"),)


def test_status_knows_nothing_before_the_first_load(runner: Runner) -> None:
    assert runner.status().device is None
    runner.warm_up()
    assert runner.status().loaded == (("embedded", "float16"),)


def test_a_trace_loads_what_it_needs_and_ends_in_its_flow(runner: Runner, backends: list[ScriptedBackend]) -> None:
    *_, last = runner.trace(under(ASK, "autocast", "bfloat16"))
    assert isinstance(last, Traced)
    assert (last.strategy, last.half, last.weights_dtype) == ("autocast", "bfloat16", "bfloat16")
    assert (last.model, last.device, last.flow.error) == ("embedded", "cpu", None)
    assert backends[0].held == ["bfloat16"]
    assert backends[0].traced == [under(ASK, "autocast", "bfloat16", model="embedded", max_new_tokens=2)]
    assert backends[0].asked == []


def test_a_failed_run_s_flow_is_a_result(runner: Runner) -> None:
    *_, last = runner.trace(under(ASK, "as_is", None))
    assert isinstance(last, Traced)
    assert last.flow.error == CLASH


def test_a_run_never_traces(runner: Runner, backends: list[ScriptedBackend]) -> None:
    list(runner.run(ASK))
    assert backends[0].traced == []


def test_a_closed_trace_ends_and_gives_the_model_back(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.warm_up()
    backends[0].hold_trace = True
    trace = runner.trace(ASK)
    assert isinstance(next(trace), Tracing)
    waiting = runner.run(ASK)
    assert isinstance(next(waiting), Waiting)  # one lock for runs and traces
    trace.close()
    *_, last = waiting
    assert isinstance(last, Finished)


@pytest.mark.parametrize(("strategy", "half"), [("quantum", None), ("full", "float8")])
def test_a_trace_refuses_what_a_run_refuses(runner: Runner, strategy: str, half: str | None) -> None:
    with pytest.raises(UserError):
        next(runner.trace(under(ASK, strategy, half)))


def test_several_questions_end_in_as_many_results_as_fit(runner: Runner, backends: list[ScriptedBackend]) -> None:
    *told, last = runner.run_batch([ASK, replace(ASK, text="Where?"), ASK])
    assert isinstance(last, FinishedBatch)
    assert [result.answer for result in last.results] == ["one What? three", "one Where? three"]
    assert last.size == 2
    assert all(isinstance(event, Loading) for event in told)
    assert [result.measurement.load_sec for result in last.results] == [0.1, 0.1]
    with pytest.raises(UserError):
        list(runner.run_batch([ASK, replace(ASK, text=" ")]))


def test_the_same_failure_of_several_questions_is_tried_once(runner: Runner, backends: list[ScriptedBackend]) -> None:
    *_, last = runner.run_batch([under(ASK, "as_is", None)] * 2)
    assert isinstance(last, FinishedBatch)
    first, second = (result.failure for result in last.results)
    assert first is not None and second is not None
    assert first.explanation == second.explanation
    assert backends[0].tried == 3


def test_forgetting_reaches_the_backend_and_needs_none(runner: Runner, backends: list[ScriptedBackend]) -> None:
    runner.forget()
    list(runner.run(ASK))
    runner.forget()
    assert backends[0].forgotten == 1


def test_a_model_from_the_hub_is_downloaded_before_the_one_before_is_freed(
    runner: Runner, backends: list[ScriptedBackend]
) -> None:
    list(runner.run(ASK))
    stages = []
    for event in runner.load("org/model"):
        assert isinstance(event, Loading)
        stages.append((event.stage, event.fraction, bool(backends[0].held)))
        backends[-1].arrived.set()
    assert ("download", 0.5, True) in stages
    assert backends[0].held == []
    assert runner.status().loaded == (("org/model", "float16"),)
    *_, last = runner.run(replace(ASK, model="org/model"))
    assert isinstance(last, Finished)
    assert last.result.revision == result_as_json(last.result)["revision"] == "abc123"


def test_a_model_that_cannot_be_had_leaves_the_one_before_where_it_is(
    runner: Runner, backends: list[ScriptedBackend]
) -> None:
    list(runner.run(ASK))
    with pytest.raises(UserError, match="gated"):
        list(runner.load("org/gated"))
    assert runner.status().loaded == (("embedded", "float16"),)


def test_a_download_can_be_stopped(runner: Runner, backends: list[ScriptedBackend]) -> None:
    list(runner.run(ASK))
    loading = runner.load("org/model")
    assert next(event for event in loading if isinstance(event, Loading)).stage == "download"
    loading.close()
    *_, last = runner.run(ASK)
    assert isinstance(last, Finished)
    assert last.result.model == "embedded"
    assert runner.status().loaded == (("embedded", "float16"),)
