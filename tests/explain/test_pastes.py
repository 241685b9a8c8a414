"""Pastes made after public reports: recognised, with dtypes, verdicts and place as an expert would give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xcomposer_ui.explain import explain
from xcomposer_ui.explain.autocast_operations import DATA, casts

FIELD = Path(__file__).parents[3] / "shared" / "field"
REPORTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "public_reports.json").read_text("utf-8"))
PASTES: list[dict[str, Any]] = json.loads((FIELD / "pastes.json").read_text("utf-8")) if FIELD.is_dir() else []

needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="the collected pastes are not part of this repository")


def check(expected: dict[str, Any]) -> None:
    found = explain(expected["paste"])
    assert found.recognised == expected["recognised"], found.family
    if "dtypes" in expected:
        assert list(found.dtypes) == expected["dtypes"]
    cures = {fix.strategy: fix.cures for fix in found.fixes}
    for strategy, verdict in expected.get("cures", {}).items():
        assert cures[strategy] is verdict, strategy
    assert expected.get("place", "") in str(found.where or "")


@pytest.mark.parametrize("report", REPORTS, ids=[report["source"] for report in REPORTS])
def test_a_public_report_is_explained(report: dict[str, Any]) -> None:
    check(report)


@needs_field
@pytest.mark.parametrize("paste", PASTES, ids=[paste["id"] for paste in PASTES])
def test_a_paste_from_the_field_is_explained(paste: dict[str, Any]) -> None:
    check(paste)


@needs_field
def test_verdicts_on_autocast_are_what_a_card_does() -> None:
    """Layers on CUDA: where the verdict is yes or no, the layer under autocast answers or raises."""
    ways: dict[str, dict[str, str]] = {}
    for call, message in json.loads((FIELD / "cuda_layers.json").read_text("utf-8")).items():
        layer, _, autocast = call.rpartition(" / autocast ")
        ways.setdefault(layer, {})[autocast] = message
    judged = 0
    for layer, messages in ways.items():
        if (without := messages.pop("None")) == "answers":
            continue
        fixes = explain(without, device="cuda").fixes
        verdict = next(fix.cures for fix in fixes if fix.strategy == "autocast")
        answers = {message == "answers" for message in messages.values()}
        assert verdict is None or answers == {verdict}, layer
        judged += verdict is not None
    assert judged > 60


@needs_field
def test_what_a_card_raises_is_recognised() -> None:
    messages = json.loads((FIELD / "cuda_messages.json").read_text("utf-8"))
    assert sum(explain(message).recognised for message in messages) >= len(messages) - 4


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "xpu"])
def test_the_operations_that_autocast_casts_are_pytorchs_own(device: str) -> None:
    import torch

    kept = json.loads(DATA.read_text("utf-8"))
    registered = torch._C._dispatch_get_registrations_for_dispatch_key(f"Autocast{device.upper()}")
    names = {name.partition("::")[2].partition(".")[0] for name in registered if name.startswith("aten::")}
    if device == "cuda":
        names.add("_cudnn_rnn")  # which a build for the CPU does not register
    if torch.__version__.split("+")[0] == kept["torch"]:
        assert names == set(kept["operations"][device])
    else:  # another release: what this table is used for must still hold
        assert {"linear", "matmul", "conv2d"} <= names
        assert "batch_norm" not in names or device == "mps"


def test_an_operation_is_judged_by_its_device() -> None:
    assert casts("aten.addmm", None) is True
    assert casts("aten.native_batch_norm", None) is False
    assert casts("aten.native_layer_norm", None) is None
    assert (casts("layer_norm", "cpu"), casts("layer_norm", "cuda")) == (False, True)
    assert casts("aten.addmm_", "cuda") is False
