"""`check-dtypes`: exit statuses, the list, the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backends.published import skip_where_it_is_broken, write_config
from xcomposer_ui.__main__ import main
from xcomposer_ui.cli.check_dtypes import as_text
from xcomposer_ui.core.result import Operand
from xcomposer_ui.tracing.lint import Boundary, Lint, LintCase, lint_as_json

WEIGHT = Operand("vision_proj.0.weight", "float16", "parameter", (8, 4))
FEATURES = Operand("activation (output of vit)", "float32", "float32 since `vit` (aten._to_copy)", (3, 8))
MASK = Operand("mask", "bool", "it was given to the model", (3,))
BOUNDARY = Boundary("vision_proj.0", "aten.addmm", (MASK, FEATURES, WEIGHT), "mat1 and mat2 must …", "matmul")


def test_clashes_exit_3_with_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_config(tmp_path / "model", "xcomposer2")
    assert main(["check-dtypes", str(folder), "--half", "bfloat16", "--json"]) == 3
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["ok"] is False
    assert [(case["strategy"], case["clean"]) for case in document["cases"]] == [
        *(("as_is", False), ("autocast", True), ("unified", True), ("full", True))
    ]
    (boundary,) = document["cases"][0]["boundaries"]
    assert boundary["module"] == "vision_proj.0"
    assert sorted(boundary["dtypes"]) == ["bfloat16", "float32"]


def test_a_clean_model_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip_where_it_is_broken("smolvlm")
    assert main(["check-dtypes", str(write_config(tmp_path / "model", "smolvlm")), "--half", "float16"]) == 0
    assert capsys.readouterr().out.count("clean") == 4


def test_a_model_without_a_twin_exits_4_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_config(tmp_path / "model", "llava", model_type="made_up")
    assert main(["check-dtypes", str(folder), "--json"]) == 4
    captured = capsys.readouterr()
    document = json.loads(captured.out.splitlines()[-1])
    assert document["ok"] is None
    assert "no class of its own" in document["reason"]
    assert captured.err.startswith("Nothing is known of")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["NoSuchModel"], "NoSuchModel"), (["--half", "float8", "NoSuchModel"], "float8")],
)
def test_a_mistake_exits_2(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-dtypes", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert sentence in captured.err


def test_the_list_names_module_operation_and_what_meets() -> None:
    cases = (
        LintCase("as_is", "float16", (BOUNDARY,)),
        LintCase("autocast", "float16"),
        LintCase("unified", "float16", stopped_by="TypeError: no"),
    )
    text = as_text(Lint("folder", "SomeModel", 1234, cases))
    assert "SomeModel, as a twin of 1,234 parameters" in text
    assert "as_is     float16   1 boundary clashes" in text
    assert "vision_proj.0 (aten.addmm): mat1 and mat2 must …" in text
    assert "float32   activation (output of vit), float32 since `vit`" in text
    assert "mask" not in text
    assert "autocast  float16   clean" in text
    assert "stops with TypeError: no" in text


def test_the_json_survives_a_round_trip() -> None:
    lint = Lint("folder", "SomeModel", 1, (LintCase("as_is", "float16", (BOUNDARY,)),))
    document = json.loads(json.dumps(lint_as_json(lint)))
    assert document["cases"][0]["boundaries"][0]["dtypes"] == ["float32", "float16"]
    assert not lint.ok
