"""Where a traceback's own code failed: the frame that is the user's or the model's, and the module it called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xcomposer_ui.explain.traceback_parser import Frame

# Packages whose frames say how a call travelled, not who made it. transformers/models and remote code are models.
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


def place(frames: Sequence[Frame], language: str) -> str | None:
    """The last own frame as a sentence in `language`, with the module it called if that can be told; None without."""
    own = [index for index, frame in enumerate(frames) if not _LIBRARIES.search(frame.file)]
    if not own:
        return None
    frame, below = frames[own[-1]], frames[own[-1] + 1 :]
    chinese = language.startswith("zh")
    where = _where(frame, chinese)
    module = _module(frame, below)
    kind = _kind(below)
    if module and kind:
        where += f"，模块 `{module}`（{kind} 层）" if chinese else f", in the module `{module}` (a {kind} layer)"
    elif module:
        where += f"，模块 `{module}`" if chinese else f", in the module `{module}`"
    elif kind:
        where += f"，在一个 {kind} 层中" if chinese else f", in a {kind} layer"
    code = f"{'：' if chinese else ': '}`{frame.code}`" if frame.code else ""
    return where + code + ("。" if chinese else ".")


def _where(frame: Frame, chinese: bool) -> str:
    if chinese:
        line = f"第 {frame.line} 行" if frame.line else ""
        return f"{frame.short_file} {line}" + (f"（{frame.function}）" if frame.function else "")
    line = f", line {frame.line}" if frame.line else ""
    return f"{frame.short_file}{line}" + (f", in {frame.function}" if frame.function else "")


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
