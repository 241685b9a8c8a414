"""What is compared, and in which order."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from xcomposer_ui.compare.execution import ComparisonSettings
from xcomposer_ui.compare.schedule import Variant, grouped, interleaved, variants_for
from xcomposer_ui.core.errors import UserError


def test_one_half_type_gives_the_four_strategies() -> None:
    assert [v.strategy for v in variants_for(["bfloat16"])] == ["as_is", "autocast", "unified", "full"]
    assert {v.half for v in variants_for(["bfloat16"])} == {"bfloat16"}


def test_both_half_types_double_the_remedies_alone() -> None:
    assert [v.name for v in variants_for(["float16", "bfloat16", "float16"])] == [
        "as_is/float16", "autocast/float16", "autocast/bfloat16", "unified/float16", "unified/bfloat16", "full/float16",
    ]  # fmt: skip


def test_an_unknown_half_type_or_number_of_repeats_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="float8"):
        variants_for(["float8"])
    for repeats in (0, 51):
        with pytest.raises(UserError, match="repeats"):
            ComparisonSettings(repeats=repeats)


def test_every_round_has_every_variant_once_and_the_places_are_shared() -> None:
    variants = variants_for(["float16"])
    rounds: dict[int, list[Variant]] = {}
    for place, variant in enumerate(interleaved(variants, 4)):
        rounds.setdefault(place // len(variants), []).append(variant)
    assert all(sorted(order, key=variants.index) == list(variants) for order in rounds.values())
    assert len({order[0] for order in rounds.values()}) > 1
    places = {v: sum(order.index(v) for order in rounds.values()) / 4 for v in variants}
    assert max(places.values()) - min(places.values()) <= 1


def test_groups_load_each_dtype_once() -> None:
    variants = variants_for(["float16", "bfloat16"])
    dtypes = [variant.weights_dtype for variant in grouped(variants, 3)]
    changes = sum(a != b for a, b in pairwise(dtypes))
    assert changes == 2
    assert set(Counter(grouped(variants, 3)).values()) == {3}
