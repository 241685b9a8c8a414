"""The versions of Python and of packages that the lab works with, and those installed. Imports none of the packages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True)
class Needed:
    """Versions that the lab works with.

    lowest: the first that works. untried: the first that was not tried. refused: those between that do not work.
    What the others do is `versions.older.NAME` and `versions.refused.NAME` of the locales.
    """

    lowest: str
    untried: str
    refused: tuple[str, ...] = ()


NEEDED = {
    "Python": Needed("3.10", "3.14"),
    "PyTorch": Needed("2.8", "2.14"),
    "transformers": Needed("5.20", "6"),
    "gradio": Needed("6.31", "7"),
    "accelerate": Needed("1.1", "2"),
    "sentencepiece": Needed("0.2.1", "0.3", refused=("0.2.2",)),
}
"""Name -> the versions that it may have, as requirements.txt and pyproject.toml bound them (a test compares them)."""

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
