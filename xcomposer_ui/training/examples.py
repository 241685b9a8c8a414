"""The page's example pictures and questions: drawn from `data/examples.json`, answered from their scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xcomposer_ui.training.answers import (
    ShapeQuery,
    colour_answer,
    count_answer,
    description_answer,
    place_answer,
    presence_answer,
    relation_answer,
    shape_answer,
)
from xcomposer_ui.training.holdout import draw_held_out, spectral_noise
from xcomposer_ui.training.phrases import NO_SHAPES, REFUSAL, load_data
from xcomposer_ui.training.world import COLOURS, SHAPES, Scene, Thing

_DATA: dict[str, Any] = load_data("examples")

_SHAPE_INDICES = {word.en: n for n, word in enumerate(SHAPES)}
_COLOUR_INDICES = {word.en: n for n, word in enumerate(COLOURS)}


def _query(name: str) -> ShapeQuery:
    """Query of a name such as "red circle", "circle", "red" or "" (anything)."""
    words = name.split()
    shapes = [_SHAPE_INDICES[word] for word in words if word in _SHAPE_INDICES]
    colours = [_COLOUR_INDICES[word] for word in words if word in _COLOUR_INDICES]
    return ShapeQuery(shapes[0] if shapes else None, colours[0] if colours else None)


def _thing(name: str, x: float, y: float, extent: float, angle: float = 0.0) -> Thing:
    """Thing of a name such as "red circle". x, y, extent, angle: as in `Thing`."""
    colour, shape = name.split()
    return Thing(_SHAPE_INDICES[shape], _COLOUR_INDICES[colour], x, y, extent, angle, _DATA["palette"][colour])


def _scene(width: int, height: int, background: Any, things: Any) -> Scene:
    return Scene(width, height, tuple(_thing(**thing) for thing in things), background)


SCENES = {name: _scene(**scene) for name, scene in _DATA["scenes"].items()}
"""The drawn examples by file name. One more example, the photograph-like `mountains`, has no scene."""

ONE_NOUN_ANSWERS: dict[str, Callable[[ShapeQuery, Scene, str], str]] = {
    "count": count_answer,
    "colour": colour_answer,
    "shape": shape_answer,
    "place": place_answer,
    "presence": presence_answer,
}


def _answer(file: str, language: str, kind: str, names: tuple[str, ...] = (), side: str = "") -> str:
    """The correct answer to a question of `kind` about the example `file` and the things with these names."""
    if kind == "refusal":
        return REFUSAL[language]
    if kind == "photograph":
        return NO_SHAPES[language]
    if kind == "description":
        return description_answer(SCENES[file], language)
    if kind == "relation":
        first, second = map(_query, names)
        return relation_answer(first, second, side, SCENES[file], language)
    return ONE_NOUN_ANSWERS[kind](_query(names[0]), SCENES[file], language)


def example_questions() -> list[dict[str, Any]]:
    """The examples' questions in the page's order: file, question, language, a stress exponent if any, answer."""
    result = []
    for entry in _DATA["questions"]:
        parts = {key: value for key, value in entry.items() if key not in ("question", "stress_exponent")}
        shown = {key: entry[key] for key in ("file", "question", "language", "stress_exponent") if key in entry}
        result.append({**shown, "answer": _answer(**parts)})
    return result


def mountains(width: int = 640, height: int = 440) -> Image.Image:
    """Draw hazy ridges under clouds, synthesised from noise with a fixed seed."""
    rng = np.random.default_rng(11)
    down = np.linspace(0, 1, height)[:, None, None]
    pixels = np.array((96, 142, 196)) * (1 - down) + np.array((226, 226, 220)) * down
    clouds = np.clip(spectral_noise(rng, width, height, 1.9)[..., None] - 0.2, 0, 1.4) * (1 - down)
    pixels = pixels + 75 * clouds
    rows, haze = np.arange(height)[:, None], np.array((186, 200, 214))
    for layer, (level, relief, tint) in enumerate(
        ((0.42, 0.1, (92, 108, 130)), (0.58, 0.09, (62, 84, 82)), (0.78, 0.07, (44, 62, 38)))
    ):
        ridge = (level + relief * spectral_noise(rng, width, 2, 1.45)[0]) * height
        rock = 1 + 0.28 * spectral_noise(rng, width, height, 0.8 + 0.15 * layer)[..., None]
        colours = np.array(tint) * rock * (0.55 + 0.2 * layer) + haze * (0.45 - 0.2 * layer)
        pixels = np.where((rows > ridge[None])[..., None], colours, pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_examples(folder: Path) -> None:
    """Write the pictures and `examples.json` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        picture = draw_held_out(np.random.default_rng(len(name)), scene, degraded=False)
        picture.save(folder / name, quality=92) if name.endswith(".jpg") else picture.save(folder / name, optimize=True)
    mountains().save(folder / "mountains.jpg", quality=88)
    questions = json.dumps(example_questions(), ensure_ascii=False, indent=2)
    (folder / "examples.json").write_text(questions + "\n", "utf-8")
