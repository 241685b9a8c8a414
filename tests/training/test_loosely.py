"""Questions as people type them stay the questions that they were."""

import numpy as np
import pytest

from xcomposer_ui.training.loosely import FILLERS, asked_loosely

QUESTION = {"en": "Is there a red circle in the picture?", "zh": "图中有红色的圆形吗？"}
NOUN = {"en": ("red", "circle"), "zh": ("红色", "圆形")}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_asked_about_is_never_lost(language: str) -> None:
    rng = np.random.default_rng(1)
    asked = {asked_loosely(rng, QUESTION[language], language) for _ in range(1000)}
    assert len(asked) > 100
    assert all(word in question.lower() for question in asked for word in NOUN[language])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_filler_stands_between_the_words_now_and_then(language: str) -> None:
    rng = np.random.default_rng(2)
    asked = [asked_loosely(rng, QUESTION[language], language) for _ in range(400)]
    assert 5 < sum(any(filler in question for filler in FILLERS[language]) for question in asked) < 200


def test_the_same_draw_gives_the_same_question() -> None:
    first, second = (asked_loosely(np.random.default_rng(3), QUESTION["en"], "en") for _ in range(2))
    assert first == second
