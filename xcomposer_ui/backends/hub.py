"""Downloads a checkpoint from the hub into its cache, with progress; a complete copy needs no network."""

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


def download(name: str, report: Callable[[float], None]) -> Path:
    """Download the hub's `name` if it is not in the cache yet; returns its folder, whose name is the revision.

    report: called with the downloaded fraction, 0..1. An interrupted download is resumed; complete files are not
    downloaded again. Raises UserError if the hub refuses, or cannot be reached and the cache has no complete copy.
    """
    return _download(name, files_to_load, report)


def configuration(name: str) -> Path:
    """Download only the config.json of the hub's `name`. Raises UserError as `download` does."""
    file = _download(name, lambda files: ["config.json"], lambda fraction: None) / "config.json"
    if not file.is_file():
        raise UserError("incomplete_checkpoint", name=name, missing="config.json")
    return file


def files_to_load(files: Sequence[str]) -> list[str]:
    """Patterns of those of a checkpoint's files that are loaded: weights in one format, if there are several."""
    safe = any(fnmatch.fnmatch(file, "*.safetensors") for file in files)
    return [*SMALL_FILES, *(SAFETENSORS if safe or not files else PYTORCH)]


def _download(name: str, patterns: Callable[[Sequence[str]], list[str]], report: Callable[[float], None]) -> Path:
    """Download the files of the hub's `name` that match `patterns(names of all files)`. Raises as `download` does."""
    try:
        # One request with a time limit: without a network, a download is retried for half a minute.
        info = HfApi().model_info(name, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except hub_errors.HFValidationError as error:
        raise UserError("no_such_model", name=name) from error
    except Exception as error:  # includes the HTTP client's, which depends on the hub client's release
        cached_folder = _complete_in_cache(name, patterns)
        if cached_folder is None:
            raise _mistake(name, error) from error
        return cached_folder
    picked = patterns([file.rfilename for file in info.siblings or ()])
    try:
        return Path(snapshot_download(name, allow_patterns=picked, tqdm_class=_bar(report)))
    except Exception as error:
        raise _mistake(name, error) from error


def _complete_in_cache(name: str, patterns: Callable[[Sequence[str]], list[str]]) -> Path | None:
    """The cache's folder of `name`, without a network; None if it is missing or incomplete."""
    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=["config.json"]))
        picked = patterns([file.name for file in folder.iterdir()])
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=picked))
    except (hub_errors.LocalEntryNotFoundError, OSError, ValueError):
        return None


def _mistake(name: str, error: Exception) -> UserError:
    """The UserError for an `error` of the hub's client."""
    if isinstance(error, hub_errors.GatedRepoError):
        return UserError("hub_gated", name=name)
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return UserError("hub_missing", name=name)
    # If the cache is incomplete too, the hub's response is the error's cause.
    for cause in (error, error.__cause__):
        if isinstance(cause, hub_errors.HfHubHTTPError) and not isinstance(cause, hub_errors.LocalEntryNotFoundError):
            return UserError("hub_refused", name=name, what=str(cause.response.status_code))
    return UserError("hub_out_of_reach", name=name, what=first_line(error))


def _bar(report: Callable[[float], None]) -> Any:
    """A class of progress bars that are not drawn; those of bytes report their fraction, those of files nothing."""

    class Reporting(tqdm):  # type: ignore[misc]
        # No monitor thread: tqdm starts one for each class and waits for it while holding its lock. If that thread's
        # first garbage collection finds an old bar, whose deletion needs the lock, both wait for ever.
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
