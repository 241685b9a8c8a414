"""Judges what a plan is asked, and reads a picture's size from text."""

from __future__ import annotations

import re

from xcomposer_ui.errors import UserError
from xcomposer_ui.planning.records import PlanRequest
from xcomposer_ui.planning.sizes import GIB
from xcomposer_ui.question import MOST_TILES
from xcomposer_ui.settings import DEVICES
from xcomposer_ui.strategies import checked_half

LONGEST_SIDE = 100_000
MOST_TOKENS = 1_000_000
MOST_BATCH = 4096


def checked_request(request: PlanRequest) -> PlanRequest:
    """`request` if it can be planned. Raises UserError with what is wrong and what to do."""
    checked_half(request.half)
    if request.device not in DEVICES:
        raise UserError("unknown_setting", name="device", value=request.device, known=", ".join(DEVICES))
    if not request.model.strip():
        raise UserError("no_such_model", name=request.model)
    width, height = request.image or (1, 1)
    memory_gib = None if request.memory_bytes is None else request.memory_bytes / GIB
    for name, value, lowest, highest in (
        ("image width", width, 1, LONGEST_SIDE),
        ("image height", height, 1, LONGEST_SIDE),
        ("hd_num", request.hd_num, 1, MOST_TILES),
        ("prompt_tokens", request.prompt_tokens, 1, MOST_TOKENS),
        ("new_tokens", request.new_tokens, 1, MOST_TOKENS),
        ("batch", request.batch, 1, MOST_BATCH),
        ("memory", memory_gib, 0.001, 1_000_000),
    ):
        if value is not None and not lowest <= value <= highest:
            raise UserError("out_of_range", name=name, value=value, lowest=lowest, highest=highest)
    return request


def picture_size(text: str) -> tuple[int, int] | None:
    """(width, height) of "1024x768"; None for "none" or "". Raises UserError for anything else."""
    text = text.strip().lower()
    if text in ("", "none"):
        return None
    found = re.fullmatch(r"(\d{1,6})\s*[x×*]\s*(\d{1,6})", text)
    if found is None:
        raise UserError("bad_picture_size", text=text[:40])
    return int(found[1]), int(found[2])
