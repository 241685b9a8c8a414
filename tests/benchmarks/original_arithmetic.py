"""The native model against the arithmetic that the published code does, on the same weights in the same run.

The baseline here computes as that code does, in words of its own: eager attention with a materialised mask, each of
the five linear layers of a block deciding anew whether there is an image token (and computing an addition of zero
where there is none), keys and values repeated for every head, a cache that is concatenated for every token, and
logits for every position of the prompt.

    python -m tests.benchmarks.original_arithmetic [--repeats N] [--layers N] [--width N]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.benchmarks.measure import alternating, median, paired_ratio, report
from xcomposer_ui.models.cache import PreallocatedCache
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Config, InternLMXComposer2ForCausalLM
from xcomposer_ui.models.xcomposer2.language import Attention, Block, PLoRALinear, rotary_table

IMAGE_TOKENS = 1225
TEXT_TOKENS = 40
ANSWERS = (16, 64)
KeysValues = list[tuple[Tensor, Tensor]]


class OriginalArithmetic:
    """The language model's forward on `model`'s weights, as the published code computes it."""

    def __init__(self, model: InternLMXComposer2ForCausalLM) -> None:
        self.model = model

    def __call__(self, embeds: Tensor, im_mask: Tensor, past: KeysValues) -> tuple[Tensor, KeysValues]:
        length, before = embeds.shape[1], past[0][0].shape[2] if past else 0
        mask = torch.full((length, before + length), torch.finfo(embeds.dtype).min)
        mask = mask.triu(before + 1)[None, None] if length > 1 else torch.zeros(1, 1, 1, before + 1)
        where = torch.arange(before, before + length)[None]
        table = (t[:, None, :, 0, 0] for t in rotary_table(self.model.config, where, before + length))
        cos, sin, mask = (t.to(embeds.dtype) for t in (*table, mask))
        kept: KeysValues = []
        x = embeds
        for n, block in enumerate(self.model.model.layers):
            x, held = self._block(block, x, im_mask, mask, cos, sin, past[n] if past else None)
            kept.append(held)
        return self.model.output(self.model.model.norm(x)).float(), kept

    def _block(
        self, block: Block, x: Tensor, im_mask: Tensor, mask: Tensor, cos: Tensor, sin: Tensor, past: object
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        attended, held = self._attention(block.attention, block.attention_norm(x), im_mask, mask, cos, sin, past)
        x = x + attended
        y, ffn = block.ffn_norm(x), block.feed_forward
        return x + plora(ffn.w2, F.silu(plora(ffn.w1, y, im_mask)) * plora(ffn.w3, y, im_mask), im_mask), held

    def _attention(
        self, a: Attention, x: Tensor, im_mask: Tensor, mask: Tensor, cos: Tensor, sin: Tensor, past: object
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        packed = plora(a.wqkv, x, im_mask).unflatten(-1, (a.key_value_heads, a.group + 2, a.head_dim))
        q = turned(packed[..., : a.group, :].flatten(2, 3).transpose(1, 2), cos, sin)
        k = turned(packed[..., -2, :].transpose(1, 2), cos, sin)
        v = packed[..., -1, :].transpose(1, 2)
        if past is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(past, (k, v), strict=True))
        wide_k, wide_v = (t.repeat_interleave(a.group, dim=1) for t in (k, v))
        scores = q @ wide_k.transpose(2, 3) / math.sqrt(a.head_dim) + mask
        y = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype) @ wide_v
        return plora(a.wo, y.transpose(1, 2).flatten(2), im_mask), (k, v)


def plora(layer: PLoRALinear, x: Tensor, im_mask: Tensor) -> Tensor:
    flat, chosen = x.flatten(0, 1), im_mask.flatten()
    y = F.linear(flat, layer.weight)
    if chosen.sum() > 0:
        y[chosen] += layer.Plora_B(layer.Plora_A(flat[chosen])) * layer.scale
    else:
        y[:1] += layer.Plora_B(layer.Plora_A(flat[:1])) * 0
    return y.view(*x.shape[:-1], -1)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def original_answer(model: InternLMXComposer2ForCausalLM, prompt: dict[str, Tensor], tokens: int) -> list[float]:
    """The times at which each token was there, greedily."""
    forward, times = OriginalArithmetic(model), []
    embeds, im_mask, past = prompt["inputs_embeds"], prompt["im_mask"], []
    for _ in range(tokens):
        logits, past = forward(embeds, im_mask, past)
        embeds = model.model.tok_embeddings(logits[:, -1:].argmax(-1))
        im_mask = torch.zeros(1, 1, dtype=torch.bool)
        times.append(time.perf_counter())
    return times


def native_answer(model: InternLMXComposer2ForCausalLM, prompt: dict[str, Tensor], tokens: int) -> list[float]:
    """The same through the model's own forward and cache."""
    cache, times = PreallocatedCache(), []
    inputs: dict[str, Tensor] = prompt
    for _ in range(tokens):
        output = model(**inputs, cache=cache, logits_to_keep=1)
        inputs = {"input_ids": output.logits[:, -1:].argmax(-1)}
        times.append(time.perf_counter())
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=1024)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    model = _model(chosen.width, chosen.layers)
    length = IMAGE_TOKENS + TEXT_TOKENS
    im_mask = torch.zeros(1, length, dtype=torch.bool)
    im_mask[:, 10 : 10 + IMAGE_TOKENS] = True
    prompt = {"inputs_embeds": torch.randn(1, length, chosen.width), "im_mask": im_mask}
    with torch.no_grad():
        difference = _difference(model, prompt)
        for tokens in ANSWERS:
            _compare(model, prompt, tokens, chosen.repeats, difference)


def _compare(
    model: InternLMXComposer2ForCausalLM, prompt: dict[str, Tensor], tokens: int, repeats: int, difference: float
) -> None:
    firsts: dict[str, list[float]] = {"native": [], "original": []}

    def per_token(name: str, answer: Callable[..., list[float]]) -> float:
        started = time.perf_counter()
        times = answer(model, prompt, tokens)
        firsts[name].append(times[0] - started)
        return (times[-1] - times[0]) / (tokens - 1)

    figures = alternating(
        {
            "native": lambda: per_token("native", native_answer),
            "original": lambda: per_token("original", original_answer),
        },
        repeats,
    )
    first = {name: values[1:] for name, values in firsts.items()}  # the first of each was a warm-up
    ratios = paired_ratio(first["native"], first["original"]), paired_ratio(figures["native"], figures["original"])
    report(
        f"native against the original's arithmetic, {IMAGE_TOKENS} image tokens, an answer of {tokens} tokens",
        [(f"first token, {name}", f"{median(first[name]):.3f} s") for name in ("native", "original")]
        + [(f"each further token, {name}", f"{median(figures[name]) * 1000:.1f} ms") for name in ("native", "original")]
        + [
            ("first token, ratio", f"{ratios[0]:.3f}"),
            ("further token, ratio", f"{ratios[1]:.3f}"),
            ("largest difference of logits", f"{difference:.2e}"),
        ],
        {"first_token_ratio": ratios[0], "further_token_ratio": ratios[1], "answer_tokens": tokens},
    )


def _model(width: int, layers: int) -> InternLMXComposer2ForCausalLM:
    config = InternLMXComposer2Config(
        hidden_size=width,
        intermediate_size=width * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=max(1, width // 256),
        vision_config={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1},
    )
    return InternLMXComposer2ForCausalLM(config).eval()


def _difference(model: InternLMXComposer2ForCausalLM, prompt: dict[str, Tensor]) -> float:
    """Largest difference between the two arithmetics' logits of the last position."""
    original, _ = OriginalArithmetic(model)(prompt["inputs_embeds"], prompt["im_mask"], [])
    return float((model(**prompt, logits_to_keep=1).logits[:, -1] - original[:, -1]).abs().max())


if __name__ == "__main__":
    main()
