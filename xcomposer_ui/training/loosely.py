"""Questions as people type them: with a word before, after or between, another word for the same, without marks."""

from __future__ import annotations

import re

from xcomposer_ui.training.wordings import CLOSINGS, OPENINGS, SURROUNDINGS
from xcomposer_ui.training.world import Rng, pick

FILLERS = {
    "en": "just actually really please then maybe perhaps currently still now also simply again precisely".split(),
    "zh": "到底 究竟 现在 大概 还 也 都 又 真的 具体 好像 一般 的话".split(),
}
"""What may stand in the middle of a question without changing it."""

PARTICLES = ("呢", "啊", "呀", "哦", "来着")
"""What may stand at the end of a Chinese one."""

SYNONYMS = {
    "picture": ("image", "drawing", "photo", "scene", "pic", "illustration"),
    "image": ("picture", "drawing", "photo", "scene", "figure", "graphic"),
    "see": ("spot", "notice", "find", "make out", "recognise", "observe"),
    "图中": ("图里", "画中", "画面里", "图片中", "图像里", "照片里"),
    "图片": ("图像", "照片", "画", "插图"),
    "看到": ("看见", "发现", "找到", "观察到"),
}


def asked_loosely(rng: Rng, question: str, language: str) -> str:
    """`question` as people type it: each slip now and then."""
    for word, others in SYNONYMS.items():
        if word in question and rng.random() < 0.15:
            question = re.sub(rf"\b{word}\b" if word.isascii() else word, pick(rng, others), question, count=1)
    if rng.random() < 0.08:
        question = _filled(rng, question, language)
    if question[-1] in "?？" and rng.random() < 0.08:
        around = pick(rng, SURROUNDINGS[language])
        question = question[:-1] + around + "?" if language == "en" else around + question
    if rng.random() < 0.06:
        question = pick(rng, OPENINGS[language]) + question
    if rng.random() < 0.05:
        question = question + pick(rng, CLOSINGS[language])
    if rng.random() < 0.2:
        question = question.rstrip("?.？。")
    return _typed_in_english(rng, question) if language == "en" else _typed_in_chinese(rng, question)


def _filled(rng: Rng, question: str, language: str) -> str:
    """`question` with a filler between its first words, or before its Chinese verb."""
    filler = pick(rng, FILLERS[language])
    if language == "zh":
        return re.sub("(?<![所没现])[有是在]", lambda verb: filler + verb[0], question, count=1)
    words = question.split(" ")
    at = int(rng.integers(1, min(len(words), 4) + 1))
    return " ".join([*words[:at], filler, *words[at:]]) if at < len(words) else question


def _typed_in_english(rng: Rng, question: str) -> str:
    if rng.random() < 0.2:
        question = question.lower()
    if rng.random() < 0.02:
        question = question.upper()
    return question[:1].upper() + question[1:] if rng.random() < 0.8 else question


def _typed_in_chinese(rng: Rng, question: str) -> str:
    if question.endswith("？") and question[-2:-1] not in "吗呢" and rng.random() < 0.08:
        question = question[:-1] + pick(rng, PARTICLES) + "？"
    if rng.random() < 0.2:
        question = question.replace("？", "?").replace("，", ",").replace("。", ".")
    if rng.random() < 0.3:
        question = question.replace("的图形", "图形").replace("色的", "色")
    return question
