"""Downloads a checkpoint from the hub into its cache: with progress, resumed, and without a network if complete."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub import errors as hub_errors
from tqdm import tqdm  # type: ignore[import-untyped]  # comes with the hub's client

from xcomposer_ui.core.errors import UserError, first_line

SMALL_FILES = ("config.json", "generation_config.json", "tokenizer.model", "tokenizer*.json", "special_tokens_map.json")
SAFETENSORS = ("*.safetensors", "*.safetensors.index.json")
PYTORCH = ("pytorch_model*.bin", "pytorch_model.bin.index.json")


def fetched(name: str, report: Callable[[float], None]) -> Path:
    """The folder of the hub's `name`, downloaded where it is not in the cache yet. Its last part is the revision.

    report: is called with the downloaded fraction, 0..1. A broken download is resumed, and complete files are not
    downloaded again. Raises UserError where the hub refuses it, or is out of reach and the cache has no whole copy.
    """
    return _downloaded(name, wanted, report)


def configuration(name: str) -> Path:
    """The config.json of the hub's `name`, and nothing more of it is downloaded. Raises UserError as `fetched` does."""
    file = _downloaded(name, lambda files: ["config.json"], lambda fraction: None) / "config.json"
    if not file.is_file():
        raise UserError("incomplete_checkpoint", name=name, missing="config.json")
    return file


def cached(name: str) -> Path | None:
    """The folder of the hub's `name` where it is on this machine; uses no network."""
    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=["config.json"]))
    except (hub_errors.LocalEntryNotFoundError, OSError, ValueError):
        return None


def wanted(files: Sequence[str]) -> list[str]:
    """Of a checkpoint's files, patterns of those that are loaded: weights in one format, not in each that is there."""
    safe = any(fnmatch.fnmatch(file, "*.safetensors") for file in files)
    return [*SMALL_FILES, *(SAFETENSORS if safe or not files else PYTORCH)]


def _downloaded(name: str, patterns: Callable[[Sequence[str]], list[str]], report: Callable[[float], None]) -> Path:
    """The folder of the hub's `name` with the files that `patterns` picks from its list. Raises as `fetched` does."""
    try:
        # One request with a time limit: the hub's client tries its downloads six times, for half a minute.
        info = HfApi().model_info(name, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except hub_errors.HFValidationError as error:
        raise UserError("no_such_model", name=name) from error
    except Exception as error:  # the HTTP client's own among them, and which client that is depends on the release
        cached_folder = _complete_in_cache(name, patterns)
        if cached_folder is None:
            raise _mistake(name, error) from error
        return cached_folder
    wanted_files = patterns([file.rfilename for file in info.siblings or ()])
    try:
        return Path(snapshot_download(name, allow_patterns=wanted_files, tqdm_class=_bar(report)))
    except Exception as error:
        raise _mistake(name, error) from error


def _complete_in_cache(name: str, patterns: Callable[[Sequence[str]], list[str]]) -> Path | None:
    """The cache's folder of `name`; None where it holds none, or not all that `patterns` picks of it."""
    folder = cached(name)
    if folder is None:
        return None
    picked = patterns([file.name for file in folder.iterdir()])
    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=picked))
    except hub_errors.LocalEntryNotFoundError:
        return None


def _mistake(name: str, error: Exception) -> UserError:
    """The user's mistake that `error`, which the hub's client raised, stands for."""
    if isinstance(error, hub_errors.GatedRepoError):
        return UserError("hub_gated", name=name)
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return UserError("hub_missing", name=name)
    # Where the cache is incomplete too, the hub's answer is the cause.
    for cause in (error, error.__cause__):
        if isinstance(cause, hub_errors.HfHubHTTPError) and not isinstance(cause, hub_errors.LocalEntryNotFoundError):
            return UserError("hub_refused", name=name, what=_status(cause))
    return UserError("hub_out_of_reach", name=name, what=first_line(error))


def _bar(report: Callable[[float], None]) -> Any:
    """A progress bar that is not drawn and reports the fraction of bytes; one that counts files reports nothing."""

    class Reporting(tqdm):  # type: ignore[misc]
        # No thread that redraws slow bars: each class of bars has its own, which stays, and tqdm holds its lock while
        # it starts one. If that thread first collects an old bar, which needs the lock, both wait for ever.
        monitor_interval = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            kwargs["disable"] = False
            kwargs["file"] = _NoFile()
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            drawn: bool | None = super().update(n)
            if self.unit == "B" and self.total:
                report(min(1.0, self.n / self.total))
            return drawn

    return Reporting


class _NoFile:
    """Discards what is written."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _status(error: hub_errors.HfHubHTTPError) -> str:
    response = getattr(error, "response", None)
    return str(getattr(response, "status_code", "")) or type(error).__name__
