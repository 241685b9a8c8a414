"""Failures that raise nothing are failures: float16 made to overflow for real, repetition, an answer without a word."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from tests.checkpoints import tiny_model, write_tokenizer
from xcomposer_ui.backends import generation
from xcomposer_ui.backends.arithmetic import ModelRun
from xcomposer_ui.backends.silent_failures import non_finite_site, repeated_to_the_end
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.request import Request
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Tokenizer
from xcomposer_ui.runtime.backend import CallResult, Progress
from xcomposer_ui.tracing.dtype_flow import DtypeFlow, ModuleCall

PICTURE = Image.radial_gradient("L").convert("RGB")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    InternLMXComposer2Tokenizer(str(folder / "tokenizer.model")).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def ask(model: Any, tokenizer: Any, strategy: str, half: str, tokens: int = 4) -> CallResult:
    dtype = getattr(torch, STRATEGIES[strategy].weights_dtype(half))
    question = Request("What?", PICTURE, strategy=strategy, half=half, max_new_tokens=tokens)
    return generation.answer(ModelRun.of(model.to(dtype), tokenizer, question), Progress())


def overflowing() -> Any:
    """A feed-forward whose product passes float16's 65504 and is small again after."""
    model = tiny_model()
    with torch.no_grad():
        feed_forward = model.model.layers[1].feed_forward
        feed_forward.w1.weight.fill_(30.0)
        feed_forward.w3.weight.fill_(300.0)
        feed_forward.w2.weight.mul_(1e-6)
        model.model.layers[1].ffn_norm.weight.fill_(3.0)
    return model


def test_float16_overflows_for_real_and_the_module_is_named(tokenizer: Any) -> None:
    outcome = ask(overflowing(), tokenizer, "unified", "float16")
    assert outcome.failure_type == "NonFiniteLogits"
    assert outcome.answer is None
    assert outcome.site.module is not None
    assert outcome.site.module.startswith("model.layers.1.feed_forward")
    assert "of the largest that float16 holds (6.55e+04)" in str(outcome.message)
    assert explain(f"{outcome.failure_type}: {outcome.message}").family == "non_finite_logits"


def test_the_largest_value_before_counts_what_is_computed_between_modules() -> None:
    calls = (
        ModuleCall(0, "mlp", "MLP", 0, ("float16",), ("float16",), (), max_abs=None, non_finite=3),
        ModuleCall(1, "mlp.up", "Linear", 1, ("float16",), ("float16",), (), max_abs=200.0, non_finite=0),
        ModuleCall(2, "mlp.down", "Linear", 1, ("float16",), ("float16",), (), non_finite=3, max_abs_in=40000.0),
    )
    message, site = non_finite_site(DtypeFlow(calls))
    assert site.module == "mlp.down"
    assert "before it is 4e+04 going into mlp.down, 61.1% of the largest that float16 holds" in str(message)


@pytest.mark.parametrize(("strategy", "half"), [("unified", "bfloat16"), ("full", "float16")])
def test_bfloat16_and_float32_hold_where_float16_overflows(tokenizer: Any, strategy: str, half: str) -> None:
    assert ask(overflowing(), tokenizer, strategy, half).failure_type is None


def test_one_token_to_the_end_is_a_failure(tokenizer: Any) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.output.weight.zero_()
        model.model.norm.weight.fill_(1.0)
    stuck = torch.zeros(320, 32)
    stuck[300] = 1.0
    model.output.weight.data = stuck
    hook = model.model.norm.register_forward_hook(lambda *_: torch.ones_like(_[2]))
    outcome = ask(model, tokenizer, "full", "float16", tokens=24)
    hook.remove()
    assert outcome.failure_type == "RepeatedToken"
    assert "repeats one token 24 times to its end" in str(outcome.message)
    assert outcome.measurement.new_tokens == 24
    assert explain(f"{outcome.failure_type}: {outcome.message}").family == "repeated_token"


def test_an_answer_without_a_word_is_a_failure(tokenizer: Any) -> None:
    model = tiny_model()
    ending = torch.zeros(320, 32)
    ending[tokenizer.eos_token_id] = 1.0
    model.output.weight.data = ending
    hook = model.model.norm.register_forward_hook(lambda *_: torch.ones_like(_[2]))
    outcome = ask(model, tokenizer, "full", "float16")
    hook.remove()
    assert outcome.failure_type == "EmptyAnswer"
    assert explain(f"{outcome.failure_type}: {outcome.message}").family == "empty_answer"


@pytest.mark.parametrize(
    ("ids", "most", "times"),
    [
        ([5] * 20, 20, 20),
        ([1, 2] + [5] * 30, 32, 30),
        ([5] * 20, 64, 0),  # it ended by itself
        ([5, 6] * 20, 40, 0),
        ([5] * 8, 8, 0),  # too short to say
    ],
)
def test_repetition_is_told_from_an_answer_that_ended(ids: list[int], most: int, times: int) -> None:
    assert repeated_to_the_end(ids, most) == times


def test_each_message_has_its_words_in_chinese(tokenizer: Any) -> None:
    overflow = ask(overflowing(), tokenizer, "unified", "float16").message
    calls = (
        ModuleCall(0, "mlp", "MLP", 0, ("int64",), ("int64",), (), max_abs=200.0, non_finite=0),
        ModuleCall(1, "mlp.down", "Linear", 1, ("float32",), ("float32",), (), non_finite=3),
    )
    told = [overflow, *(non_finite_site(DtypeFlow(calls[start:end]))[0] for start, end in ((0, 2), (1, 2), (0, 1)))]
    told += [Message("silent.repeated", times=16, end=f"{'！' * 16}\n"), Message("silent.empty")]
    for message in told:
        assert isinstance(message, Message)
        english, chinese = str(message), message.in_language("zh")
        assert not re.search("[a-z]{4,} [a-z]{2,}", chinese), chinese
        assert explain(chinese).family == explain(english).family is not None  # copied from the page, explained again
        for figure in re.findall(r"[\w.]*\d[\w.]*", english):
            assert figure in chinese


def test_the_english_messages_read_as_scripts_know_them() -> None:
    call = ModuleCall(0, "mlp", "MLP", 0, (), ("float16",), (), max_abs_in=32752.0, non_finite=1)
    message, _ = non_finite_site(DtypeFlow((call,)))
    assert str(message) == (
        "the logits are not finite: NaN or infinity arises first at mlp; the largest value before it is 3.275e+04 "
        "going into mlp, 50.0% of the largest that float16 holds (6.55e+04)"
    )
    assert str(Message("silent.repeated", times=16, end="!!")) == (
        "the answer repeats one token 16 times to its end: “…!!”"
    )
    assert str(Message("silent.empty")) == "the model ended its answer before its first word"
