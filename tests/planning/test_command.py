"""`plan` on the command line: a table or JSON, calibration with its bound, mistakes as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checkpoints import tiny_config
from xcomposer_ui.__main__ import main
from xcomposer_ui.core.strategies import PLANNED


@pytest.mark.slow
def test_a_plan_is_one_json_line_and_a_table_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_config().save_pretrained(tmp_path)
    asked = ["plan", "--model", str(tmp_path), "--device", "cpu", "--new-tokens", "8", "--memory", "0.002", "--json"]
    assert main(asked) == 0
    said = capsys.readouterr()
    told = json.loads(said.out.splitlines()[-1])
    assert [strategy["strategy"] for strategy in told["strategies"]] == list(PLANNED)
    assert {"parameters", "planned_sec", "model"} <= set(told)
    assert told["memory_bytes"] == int(0.002 * (1 << 30))
    for name in PLANNED:
        assert name in said.err


@pytest.mark.parametrize(
    "wrong",
    [["--image", "big"], ["--batch", "0"], ["--half", "float8"], ["--device", "tpu"], ["--model", "no such thing"]],
)
def test_a_mistake_is_one_line(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *wrong]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
