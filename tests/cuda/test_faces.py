"""What the runner makes of a card: a comparison, a traced run, the machine's check."""

from __future__ import annotations

import pytest

from tests.cuda.conftest import CIRCLE, CIRCLE_ANSWER
from tests.requests import under
from xcomposer_ui.compare.execution import ComparisonSettings, compare
from xcomposer_ui.core.settings import Settings
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.planning.hardware import UNKNOWN, this_machine
from xcomposer_ui.runtime.runner import Runner
from xcomposer_ui.tracing.dtype_flow import Traced

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def runner(device: str) -> Runner:
    return Runner(Settings(device=device))


def test_a_comparison_measures_every_strategy_and_its_distance(runner: Runner) -> None:
    *_, last = compare(runner, CIRCLE, ComparisonSettings(repeats=2))
    answers = {run.variant.strategy: run.answer for run in last.comparison.runs}
    assert answers == {name: None if name == "as_is" else CIRCLE_ANSWER for name in STRATEGIES}
    divergences = last.comparison.divergences
    assert divergences is not None
    entries = {entry.strategy: entry for entry in divergences.entries}
    assert set(entries) == {"autocast", "unified"}
    for entry in entries.values():
        assert entry.mean_kl_divergence is not None
        assert 0 <= entry.mean_kl_divergence < 1e-2
        assert entry.first_different_token is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_traced_run_shows_the_dtypes_and_where_they_clash(runner: Runner, strategy: str, device: str) -> None:
    *_, traced = runner.trace(under(CIRCLE, strategy, None))
    assert isinstance(traced, Traced)
    assert traced.device == device
    assert any(call.name == "vision_proj.0" for call in traced.flow.calls)
    clash = traced.flow.clash
    assert (clash.module if clash else None) == ("vision_proj.0" if strategy == "as_is" else None)


def test_the_check_knows_the_device(device: str) -> None:
    items = {str(item.name): item for item in this_machine().items}
    if device == "cuda":
        assert {items[name].verdict for name in ("GPU float16", "GPU bfloat16", "compute capability")} <= {"ok", "slow"}
    assert items["free memory"].verdict != UNKNOWN
