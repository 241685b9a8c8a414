"""Hub ids: downloaded with their progress told, resumed, offline from the cache; each refusal is a sentence.

The hub is a server on this machine; nothing here leaves it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi
from PIL import Image

from tests.backends.hub_server import REVISION, FakeHub
from tests.checkpoints import write_checkpoint
from tests.requests import under
from xcomposer_ui.__main__ import main
from xcomposer_ui.backends import hub
from xcomposer_ui.backends.local import open_local
from xcomposer_ui.backends.planning.configuration import configuration_of
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.request import Request
from xcomposer_ui.runtime.backend import Progress

NAME = "someone/a-model.of-theirs"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@pytest.fixture
def served(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that has the checkpoint, pickled weights beside, and an empty cache."""
    constants = huggingface_hub.constants
    with FakeHub(NAME, {**files, "pytorch_model.bin": b"not loaded", "README.md": b"not loaded"}) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.address)
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield running


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long each question to the hub may wait for an answer, in seconds, in the order in which they are asked."""
    asked: list[float | None] = []
    model_info = HfApi.model_info

    def noted(*given: Any, **named: Any) -> Any:
        asked.append(named.get("timeout"))
        return model_info(*given, **named)

    monkeypatch.setattr(HfApi, "model_info", noted)
    return asked


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that this thread makes, in seconds, none of them slept; the hub's client makes one before it retries."""
    made: list[float] = []
    sleep, here = time.sleep, threading.get_ident()

    def noted(seconds: float) -> None:
        if threading.get_ident() == here:
            made.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    return made


def refused(code: str) -> str:
    with pytest.raises(UserError) as caught:
        hub.download(NAME, lambda fraction: None)
    assert caught.value.code == code
    return str(caught.value)


def test_a_checkpoint_is_downloaded_told_of_and_its_revision_is_known(served: FakeHub) -> None:
    fractions: list[float] = []
    folder = hub.download(NAME, fractions.append)
    assert folder.name == REVISION
    assert (folder / "model.safetensors").read_bytes() == served.files["model.safetensors"]
    assert not (folder / "pytorch_model.bin").exists()
    assert not (folder / "README.md").exists()
    assert fractions
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert fractions[-1] == 1


def test_a_download_leaves_no_thread_of_its_bars_behind(served: FakeHub) -> None:
    hub.download(NAME, lambda fraction: None)  # what others' bars keep is there by now
    before = set(threading.enumerate())
    hub.download(NAME, lambda fraction: None)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "tqdm_monitor"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(served: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    served.break_at = 40_000
    folder = hub.download(NAME, lambda fraction: None)
    assert (folder / "model.safetensors").read_bytes() == served.files["model.safetensors"]
    assert [asked for method, _, asked in served.asked if method == "GET" and asked] == ["bytes=40000-"]


def test_files_that_are_whole_are_not_downloaded_again(served: FakeHub) -> None:
    served.lost = frozenset({"model.safetensors"})
    with pytest.raises(UserError):
        hub.download(NAME, lambda fraction: None)
    served.lost = frozenset()
    served.asked.clear()
    hub.download(NAME, lambda fraction: None)
    again = [path for method, path, _ in served.asked if method == "GET" and "/resolve/" in path]
    assert "model.safetensors" in again[0]
    assert len(again) < len(served.files) - 2


def test_once_here_it_answers_without_the_hub_and_carries_its_revision(
    served: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.download(NAME, lambda fraction: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    served.asked.clear()
    backend, progress = open_local(NAME, "cpu"), Progress()
    assert backend.load("float32", progress)
    question = Request("What?", Image.new("RGB", (8, 8)), max_new_tokens=3)
    assert backend.generate(under(question, "full"), progress).failure_type is None
    assert backend.revision == REVISION
    assert served.asked == []


def test_out_of_reach_and_never_downloaded_is_a_sentence(served: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "not on this machine" in refused("hub_out_of_reach")


@pytest.mark.parametrize("command", [["plan"], ["run", "--strategy", "full", "--question", "What?"]])
def test_where_nobody_answers_one_sentence_comes_without_a_second_try(
    command: list[str],
    served: FakeHub,
    limits: list[float | None],
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main([*command, "--model", NAME, "--device", "cpu"]) == 2
    assert len(limits) == 1
    assert pauses == []
    assert "not on this machine" in capsys.readouterr().err
    assert caplog.records == []


def test_a_hub_that_keeps_silent_is_waited_for_so_long_and_no_longer(
    served: FakeHub, limits: list[float | None], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
        refused("hub_out_of_reach")
    assert limits == [0.5]
    assert pauses == []


def test_a_configuration_comes_alone_and_from_the_cache_when_nobody_answers(
    served: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = hub.configuration(NAME)
    assert [entry.name for entry in file.parent.iterdir()] == ["config.json"]
    assert configuration_of(NAME).hidden_size == json.loads(file.read_text())["hidden_size"]
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hub.configuration(NAME) == file
    refused("hub_out_of_reach")  # the weights are not here


def test_a_repository_without_a_configuration_is_named(served: FakeHub) -> None:
    del served.files["config.json"]
    with pytest.raises(UserError, match=r"config\.json") as caught:
        configuration_of(NAME)
    assert caught.value.code == "incomplete_checkpoint"


@pytest.mark.parametrize("name", ["some one/else", "some/..", "some/" + "a" * 97])
def test_what_can_be_no_name_on_the_hub_is_not_asked_for(served: FakeHub, name: str) -> None:
    with pytest.raises(UserError) as caught:
        hub.configuration(name)
    assert caught.value.code == "no_such_model"
    assert served.asked == []


@pytest.mark.parametrize(
    ("refuse", "code", "said"),
    [
        ((403, "GatedRepo"), "hub_gated", "is gated"),
        ((404, "RepoNotFound"), "hub_missing", "has no model"),
        ((503, ""), "hub_refused", "503"),
    ],
)
def test_what_the_hub_says_becomes_a_sentence(served: FakeHub, refuse: tuple[int, str], code: str, said: str) -> None:
    served.refuse = refuse
    sentence = refused(code)
    assert said in sentence
    assert NAME in sentence


def test_a_download_that_is_not_whole_is_named(served: FakeHub) -> None:
    del served.files["tokenizer.model"]
    with pytest.raises(UserError) as caught:
        open_local(NAME, "cpu").fetch(Progress())
    assert caught.value.code == "incomplete_checkpoint"
    assert NAME in str(caught.value)
    assert "tokenizer.model" in str(caught.value)


def test_weights_of_one_format_are_wanted() -> None:
    assert "*.safetensors" in hub.files_to_load(["config.json", "model-1.safetensors", "pytorch_model.bin"])
    assert "pytorch_model*.bin" in hub.files_to_load(["config.json", "pytorch_model-1.bin"])
    assert "*.safetensors" not in hub.files_to_load(["config.json", "pytorch_model-1.bin"])
