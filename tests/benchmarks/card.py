"""A 7B model on a card: ways of decoding, strategies, prefill, batches, and the prediction of memory, in one run.

    python -m tests.benchmarks.card                        # under three minutes on an H100 or H200
    python -m tests.benchmarks.card --device cpu --small   # shows on a CPU that the script runs; no figures of interest

The weights are random and made on the card, in the published layout's sizes; a picture and a question make some 1,300
tokens of prompt. A share is of what a copy within the card's memory moves.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tests.benchmarks.measure import machine
from tests.benchmarks.original_arithmetic import OriginalArithmetic
from tests.checkpoints import tiny_config
from tests.requests import under
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.devices import free_unused, synchronize
from xcomposer_ui.backends.graph_decoder import EAGER, GRAPH, GraphDecoder, decoder_for, plain
from xcomposer_ui.backends.local import LocalBackend
from xcomposer_ui.backends.planning.calibration import error_of_run
from xcomposer_ui.backends.run_control import copy_rate, decoding_bytes
from xcomposer_ui.core.families.xcomposer2 import PUBLISHED
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.models.xcomposer2 import (
    InternLMXComposer2Config,
    InternLMXComposer2ForCausalLM,
    InternLMXComposer2Tokenizer,
)
from xcomposer_ui.runtime.backend import Progress

PICTURE = Image.radial_gradient("L").convert("RGB")
QUESTION = "Describe all that you see in this picture, one thing after the other, and where it is. " * 3
TOKENS = {GRAPH: 65, EAGER: 33}
REPEATS = {GRAPH: 5, EAGER: 3}
VARIANTS = [(s, half) for s in ("unified", "autocast") for half in ("float16", "bfloat16")]
BATCHES = (1, 2, 4, 8)

Row = dict[str, Any]


class AnyIdTokenizer(InternLMXComposer2Tokenizer):
    """The embedded model's tokenizer, with a piece for every id that random weights choose."""

    def _convert_id_to_token(self, index: int) -> str:
        return super()._convert_id_to_token(index % self.sp_model.vocab_size())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny model")
    chosen = parser.parse_args()
    began = time.perf_counter()
    device = torch.device(chosen.device, 0) if chosen.device == "cuda" else torch.device(chosen.device)
    config = tiny_config(vocab_size=92544) if chosen.small else InternLMXComposer2Config(**sizes())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine()["processor"]
    rate = copy_rate(device)
    print(f"{name}; a copy moves {'—' if rate is None else f'{rate / 1e12:.3f} TB/s'}")
    rows: list[Row] = []
    for dtype, variants in (
        ("float16", VARIANTS[::2]),
        ("bfloat16", VARIANTS[1::2]),
        ("float32", [("full", "float16")]),
    ):
        with loaded(config, dtype, device) as backend:
            for strategy, half in variants:
                rows += decoding(backend, strategy, half, rate)
            rows += prefill(backend, dtype)
            if dtype == "float16":
                rows += batches(backend)
            rows += predictions(backend, config, variants[0])
    print(f"took {time.perf_counter() - began:.0f} s")
    print(
        json.dumps({"benchmark": "card", "card": name, "copy_bytes_per_sec": rate, "rows": rows, "machine": machine()})
    )


def sizes() -> dict[str, Any]:
    return {**PUBLISHED["internlm/internlm-xcomposer2-vl-7b"], "meta_instruction": ""}


@contextmanager
def loaded(config: InternLMXComposer2Config, dtype: str, device: torch.device) -> Iterator[LocalBackend]:
    """A backend with random weights in `dtype`; they are dropped at the end."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with device:
            model = InternLMXComposer2ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    backend = LocalBackend("random", device.type, {}, decoder_for(GRAPH, device.type))
    backend._models[dtype] = model
    backend._tokenizer = AnyIdTokenizer.from_pretrained(EMBEDDED_PATH)
    del model
    yield backend
    backend.unload()


def set_decoder(backend: LocalBackend, way: str) -> None:
    backend.decoder.clear()
    backend.decoder = decoder_for(way, backend.device)
    if way == GRAPH and backend.device == "cpu":
        backend.decoder = GraphDecoder(plain, "")


def question(tokens: int) -> Request:
    return Request(QUESTION, PICTURE, max_new_tokens=tokens, repetition_penalty=1.1)


def row(kind: str, **figures: Any) -> Row:
    """Print one line of the table, and return it."""
    shown = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
    print(f"  {kind}: {shown}", flush=True)
    return {"kind": kind, **figures}


def decoding(backend: LocalBackend, strategy: str, half: str, rate: float | None) -> Iterator[Row]:
    """Time per token, its spread over the runs, and the share of the copy's bandwidth, graph and eager."""
    request = under(question(1), strategy, half)
    read = decoding_bytes(backend.weights(request.weights_dtype)[0])
    for way in (GRAPH, EAGER):
        set_decoder(backend, way)
        runs = [
            backend.generate(under(question(TOKENS[way]), strategy, half), Progress()) for _ in range(REPEATS[way] + 1)
        ]
        measured = [run.measurement for run in runs]
        times = [1000 / m.tokens_per_sec for m in measured[1:] if m.tokens_per_sec]
        if not times:
            yield row(
                "decoding", strategy=strategy, half=half, way=way, failed=str(runs[-1].message or runs[-1].reasons)
            )
            continue
        ms = median(times)
        yield row(
            "decoding", strategy=strategy, half=half, way=measured[-1].decoder, ms_per_token=ms,
            spread=(max(times) - min(times)) / ms, share=None if rate is None else read / (ms / 1000) / rate,
            first_token_sec=median([m.time_to_first_token_sec or 0.0 for m in measured[1:]]),
            prompt_tokens=measured[-1].prompt_tokens, record_sec=measured[0].record_sec,
            reason=str(runs[0].reasons.get("decoder", "")),
        )  # fmt: skip


@torch.no_grad()
def prefill(backend: LocalBackend, dtype: str) -> Iterator[Row]:
    """The prompt's time in the language model, against the published code's arithmetic, and the memory it takes."""
    model, tokenizer = backend.weights(dtype)
    strategy, half = ("full", "float16") if dtype == "float32" else ("unified", dtype)
    run = ModelRun.of(model, tokenizer, under(question(1), strategy, half))
    with run.arithmetic():
        inputs = run.prompt()
        on_card = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        original = OriginalArithmetic(model)

        def published() -> Tensor:
            with model.device:
                return original(on_card["inputs_embeds"], on_card["im_mask"], [])[0]

        times = {
            "native": timed(lambda: model(**inputs, logits_to_keep=1), model.device),
            "published": timed(published, model.device),
        }
        tower = timed(run.prompt, model.device)
    yield row(
        "prefill", weights=dtype, native_sec=times["native"][0], native_bytes=times["native"][1],
        published_sec=times["published"][0], published_bytes=times["published"][1],
        ratio=times["native"][0] / times["published"][0], tower_sec=tower[0],
    )  # fmt: skip


def timed(call: Callable[[], object], device: torch.device, repeats: int = 5) -> tuple[float, int | None]:
    """(median seconds, most bytes beyond what was allocated before; None on the CPU) of `call` after one warm-up."""
    times, most = [], None
    for repeat in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        synchronize(device.type)
        started = time.perf_counter()
        call()
        synchronize(device.type)
        if repeat:
            times.append(time.perf_counter() - started)
        if device.type == "cuda":
            most = torch.cuda.max_memory_allocated(device) - before
    return median(times), most


def batches(backend: LocalBackend) -> Iterator[Row]:
    """Tokens per second of all rows together, by batch."""
    set_decoder(backend, GRAPH)
    alone: float | None = None
    for size in BATCHES:
        requests = [under(Request(f"{QUESTION} {n}", PICTURE, max_new_tokens=33), "unified") for n in range(size)]
        rates = []
        for _ in range(3):
            results = backend.generate_batch(requests, Progress()).results
            longest = max((r.measurement for r in results), key=lambda m: m.new_tokens or 0)
            rates.append(size * (longest.tokens_per_sec or float("nan")))
        alone = rates[-1] if alone is None else alone
        yield row(
            "batch", size=size, tokens_per_sec=rates[-1], times_one=rates[-1] / alone,
            way=results[0].measurement.decoder, answered=len(results), together=results[0].measurement.batch_size,
        )  # fmt: skip


def predictions(backend: LocalBackend, config: InternLMXComposer2Config, variant: tuple[str, str]) -> Iterator[Row]:
    """Predicted and measured peak memory, eager and by the graph."""
    for way in (EAGER, GRAPH):
        set_decoder(backend, way)
        backend.forget()
        free_unused(backend.device)
        request = under(question(TOKENS[EAGER]), *variant)
        measured = backend.generate(request, Progress()).measurement
        pair = error_of_run(config, backend.device, request, measured)
        if pair is not None:
            yield row(
                "prediction", strategy=request.strategy, way=measured.decoder, predicted_bytes=pair.predicted_bytes,
                measured_bytes=pair.measured_bytes, error=pair.error,
            )  # fmt: skip


if __name__ == "__main__":
    main()
