"""How fast the embedded model answers through the runner, and what the runner and the memory meter cost.

python -m tests.benchmarks.chat_speed [--repeats N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from PIL import Image

from tests.benchmarks.measure import alternating, median, paired_ratio, report
from tests.requests import under
from xcomposer_ui.backends import generation
from xcomposer_ui.backends.arithmetic import sampling
from xcomposer_ui.backends.local import open_local
from xcomposer_ui.backends.memory import Meter, meter_of
from xcomposer_ui.core.events import Finished, TextSoFar
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.result import RunResult
from xcomposer_ui.core.settings import EMBEDDED_PATH, Settings
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2.tokenizer import InternLMXComposer2Tokenizer
from xcomposer_ui.runtime.backend import Progress
from xcomposer_ui.runtime.runner import Runner

PICTURE = Image.open(next((EMBEDDED_PATH.parent / "examples").glob("*.png"))).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    repeats = parser.parse_args().repeats
    first_word(repeats)
    with tempfile.TemporaryDirectory() as folder:
        endless(Path(folder))
        cost_of_the_runner(folder, repeats)
        cost_of_the_meter(folder, repeats)
        time_per_token(folder, repeats)


def first_word(repeats: int) -> None:
    """From asking the warm runner to its first text, and to the whole short answer."""
    runner = Runner(Settings())

    def ask(strategy: str) -> tuple[float, float]:
        started = time.perf_counter()
        first = None
        for event in runner.run(Request("How many shapes are there?", PICTURE, strategy=strategy)):
            if first is None and isinstance(event, (TextSoFar, Finished)):
                first = time.perf_counter() - started
        assert first is not None
        return first, time.perf_counter() - started

    for strategy in ("autocast", "unified", "full"):
        ask(strategy)
        both = [ask(strategy) for _ in range(repeats)]
        first, whole = (median([pair[i] for pair in both]) for i in (0, 1))
        report(
            f"short answer, embedded model, warm, {strategy}",
            [("first word", f"{first:.3f} s"), ("whole answer", f"{whole:.3f} s")],
            {"first_word_sec": first, "whole_answer_sec": whole},
        )


def endless(folder: Path) -> None:
    """A checkpoint of the embedded model's sizes with random weights: it never ends its answer early."""
    config = InternLMXComposer2Config.from_pretrained(EMBEDDED_PATH)
    model = InternLMXComposer2ForCausalLM(config)
    tokenizer = InternLMXComposer2Tokenizer.from_pretrained(EMBEDDED_PATH)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def cost_of_the_runner(folder: str, repeats: int) -> None:
    """Tokens per second of decoding, as a run shows them, against the bare model on the same weights."""
    runner = Runner(Settings(model=folder))
    backend = open_local(folder, "cpu")
    backend.load("float32", Progress())
    model, tokenizer = backend.weights("float32")
    question = Request("Go on.", PICTURE, max_new_tokens=200, repetition_penalty=1.3)

    def through_the_runner() -> float:
        return _result(runner, question).measurement.tokens_per_sec or float("nan")

    def bare() -> float:
        times: list[float] = []
        streamer = SimpleNamespace(put=lambda _: times.append(time.perf_counter()), end=lambda: None)
        inputs = model.prompt_inputs(tokenizer, question.text, PICTURE)
        model.answer_ids(tokenizer, [inputs], streamer=streamer, **sampling(question))
        return (len(times) - 2) / (times[-1] - times[1])  # `generate` hands over the prompt first

    # In one thread that lives on, as the runner's does: each new thread has a new team of OpenMP's, slow at first.
    with ThreadPoolExecutor(max_workers=1) as thread:
        figures = alternating({"runner": through_the_runner, "bare": lambda: thread.submit(bare).result()}, 3 * repeats)
    ratio = paired_ratio(figures["runner"], figures["bare"])
    report(
        "tokens per second through the runner, against the bare model",
        [
            ("through the runner", f"{median(figures['runner']):.1f} tokens/s"),
            ("bare model", f"{median(figures['bare']):.1f} tokens/s"),
            ("ratio", f"{ratio:.3f}"),
        ],
        {"ratio": ratio},
    )


def cost_of_the_meter(folder: str, repeats: int) -> None:
    """The latency that is shown with the memory meter listening, against deaf; all else is the same run."""
    backend = open_local(folder, "cpu")
    backend.load("float32", Progress())
    question = Request("Go on.", PICTURE, max_new_tokens=100, repetition_penalty=1.3)

    def shown(listening: bool) -> float:
        with patch.object(generation, "meter_of", meter_of if listening else lambda model, others: Meter(model)):
            outcome = backend.generate(under(question, "full"), Progress())
        return outcome.measurement.latency_sec or float("nan")

    figures = alternating({"on": lambda: shown(True), "off": lambda: shown(False)}, 3 * repeats)
    ratio = paired_ratio(figures["on"], figures["off"])
    report("the latency shown with the memory meter on, against off", [("ratio", f"{ratio:.3f}")], {"ratio": ratio})


def time_per_token(folder: str, repeats: int) -> None:
    """The time of a token late in a long answer, against one in a short answer."""
    runner = Runner(Settings(model=folder))

    def per_token(tokens: int) -> float:
        m = _result(runner, Request("Go on.", PICTURE, max_new_tokens=tokens, repetition_penalty=1.3)).measurement
        return 1 / (m.tokens_per_sec or float("nan"))

    figures = alternating({"short": lambda: per_token(50), "long": lambda: per_token(400)}, max(3, repeats // 2))
    ratio = paired_ratio(figures["long"], figures["short"])
    report(
        "time per token, in an answer of 400 tokens against one of 50",
        [(name, f"{median(figures[name]) * 1000:.2f} ms") for name in ("short", "long")] + [("ratio", f"{ratio:.3f}")],
        {"ratio": ratio},
    )


def _result(runner: Runner, question: Request) -> RunResult:
    *_, last = runner.run(under(question, "full", None))
    assert isinstance(last, Finished)
    return last.result


if __name__ == "__main__":
    main()
