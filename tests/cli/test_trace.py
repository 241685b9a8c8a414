"""`trace`: exit statuses, the JSON on the last line of stdout, the table for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from xcomposer_ui.__main__ import main

CLASH = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"


@pytest.fixture(scope="module")
def tracing(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("trace")
    Image.radial_gradient("L").save(folder / "picture.png")
    model = write_checkpoint(folder / "model")
    return f"trace --image {folder}/picture.png --question What? --model {model}".split()


def last_json(captured: str) -> dict:
    return json.loads(captured.splitlines()[-1])


def test_an_answering_run_s_path_leads_to_the_logits(tracing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tracing, "--strategy", "unified", "--half", "bfloat16", "--json"]) == 0
    document = last_json(capsys.readouterr().out)
    assert (document["strategy"], document["half"], document["weights_dtype"]) == ("unified", "bfloat16", "bfloat16")
    assert (document["error"], document["clash"]) == (None, None)
    stages = [step["stage"] for step in document["path"] if step["level"] == 0]
    assert stages == [
        *("pixels", "tower", "projector", "text", "prompt", "module"),
        *("block", "block", "norm", "logits", "choice"),
    ]
    pixels = document["path"][0]
    assert (pixels["dtypes_in"], pixels["dtypes_out"]) == (["float32"], ["bfloat16"])
    assert {"index", "module", "dtypes_in", "dtypes_out", "dtypes_parameters", "casts"} <= set(document["calls"][0])


def test_a_failed_run_s_flow_exits_3_and_ends_at_the_clash(
    tracing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tracing, "--strategy", "as_is", "--json"]) == 3
    document = last_json(capsys.readouterr().out)
    assert document["error"] == CLASH
    assert (document["clash"]["module"], document["clash"]["operation"]) == ("vision_proj.0", "aten.addmm")
    assert [operand["dtype"] for operand in document["clash"]["operands"]] == ["float16", "float32", "float16"]
    assert [step["module"] for step in document["path"] if step["failed"]] == ["vision_proj", "vision_proj.0"]


@pytest.mark.slow
def test_two_strategies_stand_side_by_side(tracing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tracing, "--strategy", "as_is", "--against", "autocast", "--json"]) == 3
    document = last_json(capsys.readouterr().out)
    assert (document["strategy"], document["against"]["strategy"]) == ("as_is", "autocast")
    rows = {row["module"]: row for row in document["aligned"]}
    assert rows["vision_proj.0"]["left"]["failed"]
    assert rows["vision_proj.0"]["right"]["dtypes_out"] == ["float16"]
    assert rows["output"]["left"] is None
    assert rows["output"]["right"]["stage"] == "logits"


@pytest.mark.slow
def test_the_table_names_modules_dtypes_and_the_clash(tracing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tracing, "--strategy", "as_is", "--depth", "0"]) == 3
    shown = capsys.readouterr().out
    assert "(pixels)" in shown
    assert "vit.vision_tower" not in shown
    assert "FAILED" in next(line for line in shown.splitlines() if "vision_proj.0" in line)
    assert CLASH in shown
    assert "float32 since `vit` (aten._to_copy)" in shown
    assert main([*tracing, "--strategy", "as_is", "--against", "unified", "--depth", "1"]) == 3
    shown = capsys.readouterr().out
    assert shown.split()[:3] == ["module", "as_is", "unified"]
    assert "vit.vision_tower" in shown
    assert "float32 island" in shown


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["--strategy", "quantum"], "There is no strategy “quantum”"),
        (["--strategy", "full", "--against", "quantum"], "There is no strategy “quantum”"),
        (["--strategy", "full", "--image", "/nowhere/at-all.png"], "at-all.png"),
    ],
)
def test_a_mistake_exits_2(
    tracing: list[str], changes: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tracing, *changes]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert str(Path("/nowhere")) not in captured.err


def test_a_depth_below_the_stages_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("trace --question x --model nowhere --strategy full --depth -1".split()) == 2
    assert "--depth is -1" in capsys.readouterr().err
