"""How the memory of a real run goes, on a tiny checkpoint."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from tests.backends.model_clock import STEP_SEC, TOWER_SEC, model_clock
from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.backends import timeline_recorder as module
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.memory import CpuPeak, CudaPeak
from xcomposer_ui.backends.timeline_recorder import TimelineRecorder
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import CallResult, Progress

QUESTION = Request("Go on.", Image.radial_gradient("L").convert("RGB"), max_new_tokens=12, repetition_penalty=1.5)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return open_local(str(write_checkpoint(tmp_path_factory.mktemp("model"))), "cpu")


def asked(backend: LocalBackend, strategy: str, question: Request, progress: Progress | None = None) -> CallResult:
    chosen = STRATEGIES[strategy]
    backend.load(chosen.weights_dtype("float16"), Progress())
    return backend.generate(under(question, chosen.name, "float16"), progress or Progress())


@pytest.mark.parametrize("every_sec", [0.0, 0.01, 60.0])
@pytest.mark.parametrize("strategy", ["full", "autocast"])
def test_the_highest_sample_is_the_peak_and_the_phases_follow_one_another(
    backend: LocalBackend, strategy: str, every_sec: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY_SEC", every_sec)
    dtype = STRATEGIES[strategy].weights_dtype("float16")
    backend.load(dtype, Progress())
    with model_clock(backend.weights(dtype)[0], monkeypatch):
        outcome = asked(backend, strategy, QUESTION)
    assert outcome.timeline is not None
    assert outcome.timeline.peak.allocated_bytes == outcome.measurement.peak_memory_bytes
    assert outcome.timeline.weights_bytes == outcome.measurement.weights_bytes
    assert list(outcome.timeline.phase_peaks()) == ["tower", "prefill", "decode"]
    times = [sample.at_sec for sample in outcome.timeline.samples]
    assert times == sorted(times)
    assert times[-1] == outcome.measurement.latency_sec


def test_how_often_it_is_asked_changes_no_peak(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = set()
    for every_sec in (0.0, 60.0):
        monkeypatch.setattr(module, "EVERY_SEC", every_sec)
        peaks.add(asked(backend, "unified", replace(QUESTION, max_new_tokens=40)).measurement.peak_memory_bytes)
    assert len(peaks) == 1


def test_a_run_that_fails_keeps_its_course_as_far_as_it_came(backend: LocalBackend) -> None:
    outcome = asked(backend, "as_is", QUESTION)
    assert outcome.failure_type == "RuntimeError"
    assert outcome.timeline is not None
    assert list(outcome.timeline.phase_peaks()) == ["tower"]


def test_text_alone_begins_with_the_prompt(backend: LocalBackend) -> None:
    outcome = asked(backend, "full", replace(QUESTION, image=None))
    assert outcome.timeline is not None
    assert list(outcome.timeline.phase_peaks()) == ["prefill", "decode"]


def test_the_course_is_there_while_the_run_goes_on(backend: LocalBackend) -> None:
    progress = Progress()
    asked(backend, "full", QUESTION, progress)
    assert progress.memory is not None
    told = progress.memory()
    assert told is not None and len(told.samples) > 1


def test_a_later_turn_counts_what_it_took_over(backend: LocalBackend) -> None:
    first = asked(backend, "full", QUESTION)
    later = asked(backend, "full", replace(QUESTION, history=(("Go on.", first.answer or ""),)))
    assert later.timeline is not None
    assert later.timeline.peak.allocated_bytes == later.measurement.peak_memory_bytes
    assert later.measurement.reused_picture
    assert list(later.timeline.phase_peaks()) == ["prefill", "decode"]  # the picture is not encoded again


def test_a_card_tells_what_it_allocated_and_reserved_since_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([900, 700, 300])
    for name, value in (
        ("synchronize", lambda device: None),
        ("reset_peak_memory_stats", lambda device: None),
        ("max_memory_allocated", lambda device: next(peaks)),
        ("memory_reserved", lambda device: 1000),
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    model: Any = nn.Linear(2, 2, bias=False)
    model.device = torch.device("cpu")
    model.tower = nn.Identity()
    meter = CudaPeak(model, others_bytes=100)
    clock = iter(range(100))
    writer = TimelineRecorder(model, meter, lambda: float(next(clock)), lambda: -50)
    with meter:
        writer.start(with_picture=False)
        writer.token()
        writer.end()
    told = writer.so_far()
    assert told is not None
    assert [(s.phase, s.allocated_bytes, s.reserved_bytes) for s in told.samples] == [
        ("prefill", 750, 1000),
        ("decode", 550, 1000),
    ]
    assert meter.peak_bytes == 800


def test_where_nothing_is_measured_there_is_no_course() -> None:
    model = SimpleNamespace(tower=nn.Identity())
    meter: Any = SimpleNamespace(kind="cpu_tensors", weights_bytes=0, recent=lambda: None)
    writer = TimelineRecorder(model, meter, lambda: 0.0, lambda: 0)
    writer.start(with_picture=True)
    writer.end()
    assert writer.so_far() is None


def test_the_clock_stands_still_while_a_sample_is_taken(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_SEC", 0.0)
    backend.load("float32", Progress())
    with model_clock(backend.weights("float32")[0], monkeypatch) as clock:
        recent = CpuPeak.recent
        monkeypatch.setattr(CpuPeak, "recent", lambda meter: (clock.advance(100), recent(meter))[1])
        outcome = asked(backend, "full", QUESTION)
    times = [sample.at_sec for sample in outcome.timeline.samples]
    assert times == sorted(times)
    assert times[-1] == outcome.measurement.latency_sec == TOWER_SEC + outcome.measurement.new_tokens * STEP_SEC
