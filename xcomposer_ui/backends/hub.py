"""Brings a checkpoint from the hub into its cache: told as it goes, resumed where it broke off, offline if there."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub import errors as hub_errors
from tqdm import tqdm  # type: ignore[import-untyped]  # comes with the hub's client

from xcomposer_ui.errors import UserError

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
    try:
        return Path(snapshot_download(name, allow_patterns=_wanted(name), tqdm_class=_bar(tell)))
    except hub_errors.GatedRepoError as error:
        raise UserError("hub_gated", name=name) from error
    except hub_errors.RepositoryNotFoundError as error:
        raise UserError("hub_missing", name=name) from error
    except hub_errors.HfHubHTTPError as error:
        raise UserError("hub_refused", name=name, what=_status(error)) from error
    except (hub_errors.LocalEntryNotFoundError, HTTP_ERROR, OSError) as error:
        # What the hub said is the cause of what the cache lacks.
        if isinstance(error.__cause__, hub_errors.HfHubHTTPError):
            raise UserError("hub_refused", name=name, what=_status(error.__cause__)) from error
        raise UserError("hub_out_of_reach", name=name, what=_first_line(error)) from error


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


def _wanted(name: str) -> list[str]:
    try:
        return wanted(HfApi().list_repo_files(name))
    except (HTTP_ERROR, OSError):  # refused or out of reach: the download says which, or takes what the cache has
        folder = cached(name)
        return wanted([] if folder is None else [file.name for file in folder.iterdir()])


def _bar(tell: Callable[[float], None]) -> Any:
    """A progress bar that is not drawn and tells the share of bytes; a bar that counts files tells nothing."""

    class Told(tqdm):  # type: ignore[misc]
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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
