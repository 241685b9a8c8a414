"""What the lab was told when it was started: one frozen record, and the one reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES

EMBEDDED = "embedded"
"""The name of the model that is in the repository."""

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EMBEDDED_PATH = ASSETS / "model"

DEVICES = ("auto", "cpu", "cuda", "mps")
HALVES = ("auto", "float16", "bfloat16")
LANGUAGE_CHOICES = ("auto", *LANGUAGES)


@dataclass(frozen=True)
class Settings:
    """model: "embedded", a folder, or a hub id. models: what the page may load (always with `model` among them).

    device, half, language: "auto" lets the lab choose, and say why.
    host, port: where the page is served; port 0..65535.
    on_space: whether this is a Hugging Face Space.

    Raises UserError where a value is none of those allowed.
    """

    model: str = EMBEDDED
    models: tuple[str, ...] = (EMBEDDED,)
    device: str = "auto"
    half: str = "auto"
    language: str = "auto"
    host: str = "127.0.0.1"
    port: int = 7860
    on_space: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("device", self.device, DEVICES),
            ("half", self.half, HALVES),
            ("lang", self.language, LANGUAGE_CHOICES),
        ):
            if value not in known:
                raise UserError("unknown_setting", name=name, value=value, known=", ".join(known))
        if not 0 <= self.port <= 65535:
            raise UserError("bad_port", port=self.port)
        if self.model not in self.models:
            object.__setattr__(self, "models", (self.model, *self.models))


def settings_from(
    environ: Mapping[str, str] = os.environ,
    *,
    model: str | None = None,
    device: str | None = None,
    half: str | None = None,
    language: str | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Settings:
    """Settings from flags (None: not given), then from `environ`, then from the defaults.

    Reads XCOMPOSER_MODEL, XCOMPOSER_MODELS (comma-separated), XCOMPOSER_DEVICE, XCOMPOSER_HALF, XCOMPOSER_LANG,
    SPACE_ID, and Gradio's own GRADIO_SERVER_NAME and GRADIO_SERVER_PORT. An empty variable counts as not set.
    Raises UserError as `Settings` does.
    """

    def chosen(flag: str | None, variable: str, default: str) -> str:
        return flag or environ.get(variable) or default

    on_space = bool(environ.get("SPACE_ID"))
    chosen_model = chosen(model, "XCOMPOSER_MODEL", EMBEDDED)
    offered = tuple(m.strip() for m in environ.get("XCOMPOSER_MODELS", "").split(",") if m.strip())
    return Settings(
        model=chosen_model,
        models=tuple(dict.fromkeys((chosen_model, EMBEDDED, *offered))),
        device=chosen(device, "XCOMPOSER_DEVICE", "auto"),
        half=chosen(half, "XCOMPOSER_HALF", "auto"),
        language=chosen(language, "XCOMPOSER_LANG", "auto"),
        # A Space is reached from outside its container; anything else stays on this machine unless told otherwise.
        host=chosen(host, "GRADIO_SERVER_NAME", "0.0.0.0" if on_space else "127.0.0.1"),
        port=port if port is not None else _port(environ.get("GRADIO_SERVER_PORT") or "7860"),
        on_space=on_space,
    )


def _port(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError("bad_port", port=text) from None


def model_path(name: str) -> Path | None:
    """The folder or file that `name` names: "embedded", or an existing path. None for anything else.

    Whether anything else is a hub id, `is_hub_id` tells.
    """
    path = EMBEDDED_PATH if name == EMBEDDED else Path(name).expanduser()
    return path if name and path.exists() else None


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/repository and is not a path on this machine."""
    owner, _, repository = name.partition("/")
    relative = owner.startswith((".", "~"))
    return bool(owner and repository) and "/" not in repository and not relative and model_path(name) is None
