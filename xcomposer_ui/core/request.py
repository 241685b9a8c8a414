"""The request of a run: one frozen record, checked where it is made, whose fields carry their limits and flags.

Command line flags, the page's controls, JSONL fields, links, endpoint arguments and report lines are made from
`settings_of(Request)`, so that a new setting is one more field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from xcomposer_ui.core.errors import UserError, check_choice, check_range
from xcomposer_ui.core.families import control_tokens, image_marks
from xcomposer_ui.core.settings import DEVICES
from xcomposer_ui.core.strategies import Strategy, checked_half, strategy_named

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TILES = 96
"""Of one picture. The published members use 24 and 55 by default; each tile is hundreds of tokens."""

LONGEST_QUESTION = 8000
"""Characters. A prompt is at most 4096 tokens, of which a picture takes up to 1225; a token is a character or more."""


@dataclass(frozen=True)
class Setting:
    """A numeric field of a record, with its limits and its names on the page and the command line.

    kind: int or float. default: None for the model's own number. step: of the page's slider; None for a number box.
    flag: of the command line; a setting without one exists on the page's Ask tab and in JSONL files only.
    help: the flag's help. label: the code of the control's label. only_tiled: whether only models that cut pictures
    into tiles have it.
    """

    name: str
    kind: type[int] | type[float]
    default: float | None
    lowest: float
    highest: float
    step: float | None
    flag: str | None
    help: str
    label: str
    only_tiled: bool

    def is_kind(self, value: object) -> bool:
        return isinstance(value, (int,) if self.kind is int else (int, float)) and not isinstance(value, bool)

    def parsed(self, value: str) -> float | None:
        """The number in `value`; None where it is not a number or is out of range."""
        try:
            number = self.kind(value)
        except ValueError:
            return None
        return number if self.lowest <= number <= self.highest else None


def setting(
    default: Any,
    *,
    lowest: float,
    highest: float,
    step: float | None = None,
    flag: str | None = None,
    help: str = "",
    label: str = "",
    only_tiled: bool = False,
) -> Any:
    """A dataclass field that holds a number with limits; the arguments are those of `Setting`."""
    kind = int if default is None else type(default)
    known = Setting("", kind, default, lowest, highest, step, flag, help, label, only_tiled)
    return field(default=default, metadata={"setting": known})


def settings_of(record: type, *, flagged: bool = False) -> tuple[Setting, ...]:
    """The settings among the fields of `record`, in their order. flagged: only those with a command line flag."""
    found = [(f.name, f.metadata["setting"]) for f in dataclasses.fields(record) if "setting" in f.metadata]
    return tuple(replace(s, name=name, label=s.label or name) for name, s in found if s.flag or not flagged)


def check_settings(record: Any) -> None:
    """Raise UserError where a setting of `record` is invalid; whole numbers become floats where it is one.

    JSON has no other 1.0 than 1, and transformers refuses a temperature that is an int.
    """
    for s in settings_of(type(record)):
        value = getattr(record, s.name)
        if value is not None:
            check_range(s.name, value, s.lowest, s.highest, whole=s.kind is int)
        if s.kind is float and isinstance(value, int):
            object.__setattr__(record, s.name, float(value))


@dataclass(frozen=True)
class MemoryRequest:
    """What the memory of a run depends on. picture: (width, height), None for text only. text_length: characters.

    hd_num: most tiles of the picture, None for the model's own number.
    """

    model: str
    strategy: str
    half: str
    picture: tuple[int, int] | None
    text_length: int
    new_tokens: int
    hd_num: int | None = None


@dataclass(frozen=True)
class Request:
    """One question about one picture, or the next turn of a conversation, under one strategy.

    image: an upright RGB picture, or None for text only. file: where it was read from; None where that is unknown.
    history: earlier (question, answer) pairs, oldest first.
    strategy: a name of STRATEGIES; a comparison sets it for each of its variants.
    half: the run's 16-bit dtype. half, model, device: None or "auto" for the lab's settings.
    temperature: 0 is greedy; above, answers are sampled (only then `top_p` has an effect). repetition_penalty: 1 is
    none.
    hd_num: the most tiles that a tiled model cuts the picture into; None for the model's own number.
    stress_exponent: the residual stream is scaled by 2 to this power (`models.range_stress`); None or 0 leaves it.

    Raises UserError where a field is invalid or out of its range.
    """

    text: str
    image: Image | None = None
    history: tuple[tuple[str, str], ...] = ()
    strategy: str = "autocast"
    half: str | None = None
    model: str | None = None
    device: str | None = None
    file: str | None = None
    max_new_tokens: int = setting(
        256, lowest=1, highest=4096, step=1, flag="--max-new-tokens", help="the answer ends there at the latest"
    )
    temperature: float = setting(
        0.0, lowest=0, highest=5, step=0.05, flag="--temperature", help="0, the default, is greedy"
    )
    top_p: float = setting(0.8, lowest=0.01, highest=1, step=0.01)
    repetition_penalty: float = setting(1.0, lowest=0.5, highest=5, step=0.05)
    seed: int = setting(0, lowest=0, highest=2**63 - 1, flag="--seed", help="of sampling")
    hd_num: int | None = setting(
        None, lowest=1, highest=MOST_TILES, flag="--hd-num", help="most tiles of the picture (tiled models only)",
        label="plan.hd_num", only_tiled=True,
    )  # fmt: skip
    stress_exponent: int | None = setting(
        None, lowest=-28, highest=16, step=1, flag="--stress-exponent",
        help="scale the values between the blocks by 2 to this power, which no longer fits float16's range",
    )  # fmt: skip

    def __post_init__(self) -> None:
        strategy_named(self.strategy)
        if self.half not in (None, "auto"):
            checked_half(self.half)
        if self.device is not None:
            check_choice("device", self.device, DEVICES)
        self._check_text()
        check_settings(self)

    @property
    def method(self) -> Strategy:
        return strategy_named(self.strategy)

    @property
    def half_dtype(self) -> str:
        """The run's 16-bit dtype. Raises ValueError where `Runner.resolved` has not set it yet."""
        if self.half in (None, "auto"):
            raise ValueError("the request's half dtype is not resolved yet")
        return str(self.half)

    @property
    def weights_dtype(self) -> str:
        """The dtype of the weights in memory. Raises ValueError as `half_dtype` does."""
        return self.method.weights_dtype(self.half_dtype)

    @property
    def has_picture(self) -> bool:
        """Whether the question is about a picture, opened or not."""
        return self.image is not None or self.file is not None

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(width, height) of the opened picture."""
        return None if self.image is None else self.image.size

    @property
    def settings(self) -> dict[str, float | None]:
        return {s.name: getattr(self, s.name) for s in settings_of(type(self))}

    @property
    def requests_tiles(self) -> bool:
        """Whether a setting is filled in that only models with tiles have."""
        return any(value is not None for value in tile_settings(self).values())

    def without_image(self) -> Request:
        """The request without the decoded picture, which may be many megabytes."""
        return self if self.image is None else replace(self, image=None)

    def memory_query(self) -> MemoryRequest:
        """What the run's memory depends on. Raises ValueError where the request is not resolved yet."""
        if self.model is None:
            raise ValueError("the request's model is not resolved yet")
        length = sum(len(text) for turn in self.history for text in turn) + len(self.text)
        return MemoryRequest(
            self.model, self.strategy, self.half_dtype, self.picture_size, length, self.max_new_tokens,
            **tile_settings(self),
        )  # fmt: skip

    def _check_text(self) -> None:
        if not self.text.strip():
            raise UserError("empty_question")
        if len(self.text) > LONGEST_QUESTION:
            raise UserError("long_question", length=len(self.text), longest=LONGEST_QUESTION)
        for token in control_tokens():
            if token in self.text:
                raise UserError("control_token", token=token)
        marks = sum(self.text.count(mark) for mark in image_marks())
        if marks > self.has_picture:
            raise UserError("image_marks", marks=marks, pictures=int(self.has_picture))


OPTIONAL_SETTINGS = tuple(s.name for s in settings_of(Request) if s.default is None)
"""Names of the settings that most runs leave out."""

TILE_SETTINGS = tuple(s.name for s in settings_of(Request) if s.only_tiled)
"""Names of the settings that only models with tiles have."""


def tile_settings(record: object) -> dict[str, Any]:
    """TILE_SETTINGS by name as `record` holds them: a request, a plan's request, parsed arguments."""
    return {name: getattr(record, name) for name in TILE_SETTINGS}


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings`, and the default of each setting that is not among them."""
    return {**{s.name: s.default for s in settings_of(Request)}, **settings}
