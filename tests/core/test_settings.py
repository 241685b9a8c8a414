"""Flags before environment before defaults; what is not allowed is said; app.py hands on what it is given."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import app
from xcomposer_ui.cli.serve import add_arguments, settings_from_arguments
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.settings import EMBEDDED, Settings, settings_from

ROOT = Path(app.__file__).resolve().parent


def parsed(*flags: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return settings_from_arguments(parser.parse_args(flags))


def test_without_flags_or_environment_the_defaults_hold() -> None:
    assert settings_from({}) == Settings()
    assert (Settings().host, Settings().port, Settings().model) == ("127.0.0.1", 7860, EMBEDDED)


def test_the_environment_is_read() -> None:
    settings = settings_from(
        {
            "XCOMPOSER_MODEL": "internlm/internlm-xcomposer2-vl-7b",
            "XCOMPOSER_DEVICE": "cuda",
            "XCOMPOSER_HALF": "bfloat16",
            "XCOMPOSER_LANG": "zh",
            "GRADIO_SERVER_NAME": "0.0.0.0",
            "GRADIO_SERVER_PORT": "8000",
        }
    )
    assert settings.model == "internlm/internlm-xcomposer2-vl-7b"
    assert (settings.device, settings.half, settings.language) == ("cuda", "bfloat16", "zh")
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)


def test_a_flag_goes_before_the_environment() -> None:
    environ = {"XCOMPOSER_DEVICE": "cuda", "GRADIO_SERVER_PORT": "8000"}
    settings = settings_from(environ, device="cpu", port=0)
    assert (settings.device, settings.port) == ("cpu", 0)


def test_an_empty_variable_counts_as_not_set() -> None:
    empty = dict.fromkeys(
        ("XCOMPOSER_MODEL", "XCOMPOSER_DEVICE", "XCOMPOSER_LANG", "GRADIO_SERVER_PORT", "SPACE_ID"), ""
    )
    assert settings_from(empty) == Settings()


def test_the_model_asked_for_and_the_embedded_one_are_always_offered() -> None:
    assert settings_from({}, model="/models/mine").models == ("/models/mine", EMBEDDED)
    assert settings_from({"XCOMPOSER_MODELS": "a/b, c/d,,a/b"}).models == (EMBEDDED, "a/b", "c/d")
    assert Settings(model="a/b").models == ("a/b", EMBEDDED)


def test_a_space_is_reached_from_outside_and_nothing_else_is() -> None:
    assert settings_from({"SPACE_ID": "someone/lab"}).host == "0.0.0.0"
    assert settings_from({}).source is None
    assert not settings_from({"SPACE_ID": "someone/lab", "SPACES_ZERO_GPU": "false"}).on_zero_gpu
    assert settings_from({"SPACE_ID": "someone/lab", "SPACES_ZERO_GPU": "true"}).on_zero_gpu
    assert settings_from({"SPACE_ID": "someone/lab"}).source == "https://huggingface.co/spaces/someone/lab/tree/main"
    assert settings_from({"SPACE_ID": "someone/lab"}, host="127.0.0.1").host == "127.0.0.1"


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({"XCOMPOSER_DEVICE": "tpu"}, "auto, cpu, cuda"),
        ({"XCOMPOSER_HALF": "float32"}, "auto, float16, bfloat16"),
        ({"XCOMPOSER_DECODER": "compiled"}, "auto, graph, eager"),
        ({"XCOMPOSER_LANG": "de"}, "auto, en, zh"),
        ({"GRADIO_SERVER_PORT": "http"}, "0 to 65535"),
        ({"GRADIO_SERVER_PORT": "65536"}, "0 to 65535"),
        ({"GRADIO_SERVER_PORT": "-1"}, "0 to 65535"),
        ({"XCOMPOSER_WORKERS": "many"}, "0 and 1024"),
        ({"XCOMPOSER_WORKERS": "1025"}, "0 and 1024"),
    ],
)
def test_what_is_not_allowed_is_answered_with_what_is(environ: dict[str, str], allowed: str) -> None:
    with pytest.raises(UserError, match=allowed) as caught:
        settings_from(environ)
    assert next(iter(environ.values())) in str(caught.value)


def test_every_flag_reaches_the_settings() -> None:
    flags = "--model m --device cpu --half bfloat16 --decoder eager --lang en --host 0.0.0.0 --port 9000".split()
    assert parsed(*flags) == Settings(
        model="m", models=("m", EMBEDDED), device="cpu", half="bfloat16", decoder="eager", language="en",
        host="0.0.0.0", port=9000,
    )  # fmt: skip


def test_flags_that_are_not_given_leave_the_environment_its_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XCOMPOSER_HALF", "bfloat16")
    assert parsed().half == "bfloat16"
    assert parsed("--half", "float16").half == "float16"


def test_app_serves_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr("xcomposer_ui.ui.serve.serve", served.append)
    assert app.main(["--port", "9001", "--lang", "zh"]) == 0
    assert served == [settings_from({}, port=9001, language="zh")]


def test_app_ends_quietly_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(settings: Settings) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xcomposer_ui.ui.serve.serve", interrupted)
    assert app.main([]) == 130


def test_a_mistake_at_start_is_one_line_and_exit_2() -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--device", "tpu"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "“tpu” is no value for device. Choose one of: auto, cpu, cuda, mps.\n"
