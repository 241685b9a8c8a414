"""Configurations made small: what depends on each other still fits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backends.published import CONFIGS
from xcomposer_ui.backends.tiny_models.shrink import VOCABULARY, parts, shrunk


def small(**tree: Any) -> dict[str, Any]:
    return shrunk(tree)


def test_heads_keep_their_width() -> None:
    made = small(hidden_size=4096, num_attention_heads=32, num_key_value_heads=8)
    assert made == {"hidden_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1}


def test_a_width_of_heads_that_is_given_leaves_the_model_s_free() -> None:
    made = small(hidden_size=2048, num_attention_heads=8, num_key_value_heads=1, head_dim=256 + 64)
    assert made == {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 320}


def test_equal_widths_stay_equal() -> None:
    made = small(
        projection_dim=1024,
        vision_config={"hidden_size": 1024, "num_attention_heads": 16},
        text_config={"hidden_size": 1024, "num_attention_heads": 8},
    )
    widths = {made["projection_dim"], made["vision_config"]["hidden_size"], made["text_config"]["hidden_size"]}
    assert widths == {256}
    assert (made["vision_config"]["num_attention_heads"], made["text_config"]["num_attention_heads"]) == (4, 2)


def test_where_a_part_has_two_widths_its_heads_divide_the_first() -> None:
    made = small(
        hidden_size=3584,
        num_attention_heads=28,
        vision_config={"embed_dim": 1280, "hidden_size": 3584, "num_heads": 16},
    )
    assert made["hidden_size"] == made["vision_config"]["hidden_size"] == 256
    assert (made["vision_config"]["embed_dim"], made["vision_config"]["num_heads"]) == (160, 2)


def test_every_kind_of_layer_is_left_and_what_counts_layers_follows() -> None:
    kinds = ["sliding"] * 5 + ["full"] + ["sliding"] * 6
    made = small(num_hidden_layers=12, layer_types=kinds, cross_attention_layers=[3, 8], vision_feature_layer=-2)
    assert made["num_hidden_layers"] == 6
    assert made["layer_types"] == kinds[:6]
    assert made["cross_attention_layers"] == [3]
    assert made["vision_feature_layer"] == -2


def test_layers_that_are_named_by_number_are_among_those_left() -> None:
    made = small(depth=32, fullatt_block_indexes=[7, 15, 23, 31], vision_feature_layer=[-7, 20, 1])
    assert (made["depth"], made["fullatt_block_indexes"], made["vision_feature_layer"]) == (2, [1], [-2, 2, 1])
    assert small(depth=32, vision_feature_layers=[-5, 6])["vision_feature_layers"] == [-2, 2]


def test_token_ids_move_into_the_small_vocabulary_and_stay_apart() -> None:
    made = small(
        vocab_size=152064, image_token_id=151655, video_token_id=151656, eos_token_id=[2, 151643], pad_token_id=0
    )
    assert made["vocab_size"] == VOCABULARY
    assert made["eos_token_id"] == [2, VOCABULARY - 3]
    assert (made["image_token_id"], made["video_token_id"]) == (VOCABULARY - 2, VOCABULARY - 1)
    assert made["pad_token_id"] == 0


def test_an_image_token_that_is_not_given_gets_an_id_of_its_own() -> None:
    made = small(image_token_index=None, eos_token_id=50118)
    assert made["image_token_index"] not in (None, made["eos_token_id"])
    assert made["image_token_index"] < VOCABULARY


def test_what_is_about_the_file_is_left_out() -> None:
    assert small(dtype="float16", quantization_config={"bits": 4}, auto_map={"AutoModel": "x"}, hidden_act="silu") == {
        "hidden_act": "silu"
    }


def test_what_is_small_already_stays_as_it_is() -> None:
    tree = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "vocab_size": 99,
    }
    assert shrunk(tree) == tree


def test_truth_values_are_no_numbers() -> None:
    assert small(use_cache=True, tie_word_embeddings=False, eos_token_id=True) == {
        "use_cache": True, "tie_word_embeddings": False, "eos_token_id": True,
    }  # fmt: skip


@pytest.mark.parametrize("family", CONFIGS)
def test_heads_divide_every_part_s_width(family: str) -> None:
    for part in parts(shrunk(CONFIGS[family])):
        width = part.get("embed_dim", part.get("hidden_size"))
        heads = part.get("num_heads", part.get("num_attention_heads"))
        if width and heads and "head_dim" not in part:
            assert width % heads == 0
            assert width <= 512
