"""The command line: exit statuses, the JSON on the last line of stdout, one line on stderr for a mistake."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.checkpoints import tiny_model, write_checkpoint
from tests.planning.test_fit import Planned
from xcomposer_ui.__main__ import main
from xcomposer_ui.cli.batch import BatchProgress
from xcomposer_ui.core.jsonl import Recorded
from xcomposer_ui.planning.fit import MemoryBudget
from xcomposer_ui.planning.planner_process import PlannerProcess
from xcomposer_ui.runtime.runner import Runner

ROOT = Path(__file__).parents[2]
CLASH = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
FIELDS = (
    "strategy half model device weights_dtype answer new_tokens prompt_tokens load_sec latency_sec "
    "time_to_first_token_sec tokens_per_sec peak_memory_bytes peak_memory_kind seed failure"
).split()


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("run")
    Image.radial_gradient("L").save(folder / "picture.png")
    model = write_checkpoint(folder / "model")
    return f"run --image {folder}/picture.png --question What? --model {model} --max-new-tokens 4 --json".split()


def last_json(captured: str) -> dict:
    return json.loads(captured.splitlines()[-1])


def test_an_answer_exits_0_with_every_field(asking: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*asking, "--strategy", "unified", "--half", "bfloat16"]) == 0
    document = last_json(capsys.readouterr().out)
    assert set(FIELDS) <= set(document)
    assert (document["strategy"], document["half"], document["weights_dtype"]) == ("unified", "bfloat16", "bfloat16")
    assert document["failure"] is None
    assert isinstance(document["answer"], str)


def test_a_failing_strategy_exits_3_and_carries_the_failure(
    asking: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asking, "--strategy", "as_is"]) == 3
    failure = last_json(capsys.readouterr().out)["failure"]
    assert failure["message"] == "mat1 and mat2 must have the same dtype, but got Float and Half"
    assert set(failure) == {"type", "message", "module", "operation", "operands", "explanation", "traceback"}
    assert {"title", "cause", "fixes", "references"} <= set(failure["explanation"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["--strategy", "quantum"], "There is no strategy “quantum”"),
        (["--strategy", "full", "--half", "float8"], "float8"),
        (["--strategy", "full", "--device", "tpu"], "tpu"),
        (["--strategy", "full", "--image", "/nowhere/at-all.png"], "at-all.png"),
        (["--strategy", "full", "--question", " "], "empty"),
        (["--strategy", "full", "--hd-num", "9"], "hd_num is for tiled models"),
        (["--strategy", "full", "--model", "no-such-folder"], "no-such-folder"),
        (["--strategy", "full", "--workers", "2"], "add --batch FILE"),
    ],
)
def test_a_mistake_exits_2_with_one_line(
    asking: list[str], changes: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asking, *changes]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert sentence in captured.err
    assert "/nowhere" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "The following arguments are required: --strategy. See xcomposer_ui run --help."),
        (["plan", "--batch", "1e3"], "Argument --batch: invalid int value: '1e3'. See xcomposer_ui plan --help."),
    ],
)
def test_a_mistake_of_the_flags_is_one_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code, capsys.readouterr().err) == (2, f"{sentence}\n")


@pytest.fixture(scope="module")
def asking_tiled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tiled")
    Image.radial_gradient("L").save(folder / "picture.png")
    model = write_checkpoint(folder / "model", tiny_model(tiles="2.5"))
    return f"--image {folder}/picture.png --question What? --model {model} --max-new-tokens 2".split()


def test_fewer_tiles_make_a_shorter_prompt(asking_tiled: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    documents = []
    for more in ([], ["--hd-num", "1"]):
        main(["run", *asking_tiled, "--strategy", "unified", "--json", *more])
        documents.append(last_json(capsys.readouterr().out))
    whole, one = documents
    assert (whole["hd_num"], one["hd_num"], one["question"]["hd_num"]) == (None, 1, 1)
    assert one["prompt_tokens"] < whole["prompt_tokens"]


def test_a_trace_takes_as_many_tiles_as_it_is_told(asking_tiled: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", *asking_tiled, "--strategy", "unified", "--hd-num", "97"]) == 2
    assert "hd_num is 97" in capsys.readouterr().err
    assert main(["trace", *asking_tiled, "--strategy", "unified", "--hd-num", "2"]) == 0


class Cramped:
    """Plans in which float32 weights do not fit into the room that there is; asked: how many."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plans = Planned()
        self.asked = plans.asked
        monkeypatch.setattr(Runner, "memory_budget", lambda runner: MemoryBudget("cpu", 1 << 21))
        monkeypatch.setattr(PlannerProcess, "plan", lambda worker, request: plans.plan(request))


def test_what_will_not_fit_is_refused_unless_it_is_asked_for_anyway(
    asking: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Cramped(monkeypatch)
    assert main([*asking, "--strategy", "full"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "needed: full 35.00 GiB" in told.err and "What fits: autocast." in told.err
    assert main(["trace", *asking[1:], "--strategy", "autocast", "--against", "full"]) == 2
    assert plans.asked[-1].new_tokens == 256  # the two of a trace, rounded up
    assert main([*asking, "--strategy", "unified"]) == 0
    asked = len(plans.asked)
    assert main([*asking, "--strategy", "full", "--anyway"]) == 0
    assert len(plans.asked) == asked


def test_a_batch_keeps_no_more_of_a_record_than_its_end_needs() -> None:
    records = [{"answer": "long", "failure": None}, {"answer": None, "failure": {"type": "RuntimeError"}}]
    progress = BatchProgress(lambda record: "", keep=lambda record: record["failure"] is not None)
    progress.follow(Recorded(n, record, resumed=n == 1) for n, record in enumerate(records, 1))
    assert progress.kept == [False, True]
    assert progress.resumed == 1
    assert not any("long" in str(held) for held in vars(progress).values())


def test_a_batch_is_judged_by_the_first_question_that_is_left(
    asking: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Cramped(monkeypatch)
    lines = tmp_path / "many.jsonl"
    lines.write_text('broken\n{"question": "What?", "max_new_tokens": 2}')
    model = ["--model", asking[asking.index("--model") + 1]]
    run = ["run", "--batch", str(lines), "--strategy", "full", "--output", str(tmp_path / "out.jsonl"), *model]
    for call in (run, ["compare", "--batch", str(lines), *model]):
        assert main(call) == 2
        assert "full 35.00 GiB" in capsys.readouterr().err
    assert main([*run, "--anyway"]) == 0
    asked = len(plans.asked)
    assert main(run) == 0  # nothing is left to be asked
    assert len(plans.asked) == asked


def test_a_small_model_starts_no_process_that_plans(asking: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def started(worker: PlannerProcess) -> None:
        raise AssertionError("a process was started to plan what surely fits")

    monkeypatch.setattr(PlannerProcess, "_started", started)
    monkeypatch.setattr(Runner, "memory_budget", lambda runner: MemoryBudget("cpu", 1 << 30))
    assert main([*asking, "--strategy", "unified"]) == 0


@pytest.mark.slow
def test_a_real_plan_refuses_for_real(
    asking: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "memory_budget", lambda runner: MemoryBudget("cpu", 1_100_000))
    assert main(["compare", *asking[1:], "--max-new-tokens", "4000"]) == 2
    assert "needed: full " in (told := capsys.readouterr().err)
    assert "What fits: as_is, autocast, unified." in told


def test_explain_reads_standard_input_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(CLASH.encode())))
    assert main(["explain", "--json"]) == 0
    document = last_json(capsys.readouterr().out)
    assert document["dtypes"] == ["float32", "float16"]
    assert {"recognised", "family", "title", "cause", "dtypes", "fixes", "references"} <= set(document)
    (tmp_path / "log.txt").write_bytes(b"ZeroDivisionError: division by zero \xff")
    assert main(["explain", str(tmp_path / "log.txt"), "--json"]) == 4
    assert last_json(capsys.readouterr().out)["recognised"] is False
    assert main(["explain", str(tmp_path / "none.txt")]) == 2
    assert str(tmp_path) not in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b" \n", bytes(range(256)) * 40], ids=["nothing", "spaces", "no text"])
def test_explain_does_not_recognise_what_holds_no_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(data)
    assert main(["explain", str(tmp_path / "log.txt")]) == 4


@pytest.mark.parametrize(("language", "said"), [("en", "not tried"), ("zh", "未实测")])
def test_explain_says_that_nothing_was_tried(
    language: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.txt").write_text("expected scalar type Float but found Half", "utf-8")
    assert main(["explain", str(tmp_path / "log.txt"), "--lang", language]) == 0
    shown = capsys.readouterr().out
    assert said in shown
    assert ("cures it" in shown) == (language == "en")


def test_explain_loads_neither_torch_nor_gradio() -> None:
    script = (
        "import sys; from xcomposer_ui.__main__ import main; main(['explain', '--json']); "
        "sys.exit(bool({'torch', 'gradio', 'transformers', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", script], input=CLASH, text=True, cwd=ROOT, capture_output=True)
    assert finished.returncode == 0, finished.stderr
