"""Shrinks a configuration: fewer layers, heads and tokens, with all relations between its sizes kept.

Configurations are plain dictionaries here. Heads keep their width, on which other fields depend (the sections of rotary
positions, for example); equal widths stay equal, because a projector's widths are those of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from xcomposer_ui.core.families import families

LAYERS = 2
HEADS = 2
VOCABULARY = 512
MOST_INNER = 128
"""Most inner width of a feed-forward network, on which no other size depends."""

MANY_PATCHES = 40
"""Patches per side of the picture from which on it is made smaller."""

WIDTH_OF_HEADS = ("embed_dim", "hidden_size", "d_model", "n_embd")
"""Names of the width that is split into heads; if a part has several, the first is used."""
WIDTHS = (
    *WIDTH_OF_HEADS,
    *("projection_dim", "out_hidden_size", "encoder_hidden_size", "cross_attention_hidden_size", "mm_hidden_size"),
    *("word_embed_proj_dim", "text_hidden_size", "vision_hidden_size", "bridge_hidden_size"),
)
HEAD_COUNTS = ("num_attention_heads", "num_heads", "attention_heads", "n_head", "encoder_attention_heads")
HEAD_WIDTHS = ("head_dim", "d_kv")
LAYER_COUNTS = (
    *("num_hidden_layers", "depth", "num_layers", "n_layer", "encoder_layers", "decoder_layers"),
    *("num_decoder_layers", "num_global_layers"),
)
INNER = (
    *("intermediate_size", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff"),
    *("moe_intermediate_size", "shared_expert_intermediate_size"),
)
FEATURE_LAYERS = ("vision_feature_layer", "vision_feature_layers")
"""The tower's layers that the text reads, counted from either end: one or a list. VipLlava's has the second name in
transformers 5.20."""
AT_MOST = {
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "image_text_hidden_size": 64,
}  # fmt: skip
LEFT_OUT = ("dtype", "torch_dtype", "quantization_config", "auto_map", "_name_or_path", "transformers_version")
IMAGE_IDS = ("image_token_id", "image_token_index")

Tree = dict[str, Any]


def shrunk(tree: Tree) -> Tree:
    """A small configuration of the same architecture as `tree`, as `PreTrainedConfig.to_dict` gives it."""
    widths, heads = _new_widths(tree)
    return _small(tree, widths, heads, _new_ids(tree))


def parts(tree: Tree) -> Iterator[Tree]:
    """The configuration and the nested ones, of the vision tower and the language model."""
    yield tree
    for key, value in tree.items():
        if isinstance(value, dict) and key.endswith("_config"):
            yield from parts(value)


def _first(part: Tree, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(part.get(name), int) and part[name] > 0), None)


def _head_width(part: Tree) -> tuple[int, int, bool] | None:
    """(width, width of a head, whether the heads divide the width), None without heads."""
    width, count = _first(part, WIDTH_OF_HEADS), _first(part, HEAD_COUNTS)
    if width is None or count is None:
        return None
    given = _first(part, HEAD_WIDTHS)
    if given is not None and part[given] * part[count] != part[width]:
        return part[width], part[given], False
    return (part[width], part[width] // part[count], True) if part[width] % part[count] == 0 else None


def _new_widths(tree: Tree) -> tuple[dict[int, int], dict[int, int]]:
    """(width -> reduced width, id of a part -> its reduced number of heads)."""
    units: dict[int, int] = {}  # width -> the number that its reduced width has to be a multiple of
    found = [(part, known) for part in parts(tree) if (known := _head_width(part)) is not None]
    for _, (width, head, divides) in found:
        units[width] = math.lcm(units.get(width, 1), head if divides else 1)
    narrow = {width: min(width, max(HEADS * unit, 64 // unit * unit)) for width, unit in units.items()}
    # A width whose reduced value its heads would not divide is kept.
    narrow = {width: new if new % units[width] == 0 else width for width, new in narrow.items()}
    heads = {id(part): narrow[width] // head if divides else HEADS for part, (width, head, divides) in found}
    return narrow, heads


def _new_ids(tree: Tree) -> dict[int, int]:
    """Token id -> id in the small vocabulary, at whose end ids beyond it are placed, in order."""
    beyond: set[int] = set()
    for part in parts(tree):
        for key, value in part.items():
            if _is_token(key):
                beyond |= {i for i in (value if isinstance(value, list) else [value]) if _is_int(i) and i >= VOCABULARY}
    return {old: VOCABULARY - len(beyond) + n for n, old in enumerate(sorted(beyond))}


def _is_token(key: str) -> bool:
    return key.endswith(("_token_id", "_token_index", "_token_ids"))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _small(part: Tree, widths: dict[int, int], heads: dict[int, int], ids: dict[int, int]) -> Tree:
    layers = _layers(part)
    made: Tree = {}
    for key, value in part.items():
        if key in LEFT_OUT:
            continue
        if isinstance(value, dict) and key == "per_layer_config":  # index of a layer -> its own fields
            made[key] = {index: own for index, own in value.items() if int(index) < layers}
        elif isinstance(value, dict) and key.endswith("_config"):
            made[key] = _small(value, widths, heads, ids)
        elif _is_token(key):
            made[key] = [ids.get(i, i) for i in value] if isinstance(value, list) else ids.get(value, value)
        elif isinstance(value, list):
            made[key] = _small_list(key, value, part, layers)
        elif _is_int(value):
            made[key] = _small_number(key, value, part, widths, layers)
        else:
            made[key] = value
    _set_heads(made, part, heads)
    # The outputs of the last layer and of some earlier ones, concatenated.
    if "vision_output_dim" in made and "intermediate_layers_indices" in made:
        made["vision_output_dim"] = made["hidden_size"] * (1 + len(made["intermediate_layers_indices"]))
    # A model with an image token needs an id for it.
    for key in IMAGE_IDS:
        if key in made and made[key] is None:
            made[key] = VOCABULARY - len(ids) - 1
    return made


def _small_number(key: str, value: int, part: Tree, widths: dict[int, int], layers: int) -> int:
    if key in LAYER_COUNTS:
        return min(value, layers)
    if key in WIDTHS:
        return widths.get(value, value)
    if key in INNER:
        return min(value, MOST_INNER)
    if key in ("vocab_size", "vocab_size_per_layer_input"):
        return min(value, VOCABULARY)
    if key in FEATURE_LAYERS:
        return _near(value, layers)
    if key == "image_size":
        return _small_side(value, part)
    own = next((facts.small_sizes[key] for facts in families() if key in facts.small_sizes), value)
    return min(value, AT_MOST.get(key, own))


def _small_side(side: int, part: Tree) -> int:
    """A quarter of a side with MANY_PATCHES, if divisible: attention over all of them takes seconds."""
    patch = part.get("patch_size")
    many = _is_int(patch) and side // patch >= MANY_PATCHES and side % (4 * patch) == 0
    return side // 4 if many else side


def _layers(part: Tree) -> int:
    """The number of layers needed to have every kind of layer of the part."""
    kinds = part.get("layer_types")
    if not isinstance(kinds, list) or not kinds:
        return LAYERS
    return max(LAYERS, *(kinds.index(kind) + 1 for kind in kinds))


def _small_list(key: str, value: list[Any], part: Tree, layers: int) -> list[Any]:
    count = _first(part, LAYER_COUNTS)
    old = part[count] if count else None
    if old is not None and old > layers and len(value) == old:
        return value[:layers]
    if key in FEATURE_LAYERS:
        return [_near(index, layers) for index in value]
    if key in INNER:
        return [min(inner, MOST_INNER) for inner in value]
    names_layers = any(word in key for word in ("layer", "index", "indices"))
    if old is not None and old > layers and names_layers and value and all(map(_is_int, value)):
        return [index for index in value if index < layers] or [layers - 1]
    return value


def _near(index: int, layers: int) -> int:
    """A layer's index, counted from either end, limited to the remaining layers."""
    return min(index, layers) if index >= 0 else max(index, -layers)


def _set_heads(made: Tree, part: Tree, heads: dict[int, int]) -> None:
    count = _first(part, HEAD_COUNTS)
    if count is None or id(part) not in heads:
        return
    new = min(part[count], heads[id(part)])
    for key in HEAD_COUNTS:
        if part.get(key) == part[count]:
            made[key] = new
    shared = part.get("num_key_value_heads")
    if isinstance(shared, int):
        kept = max(1, new * shared // part[count])
        made["num_key_value_heads"] = next(n for n in range(kept, 0, -1) if new % n == 0)
