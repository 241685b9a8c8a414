"""Corrections of a class's default configuration, as with some defaults the class's own model cannot be run.

The configuration of a checkpoint needs no corrections. Configurations are plain dictionaries here.
"""

from __future__ import annotations

from typing import Any

from xcomposer_ui.backends.tiny_models.shrink import HEAD_COUNTS, WIDTH_OF_HEADS, parts

Tree = dict[str, Any]


def fitted(tree: Tree) -> Tree:
    """`tree`, changed in place: heads divide widths, and the tower's output is as wide as the text model's input."""
    for part in parts(tree):
        _fit_heads(part)
    vision, text = tree.get("vision_config"), tree.get("text_config")
    if isinstance(vision, dict) and isinstance(text, dict):
        _fit_width(vision, text)
        _fit_grid(tree, vision)
    return tree


def _fit_heads(part: Tree) -> None:
    width = next((part[name] for name in WIDTH_OF_HEADS if _is_size(part.get(name))), None)
    for name in HEAD_COUNTS:
        count: Any = part.get(name)
        if width and _is_size(count) and width % count and not part.get("head_dim"):
            part[name] = next(n for n in range(count, 0, -1) if width % n == 0)


def _fit_width(vision: Tree, text: Tree) -> None:
    """Set the output width of the tower or its projector, which families name differently, to the text's width."""
    width = text.get("hidden_size")
    if not _is_size(width):
        return
    if "embed_dim" in vision and "spatial_merge_size" in vision and "out_hidden_size" not in vision:
        vision["hidden_size"] = width
    for name in ("out_hidden_size", "projection_dim"):
        if name in vision:
            vision[name] = width


def _fit_grid(tree: Tree, vision: Tree) -> None:
    """Make the patches per side a multiple of those that are merged into one token."""
    size, patch = vision.get("image_size"), vision.get("patch_size")
    if not (_is_size(size) and _is_size(patch)):
        return
    for name in ("scale_factor", "downsample_factor"):
        if _is_size(scale := tree.get(name)):
            vision["image_size"] = patch * scale * max(1, size // patch // scale)
    if _is_size(tokens := tree.get("mm_tokens_per_image")):
        tree["mm_tokens_per_image"] = min(tokens, max(1, size // patch // 2) ** 2)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
