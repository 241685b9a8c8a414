"""Supported and installed versions of Python and of packages. Imports none of the packages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from packaging.version import InvalidVersion, Version


@dataclass(frozen=True)
class SupportedVersions:
    """Versions that the lab works with.

    lowest: the first that works. untried: the first that was not tried. refused: those between that do not work.
    The locales describe the effect of other versions in `versions.older.NAME` and `versions.refused.NAME`.
    """

    lowest: str
    untried: str
    refused: tuple[str, ...] = ()


SUPPORTED = {
    "Python": SupportedVersions("3.10", "3.14"),
    "PyTorch": SupportedVersions("2.8", "2.14"),
    "transformers": SupportedVersions("5.20", "6"),
    "gradio": SupportedVersions("6.31", "7"),
    "accelerate": SupportedVersions("1.1", "2"),
    "sentencepiece": SupportedVersions("0.2.1", "0.3", refused=("0.2.2",)),
}
"""Name -> its versions; the same bounds as in requirements.txt and pyproject.toml (a test compares them)."""

PACKAGES = {name: {"PyTorch": "torch"}.get(name, name) for name in SUPPORTED if name != "Python"}
"""Name in SUPPORTED -> the package's name on PyPI."""


def installed(package: str) -> str | None:
    """The package's version from its metadata; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def release_of(version: str) -> Version | None:
    """The release of `version` ("2.8.0a0+nv25" -> 2.8.0); None where it is not a valid version."""
    try:
        return Version(Version(version).base_version)
    except InvalidVersion:
        return None
