"""Reports: self-contained, with units, harmless whatever the question says, and with a script that runs."""

from __future__ import annotations

import ast
import csv
import io
import json

import pytest
from PIL import Image

from tests.compare.scripted import ScriptedRunner
from tests.requests import result_of, under
from tests.ui.scripted import MEASURED
from xcomposer_ui.compare.bug_report import bug_report
from xcomposer_ui.compare.comparison import comparison_as_json
from xcomposer_ui.compare.document import context_as_json, document_of_run, picture_as_json, run_as_json
from xcomposer_ui.compare.execution import ComparisonSettings, compare
from xcomposer_ui.compare.report import as_document, as_json, as_table, markdown
from xcomposer_ui.compare.script import script
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import result_as_json

PICTURE = Image.new("RGB", (4, 3), "red")
NASTY = 'Is `a|b` <script>?\n```\n"""; import os; {0} \\ '


def document(text: str = "What is there?", **plan: object) -> dict:
    question = Request(text, PICTURE, history=(("a", "b"),), seed=7, hd_num=9)
    *_, last = compare(ScriptedRunner(), question, ComparisonSettings(**plan))  # type: ignore[arg-type]
    return json.loads(json.dumps(comparison_as_json(last.comparison, context_as_json(question, last.comparison))))


@pytest.mark.parametrize(("device", "named"), [("mps", "mps"), ("cuda", "cuda"), ("evil'", "cpu")])
def test_the_script_runs_on_the_device_that_was_measured(device: str, named: str) -> None:
    found = document()
    found["runs"][0]["device"] = device
    assert f"DEVICE = '{named}'" in script(found)


def test_full_precision_is_called_float32_and_one_run_has_no_median() -> None:
    found = document()
    texts = markdown(found), bug_report(found), script(found), as_table(found)
    assert not any("full (float16)" in text or "full,float16" in text for text in texts)
    assert all("full (float32)" in text or "full,float32" in text for text in texts)
    assert found["runs"][-1]["half"] == "float16"  # the field's name is for the 16-bit dtype
    assert "; medians of 3 repeats." in texts[0]
    assert "medians" not in markdown(document_of_run(result_of("full", MEASURED, answer="I.")))


def test_a_stopped_comparison_says_so_and_how_often_it_was_repeated() -> None:
    found = document(repeats=3)
    assert "stopped" not in markdown(found)
    found["runs"][1]["repeats"], found["stopped"] = 2, True
    text = markdown(found)
    assert "\n\nThe comparison was stopped before everything was measured.\n\n" in text
    assert "; medians of 2 to 3 repeats." in text


def test_report_and_script_take_the_threads_of_the_run() -> None:
    threads = Message("reason.threads.measured", threads=1, most=2, ratio="0.90")
    found = document_of_run(result_of("full", MEASURED, text="Who?", answer="I.", reasons={"threads": threads}))
    assert "\n- threads: 1\n" in markdown(found)
    text = script(found)
    assert "\nTHREADS = 1 " in text
    assert "torch.set_num_threads(THREADS)" in text
    assert "\nTHREADS = None " in script(document())


def test_markdown_holds_question_hash_figures_with_units_versions_and_the_script() -> None:
    text = markdown(document())
    assert picture_as_json(PICTURE)["pixels_sha256"] in text
    for said in ("4 × 3 pixels", "latency (s)", "peak memory (MiB)", "mean KL (nats)", "- seed: 7", "- hd_num: 9, ",
                 "- python: ", "- torch: ", "- transformers: ", "- xcomposer_ui: ", "mat1 and mat2 must",
                 "from_pretrained", "float32 against float64", "0.9 × the time"):  # fmt: skip
        assert said in text, said


def test_a_question_is_data_in_every_format() -> None:
    found = document(NASTY)
    text = markdown(found)
    assert "<script>" not in text.replace(f"\n{NASTY.rstrip()}\n", "").split("## Repeat it")[0]
    tree = ast.parse(script(found))
    assigned = {
        node.targets[0].id: node.value  # type: ignore[attr-defined]
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    assert ast.literal_eval(assigned["QUESTION"]) == NASTY
    assert ast.literal_eval(assigned["SEED"]) == 7
    assert ast.literal_eval(assigned["HD_NUM"]) == 9
    assert ast.literal_eval(assigned["HISTORY"]) == [("a", "b")]
    assert [run[1:] for run in ast.literal_eval(assigned["RUNS"])] == [
        ("float16", "float32", None), ("float16", "float32", "float16"), ("float16", "float16", None),
        ("float32", "float32", None),
    ]  # fmt: skip


def test_csv_has_a_row_a_run_and_no_formula() -> None:
    found = document()
    found["runs"][1]["answer"] = "=1+1"
    read = list(csv.DictReader(io.StringIO(as_table(found))))
    assert [row["strategy"] for row in read] == ["as_is", "autocast", "unified", "full"]
    assert read[1]["answer"] == "'=1+1"
    assert read[0]["latency_sec"] == ""
    assert float(read[2]["mean_kl_divergence"]) == 1e-4
    assert float(read[3]["latency_lowest_sec"]) == 1.0


def test_json_comes_back_as_it_was() -> None:
    found = document()
    assert as_document(json.loads(as_json(found))) == found


def test_the_picture_itself_is_in_only_when_asked() -> None:
    assert "png_base64" not in picture_as_json(PICTURE)
    question = Request("x", PICTURE)
    *_, last = compare(ScriptedRunner(), question, ComparisonSettings(repeats=1))
    found = comparison_as_json(last.comparison, context_as_json(question, last.comparison, with_picture=True))
    assert "data:image/png;base64," in markdown(found)
    assert "PICTURE_BASE64 = 'iVBOR" in script(found)


def test_a_single_run_is_a_report_too_and_other_json_is_none() -> None:
    question = Request("What is it?", PICTURE, seed=7, temperature=0.5)
    *_, last = ScriptedRunner().run(under(question, "unified"))
    run = run_as_json(last.result)  # type: ignore[union-attr]
    found = as_document(json.loads(json.dumps(run)))
    assert found == json.loads(json.dumps(document_of_run(last.result)))  # type: ignore[union-attr]
    assert "a red square" in markdown(found)
    assert "QUESTION = 'What is it?'" in script(found)
    unasked = result_as_json(last.result)  # type: ignore[union-attr]  # what was asked is not known: no report
    for other in ([], {}, "x", {"runs": []}, {"runs": [{}]}, None, unasked, {"runs": [unasked], "question": "x"}):
        with pytest.raises(UserError):
            as_document(other)


def test_the_bug_report_tells_of_the_failure_first() -> None:
    text = bug_report(document())
    assert text.startswith("# RuntimeError: mat1 and mat2 must have the same dtype")
    for said in ("vision_proj.0", "float32", "float16", "Traceback", "- torch: ", "from_pretrained", "autocast ("):
        assert said in text


def test_the_bug_report_tells_of_another_answer_where_nothing_failed() -> None:
    found = document()
    found["runs"] = found["runs"][1:]
    assert "unified in float16 answers differently" in bug_report(found)
    found["divergence"][0]["first_non_finite_module"] = "model.layers.3"
    assert "not finite, from model.layers.3 on" in bug_report(found)
