"""Where a run fails and the way its dtypes take, on small modules and on a tiny XComposer."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tests.checkpoints import tiny_model, write_tokenizer
from xcomposer_ui.backends.tracing.dtype_trace import trace_failure, trace_flow
from xcomposer_ui.backends.tracing.tracer import Tracer
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import PARAMETER, Operand
from xcomposer_ui.models.xcomposer2 import InternLMXComposer2Tokenizer
from xcomposer_ui.tracing.dtype_flow import Cast, FailureSite

H, B, S = torch.float16, torch.bfloat16, torch.float32


class Tower(nn.Module):
    """Computes in its weights' dtype and gives its features back in the picture's, as many towers do."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2)
        self.norm = nn.LayerNorm(8)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.patch(pixels.to(self.patch.weight.dtype)).flatten(2).transpose(1, 2)
        return self.norm(features)[:, 1:].to(pixels.dtype)  # type: ignore[no-any-return]


class Seer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()
        self.projector = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.projector(self.tower(pixels))  # type: ignore[no-any-return]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x)
        k = q.float() * 2
        return F.scaled_dot_product_attention(q, k, k)


class Writer(nn.Module):
    """Writes image features into text embeddings by a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.projector = nn.Linear(4, 4)

    def forward(self, features: Tensor) -> Tensor:
        text = self.embedding(torch.tensor([0, 1])).clone()
        text[torch.tensor([True, False])] = self.projector(features)
        return text  # type: ignore[no-any-return]


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("not today")


def pixels(dtype: torch.dtype = S) -> Tensor:
    return torch.rand(1, 3, 4, 4).to(dtype)


def site(call: Callable[[], Any], model: nn.Module) -> FailureSite:
    found = trace_failure(call, model)
    assert found is not None
    return found


CAST_BY_TOWER = Message("origin.cast", dtype="float32", module="tower", operation="aten._to_copy")


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_a_linear_layer_is_named_with_its_operands_and_their_origins(
    mode: Callable[[], AbstractContextManager[Any]],
) -> None:
    model, picture = Seer().half(), pixels()
    with mode():
        assert site(lambda: model(picture), model) == FailureSite(
            "projector.0",
            "aten.addmm",
            (
                Operand("projector.0.bias", "float16", PARAMETER, (8,)),
                Operand(Message("activation.output", module="tower"), "float32", CAST_BY_TOWER, (8, 8)),
                Operand("projector.0.weight", "float16", PARAMETER, (8, 8)),
            ),
        )


def test_a_run_that_answers_has_no_failure() -> None:
    model = Seer().half()
    assert trace_failure(lambda: model(pixels(H)), model) is None
    with torch.autocast("cpu", H):
        assert trace_failure(lambda: model(pixels()), model) is None


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_a_check_that_raises_before_any_operation_is_seen(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    model = Attention().half()
    with mode():
        found = site(lambda: model(torch.rand(1, 1, 2, 4).half()), model)
    assert (found.module, found.operation) == ("Attention", "aten.scaled_dot_product_attention")
    assert [operand.dtype for operand in found.operands] == ["float16", "float32", "float32"]
    assert str(found.operands[0].name) == "activation (output of q)"
    assert found.operands[1].recorded_origin == "float32 since `Attention` (aten._to_copy)"


def test_a_write_under_autocast_names_the_embedding_and_what_autocast_made() -> None:
    model, features = Writer(), torch.rand(1, 4)
    with torch.no_grad(), torch.autocast("cpu", B):
        found = site(lambda: model(features), model)
    assert (found.module, found.operation) == ("Writer", "aten.index_put_")
    destination, mask, source = found.operands
    assert (destination.dtype, mask.dtype, source.dtype) == ("float32", "bool", "bfloat16")
    assert destination.recorded_origin == "float32 since `embedding` (aten.embedding)"
    assert (str(source.name), source.recorded_origin) == (
        "activation (output of projector)",
        "bfloat16 since `projector` (autocast)",
    )


LAYERS: dict[str, tuple[nn.Module, Tensor, str, str]] = {
    "conv": (nn.Conv2d(3, 4, 2), pixels(), "aten.conv2d", "weight"),
    "layer_norm": (nn.LayerNorm(4), torch.rand(2, 4), "aten.native_layer_norm", "weight"),
    "linear without bias": (nn.Linear(4, 4, bias=False), torch.rand(2, 4), "aten.mm", "weight"),
    "embedding": (nn.Embedding(4, 4), torch.rand(2), "aten.embedding", "weight"),
}


@pytest.mark.parametrize(("layer", "given", "operation", "weight"), LAYERS.values(), ids=LAYERS.keys())
def test_a_layer_is_named_inside_a_model(layer: nn.Module, given: Tensor, operation: str, weight: str) -> None:
    model = nn.Sequential(nn.Identity(), layer).half()
    found = site(lambda: model(given), model)
    assert (found.module, found.operation) == ("1", operation)
    names = {str(operand.name): operand for operand in found.operands}
    assert names[f"1.{weight}"] == Operand(f"1.{weight}", "float16", PARAMETER, names[f"1.{weight}"].shape)
    given_one = names["activation (given to the model)"]
    assert (given_one.dtype, given_one.recorded_origin) == ("float32", "float32 since it was given to the model")


def test_an_error_of_the_model_s_own_code_names_its_module_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Refuses())
    assert site(lambda: model(torch.rand(1, 2)), model) == FailureSite("1", None, ())


def test_an_error_that_the_model_catches_is_not_the_failure() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow = nn.Linear(2, 2).half(), Refuses()

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.fast(x)  # type: ignore[no-any-return]
            except RuntimeError:
                pass
            return self.slow(x)  # type: ignore[no-any-return]

    model = Tries()
    assert site(lambda: model(torch.rand(1, 2)), model) == FailureSite("slow", None, ())


def test_an_error_raised_from_a_clash_leads_to_the_clash() -> None:
    class Wraps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2).half()

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.inner(x)  # type: ignore[no-any-return]
            except RuntimeError as error:
                raise ValueError("no answer") from error

    model = Wraps()
    assert site(lambda: model(torch.rand(1, 2)), model).module == "inner"


def test_tied_weights_and_views_of_weights_have_the_first_name() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 4)
            self.head = nn.Linear(4, 4, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)[:, None] @ self.embedding.weight[1:3].T  # type: ignore[no-any-return]

    model = Tied().half()
    found = site(lambda: model(torch.rand(2, 4)), model)
    assert [operand.name for operand in found.operands][-1] == "embedding.weight"


def test_it_works_in_another_thread_and_beside_an_untraced_one() -> None:
    model, found = Seer().half(), []
    thread = threading.Thread(target=lambda: found.append(trace_failure(lambda: model(pixels()), model)))
    with Tracer(model):  # this thread's tracer takes no part in the other's calls
        thread.start()
        thread.join()
    assert found[0] is not None
    assert found[0].module == "projector.0"


def test_nothing_stays_behind() -> None:
    model, picture = Seer().half(), pixels()
    site(lambda: model(picture), model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_tensors_of_a_failed_run_are_given_back() -> None:
    model, given = Seer().half(), []

    def call() -> None:
        picture = pixels()
        given.append(weakref.ref(picture))
        model(picture)

    site(call, model)
    gc.collect()
    assert given[0]() is None


def test_what_is_no_exception_passes_through() -> None:
    model = Seer()

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace_failure(stop, model)
    assert not any(module._forward_hooks for module in model.modules())


# The flow


def test_the_flow_has_a_row_a_module_call_with_its_casts() -> None:
    model = Seer().half()
    flow = trace_flow(lambda: model(pixels(S)), model)
    assert flow.error == "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
    calls = {call.name: call for call in flow.calls}
    assert list(calls) == ["Seer", "tower", "tower.patch", "tower.norm", "projector", "projector.0"]
    tower = calls["tower"]
    assert (tower.depth, tower.dtypes_in, tower.dtypes_out) == (1, ("float32",), ("float32",))
    assert tower.casts == (Cast("aten._to_copy", "float32", "float16"), Cast("aten._to_copy", "float16", "float32"))
    assert (calls["tower.norm"].dtypes_in, calls["tower.norm"].dtypes_parameters) == (("float16",), ("float16",))
    assert [name for name, call in calls.items() if call.failed] == ["Seer", "projector", "projector.0"]
    assert calls["projector.0"].dtypes_out == ()


def test_autocast_s_casts_are_told_from_the_model_s_own() -> None:
    model = Seer()
    with torch.no_grad(), torch.autocast("cpu", B):
        flow = trace_flow(lambda: model(pixels()), model)
    casts = {call.name: call.casts for call in flow.calls}
    assert casts["projector.0"] == (Cast("autocast", "float32", "bfloat16", count=3),)
    assert flow.error is None


def test_values_are_measured_when_asked_for() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Identity())
    nn.init.constant_(model[0].weight, 2.0)
    flow = trace_flow(lambda: model(torch.tensor([[3.0, float("inf")]])), model, values=True)
    linear = flow.calls[1]
    assert (linear.max_abs, linear.non_finite, linear.max_abs_in) == (0.0, 2, 3.0)
    assert trace_flow(lambda: model(torch.ones(1, 2)), model).calls[1].max_abs is None
    answered = trace_flow(lambda: model(torch.ones(1, 2)), model, values=True)
    assert (answered.calls[1].max_abs, answered.calls[1].non_finite) == (4.0, 0)


@pytest.mark.parametrize(("half", "overflows"), [(H, True), (B, False)], ids=["float16", "bfloat16"])
def test_float16_overflows_where_bfloat16_does_not(half: torch.dtype, overflows: bool) -> None:
    model = nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(3)))
    for layer in model:
        nn.init.constant_(layer.weight, 60.0)
    model = model.to(half)
    with torch.no_grad():
        flow = trace_flow(lambda: model(torch.ones(1, 4, dtype=half)), model, values=True)
    first = flow.first_non_finite()
    assert (first is not None) == overflows
    if first is not None:
        assert first.name == "2"  # 240, then 57,600, then more than 65,504
        assert flow.calls[2].max_abs == 57600.0


# The lab's own model


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Callable[[], Any]]:
    write_tokenizer(tmp_path)
    tokenizer = InternLMXComposer2Tokenizer.from_pretrained(tmp_path)

    def ready(model: Any, dtype: torch.dtype) -> Callable[[], Any]:
        picture = model.preprocess(Image.new("RGB", (80, 60), "red")).to(dtype)
        settings = {"history": [], "max_new_tokens": 3, "do_sample": False}
        return lambda: model.chat(tokenizer, query="What?", image=picture, **settings)

    return ready


@pytest.mark.parametrize("half", [H, B], ids=["float16", "bfloat16"])
def test_as_is_fails_at_the_projector(half: torch.dtype, ask: Callable[..., Callable[[], Any]]) -> None:
    model = tiny_model().to(half)
    found = site(ask(model, S), model)
    name = str(half).removeprefix("torch.")
    assert (found.module, found.operation) == ("vision_proj.0", "aten.addmm")
    assert [(str(o.name), o.dtype, o.recorded_origin) for o in found.operands] == [
        ("vision_proj.0.bias", name, "parameter"),
        ("activation (output of vit)", "float32", "float32 since `vit` (aten._to_copy)"),
        ("vision_proj.0.weight", name, "parameter"),
    ]


def test_a_whole_answer_flows_in_half_with_float32_islands(ask: Callable[..., Callable[[], Any]]) -> None:
    model = tiny_model().half()
    flow = trace_flow(ask(model, H), model, values=True)
    assert flow.error is None
    rows = {row.name: row for row in flow.rows()}
    assert rows["vit"].dtypes_out == rows["vision_proj"].dtypes_in == ("float16",)
    assert rows["model.norm"].is_island
    assert not rows["vision_proj.0"].is_island
    assert rows["model.norm"].calls == 3
    assert all(call.non_finite == 0 for call in flow.calls)
