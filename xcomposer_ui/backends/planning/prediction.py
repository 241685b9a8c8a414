"""The peak memory that a run of known sizes was bound to have: the plan's figure for just that run."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.backends.planning.configuration import configuration_of
from xcomposer_ui.backends.planning.planner import AvailableMemory, Planner, phase_peaks
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config
from xcomposer_ui.planning.plan import PLANNED, PlanRequest
from xcomposer_ui.planning.planner_process import RunShape


def predicted_bytes(shape: RunShape, config: InternLMXComposer2Config | None = None) -> int:
    """Bytes, weights included, counted as the run's own figure counts them; no weights are read.

    config: the model's where it is at hand. Raises UserError where there is no such model.
    """
    request = PlanRequest(shape.model, shape.picture, shape.hd_num, half=shape.half, device=shape.device)
    planner = Planner(
        config or configuration_of(shape.model), request, shape.device, AvailableMemory(None, None, on_card=False)
    )
    image_tokens = planner.image_tokens()
    prompt = shape.prompt_tokens or shape.text_length + image_tokens
    planner.request = replace(request, prompt_tokens=max(1, prompt - image_tokens), new_tokens=shape.new_tokens)
    seen = planner.rehearsed(PLANNED[shape.strategy], 1, shape.hd_num)
    return max(peak.total_bytes for peak in phase_peaks(seen, scratch=shape.device == "cpu").values())
