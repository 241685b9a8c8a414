"""The CPU's memory figure against what is known to be allocated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.backends import generation
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.memory import RECORDED_STEPS, CpuPeak, Meter, meter_of, weights_bytes
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.models.cache import GROWTH
from xcomposer_ui.runtime.backend import Progress

MIB = 2**20


def test_weights_count_each_storage_once() -> None:
    model = nn.Linear(256, 256, bias=False)
    tied = nn.ModuleList([model, nn.Linear(256, 256, bias=False)])
    tied[1].weight = model.weight
    assert weights_bytes(tied) == 256 * 256 * 4


def test_peak_is_the_weights_and_the_most_that_was_live_at_once() -> None:
    model = nn.Linear(16, 16, bias=False)
    with CpuPeak(model) as peak:
        first = torch.empty(3 * MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first
        third = torch.empty(1 * MIB, dtype=torch.uint8)
        del second, third
    assert peak.peak_bytes == 16 * 16 * 4 + 5 * MIB


def test_peak_is_known_after_a_failure() -> None:
    peak = CpuPeak(nn.Linear(1, 1, bias=False))
    try:
        with peak:
            torch.empty(2 * MIB, dtype=torch.uint8)
            raise RuntimeError
    except RuntimeError:
        pass
    assert peak.peak_bytes == 4 + 2 * MIB


def test_another_threads_tensors_do_not_count() -> None:
    with CpuPeak(nn.Linear(1, 1, bias=False)) as peak:
        other = threading.Thread(target=lambda: torch.empty(8 * MIB, dtype=torch.uint8))
        other.start()
        other.join()
    assert peak.peak_bytes == 4


def test_the_figure_equals_the_allocators_own_total() -> None:
    """Against torch.profiler's recorded totals, on a small network."""
    net = nn.Sequential(nn.Linear(64, 512), nn.GELU(), nn.Linear(512, 64))
    x = torch.randn(128, 64)

    def call() -> None:
        with torch.no_grad():
            net(net(x))

    call()
    with CpuPeak(net) as peak:
        call()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    live = highest = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            highest = max(highest, live)
    assert peak.peak_bytes == weights_bytes(net) + highest


class Listening(CpuPeak):
    """Listens to every allocation of an answer, as slow as that is."""

    def token(self, cache_bytes: Callable[[], int]) -> None:
        pass


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    return open_local(str(write_checkpoint(tmp_path_factory.mktemp("model"))), "cpu")


def peak(backend: LocalBackend, strategy: str, meter: type[CpuPeak], patch: pytest.MonkeyPatch, **asked: Any) -> int:
    """The peak of one answer that goes on to its last token, by `meter`."""
    chosen, tokens = STRATEGIES[strategy], asked["max_new_tokens"]
    sampling = generation.sampling
    with patch.context() as patched:
        patched.setattr(generation, "meter_of", lambda model, others_bytes: meter(model))
        patched.setattr(generation, "sampling", lambda question: {**sampling(question), "min_new_tokens": tokens})
        backend.load(chosen.weights_dtype("float16"), Progress())
        outcome = backend.generate(under(Request("Go on.", **asked), chosen.name, "float16"), Progress())
    assert outcome.measurement.new_tokens == tokens
    assert outcome.measurement.peak_memory_bytes is not None
    return outcome.measurement.peak_memory_bytes


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [1, RECORDED_STEPS, RECORDED_STEPS + 1, 60, GROWTH])
@pytest.mark.parametrize(("strategy", "temperature"), [("full", 0.0), ("autocast", 0.0), ("unified", 1.5)])
def test_counting_on_gives_the_figure_that_listening_to_the_end_gives(
    backend: LocalBackend, strategy: str, temperature: float, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"max_new_tokens": tokens, "temperature": temperature, "top_p": 1.0, "repetition_penalty": 1.1}
    counted, heard = (peak(backend, strategy, meter, monkeypatch, **asked) for meter in (CpuPeak, Listening))
    assert counted == heard


@pytest.mark.slow
def test_past_the_caches_first_room_only_the_copy_of_a_layer_is_left_out(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, heard = (peak(backend, "full", m, monkeypatch, max_new_tokens=GROWTH + 9) for m in (CpuPeak, Listening))
    layer = (GROWTH + 99) * 2 * 8 * 4  # the keys of two heads of eight float32 numbers
    assert heard - layer < counted <= heard


def test_nothing_is_said_on_stderr(backend: LocalBackend, capfd: pytest.CaptureFixture[str]) -> None:
    """PyTorch's newer profiler warns there, at each run, of operations that it was not asked to record."""
    for strategy in ("full", "unified"):
        backend.load(STRATEGIES[strategy].weights_dtype("float16"), Progress())
        thread = threading.Thread(
            target=backend.generate,
            args=(under(Request("Go on.", max_new_tokens=9), strategy), Progress()),
        )
        thread.start()
        thread.join()
    assert capfd.readouterr().err == ""


class Elsewhere(nn.Module):
    """A model that says it is on Apple's GPU."""

    device = torch.device("mps")


def test_on_apples_gpu_the_peak_is_not_measured(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(meter_of(Elsewhere())) is Meter
    monkeypatch.setattr(generation, "meter_of", lambda model, others_bytes: Meter(model))
    backend.load("float32", Progress())
    outcome = backend.generate(under(Request("Go on.", max_new_tokens=3), "full"), Progress())
    measured = outcome.measurement
    assert measured.peak_memory_bytes is measured.peak_memory_kind is outcome.timeline is None
    assert measured.latency_sec and measured.weights_bytes == weights_bytes(backend.weights("float32")[0])
