"""The options that the lab was started with: one frozen record, and the one reader of the environment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xcomposer_ui.core.errors import UserError, check_choice, check_range
from xcomposer_ui.core.messages import LANGUAGES

EMBEDDED = "embedded"
"""The name of the model that is in the repository."""

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EMBEDDED_PATH = ASSETS / "model"

DEVICES = ("auto", "cpu", "cuda", "mps")
HALVES = ("auto", "float16", "bfloat16")
DECODERS = ("auto", "graph", "eager")
MOST_WORKERS = 1024
LANGUAGE_CHOICES = ("auto", *LANGUAGES)
ZERO_GPU_VALUES = ("1", "t", "true")
"""Values of SPACES_ZERO_GPU that the package `spaces` (0.51) takes for yes."""


@dataclass(frozen=True)
class Option:
    """A field of `Settings` on the command line and in the environment.

    flag, metavar, help: of the command line. variable: of the environment. choices: the allowed values; () for any.
    """

    name: str
    flag: str
    variable: str
    metavar: str
    help: str
    choices: tuple[str, ...]


def option(
    default: Any, flag: str, variable: str, help: str, *, choices: tuple[str, ...] = (), metavar: str = ""
) -> Any:
    """A dataclass field that has a flag and an environment variable; the arguments are those of `Option`."""
    known = Option("", flag, variable, metavar or "|".join(choices), help, choices)
    return field(default=default, metadata={"option": known})


def options_of(record: type) -> tuple[Option, ...]:
    """The options among the fields of `record`, in their order."""
    fields = [f for f in dataclasses.fields(record) if "option" in f.metadata]
    return tuple(dataclasses.replace(f.metadata["option"], name=f.name) for f in fields)


@dataclass(frozen=True)
class Settings:
    """The options that the lab was started with.

    model: "embedded", a folder, or a hub id. models: those that the page may load, always including `model`.
    device, half, language: "auto" lets the lab choose and give its reason.
    host, port: where the page is served; port 0..65535. workers: that compute for it; 0 for the process itself.
    source: the address of the files of the Hugging Face Space that this is; None elsewhere.
    on_zero_gpu: whether it is one that is lent a card for each run (ZeroGPU).

    Raises UserError where a value is not allowed.
    """

    model: str = option(
        EMBEDDED, "--model", "XCOMPOSER_MODEL", "“embedded”, a folder, or a hub id", metavar="PATH_OR_ID"
    )
    models: tuple[str, ...] = (EMBEDDED,)
    device: str = option("auto", "--device", "XCOMPOSER_DEVICE", "where the model computes", choices=DEVICES)
    half: str = option("auto", "--half", "XCOMPOSER_HALF", "the 16-bit type", choices=HALVES)
    decoder: str = option("auto", "--decoder", "XCOMPOSER_DECODER", "how a card decodes", choices=DECODERS)
    language: str = option("auto", "--lang", "XCOMPOSER_LANG", "the page's language", choices=LANGUAGE_CHOICES)
    host: str = option(
        "127.0.0.1", "--host", "GRADIO_SERVER_NAME", "address to listen on; this machine alone if not given",
        metavar="HOST",
    )  # fmt: skip
    port: int = option(7860, "--port", "GRADIO_SERVER_PORT", "7860 if not given", metavar="N")
    workers: int = option(
        0, "--workers", "XCOMPOSER_WORKERS", "processes that compute for the page; needs Ray", metavar="N"
    )
    source: str | None = None
    on_zero_gpu: bool = False

    def __post_init__(self) -> None:
        for known in options_of(type(self)):
            if known.choices:
                check_choice(known.flag.removeprefix("--"), getattr(self, known.name), known.choices)
        check_range("workers", self.workers, 0, MOST_WORKERS)
        if not 0 <= self.port <= 65535:
            raise UserError("bad_port", port=self.port)
        if self.model not in self.models:
            object.__setattr__(self, "models", (self.model, *self.models))


def settings_from(environ: Mapping[str, str] = os.environ, /, **given: Any) -> Settings:
    """Settings from `given` options by name (None: not given), then from `environ`, then from the defaults.

    Besides the options' variables it reads XCOMPOSER_MODELS (comma-separated), SPACE_ID and SPACES_ZERO_GPU. An empty
    variable is treated as not set. Raises UserError as `Settings` does.
    """
    found: dict[str, Any] = {}
    for known in options_of(Settings):
        value = given.get(known.name)
        if value in (None, ""):
            value = environ.get(known.variable)
        if value not in (None, ""):
            found[known.name] = value
    if isinstance(port := found.get("port"), str):
        found["port"] = _whole(port, UserError("bad_port", port=port))
    if isinstance(workers := found.get("workers"), str):
        mistake = UserError("out_of_range", name="workers", value=workers, lowest=0, highest=MOST_WORKERS)
        found["workers"] = _whole(workers, mistake)
    space = environ.get("SPACE_ID")
    source = f"https://huggingface.co/spaces/{space}/tree/main" if space else None
    if space:  # a Space must be reachable from outside its container
        found.setdefault("host", "0.0.0.0")
    on_zero_gpu = environ.get("SPACES_ZERO_GPU", "").lower() in ZERO_GPU_VALUES
    model = found.get("model", EMBEDDED)
    offered = tuple(m.strip() for m in environ.get("XCOMPOSER_MODELS", "").split(",") if m.strip())
    models = tuple(dict.fromkeys((model, EMBEDDED, *offered)))
    return Settings(models=models, source=source, on_zero_gpu=on_zero_gpu, **found)


def _whole(text: str, mistake: UserError) -> int:
    """The whole number in `text`. Raises `mistake` where it is none."""
    try:
        return int(text)
    except ValueError:
        raise mistake from None


def model_path(name: str) -> Path | None:
    """The folder or file of `name`: "embedded", or an existing path. None for any other name, such as a hub id."""
    path = EMBEDDED_PATH if name == EMBEDDED else Path(name).expanduser()
    return path if name and path.exists() else None


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/repository and is not a path on this machine."""
    owner, _, repository = name.partition("/")
    relative = owner.startswith((".", "~"))
    return bool(owner and repository) and "/" not in repository and not relative and model_path(name) is None
