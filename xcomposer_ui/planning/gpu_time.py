"""How long work needs a card that is lent for a time: an upper bound from its runs and the model's size.

ZeroGPU takes the card away at the end of the time that was requested, and counts only the time that was used; what is
requested has to be left in the visitor's quota. So the bound is generous, but grows with the work.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from xcomposer_ui.core.request import Request
from xcomposer_ui.core.units import GIB
from xcomposer_ui.planning.catalogue import entry_of, tiled

START_SEC = 10.0
"""A fresh process, CUDA's context and the first kernels."""

MOVED_BYTES_PER_SEC = 2 * GIB
"""Of weights that were placed, from the Space's disk to the card. Not measured there."""

READ_BYTES_PER_SEC = GIB
"""Of a checkpoint's weights that were not placed. 4 GiB a second were seen from files in memory, on an H200."""

TOKEN_SEC, TOKEN_SEC_PER_PARAMETER = 0.04, 1e-11
"""Time of a token: 0.13 s for 8.67 billion parameters, where the slowest run seen on an H200 took 0.084 s."""

PROMPT_FLOPS = 3e13
"""Of a prefill, whose operations are twice the product of parameters and tokens: float32 on half an H200."""

PICTURE_TOKENS, TILED_PICTURE_TOKENS = 1300, 10_500
"""Tokens of a picture, at most: 1225 without tiles; 55 tiles of 144, or 24 of 400."""

DEFAULT_PARAMETERS = 9e9
"""Of a model whose size is not known before it is downloaded."""

STEP_SEC = 0.1
"""Of a fine-tuning's step on a card."""

EVALUATION_STEPS = 60
"""As many steps of a fine-tuning take as long as a recipe's evaluations and measured steps."""


def gpu_seconds(
    model: str, runs: Sequence[Request], steps: int = 0, *, placed_bytes: int = 0, placed: Collection[str] = ()
) -> int:
    """Seconds on a card that work needs at most, whole and at least 1.

    Args:
        model: its name; `runs` are runs of it, their half dtype resolved.
        steps: of a fine-tuning of the embedded model.
        placed_bytes: of all weights that a fresh process moves to the card. placed: their dtypes.
    """
    parameters = entry_of(model).parameters or DEFAULT_PARAMETERS
    read = {run.weights_dtype for run in runs} - set(placed)
    read_bytes = sum(parameters * (4 if dtype == "float32" else 2) for dtype in read)
    seconds = START_SEC + placed_bytes / MOVED_BYTES_PER_SEC + read_bytes / READ_BYTES_PER_SEC + steps * STEP_SEC
    picture = TILED_PICTURE_TOKENS if tiled(model) else PICTURE_TOKENS
    for run in runs:
        prompt = run.memory_query().text_length + picture * run.has_picture
        seconds += 2 * parameters * prompt / PROMPT_FLOPS
        seconds += run.max_new_tokens * (TOKEN_SEC + TOKEN_SEC_PER_PARAMETER * parameters)
    return math.ceil(seconds)
