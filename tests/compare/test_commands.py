"""`compare` and `report` from end to end on a small checkpoint: exit statuses, JSON, files, the script that repeats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.checkpoints import write_checkpoint
from xcomposer_ui.__main__ import main
from xcomposer_ui.compare.schedule import variants_for
from xcomposer_ui.compare.verdict import variant_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    write_checkpoint(folder / "model")
    Image.radial_gradient("L").convert("RGB").save(folder / "picture.png")
    return folder


@pytest.fixture(scope="module")
def arguments(folder: Path) -> list[str]:
    return [
        "--model", str(folder / "model"), "--device", "cpu", "--image", str(folder / "picture.png"),
        "--question", "What is there?", "--max-new-tokens", "4", "--repeats", "1",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def document(folder: Path, arguments: list[str]) -> dict:
    """What `compare --json` prints, made once."""
    out = subprocess.run(
        [sys.executable, "-m", "xcomposer_ui", "compare", *arguments, "--both-halves", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(out.stdout.splitlines()) == 1
    assert "Against full precision" in out.stderr
    (folder / "compared.json").write_text(out.stdout)
    return json.loads(out.stdout)


@pytest.mark.slow
def test_without_json_the_figures_are_on_stdout_and_the_way_there_on_stderr(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments, "--no-divergence"]) == 0
    said = capsys.readouterr()
    assert all(variant_name(variant, "en") in said.out for variant in variants_for(["float16"]))
    assert "[1/" in said.err
    assert "[1/" not in said.out


def test_every_strategy_has_its_run_and_those_that_answer_their_divergence(document: dict) -> None:
    assert [(run["strategy"], run["half"]) for run in document["runs"]] == [
        ("as_is", "float16"), ("autocast", "float16"), ("autocast", "bfloat16"), ("unified", "float16"),
        ("unified", "bfloat16"), ("full", "float16"),
    ]  # fmt: skip
    assert document["runs"][0]["failure"]["type"] == "RuntimeError"
    assert {(d["strategy"], d["half"]) for d in document["divergence"]} == {
        (s, h) for s in ("autocast", "unified") for h in ("float16", "bfloat16")
    }
    for run in document["runs"][1:]:
        assert 0 < run["weights_bytes"] < run["peak_memory_bytes"]
        assert 0 < run["weights_share"] < 1
    for d in document["divergence"]:
        assert d["mean_kl_divergence"] >= 0
        assert 0 <= d["top1_agreement"] <= 1
        assert d["layers"]
    assert document["question"]["image"]["file_sha256"]
    assert document["environment"]["torch"]


@pytest.mark.slow
def test_the_report_repeats_what_was_measured(document: dict, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder / "compared.json"), "--format", "py"]) == 0
    script = folder / "comparison.py"
    script.write_text(capsys.readouterr().out)
    out = subprocess.run(
        [sys.executable, str(script), str(folder / "picture.png")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "not the picture" not in out.stderr
    lines = out.stdout.splitlines()
    assert "mat1 and mat2 must have the same dtype" in lines[0]
    for run, line in zip(document["runs"][1:], lines[1:], strict=True):
        assert line.startswith(f"{run['strategy']} ({run['weights_dtype']}): {run['answer']!r} in ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "# XComposer precision lab: report"),
        (["--format", "csv"], "strategy,half,"),
        (["--json"], '"runs"'),
        (["--issue"], "# RuntimeError: mat1 and mat2"),
    ],
)
def test_report_writes_each_format(
    document: dict, folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(["report", str(folder / "compared.json"), *more]) == 0
    assert said in capsys.readouterr().out[:2000]


def test_report_compares_first_when_it_is_asked_a_question(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.md"
    asked = ["report", *arguments, "--no-divergence", "--with-picture", "--output", str(target)]
    assert main(asked) == 0
    assert "data:image/png;base64," in target.read_text()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "call",
    [
        ["compare"],
        ["compare", "--question", "x", "--repeats", "0"],
        ["compare", "--question", "x", "--half", "float8"],
        ["compare", "--question", "x", "--image", "nowhere.png"],
        ["compare", "--batch", "nowhere.jsonl"],
        ["report", "nowhere.json"],
        ["report", __file__],
        ["report", "--question", "x", "--format", "pdf"],
    ],
)
def test_mistakes_are_one_line_and_status_2(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(call) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


@pytest.mark.slow
def test_a_batch_writes_both_files_and_is_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "many.jsonl"
    lines = ['{"image": "picture.png", "question": "What?"}', "broken", '{"question": "Say something."}']
    file.write_text("\n".join(lines))
    call = ["compare", "--batch", str(file), "--model", str(folder / "model"), "--device", "cpu",
            "--max-new-tokens", "3", "--repeats", "1", "--json"]  # fmt: skip
    for resumed in (0, 2):
        assert main(call) == 0
        summary = json.loads(capsys.readouterr().out)
        assert (summary["questions"], summary["resumed"]) == (2, resumed)
        assert [skipped["line"] for skipped in summary["skipped"]] == [2]
    by_strategy = {entry["strategy"]: entry for entry in summary["variants"]}
    assert by_strategy["as_is"]["failed"] >= 1
    assert by_strategy["as_is"]["answered"] + by_strategy["as_is"]["failed"] == 2
    assert 0 <= by_strategy["unified"]["agreement_rate"] <= 1
    assert (folder / "many.compared.csv").read_text().count("\n") == 9
