"""`train`: exit statuses, the JSON on the last line of stdout, the lines for people."""

from __future__ import annotations

import json

import pytest

from tests.finetuning.scripted import ScriptedTrainer
from xcomposer_ui.__main__ import main
from xcomposer_ui.cli import train


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "runner_from", lambda arguments: ScriptedTrainer())


def test_the_json_has_every_recipe_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    command = "train --recipes bfloat16,float32,no_autocast --steps 2 --lr 0.001 --loss-divisor 8 --seed 3 --json"
    assert main(command.split()) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [entry["recipe"] for entry in document["recipes"]] == ["bfloat16", "float32", "no_autocast"]
    assert document["recipes"][2]["failure"]["message"] == "Attempting to unscale FP16 gradients."
    settings = document["settings"]
    assert (settings["steps"], settings["learning_rate"], settings["loss_divisor"]) == (2, 0.001, 8.0)


def test_people_get_figures_verdicts_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipes", "float32,float16_scaled", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "This CPU has no float16 arithmetic" in out
    assert "All float32: final loss (mean of up to 5 steps) 2.01, right before 0%, right after 90%" in out
    assert "90 of 100 held-out questions right" in out
    assert "ValueError: Attempting to unscale FP16 gradients." in out


def test_where_no_recipe_finishes_the_status_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipes", "float16_scaled", "--json"]) == 3


@pytest.mark.parametrize("flags", ["--recipes fp16", "--recipes ,", "--kind weather", "--steps 0", "--lr 2"])
def test_a_mistake_is_one_line(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *flags.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


def test_an_interrupt_prints_what_is_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted(ScriptedTrainer):
        def finetune(self, request):  # type: ignore[no-untyped-def]
            for n, event in enumerate(super().finetune(request)):
                if n == 3:
                    raise KeyboardInterrupt
                yield event

    monkeypatch.setattr(train, "runner_from", lambda arguments: Interrupted())
    assert main(["train", "--recipes", "float32,bfloat16", "--json"]) == 130
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["stopped"]
    assert [entry["recipe"] for entry in document["recipes"]] == ["float32"]
