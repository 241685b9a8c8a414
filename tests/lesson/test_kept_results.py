"""Each step is computed once for everyone; visitors go before what is prepared; what raised is computed again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.lesson.experiments import Findings
from xcomposer_ui.lesson.kept_results import KeptResults
from xcomposer_ui.lesson.step import Step, lesson

WAIT_SEC = 60
MODEL_STEPS = [step for step in lesson() if step.experiment != "memory"]
PLANNED = next(step for step in lesson() if step.experiment == "memory")


@dataclass
class Experiments:
    """Computes nothing: notes the steps, holds each model step until `go`, and raises `refusal` where there is one."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    computed: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def __call__(self, step: Step) -> Findings:
        self.computed.append(step.name)
        if step.experiment != "memory":
            self.begun.set()
            assert self.go.wait(WAIT_SEC)
        if self.refusal is not None:
            raise self.refusal
        return Findings({}, {})


def test_thirty_visitors_share_one_run() -> None:
    experiments = Experiments()
    results = KeptResults(experiments)
    futures = [results.future(MODEL_STEPS[0]) for _ in range(30)]
    assert results.kept(MODEL_STEPS[0]) is None
    experiments.go.set()
    assert len({id(future.result(WAIT_SEC)) for future in futures}) == 1
    assert results.future(MODEL_STEPS[0]).result(WAIT_SEC) is results.kept(MODEL_STEPS[0])
    assert experiments.computed == [MODEL_STEPS[0].name]


def test_a_visitors_step_goes_before_the_prepared_ones() -> None:
    experiments = Experiments()
    results = KeptResults(experiments)
    results.prepare(MODEL_STEPS)
    assert experiments.begun.wait(WAIT_SEC)
    wanted = MODEL_STEPS[-1]
    assert results.ahead(wanted) == len(MODEL_STEPS) - 1
    future = results.future(wanted)
    assert results.ahead(wanted) == 1
    second = results.future(MODEL_STEPS[-2])
    assert (results.ahead(wanted), results.ahead(MODEL_STEPS[-2])) == (1, 2)
    experiments.go.set()
    future.result(WAIT_SEC), second.result(WAIT_SEC)
    assert experiments.computed[:3] == [MODEL_STEPS[0].name, wanted.name, MODEL_STEPS[-2].name]
    for step in MODEL_STEPS:
        results.future(step).result(WAIT_SEC)
    assert sorted(experiments.computed) == sorted(step.name for step in MODEL_STEPS)


def test_a_plan_does_not_wait_for_the_model() -> None:
    experiments = Experiments()
    results = KeptResults(experiments)
    held = results.future(MODEL_STEPS[0])
    assert results.future(PLANNED).result(WAIT_SEC).step is PLANNED
    assert not held.done()
    experiments.go.set()
    held.result(WAIT_SEC)


def test_a_failure_is_not_kept() -> None:
    experiments = Experiments(refusal=UserError("no_tiles"))
    experiments.go.set()
    results = KeptResults(experiments)
    with pytest.raises(UserError):
        results.future(MODEL_STEPS[0]).result(WAIT_SEC)
    experiments.refusal = None
    assert results.future(MODEL_STEPS[0]).result(WAIT_SEC) is results.kept(MODEL_STEPS[0])
    assert len(experiments.computed) == 2


def test_one_who_leaves_does_not_cancel_the_others_wait() -> None:
    experiments = Experiments()
    results = KeptResults(experiments)
    future = results.future(MODEL_STEPS[0])
    assert not future.cancel()
    experiments.go.set()
    assert results.future(MODEL_STEPS[0]).result(WAIT_SEC)
