"""Divergence on a small checkpoint: against direct computations, against float64, with NaN, and module by module."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
import transformers
from PIL import Image

from tests.backends.model_clock import STEP_SEC, TOWER_SEC, model_clock
from tests.checkpoints import tiny_model, write_checkpoint
from tests.requests import under
from xcomposer_ui.backends import divergence as measured
from xcomposer_ui.backends import module_outputs
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.local import LocalBackend, open_local
from xcomposer_ui.backends.memory import CpuPeak, weights_bytes
from xcomposer_ui.backends.module_outputs import block_names, first_difference, logit_figures
from xcomposer_ui.compare.divergence import Divergences
from xcomposer_ui.core.records import record_as_data
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.runtime.backend import Progress

PICTURE = Image.radial_gradient("L").convert("RGB")
ASK = Request("What is there?", PICTURE, max_new_tokens=6)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> LocalBackend:
    backend = open_local(str(write_checkpoint(tmp_path_factory.mktemp("small"))), "cpu")
    for dtype in ("float32", "float16", "bfloat16"):
        backend.load(dtype, Progress())
    return backend


@pytest.fixture(scope="module")
def found(backend: LocalBackend) -> Divergences:
    return diverged(backend, ASK, "float16", "bfloat16")


def diverged(backend: LocalBackend, question: Request, *halves: str) -> Divergences:
    variants = [(name, half) for half in halves for name in STRATEGIES]
    return backend.measure_divergence(question, variants, Progress())


def test_every_variant_that_answers_has_an_entry_and_the_others_a_reason(found: Divergences) -> None:
    assert [(d.strategy, d.half) for d in found.entries] == [
        ("autocast", "float16"), ("unified", "float16"), ("autocast", "bfloat16"), ("unified", "bfloat16"),
    ]  # fmt: skip
    assert list(found.failures) == ["as_is/float16", "as_is/bfloat16"]
    assert "Float and Half" in found.failures["as_is/float16"]


def test_the_figures_equal_a_direct_computation(backend: LocalBackend, found: Divergences) -> None:
    """Without hooks or teacher forcing in one pass: token by token, from the prompt, with numpy-like formulas."""
    logits = {}
    model, tokenizer = backend.weights("float32")
    ids = measured.answer_ids(ModelRun.of(model, tokenizer, under(ASK, "full")), Progress())
    for dtype in ("float32", "float16"):
        model, tokenizer = backend.weights(dtype)
        rows = []
        with torch.no_grad():
            pixels = model.preprocess(PICTURE).to(getattr(torch, dtype))
            inputs = model.prompt_inputs(tokenizer, ASK.text, pixels)
            for n in range(len(ids)):
                embeds = torch.cat(
                    [inputs["inputs_embeds"], model.model.tok_embeddings(torch.tensor([ids[:n]], dtype=torch.long))], 1
                )
                mask = torch.cat([inputs["im_mask"], torch.zeros(1, n, dtype=torch.bool)], 1)
                rows.append(model(inputs_embeds=embeds, im_mask=mask).logits[0, -1].double())
        logits[dtype] = torch.stack(rows)
    full, half = logits["float32"], logits["float16"]
    kl = 0.0
    for p_row, q_row in zip(full.softmax(-1).tolist(), half.softmax(-1).tolist(), strict=True):
        kl += sum(p * math.log(p / q) for p, q in zip(p_row, q_row, strict=True)) / len(ids)
    entry = found.of("unified", "float16")
    assert entry is not None
    assert entry.mean_kl_divergence == pytest.approx(kl, rel=0.2, abs=1e-7)
    assert entry.max_abs_logit_difference == pytest.approx(float((full - half).abs().max()), rel=0.3)
    assert entry.top1_agreement == float((full.argmax(-1) == half.argmax(-1)).double().mean())


def test_kl_against_a_direct_computation_to_the_last_digit() -> None:
    generator = torch.Generator().manual_seed(0)
    full, other = (torch.randn(5, 11, generator=generator) for _ in range(2))
    p, q = full.double().softmax(-1), other.double().softmax(-1)
    difference, kl, agreement, non_finite = logit_figures(full, other)
    assert kl == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-12)
    assert kl == pytest.approx(float(torch.nn.functional.kl_div(q.log(), p, reduction="batchmean")), rel=1e-12)
    assert difference == pytest.approx(float((full - other).abs().max()), rel=1e-6)
    assert agreement == float((full.argmax(-1) == other.argmax(-1)).double().mean())
    assert non_finite == 0
    assert logit_figures(full, full) == (0.0, 0.0, 1.0, 0)


def test_bfloat16_is_further_away_than_float16_and_both_than_float32_from_float64(found: Divergences) -> None:
    floor = found.floor
    assert floor is not None
    by_half = {half: found.of("unified", half).mean_kl_divergence for half in ("float16", "bfloat16")}  # type: ignore[union-attr]
    assert floor.mean_kl_divergence < by_half["float16"] / 100 < by_half["bfloat16"]  # type: ignore[operator]
    errors = {layer.module: layer.relative_error for layer in floor.layers}
    assert all(error is not None and error < 1e-5 for error in errors.values())
    assert 1e-8 < errors["output"] < 1e-5  # type: ignore[operator]


def test_the_floor_is_the_error_of_a_model_computed_in_float64(backend: LocalBackend, found: Divergences) -> None:
    model, tokenizer = backend.weights("float32")
    ids = measured.answer_ids(ModelRun.of(model, tokenizer, under(ASK, "full")), Progress())
    wide = copy.deepcopy(model).double()
    seen: dict[str, torch.Tensor] = {}
    wide.model.layers[1].register_forward_hook(lambda *call: seen.update(wide=call[2]))
    hook = model.model.layers[1].register_forward_hook(lambda *call: seen.update(narrow=call[2]))
    asked = under(ASK, "full")
    measured.forced_logits(ModelRun(wide, tokenizer, asked, measured.FLOAT64), ids)
    measured.forced_logits(ModelRun.of(model, tokenizer, asked), ids)
    hook.remove()
    assert seen["wide"].dtype == torch.float64
    error = float((seen["narrow"].double() - seen["wide"]).norm() / seen["wide"].norm())
    layer = next(x for x in found.floor.layers if x.module == "model.layers.1")  # type: ignore[union-attr]
    assert layer.relative_error == pytest.approx(error, rel=1e-6)


def test_float64_really_is_computed_in_float64(backend: LocalBackend) -> None:
    """A perturbation far below float32's resolution must come through to the logits."""
    model = copy.deepcopy(backend.weights("float32")[0]).double()
    embeds = torch.randn(1, 5, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (model(inputs_embeds=embeds * (1 + 1e-11)).logits - model(inputs_embeds=embeds).logits).abs().max()
    assert 0 < difference < 1e-8


def test_layers_are_aligned_by_module_and_call_and_grow_from_the_picture_on(found: Divergences) -> None:
    entry = found.of("unified", "float16")
    assert entry is not None
    keys = [(layer.module, layer.call) for layer in entry.layers]
    assert len(set(keys)) == len(keys)
    assert [key for key in keys if key[0] == "model.tok_embeddings"] == [("model.tok_embeddings", n) for n in range(3)]
    blocks = [layer.module for layer in entry.layers if layer.is_block and layer.call == 0]
    tower = "vit.vision_tower.vision_model.encoder.layers.0"
    order = [tower, "vision_proj", "model.layers.0", "model.layers.1", "output"]
    assert [name for name in blocks if name in order] == order
    errors = {layer.module: layer.relative_error for layer in entry.layers if layer.call == 0}
    assert errors["output"] > errors["vit.vision_tower.vision_model.embeddings"] > 0  # type: ignore[operator]
    assert all(0 <= x.relative_error < 0.1 and x.cosine > 0.99 for x in entry.layers)  # type: ignore[operator]


def test_the_largest_activation_is_the_modules_own_over_its_dtypes_limit(found: Divergences) -> None:
    entry = found.of("unified", "float16")
    assert entry is not None
    largest = max(entry.layers, key=lambda layer: layer.max_abs_value or 0)
    assert entry.largest_activation_module == largest.module
    assert entry.largest_activation_share == pytest.approx(largest.max_abs_value / 65504)  # type: ignore[operator]


def test_an_overflow_is_said_and_not_averaged_away(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.vision_proj[2].weight.mul_(60000)
    backend = open_local(str(write_checkpoint(tmp_path, model)), "cpu")
    entry = diverged(backend, ASK, "float16").of("unified", "float16")
    assert entry is not None
    assert entry.first_non_finite_module is not None
    assert entry.first_non_finite_module.startswith("vision_proj")
    assert entry.largest_activation_share is None
    assert entry.non_finite_positions > 0
    assert entry.mean_kl_divergence is None
    assert entry.max_abs_logit_difference is None
    assert entry.top1_agreement < 1
    bad = next(layer for layer in entry.layers if layer.non_finite)
    assert bad.relative_error is None
    assert bad.cosine is None
    text = json.dumps(record_as_data(entry), allow_nan=False)
    assert '"mean_kl_divergence": null' in text


def test_some_positions_with_nan_leave_no_mean() -> None:
    full = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    other = full.clone()
    other[2, 3] = math.nan
    difference, kl, agreement, non_finite = logit_figures(full, other)
    assert (difference, kl, non_finite) == (None, None, 1)
    assert agreement == 0.75


def test_free_running_tells_where_the_answers_part(found: Divergences) -> None:
    for entry in found.entries:
        n = entry.first_different_token
        if n is None:
            assert entry.tokens == found.tokens
        else:
            assert entry.tokens[:n] == found.tokens[:n]
    assert first_difference([1, 2, 3], [1, 2, 3]) is None
    assert first_difference([1, 2, 3], [1, 5, 3]) == 1
    assert first_difference([1, 2, 3], [1, 2]) == 2


@pytest.mark.parametrize("strategy", ["autocast", "unified", "full"])
def test_a_run_records_the_probabilities_that_its_tokens_have_in_a_forward_over_them(
    backend: LocalBackend, strategy: str
) -> None:
    asked = under(ASK, strategy, "float16")
    tokens = backend.generate(asked, Progress()).tokens
    assert tokens is not None
    logits = measured.forced_logits(ModelRun.of(*backend.weights(asked.weights_dtype), asked), tokens.ids).float()
    expected = logits.log_softmax(-1)[range(len(tokens.ids)), list(tokens.ids)]
    assert tokens.log_probabilities == pytest.approx(expected.tolist(), abs=5e-3 if strategy != "full" else 1e-4)
    assert len(tokens.texts) == len(tokens.ids)


def test_tokens_that_are_read_a_step_late_keep_their_probabilities(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Apple's GPU with transformers 5.24."""
    deferred = getattr(transformers.generation.utils, "DeferredStopCheck", None)
    if deferred is None:
        pytest.skip("this release of transformers reads each token at once")
    asked = under(ASK, "full", max_new_tokens=6)
    expected = backend.generate(asked, Progress()).tokens
    monkeypatch.setattr(deferred, "is_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch, "Event", MagicMock())  # the CPU has none
    found = backend.generate(asked, Progress()).tokens
    assert expected is not None and found is not None
    assert found.ids == expected.ids
    assert found.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-6)


def test_the_free_run_says_what_a_run_says_and_one_seed_gives_one_answer(backend: LocalBackend) -> None:
    sampled = Request("Say something.", PICTURE, max_new_tokens=8, temperature=1.2, top_p=0.9, seed=5)
    answer = backend.generate(under(sampled, "full"), Progress()).answer
    runs = [diverged(backend, sampled, "float16") for _ in range(2)]
    assert "".join(runs[0].tokens) == answer
    assert runs[0].tokens == runs[1].tokens
    assert [e.tokens for e in runs[0].entries] == [e.tokens for e in runs[1].entries]


def test_text_alone_is_compared_too_and_nothing_clashes(backend: LocalBackend) -> None:
    found = diverged(backend, Request("Say something.", max_new_tokens=4), "float16")
    assert [d.strategy for d in found.entries] == ["as_is", "autocast", "unified"]
    assert found.failures == {}


def test_a_single_token_is_enough(backend: LocalBackend) -> None:
    found = diverged(backend, Request("What?", PICTURE, max_new_tokens=1), "float16")
    assert len(found.entries) == 2
    assert len(found.tokens) == 1


def test_outputs_that_would_not_fit_are_kept_for_blocks_alone(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "MOST_KEPT_BYTES", 20_000)
    monkeypatch.setattr(measured, "FLOOR_WEIGHTS_BYTES", 0)
    found = diverged(backend, ASK, "float16")
    assert found.floor is None
    assert set(found.reasons) == {"floor", "layers"}
    names = {layer.module for entry in found.entries for layer in entry.layers}
    unused = "vit.vision_tower.vision_model.post_layernorm"
    assert names == block_names(backend.weights("float32")[0]) - {unused}


def test_a_stop_ends_it(backend: LocalBackend) -> None:
    progress = Progress()
    progress.stop.set()
    assert backend.measure_divergence(ASK, [("full", "float16")], progress) == Divergences(stopped=True)


def test_hooks_are_gone_afterwards(backend: LocalBackend, found: Divergences) -> None:
    for dtype in ("float32", "float16"):
        model = backend.weights(dtype)[0]
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_weights_part_of_a_run(backend: LocalBackend) -> None:
    m = backend.generate(under(ASK, "full"), Progress()).measurement
    assert m.weights_bytes == weights_bytes(backend.weights("float32")[0])
    assert m.weights_bytes < m.peak_memory_bytes  # type: ignore[operator]


def test_latency_is_what_the_model_takes_from_the_picture_to_the_last_token_without_what_measuring_takes(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_clock(backend.weights("float32")[0], monkeypatch) as clock:
        token, recent = CpuPeak.token, CpuPeak.recent
        monkeypatch.setattr(CpuPeak, "token", lambda *given: (clock.advance(100), token(*given))[1])
        monkeypatch.setattr(CpuPeak, "recent", lambda *given: (clock.advance(100), recent(*given))[1])
        m = backend.generate(under(ASK, "full"), Progress()).measurement
    assert m.new_tokens is not None and m.new_tokens > 1
    assert m.latency_sec == TOWER_SEC + m.new_tokens * STEP_SEC
    assert m.time_to_first_token_sec == TOWER_SEC + STEP_SEC
    assert m.tokens_per_sec == 1 / STEP_SEC


def test_latency_is_within_what_an_outside_clock_shows(backend: LocalBackend) -> None:
    started = time.perf_counter()
    m = backend.generate(under(ASK, "full"), Progress()).measurement
    assert 0 < m.latency_sec <= time.perf_counter() - started  # type: ignore[operator]


def test_on_a_device_without_float64_the_figures_are_the_same_and_the_floor_is_left_out(
    backend: LocalBackend, found: Divergences, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (measured, module_outputs):
        monkeypatch.setattr(module, "has_float64", lambda device: False)
    without = diverged(backend, ASK, "float16")
    assert without.floor is None and "float64" in str(without.reasons["no_float64"])
    assert without.entries == found.entries[:2]
