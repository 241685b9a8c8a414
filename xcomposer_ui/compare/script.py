"""The Python script that repeats a run or a comparison with plain transformers calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xcomposer_ui.core.request import OPTIONAL_SETTINGS, Request, settings_of, with_defaults
from xcomposer_ui.core.settings import DEVICES, EMBEDDED
from xcomposer_ui.core.strategies import HALF_DTYPES, STRATEGIES

SAMPLING = ("temperature", "top_p")
"""Settings that a greedy call does not take."""

TEMPLATE = '''"""Repeats what the XComposer precision lab measured, with plain transformers calls.

Needs the lab's package `xcomposer_ui`, which brings the architecture. `make run` installs it into the lab's .venv:

    path/to/the/lab/.venv/bin/python {usage}
"""

import base64
import hashlib
import statistics
import sys
import time
from contextlib import nullcontext

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import xcomposer_ui.models  # noqa: F401  (makes the Auto classes know InternLM-XComposer)
from xcomposer_ui.core.images import open_picture
{imports}from xcomposer_ui.models.range_stress import stressed

CHECKPOINT = {checkpoint}
DEVICE = {device}
THREADS = {threads}  # of the CPU
QUESTION = {question}
HISTORY = {history}
SEED = {seed}
SETTINGS = {settings}
HD_NUM = {tiles}
STRESS_EXPONENT = {stress}
REPEATS = {repeats}
PIXELS_SHA256 = {sha}
PICTURE_BASE64 = {picture}

# (name, weights' dtype, picture's dtype, autocast's dtype or None)
RUNS = {runs}


def picture():
    if PIXELS_SHA256 is None:
        return None
    if PICTURE_BASE64 is not None:
        return open_picture(base64.b64decode(PICTURE_BASE64))
    if len(sys.argv) != 2:
        sys.exit("give the picture's file as the one argument")
    image = open_picture(sys.argv[1])
    if hashlib.sha256(image.tobytes()).hexdigest() != PIXELS_SHA256:
        print("this is not the picture that was measured", file=sys.stderr)
    return image


def ask(model, tokenizer, image, image_dtype, autocast):
    context = torch.autocast(DEVICE, getattr(torch, autocast)) if autocast else nullcontext()
    torch.manual_seed(SEED)
    started = time.perf_counter()
    with context, stressed(model, STRESS_EXPONENT), torch.no_grad():
        pixels = None if image is None else model.preprocess(image, HD_NUM).to(getattr(torch, image_dtype))
        answer, _ = model.chat(tokenizer, QUESTION, image=pixels, history=HISTORY, **SETTINGS)
    torch.get_device_module(DEVICE).synchronize()
    return answer, time.perf_counter() - started


def main():
    if THREADS is not None:
        torch.set_num_threads(THREADS)
    image = picture()
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    for name, weights, image_dtype, autocast in RUNS:
        model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=getattr(torch, weights)).to(DEVICE).eval()
        try:
            ask(model, tokenizer, image, image_dtype, autocast)  # warms up
            answers = [ask(model, tokenizer, image, image_dtype, autocast) for _ in range(REPEATS)]
        except (RuntimeError, TypeError, ValueError) as error:
            print(f"{{name}}: {{type(error).__name__}}: {{error}}")
            continue
        finally:
            del model
        print(f"{{name}}: {{answers[0][0]!r}} in {{statistics.median(sec for _, sec in answers):.3f}} s")


if __name__ == "__main__":
    main()
'''


def script(document: Mapping[str, Any]) -> str:
    """A runnable script for `document`. Every value in it is a Python literal, so that a question is never code."""
    question = document.get("question") or {}
    image = question.get("image")
    runs = document["runs"]
    embedded = runs[0].get("model", EMBEDDED) == EMBEDDED
    carried = image.get("png_base64") if image else None
    given = with_defaults({name: value for name, value in question.items() if value is not None})
    sampled = given["temperature"] > 0
    apart = {"seed", *OPTIONAL_SETTINGS, *(() if sampled else SAMPLING)}
    settings = {s.name: given[s.name] for s in settings_of(Request) if s.name not in apart}
    return TEMPLATE.format(
        usage=("run.py" if len(runs) == 1 else "comparison.py") + (" PICTURE" if image and not carried else ""),
        imports="from xcomposer_ui.core.settings import EMBEDDED_PATH\n" if embedded else "",
        checkpoint="str(EMBEDDED_PATH)" if embedded else _literal(runs[0]["model"]),
        device=_literal(runs[0]["device"] if runs[0].get("device") in DEVICES[1:] else "cpu"),
        threads=_whole((document.get("environment") or {}).get("threads")),
        question=_literal(question.get("text", "")),
        history=repr([(str(asked), str(answered)) for asked, answered in question.get("history") or ()]),
        seed=int(question.get("seed", runs[0].get("seed") or 0)),
        settings=repr({"do_sample": sampled, **settings}),
        tiles=_whole(given["hd_num"]),
        stress=_whole(given["stress_exponent"]),
        repeats=max(int(run.get("repeats", 1)) for run in runs),
        sha=_literal(image["pixels_sha256"]) if image else None,
        picture=_literal(carried) if carried else None,
        runs="[\n" + "".join(f"    {_run(run)!r},\n" for run in runs if run["strategy"] in STRATEGIES) + "]",
    )


def _run(run: Mapping[str, Any]) -> tuple[str, str, str, str | None]:
    strategy = STRATEGIES[run["strategy"]]
    half = next((h for h in HALF_DTYPES if h == run.get("half")), HALF_DTYPES[0])
    name = f"{strategy.name} ({strategy.dtype(half)})"
    return name, strategy.weights_dtype(half), strategy.image_dtype(half), half if strategy.autocast else None


def _whole(value: Any) -> int | None:
    return int(value) if value else None


def _literal(value: object) -> str:
    return repr(str(value))
