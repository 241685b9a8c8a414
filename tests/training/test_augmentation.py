"""Augmented questions keep their meaning."""

import numpy as np
import pytest

from xcomposer_ui.training.augmentation import FILLERS, augment_question

QUESTION = {"en": "Is there a red circle in the picture?", "zh": "图中有红色的圆形吗？"}
NOUN = {"en": ("red", "circle"), "zh": ("红色", "圆形")}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_noun_phrase_is_kept(language: str) -> None:
    rng = np.random.default_rng(1)
    questions = {augment_question(rng, QUESTION[language], language) for _ in range(1000)}
    assert len(questions) > 100
    assert all(word in question.lower() for question in questions for word in NOUN[language])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_some_questions_get_a_filler(language: str) -> None:
    rng = np.random.default_rng(2)
    questions = [augment_question(rng, QUESTION[language], language) for _ in range(400)]
    assert 5 < sum(any(filler in question for filler in FILLERS[language]) for question in questions) < 200


def test_the_same_seed_gives_the_same_question() -> None:
    first, second = (augment_question(np.random.default_rng(3), QUESTION["en"], "en") for _ in range(2))
    assert first == second
