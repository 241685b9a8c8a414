"""The place in a traceback that failed: the last frame of the user's or the model's code, and the module it called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xcomposer_ui.core.messages import Message
from xcomposer_ui.explain.traceback_parser import Frame

# Packages whose frames only pass calls on. transformers/models and remote code are models.
_LIBRARIES = re.compile(
    r"(?:site|dist)-packages[/\\](?!transformers[/\\]models[/\\])"
    r"|[/\\]torch[/\\](?:nn|_|utils|autograd|amp|overrides|functional|jit|fx|distributed|optim|cuda)"
    r"|[/\\]transformers[/\\](?!models[/\\])|[/\\](?:accelerate|gradio|IPython|peft|deepspeed)[/\\]"
    r"|[/\\]lib[/\\]python3[.\d]*[/\\](?!site-packages)|<frozen |<string>"
)
_MODULE_CALL = re.compile(r"\b(?:self|model)\.([A-Za-z_]\w*(?:\.\w+|\[-?\w+\])*)\(")
_TORCH_MODULES = re.compile(
    r"(?:^|[/\\])(?:torch[/\\])?nn[/\\]modules[/\\](\w+)\.py$|(?:^|[/\\])modules[/\\](\w+)\.py$"
)
_CLASS_FILES = {
    **{"linear": "Linear", "conv": "Conv", "normalization": "normalisation", "batchnorm": "BatchNorm"},
    **{"sparse": "Embedding", "rnn": "recurrent", "activation": "activation or MultiheadAttention"},
}


def place(frames: Sequence[Frame]) -> Message | None:
    """The last own frame, with the module it called if that can be told; None without one."""
    own = [index for index, frame in enumerate(frames) if not _LIBRARIES.search(frame.file)]
    if not own:
        return None
    frame, below = frames[own[-1]], frames[own[-1] + 1 :]
    return Message(
        "where",
        file=frame.short_file,
        line=Message("where.line", line=frame.line) if frame.line else "",
        function=Message("where.function", function=frame.function) if frame.function else "",
        layer=_layer(_module(frame, below), _kind(below)),
        code=Message("where.code", code=frame.code) if frame.code else "",
    )


def _layer(module: str | None, kind: str | None) -> Message | str:
    if module and kind:
        return Message("where.module_of_kind", module=module, kind=kind)
    if module:
        return Message("where.module", module=module)
    return Message("where.kind", kind=kind) if kind else ""


def _module(frame: Frame, below: Sequence[Frame]) -> str | None:
    """The submodule that the frame's line calls, if torch's module call is the next step down."""
    if not below or not _TORCH_MODULES.search(below[0].file):
        return None
    calls = _MODULE_CALL.findall(frame.code)
    if len(calls) != 1:
        return None  # several calls on one line: which of them failed cannot be told
    return re.sub(r"\[(-?\w+)\]", r".\1", calls[0])


def _kind(below: Sequence[Frame]) -> str | None:
    if not below:
        return None
    match = _TORCH_MODULES.search(below[-1].file)
    return _CLASS_FILES.get(match[1] or match[2]) if match else None
