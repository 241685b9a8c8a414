"""Gradio's Blocks, for events with many outputs of which each step changes a few: what a step leaves is not touched.

Gradio makes the component of each skipped output anew, in the thread that serves everybody: some 10 ms for a step of a
run on this page, several times a second for each visitor.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import Block

UNCHANGED = gr.skip()


class SparseBlocks(gr.Blocks):
    """Blocks whose functions may return, or yield, any part of several outputs as a dict; {} changes nothing."""

    async def postprocess_data(self, block_fn: BlockFunction, predictions: Any, state: Any) -> list[Any]:
        """The values to send for the outputs of `block_fn`, in their order."""
        outputs = list(block_fn.outputs)
        if not _is_part_of(outputs, predictions):
            return list(await super().postprocess_data(block_fn, predictions, state))
        changed = [part for part in outputs if predictions.get(part, UNCHANGED) != UNCHANGED]
        values: list[Any] = []
        if changed:
            smaller = copy.copy(block_fn)
            smaller.outputs = changed
            given = [predictions[part] for part in changed]
            values = await super().postprocess_data(smaller, given if len(given) > 1 else given[0], state)
        sent = dict(zip(changed, values, strict=True))
        return [sent.get(part, UNCHANGED) for part in outputs]


def _is_part_of(outputs: Sequence[Block], predictions: Any) -> bool:
    """Whether `predictions` are some of several outputs by component; the value of a single one may be any dict."""
    if not isinstance(predictions, dict) or not (predictions or len(outputs) > 1):
        return False
    return all(isinstance(part, Block) and part in outputs for part in predictions)
