"""Brings a checkpoint from the hub into its cache: told as it goes, resumed where it broke off, offline if there."""

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

HTTP_ERROR: type[Exception] = hub_errors.HfHubHTTPError.__mro__[1]
"""What the hub's own HTTP client raises where no answer came; which client that is hangs on the hub's release."""


def fetched(name: str, tell: Callable[[float], None]) -> Path:
    """The folder of the hub's `name`, downloaded where it is not in the cache yet. Its last part is the revision.

    tell: is given the fraction of what is being downloaded, 0..1. A connection that breaks is taken up where it broke;
    after an end in the middle, files that are whole are not downloaded again. Raises UserError, with a sentence, where
    the hub does not give it, or cannot be reached and the cache has no whole copy.
    """
    return _brought(name, wanted, tell)


def configuration(name: str) -> Path:
    """The config.json of the hub's `name`, and nothing more of it is downloaded. Raises UserError as `fetched` does."""
    file = _brought(name, lambda files: ["config.json"], lambda fraction: None) / "config.json"
    if not file.is_file():
        raise UserError("incomplete_checkpoint", name=name, missing="config.json")
    return file


def cached(name: str) -> Path | None:
    """The folder of the hub's `name` where it is on this machine; asks nobody."""
    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=["config.json"]))
    except (hub_errors.LocalEntryNotFoundError, OSError, ValueError):
        return None


def wanted(files: Sequence[str]) -> list[str]:
    """Of a checkpoint's files, patterns of those that are loaded: weights in one format, not in each that is there."""
    safe = any(fnmatch.fnmatch(file, "*.safetensors") for file in files)
    return [*SMALL_FILES, *(SAFETENSORS if safe or not files else PYTORCH)]


def _brought(name: str, patterns: Callable[[Sequence[str]], list[str]], tell: Callable[[float], None]) -> Path:
    """The folder of the hub's `name` with the files that `patterns` picks from its list. Raises as `fetched` does."""
    try:
        # Asked once and with a limit: the hub's client tries its downloads six times over, for half a minute.
        told = HfApi().model_info(name, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except hub_errors.HFValidationError as error:
        raise UserError("no_such_model", name=name) from error
    except (HTTP_ERROR, OSError) as error:
        held = _held(name, patterns)
        if held is None:
            raise _mistake(name, error) from error
        return held
    wanted_files = patterns([file.rfilename for file in told.siblings or ()])
    try:
        return Path(snapshot_download(name, allow_patterns=wanted_files, tqdm_class=_bar(tell)))
    except (HTTP_ERROR, OSError) as error:
        raise _mistake(name, error) from error


def _held(name: str, patterns: Callable[[Sequence[str]], list[str]]) -> Path | None:
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
    """What the user is told of `error`, which the hub's client raised."""
    if isinstance(error, hub_errors.GatedRepoError):
        return UserError("hub_gated", name=name)
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return UserError("hub_missing", name=name)
    # Where the cache lacks something too, what the hub said is the cause.
    for said in (error, error.__cause__):
        if isinstance(said, hub_errors.HfHubHTTPError) and not isinstance(said, hub_errors.LocalEntryNotFoundError):
            return UserError("hub_refused", name=name, what=_status(said))
    return UserError("hub_out_of_reach", name=name, what=first_line(error))


def _bar(tell: Callable[[float], None]) -> Any:
    """A progress bar that is not drawn and tells the share of bytes; a bar that counts files tells nothing."""

    class Told(tqdm):  # type: ignore[misc]
        # No thread that redraws slow bars: each class of bars has its own, which stays, and tqdm holds its lock while
        # it starts one: where that thread first collects an old bar, which wants the lock, both wait for ever.
        monitor_interval = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            kwargs["disable"] = False
            kwargs["file"] = _Nowhere()
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            drawn: bool | None = super().update(n)
            if self.unit == "B" and self.total:
                tell(min(1.0, self.n / self.total))
            return drawn

    return Told


class _Nowhere:
    """Where a bar that nobody looks at is drawn."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _status(error: hub_errors.HfHubHTTPError) -> str:
    response = getattr(error, "response", None)
    return str(getattr(response, "status_code", "")) or type(error).__name__
