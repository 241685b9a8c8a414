"""The example pictures of the page: drawn here, asked about here, and answered rightly by the embedded model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from xcomposer_ui.training.answers import (
    Wanted,
    colour_answer,
    count_answer,
    description_answer,
    place_answer,
    presence_answer,
    relation_answer,
    shape_answer,
)
from xcomposer_ui.training.holdout import draw_held_out, spectral
from xcomposer_ui.training.wordings import NO_SHAPES, REFUSAL
from xcomposer_ui.training.world import COLOURS, SHAPES, Rgb, Scene, Thing

PALETTE: dict[str, Rgb] = {
    "red": (222, 45, 38),
    "green": (44, 150, 70),
    "blue": (40, 95, 215),
    "yellow": (250, 208, 40),
    "purple": (125, 60, 175),
    "orange": (245, 140, 30),
    "black": (28, 28, 30),
    "white": (250, 250, 248),
}
PAPER: tuple[Rgb, Rgb] = ((250, 247, 240), (236, 240, 246))
NIGHT: tuple[Rgb, Rgb] = ((34, 40, 58), (58, 62, 92))
MEADOW: tuple[Rgb, Rgb] = ((196, 222, 190), (226, 236, 205))
SAND: tuple[Rgb, Rgb] = ((238, 222, 192), (246, 236, 216))
SKY: tuple[Rgb, Rgb] = ((176, 208, 236), (222, 234, 246))


def _index(words: tuple[object, ...], name: str) -> int:
    return next(n for n, word in enumerate(words) if getattr(word, "en", None) == name)


def _thing(name: str, x: float, y: float, across: float, angle: float = 0.0) -> Thing:
    """`name`: "red circle". x, y, across: as in `Thing`."""
    colour, shape = name.split()
    return Thing(_index(SHAPES, shape), _index(COLOURS, colour), x, y, across, angle, PALETTE[colour])


def _wanted(name: str) -> Wanted:
    """What "red circle", "circle", "red" or "" asks about."""
    words = name.split()
    shapes = [_index(SHAPES, w) for w in words if w not in PALETTE]
    colours = [_index(COLOURS, w) for w in words if w in PALETTE]
    return Wanted(shapes[0] if shapes else None, colours[0] if colours else None)


SCENES: dict[str, Scene] = {
    "trio.png": Scene(
        640, 480,
        (_thing("red circle", 0.22, 0.3, 0.32), _thing("blue square", 0.73, 0.28, 0.3, 6),
         _thing("yellow star", 0.5, 0.76, 0.34, -4)),
        PAPER,
    ),
    "night.png": Scene(
        560, 560,
        (_thing("yellow star", 0.18, 0.17, 0.22, 8), _thing("white circle", 0.8, 0.2, 0.26),
         _thing("orange diamond", 0.5, 0.5, 0.24), _thing("green triangle", 0.2, 0.8, 0.3),
         _thing("purple cross", 0.8, 0.8, 0.28, -8)),
        NIGHT,
    ),
    "meadow.jpg": Scene(
        640, 420,
        (_thing("purple triangle", 0.16, 0.7, 0.34), _thing("red square", 0.5, 0.22, 0.28, -7),
         _thing("black cross", 0.84, 0.72, 0.3, 5), _thing("white diamond", 0.5, 0.72, 0.3)),
        MEADOW,
    ),
    "sky.png": Scene(
        480, 600,
        (_thing("orange circle", 0.24, 0.16, 0.3), _thing("blue star", 0.74, 0.5, 0.32, 10),
         _thing("green square", 0.26, 0.82, 0.28, -5)),
        SKY,
    ),
    "crowd.jpg": Scene(
        600, 450,
        (_thing("green star", 0.16, 0.26, 0.3, -6), _thing("red triangle", 0.5, 0.25, 0.3),
         _thing("red circle", 0.84, 0.5, 0.28), _thing("blue diamond", 0.5, 0.74, 0.32),
         _thing("black square", 0.16, 0.76, 0.26, 9)),
        SAND,
    ),
}  # fmt: skip


def _asked(file: str, question: str, answer: str, language: str = "en") -> dict[str, str]:
    return {"file": file, "question": question, "language": language, "answer": answer}


def questions() -> list[dict[str, str]]:
    """What is asked of each picture, with the answer that follows from its scene."""
    trio, night, meadow, sky, crowd = SCENES.values()
    anything = _wanted("")
    return [
        _asked("trio.png", "What color is the circle?", colour_answer(_wanted("circle"), trio, "en")),
        _asked("night.png", "How many shapes are there?", count_answer(anything, night, "en")),
        _asked("meadow.jpg", "What shape is red?", shape_answer(_wanted("red"), meadow, "en")),
        _asked("crowd.jpg", "星形在哪里？", place_answer(_wanted("star"), crowd, "zh"), "zh"),
        _asked("crowd.jpg", "How many red shapes are there?", count_answer(_wanted("red"), crowd, "en")),
        _asked("crowd.jpg", "Describe the image.", description_answer(crowd, "en")),
        _asked("mountains.jpg", "Describe the image.", NO_SHAPES["en"]),
        _asked("meadow.jpg", "Where is the diamond?", place_answer(_wanted("diamond"), meadow, "en")),
        _asked("sky.png", "Is there a blue star?", presence_answer(_wanted("blue star"), sky, "en")),
        _asked(
            "trio.png",
            "Is the circle left of the star?",
            relation_answer(_wanted("circle"), _wanted("star"), "left", trio, "en"),
        ),
        _asked("night.png", "图中有几个图形？", count_answer(anything, night, "zh"), "zh"),
        _asked("sky.png", "Who wrote Hamlet?", REFUSAL["en"]),
    ]


def mountains(width: int = 640, height: int = 440) -> Image.Image:
    """A picture like a photograph: hazy ridges under clouds, made of noise, the same every time."""
    rng = np.random.default_rng(11)
    down = np.linspace(0, 1, height)[:, None, None]
    pixels = np.array((96, 142, 196)) * (1 - down) + np.array((226, 226, 220)) * down
    clouds = np.clip(spectral(rng, width, height, 1.9)[..., None] - 0.2, 0, 1.4) * (1 - down)
    pixels = pixels + 75 * clouds
    rows, haze = np.arange(height)[:, None], np.array((186, 200, 214))
    for layer, (level, tall, tint) in enumerate(
        ((0.42, 0.1, (92, 108, 130)), (0.58, 0.09, (62, 84, 82)), (0.78, 0.07, (44, 62, 38)))
    ):
        ridge = (level + tall * spectral(rng, width, 2, 1.45)[0]) * height
        rock = 1 + 0.28 * spectral(rng, width, height, 0.8 + 0.15 * layer)[..., None]
        near = np.array(tint) * rock * (0.55 + 0.2 * layer) + haze * (0.45 - 0.2 * layer)
        pixels = np.where((rows > ridge[None])[..., None], near, pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_examples(folder: Path) -> None:
    """Draw the pictures and write examples.json beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        picture = draw_held_out(np.random.default_rng(len(name)), scene, weathered=False)
        picture.save(folder / name, quality=92) if name.endswith(".jpg") else picture.save(folder / name, optimize=True)
    mountains().save(folder / "mountains.jpg", quality=88)
    (folder / "examples.json").write_text(json.dumps(questions(), ensure_ascii=False, indent=2) + "\n", "utf-8")
