"""The code that applies a strategy to InternLM-XComposer: plain PyTorch and transformers, made from its record."""

from __future__ import annotations

from xcomposer_ui.core.settings import EMBEDDED
from xcomposer_ui.core.strategies import HALF_DTYPES, Strategy

PUBLISHED = "internlm/internlm-xcomposer2-vl-7b"
"""The checkpoint of code for a pasted error, whose own is not known."""

PICTURE = "picture.png"
QUESTION = "What is in the picture?"


def remedy_code(
    strategy: Strategy,
    half: str = HALF_DTYPES[0],
    model: str = PUBLISHED,
    device: str = "cuda",
    *,
    with_picture: bool = True,
) -> str:
    """A whole script that asks one question under `strategy`; the lines that apply it bear a comment.

    Args:
        half: the run's 16-bit dtype.
        model: "embedded", a folder or a hub id.
        device: torch's name of it.
        with_picture: whether the question is about a picture.
    """
    lines = [
        "import torch",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        "import xcomposer_ui.models  # the architecture; no trust_remote_code is needed",
        *(["from xcomposer_ui.core.settings import EMBEDDED_PATH"] if model == EMBEDDED else []),
        "",
        f"checkpoint = {'str(EMBEDDED_PATH)' if model == EMBEDDED else repr(model)}",
        "tokenizer = AutoTokenizer.from_pretrained(checkpoint)",
        _load(strategy.weights_dtype(half), device),
    ]
    arguments = [f'tokenizer, "{QUESTION}"']
    if with_picture:
        lines.append(_picture(strategy.image_dtype(half), strategy.weights_dtype(half)))
        arguments.append("image=image")
    lines += [
        _context(device, half if strategy.autocast else None),
        f"    answer, history = model.chat({', '.join(arguments)}, do_sample=False)",
        "print(answer)",
    ]
    return "\n".join(lines) + "\n"


def _load(weights: str, device: str) -> str:
    loaded = f'AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.{weights}).to("{device}")'
    return f"model = {loaded}" + ("  # float32 weights" if weights == "float32" else "")


def _picture(image: str, weights: str) -> str:
    pixels = f'image = model.preprocess("{PICTURE}")'
    if image == "float32":
        return f"{pixels}  # float32"
    return f"{pixels}.to(torch.{image})" + ("  # the picture in the weights' dtype" if image == weights else "")


def _context(device: str, autocast: str | None) -> str:
    if autocast is None:
        return "with torch.no_grad():"
    return f'with torch.autocast("{device}", torch.{autocast}), torch.no_grad():  # casts each matrix product'
