"""Whether autocast cures a clash, where the traceback shows more than the message: the call, the layer, autocast."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.explain.provocations import B, H, t
from xcomposer_ui.explain import explain

PRODUCT = "mat1 and mat2 must have the same dtype, but got Float and Half"
BATCHED = "expected scalar type Float but found Half"
CONVOLUTION = "Input type (float) and bias type (c10::Half) should be the same"
LINE = 'Traceback (most recent call last):\n  File "/home/me/model.py", line 9, in forward\n    {}\nRuntimeError: {}'


def autocast(text: str, device: str | None = None) -> tuple[bool | None, str]:
    """The verdict on autocast, and its reason."""
    fix = next(fix for fix in explain(text, device=device).fixes if fix.strategy == "autocast")
    return fix.cures, str(fix.why)


@pytest.mark.parametrize(
    ("code", "message", "cures"),
    [
        # A result's name is no argument.
        ("out = torch.matmul(q, k)", BATCHED, True),
        ("out = F.linear(x, w)", PRODUCT, True),
        ("y, out = x, x @ w.t()", PRODUCT, True),
        ("torch.matmul(q, k, out=out)", BATCHED, False),
        ("torch.mm(self.scaled(q.view(len(q), -1)), k, out = out)", PRODUCT, False),
        ("q, k, out=out)", PRODUCT, False),
        ("out = out.addmm_(q, k)", PRODUCT, False),
        # A call around the one that failed, which the message tells.
        ("x = F.gelu(self.fc1(x))", PRODUCT, True),
        ("return F.normalize(self.proj(x), dim=-1)", PRODUCT, True),
        ("x = torch.relu(self.fc(x))", PRODUCT, True),
        ("return F.multi_head_attention_forward(", PRODUCT, True),
        ("x = F.relu(self.conv1(x))", CONVOLUTION, True),
        ("x = F.gelu(self.mix(x))", BATCHED, None),
        ("y = F.lerp(self.mix(x), y, 0.5)", BATCHED, None),
        ("y = F.embedding_bag(ids.view(len(x), -1), w.to(x.dtype))", BATCHED, False),
        # Methods of tensors, whatever the tensor is called; and functions of extensions.
        ("y = w_cuda.matmul(x)", BATCHED, True),
        ("y = w_cuda.matmul(x)", PRODUCT, True),
        ("y = torch.mm(x, w_cuda.t())", PRODUCT, True),
        ("y = x_ext.to(w.device) @ w", PRODUCT, True),
        ("y = deform_conv_cuda.forward(x, w)", BATCHED, False),
        ("y = torch.ops.mine.product(x, w)", PRODUCT, False),
        ("y = torch.linalg.matmul(q, k)", BATCHED, True),
        # Autocast on the line itself; a name that only ends so.
        ("with torch.autocast('cpu', enabled=False): return x @ w", PRODUCT, False),
        ("return self.without_autocast(x)", PRODUCT, True),
    ],
)
def test_a_source_line_is_read(code: str, message: str, cures: bool | None) -> None:
    assert autocast(LINE.format(code, message))[0] is cures


@pytest.mark.parametrize(("code", "cures"), [("out = torch.matmul(q, k)", True), ("torch.mm(q, k, out=out)", False)])
def test_a_notebook_s_line_is_read(code: str, cures: bool) -> None:
    cell = f"RuntimeError  Traceback (most recent call last)\nCell In[3], line 2\n----> 2 {code}\n\n"
    assert autocast(f"{cell}RuntimeError: {PRODUCT}")[0] is cures


@pytest.mark.parametrize(("operation", "cures"), [("aten.addmm", True), ("aten.addmm_", False), (None, None)])
def test_a_recorded_operation_tells_a_product_in_place(operation: str | None, cures: bool | None) -> None:
    text = "self and mat2 must have the same dtype, but got Float and BFloat16"
    fixes = {fix.strategy: fix.cures for fix in explain(text, device="cpu", operation=operation).fixes}
    assert fixes["autocast"] is cures


@pytest.mark.parametrize(("dtypes", "packed"), [("Char and Half", False), ("Half and Char", True)])
def test_an_integer_weight_is_packed_and_an_integer_input_is_not(dtypes: str, packed: bool) -> None:
    reason = autocast(f"mat1 and mat2 must have the same dtype, but got {dtypes}")[1]
    assert ("quantised" in reason) is packed


class Product(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weight)


@torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
def switched_off(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.linear(x, weight)


q, k = t(1, 2, 2), t(1, 2, 2, dtype=H)

CALLS: dict[str, Callable[[], Any]] = {
    "custom_fwd": lambda: Product.apply(t(2, 4), t(4, 4, dtype=H)),  # type: ignore[no-untyped-call]
    "autocast off": lambda: switched_off(t(2, 4), t(4, 4, dtype=H)),
    "linalg.matmul": lambda: torch.linalg.matmul(q, k),
    "method": lambda: q.matmul(k),
}


def pasted(call: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:
        call()
    return "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


def outcomes(call: Callable[[], Any]) -> set[bool]:
    """Whether `call` answers under autocast on the CPU, in either half type."""
    found = set()
    for half in (H, B):
        try:
            with torch.autocast("cpu", half):
                call()
            found.add(True)
        except RuntimeError:
            found.add(False)
    return found


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_real_traceback_gets_the_verdict_that_a_trial_gives(call: Callable[[], Any]) -> None:
    assert {autocast(pasted(call), "cpu")[0]} == outcomes(call)


def test_a_traceback_through_autocast_does_not_tell_whether_it_is_on() -> None:
    assert "on or off" in autocast(pasted(CALLS["autocast off"]))[1]


# Of quantize_dynamic(nn.Sequential(nn.Linear(4, 3)))(x.half()) on PyTorch 2.13; float32 cures it, a half type does not.
QUANTISED = """Traceback (most recent call last):
  File "/env/site-packages/torch/{package}/quantized/dynamic/modules/linear.py", line 58, in forward
    Y = torch.ops.quantized.linear_dynamic(
  File "/env/site-packages/torch/_ops.py", line 1279, in __call__
    return self._op(*args, **kwargs)
RuntimeError: expected scalar type Float but found Half"""


@pytest.mark.parametrize("package", ["ao/nn", "nn"])
def test_a_quantised_layer_is_no_linear_layer(package: str) -> None:
    explanation = explain(QUANTISED.format(package=package), device="cpu")
    assert [fix.cures for fix in explanation.fixes] == [False, False, False, True]


def test_a_function_of_an_extension_is_found_below_torch_s_dispatch() -> None:
    assert autocast(QUANTISED.replace("{package}/quantized", "mine"), "cpu")[0] is False


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str)
@pytest.mark.parametrize("half", [H, B], ids=str)
def test_an_optimizer_s_step_over_weights_that_were_halved_is_one_of_its_state(
    options: dict[str, Any], half: torch.dtype
) -> None:
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(layer.parameters(), **options)
    layer(t(2, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    layer.to(half)(t(2, 4, dtype=half)).sum().backward()
    explanation = explain(pasted(optimizer.step), device="cpu")
    assert explanation.family == "optimizer_state_dtype_mismatch"
    assert [fix.cures for fix in explanation.fixes] == [False, False, None, None]


HALF_LAYER = """Traceback (most recent call last):
  File "/home/me/model.py", line 9, in forward
    return self.encoder(x)
  File "/env/site-packages/torch/nn/modules/transformer.py", line 960, in forward
    {call}
RuntimeError: mat1 and mat2 must have the same dtype, but got {dtypes}"""


@pytest.mark.parametrize(
    ("dtypes", "device", "cures"),
    [
        ("Float and Half", "cpu", False),
        ("Float and BFloat16", "cpu", False),
        ("Float and Half", "cuda", True),
        ("Float and Half", None, None),
        ("Half and Float", "cpu", True),
    ],
)
def test_a_half_transformer_layer_fails_at_its_norm_under_autocast_on_the_cpu(
    dtypes: str, device: str | None, cures: bool | None
) -> None:
    text = HALF_LAYER.format(call="return torch._transformer_encoder_layer_fwd(", dtypes=dtypes)
    assert autocast(text, device)[0] is cures


ENCODER, DECODER = nn.TransformerEncoderLayer(4, 2, 8), nn.TransformerDecoderLayer(4, 2, 8)
HALF_ENCODER, HALF_DECODER = nn.TransformerEncoderLayer(4, 2, 8).to(H), nn.TransformerDecoderLayer(4, 2, 8).to(H)
LAYERS: dict[str, Callable[[], Any]] = {
    "half encoder": lambda: HALF_ENCODER(t(2, 3, 4)),
    "half encoder, its fast way": lambda: nn.TransformerEncoderLayer(4, 2, 8).to(H).eval()(t(2, 3, 4)),
    "float32 encoder": lambda: ENCODER(t(2, 3, 4, dtype=H)),
    "half decoder": lambda: HALF_DECODER(t(2, 3, 4), t(2, 3, 4)),
    "float32 decoder": lambda: DECODER(t(2, 3, 4, dtype=H), t(2, 3, 4)),
}


@pytest.mark.parametrize("call", LAYERS.values(), ids=LAYERS.keys())
def test_the_verdict_on_a_transformer_layer_is_what_a_trial_gives(call: Callable[[], Any]) -> None:
    with torch.no_grad():
        assert {autocast(pasted(call), "cpu")[0]} == outcomes(call)


def test_a_half_decoder_over_a_float32_memory_is_cured_by_autocast_in_its_own_half_type() -> None:
    def call() -> None:
        HALF_DECODER(t(2, 3, 4, dtype=H), t(2, 3, 4))

    assert autocast(pasted(call), "cpu")[0] is True
    with torch.autocast("cpu", H):
        call()


@pytest.mark.parametrize("half", [H, B], ids=str)
def test_an_lstm_s_reason_is_what_trials_give(half: torch.dtype) -> None:
    reason = autocast("RNN input dtype (torch.float32) does not match weight dtype (torch.float16)", "cpu")[1]
    assert "where gradients are recorded" in reason
    layer = nn.LSTM(4, 4).to(half)
    with torch.no_grad(), torch.autocast("cpu", half):
        layer(t(2, 3, 4))
    layer(t(2, 3, 4, dtype=half))


@pytest.mark.parametrize(
    "text",
    [
        "both inputs should have same dtype",
        "meshgrid expects all tensors to have the same dtype",
        "heaviside is not yet implemented for tensors with different dtypes.",
    ],
)
def test_without_the_dtypes_it_depends_on_them(text: str) -> None:
    cures = {fix.strategy: fix.cures for fix in explain(text, device="cpu").fixes}
    assert cures == {"as_is": False, "autocast": False, "unified": None, "full": None}
