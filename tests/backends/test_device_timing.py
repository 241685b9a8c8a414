"""A card's own times and the share of its bandwidth, with events of a clock that a test advances."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.checkpoints import tiny_model
from xcomposer_ui.backends import run_control
from xcomposer_ui.backends.run_control import DeviceClock, bandwidth_share, decoding_bytes
from xcomposer_ui.models.cache import PreallocatedCache
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2ForCausalLM


class Events:
    """`torch.cuda.Event` on a clock in milliseconds, which each recorded event advances by one."""

    def __init__(self) -> None:
        self.now = 0.0
        events = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at, events.now = events.now, events.now + 1

            def elapsed_time(self, other: Any) -> float:
                return float(other.at - self.at)

        self.Event = Event


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Events:
    events = Events()
    monkeypatch.setattr(torch.cuda, "Event", events.Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return events


def decode(model: InternLMXComposer2ForCausalLM, clock: DeviceClock, events: Events) -> None:
    """A prompt whose layers take 100 ms, and three steps of 10, 20 and 30 ms, with 5 ms of host before each."""
    cache, times = PreallocatedCache(), iter((100, 10, 20, 30))

    def compute(*_: object) -> None:
        events.now += next(times)

    hook = model.model.layers[0].register_forward_hook(compute)
    with clock.on(model), torch.no_grad():
        for ids in ([1, 5, 6], [7], [8], [9]):
            events.now += 5
            model(input_ids=torch.tensor([ids]), cache=cache)
    hook.remove()


@pytest.mark.parametrize("recorded", [False, True])
def test_a_cards_times_are_those_between_embedding_and_logits(events: Events, recorded: bool) -> None:
    clock = DeviceClock(torch.device("cuda"))
    decode(tiny_model(), clock, events)
    figures = clock.figures(recorded=recorded)
    assert figures["device_time_to_first_token_sec"] == pytest.approx(0.107)  # 5 of the host, 2 marks
    assert figures["device_tokens_per_sec"] == pytest.approx(1 / 0.021)  # the median step, without the host's part
    expected = 0.107 + 0.011 + 0.021 + 0.031
    assert figures["device_latency_sec"] == (None if recorded else pytest.approx(expected))


def test_on_the_cpu_nothing_is_recorded(events: Events) -> None:
    clock = DeviceClock(torch.device("cpu"))
    decode(tiny_model(), clock, events)
    assert set(clock.figures(recorded=False).values()) == {None}


def test_a_step_of_decoding_reads_neither_plora_nor_the_embeddings() -> None:
    model = tiny_model()
    blocks = sum(w.nbytes for name, w in model.model.layers.named_parameters() if "Plora" not in name)
    assert decoding_bytes(model) == blocks + model.output.weight.nbytes
    with torch.device("meta"):
        published = InternLMXComposer2ForCausalLM(type(model.config)()).half()
    assert decoding_bytes(published) == pytest.approx(14.72e9, rel=1e-3)


def test_the_share_is_of_what_a_copy_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    assert bandwidth_share(model, 100.0) is None  # the CPU's is not measured
    monkeypatch.setattr(run_control, "copy_rate", lambda device: 1000.0 * decoding_bytes(model))
    assert bandwidth_share(model, 100.0) == pytest.approx(0.1)
    assert bandwidth_share(model, None) is None
