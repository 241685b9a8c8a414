"""Recipes as plain data."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.messages import LANGUAGES, text
from xcomposer_ui.finetuning.recipes import MISTAKES, RECIPES, REFERENCE, recipe_named


def test_the_seven_recipes_in_the_order_in_which_they_are_shown() -> None:
    assert [(r.name, r.weights, r.autocast, r.scaled, r.updated_dtype, r.computed_dtype) for r in RECIPES.values()] == [
        ("float32", "float32", None, False, "float32", "float32"),
        ("autocast_float16", "float32", "float16", True, "float32", "float16"),
        ("autocast_float16_unscaled", "float32", "float16", False, "float32", "float16"),
        ("autocast_bfloat16", "float32", "bfloat16", False, "float32", "bfloat16"),
        ("float16", "float16", None, False, "float16", "float16"),
        ("bfloat16", "bfloat16", None, False, "bfloat16", "bfloat16"),
        ("bfloat16_master", "bfloat16", None, False, "float32", "bfloat16"),
    ]
    assert REFERENCE in RECIPES


def test_each_mistake_names_the_recipe_that_avoids_it() -> None:
    assert all(mistake.remedy in RECIPES for mistake in MISTAKES.values())
    assert not any(RECIPES[str(mistake.remedy)].remedy for mistake in MISTAKES.values())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*RECIPES, *MISTAKES])
def test_each_has_a_name_in_each_language(name: str, language: str) -> None:
    assert text(recipe_named(name).key, language)


def test_an_unknown_recipe_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"“fp16”.*float32, autocast_float16, .*no_autocast"):
        recipe_named("fp16")
