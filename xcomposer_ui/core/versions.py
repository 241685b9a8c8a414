"""The versions of Python and of packages that the lab works with, and those that are installed. Loads none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True)
class Needed:
    """Versions that the lab works with.

    lowest: the first that works. untried: the first that was not tried. older: what one below `lowest` does.
    refused: a version between them that does not work -> what it does.
    """

    lowest: str
    untried: str
    older: str
    refused: Mapping[str, str] = field(default_factory=dict)


NEEDED = {
    "Python": Needed("3.10", "3.14", "the code is written for 3.10 and later"),
    "PyTorch": Needed(
        "2.8",
        "2.14",
        "half on the CPU then lacks operations (\"addmm_impl_cpu_\" not implemented for 'Half', "
        "\"compute_indices_weights_cubic\" not implemented for 'Half') or AutocastCPU only supports bfloat16",
    ),
    "transformers": Needed("5.20", "6", "the model classes and the KV cache are written against 5.20 and later"),
    "gradio": Needed("6.31", "7", "the page uses what 6.31 brought"),
    "accelerate": Needed("1.1", "2", "weights cannot be loaded straight onto a GPU"),
    "sentencepiece": Needed(
        "0.2.1",
        "0.3",
        "it was not tried, and has no build for Python 3.13",
        {"0.2.2": "refuses the published checkpoints' tokenizer (“piece must not include null character”)"},
    ),
}
"""Name -> the versions that it may have, as requirements.txt and pyproject.toml bound them (a test compares them). What
older versions do is told in the messages that people reported."""

PACKAGES = {name: {"PyTorch": "torch"}.get(name, name) for name in NEEDED if name != "Python"}
"""Name in NEEDED -> the package's on PyPI."""


def installed(package: str) -> str | None:
    """The package's version from its metadata, which imports nothing of it; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def release_of(version: str) -> Version | None:
    """`version` without what marks a build of it, so that "2.8.0a0+nv25" counts as 2.8.0; None where it is none."""
    try:
        return Version(Version(version).base_version)
    except InvalidVersion:
        return None
