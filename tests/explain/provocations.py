"""Operations that raise dtype errors for real on the CPU: name -> call, by the family that must recognise them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

F8 = torch.float8_e4m3fn
H, B, S, D, L = torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64
BYTE = torch.uint8


def t(*shape: int, dtype: torch.dtype = S) -> torch.Tensor:
    return torch.ones(*shape, dtype=S).to(dtype)


def linear(weights: torch.dtype, features: torch.dtype, *, bias: bool = True) -> Any:
    return nn.Linear(4, 4, bias=bias).to(weights)(t(2, 4, dtype=features))


def conv(weights: torch.dtype, pixels: torch.dtype, *, bias: bool = True) -> Any:
    return nn.Conv2d(3, 4, 2, bias=bias).to(weights)(t(1, 3, 4, 4, dtype=pixels))


def attend(query: torch.dtype, key: torch.dtype, mask: torch.dtype | None = None) -> Any:
    q, k = t(1, 1, 2, 4, dtype=query), t(1, 1, 2, 4, dtype=key)
    return F.scaled_dot_product_attention(q, k, k, attn_mask=None if mask is None else t(2, 2, dtype=mask))


def write_by_mask(tensor: torch.Tensor, value: Any) -> None:
    tensor[tensor > 0] = value


def unscale_half_gradients() -> None:
    weight = nn.Parameter(t(2, dtype=H))
    optimizer, scaler = torch.optim.SGD([weight], lr=0.1), torch.amp.GradScaler("cpu")
    scaler.scale((weight * 2).sum()).backward()
    scaler.step(optimizer)


def assign_gradient() -> None:
    weight = nn.Parameter(t(2))
    weight.grad = t(2, dtype=H)


def under(autocast: torch.dtype, call: Callable[[], Any]) -> Any:
    with torch.autocast("cpu", autocast):
        return call()


def features_into_embeddings() -> None:
    """float32 weights under autocast: the embedding stays float32, the projector's output is half."""
    embeddings = nn.Embedding(4, 4)(torch.tensor([0, 1])).detach()
    embeddings[torch.tensor([True, False])] = nn.Linear(4, 4)(t(1, 4))


def rotations() -> torch.Tensor:
    """Rotary position embeddings as some models keep them."""
    return t(2).to(torch.complex64)


def rows(size: int = 1) -> torch.Tensor:
    return torch.zeros(size, dtype=L)


Provocation = tuple[Callable[[], Any], tuple[str, ...]]
"""The call, and the dtypes that its message names, in torch's spelling and in their order."""

PROVOCATIONS: dict[str, dict[str, Provocation]] = {
    "matmul_dtype_mismatch": {
        "linear": (lambda: linear(H, S), ("float32", "float16")),
        "linear, the other way round": (lambda: linear(S, H), ("float16", "float32")),
        "linear in bfloat16": (lambda: linear(B, S), ("float32", "bfloat16")),
        "linear, two halves": (lambda: linear(H, B), ("bfloat16", "float16")),
        "linear, double": (lambda: linear(H, D), ("float64", "float16")),
        "linear, integers": (lambda: linear(H, L), ("int64", "float16")),
        "linear, bytes": (lambda: linear(H, BYTE), ("uint8", "float16")),
        "linear without bias": (lambda: linear(H, S, bias=False), ("float32", "float16")),
        "linear without bias, bytes": (lambda: linear(H, BYTE, bias=False), ("uint8", "float16")),
        "linear without bias, integers": (lambda: linear(H, L, bias=False), ("int64", "float16")),
        "mm": (lambda: t(2, 2) @ t(2, 2, dtype=B), ("float32", "bfloat16")),
        "mm, complex": (lambda: t(2, 2).to(torch.complex64) @ t(2, 2), ("complex64", "float32")),
        "addmm": (lambda: torch.addmm(t(2, dtype=H), t(2, 2, dtype=H), t(2, 2)), ("float16", "float32")),
        "baddbmm": (
            lambda: torch.baddbmm(t(1, 2, 2, dtype=H), t(1, 2, 2), t(1, 2, 2, dtype=H)),
            ("float16", "float32"),
        ),
        "addbmm": (lambda: torch.addbmm(t(2, 2), t(1, 2, 2), t(1, 2, 2, dtype=H)), ("float32", "float16")),
        "multi_dot": (
            lambda: torch.linalg.multi_dot([t(2, 2), t(2, 2, dtype=H), t(2, 2)]),
            ("float32", "float16"),
        ),
        "tensordot": (lambda: torch.tensordot(t(2, 2), t(2, 2, dtype=H), 1), ()),
        "attention's projections": (
            lambda: nn.MultiheadAttention(4, 2).to(H)(t(2, 3, 4), t(2, 3, 4), t(2, 3, 4)),
            ("float32", "float16"),
        ),
        "lstm cell": (lambda: nn.LSTMCell(4, 4).to(H)(t(3, 4)), ("float32", "float16")),
    },
    "vector_product_dtype_mismatch": {
        "dot": (lambda: torch.dot(t(2), t(2, dtype=H)), ("float32", "float16")),
        "mv": (lambda: torch.mv(t(2, 2), t(2, dtype=H)), ("float16", "float32")),
        "addmv": (lambda: torch.addmv(t(2), t(2, 2), t(2, dtype=H)), ("float32", "float16")),
        "vecdot": (lambda: torch.linalg.vecdot(t(2), t(2, dtype=H)), ("float32", "float16")),
    },
    "bilinear_dtype_mismatch": {
        "bilinear": (lambda: nn.Bilinear(4, 4, 4).to(H)(t(2, 4), t(2, 4)), ("float32", "float16")),
    },
    "conv_dtype_mismatch": {
        "conv2d": (lambda: conv(H, S), ("float32", "float16")),
        "conv2d in bfloat16": (lambda: conv(B, S), ("float32", "bfloat16")),
        "conv2d, bytes": (lambda: conv(H, BYTE), ("uint8", "float16")),
        "conv2d, double": (lambda: conv(S, D), ("float64", "float32")),
        "conv1d": (lambda: nn.Conv1d(3, 4, 2).to(H)(t(1, 3, 4)), ("float32", "float16")),
        "conv3d": (lambda: nn.Conv3d(3, 4, 2).to(H)(t(1, 3, 4, 4, 4)), ("float32", "float16")),
    },
    "rnn_dtype_mismatch": {
        "lstm": (lambda: nn.LSTM(4, 4).to(H)(t(2, 3, 4)), ("float32", "float16")),
        "gru": (lambda: nn.GRU(4, 4).to(B)(t(2, 3, 4)), ("float32", "bfloat16")),
    },
    "operand_dtype_mismatch": {
        "conv without bias": (lambda: conv(H, S, bias=False), ("float32", "float16")),
        "conv without bias, integers": (lambda: conv(H, L, bias=False), ("int64", "float16")),
        "conv_transpose": (lambda: nn.ConvTranspose2d(3, 4, 2).to(H)(t(1, 3, 4, 4)), ("float32", "float16")),
        "bmm": (lambda: torch.bmm(t(1, 2, 2), t(1, 2, 2, dtype=H)), ("float32", "float16")),
        "4-D matmul": (lambda: t(1, 2, 2, 2) @ t(1, 2, 2, 2, dtype=B), ("float32", "bfloat16")),
        "einsum": (
            lambda: torch.einsum("bij,bjk->bik", t(2, 2, 2), t(2, 2, 2, dtype=H)),
            ("float32", "float16"),
        ),
        "grid_sample": (
            lambda: F.grid_sample(t(1, 1, 2, 2, dtype=H), t(1, 2, 2, 2), align_corners=False),
            ("float16", "float32"),
        ),
        "cross": (lambda: torch.cross(t(2, 3), t(2, 3, dtype=H), dim=1), ("float32", "float16")),
        "cross_entropy's class weights": (
            lambda: F.cross_entropy(t(2, 3), rows(2), weight=t(3, dtype=H)),
            ("float32", "float16"),
        ),
        "prelu": (lambda: nn.PReLU().to(H)(t(2, 4)), ("float32", "float16")),
        "lerp": (lambda: torch.lerp(t(2), t(2, dtype=H), 0.5), ("float32", "float16")),
        "complex": (lambda: torch.complex(t(2), t(2, dtype=H)), ("float32", "float16")),
        "polar": (lambda: torch.polar(t(2), t(2, dtype=H)), ("float32", "float16")),
        "loss of 8-bit floats": (lambda: F.mse_loss(t(2, dtype=F8), t(2)), ("float8_e4m3fn", "float32")),
        "heaviside": (lambda: torch.heaviside(t(2), t(2, dtype=H)), ()),
        "isclose": (lambda: torch.isclose(t(2, dtype=H), t(2)), ("float16", "float32")),
        "meshgrid": (lambda: torch.meshgrid(t(2), t(2, dtype=H), indexing="ij"), ()),
        "8-bit float": (lambda: t(2).to(torch.float8_e4m3fn) + t(2), ("float8_e4m3fn", "float32")),
        "unsigned": (lambda: t(2, dtype=torch.uint16) + t(2, dtype=torch.int32), ("uint16", "int32")),
        "embedding_bag's weights": (
            lambda: F.embedding_bag(rows(), t(2, 2), rows(), mode="sum", per_sample_weights=t(1, dtype=H)),
            ("float32", "float16"),
        ),
    },
    "linalg_dtype_mismatch": {
        "solve": (lambda: torch.linalg.solve(torch.eye(2), t(2, 2, dtype=H)), ("float32", "float16")),
        "lstsq": (lambda: torch.linalg.lstsq(torch.eye(2), t(2, 2, dtype=H)), ("float32", "float16")),
        "cholesky_solve": (lambda: torch.cholesky_solve(t(2, 2, dtype=H), torch.eye(2)), ("float16", "float32")),
        "lu_solve": (
            lambda: torch.linalg.lu_solve(*torch.linalg.lu_factor(torch.eye(2)), t(2, 2, dtype=H)),
            ("float32", "float16"),
        ),
        "ldl_solve": (
            lambda: torch.linalg.ldl_solve(*torch.linalg.ldl_factor(torch.eye(2)), t(2, 2, dtype=H)),
            ("float16", "float32"),
        ),
        "ormqr": (lambda: torch.ormqr(t(2, 2), t(2, dtype=H), t(2, 2)), ("float32", "float16")),
    },
    "norm_dtype_mismatch": {
        "layer_norm": (lambda: nn.LayerNorm(4).to(H)(t(2, 4)), ("float32",)),
        "layer_norm in bfloat16": (lambda: nn.LayerNorm(4).to(B)(t(2, 4)), ("float32",)),
        "group_norm": (lambda: nn.GroupNorm(2, 4).to(H)(t(2, 4)), ("float32",)),
        "batch_norm": (lambda: nn.BatchNorm2d(4).to(H)(t(2, 4, 3, 3)), ("float32",)),
        "instance_norm": (lambda: nn.InstanceNorm2d(4, affine=True).to(H)(t(2, 4, 3, 3)), ("float32",)),
        "layer_norm of doubles": (lambda: nn.LayerNorm(4)(t(2, 4, dtype=D)), ()),
    },
    "attention_dtype_mismatch": {
        "query and key": (lambda: attend(S, H), ("float32", "float16")),
        "query and key, two halves": (lambda: attend(B, H), ("bfloat16", "float16")),
    },
    "attention_mask_dtype": {
        "integer mask": (lambda: attend(H, H, L), ("bool", "float32", "int64", "float16")),
        "double mask": (lambda: attend(H, H, D), ("bool", "float32", "float64", "float16")),
        "half mask, float32 query": (lambda: attend(S, S, H), ("bool", "float32", "float16")),
        "padding mask": (
            lambda: nn.MultiheadAttention(4, 2)(*[t(2, 3, 4)] * 3, key_padding_mask=t(3, 2, dtype=L)),
            ("bool",),
        ),
    },
    "index_write_dtype_mismatch": {
        "assignment by mask": (lambda: write_by_mask(t(2, dtype=H), t(2)), ("float16", "float32")),
        "index_put_": (lambda: t(2, 2, dtype=H).index_put_((rows(),), t(2)), ("float16", "float32")),
        "masked_scatter": (lambda: t(2, dtype=H).masked_scatter(t(2) > 0, t(2)), ("float16", "float32")),
        "index_copy_": (lambda: t(2, 2, dtype=H).index_copy_(0, rows(), t(1, 2)), ("float16", "float32")),
        "index_copy": (lambda: t(2, 2).index_copy(0, rows(), t(1, 2, dtype=L)), ("float32", "int64")),
        "index_add_": (lambda: t(2, 2, dtype=H).index_add_(0, rows(), t(1, 2)), ("float16", "float32")),
        "index_reduce_": (
            lambda: t(2, 2, dtype=H).index_reduce_(0, rows(), t(1, 2), "mean"),
            ("float16", "float32"),
        ),
        "put_": (lambda: t(2, dtype=H).put_(rows(), t(1)), ("float16", "float32")),
        "scatter_": (lambda: t(2, 2, dtype=H).scatter_(0, t(1, 2, dtype=L), t(1, 2)), ()),
        "scatter_add_": (lambda: t(2, 2, dtype=H).scatter_add_(0, t(1, 2, dtype=L), t(1, 2)), ()),
        "scatter_reduce_": (lambda: t(2, 2, dtype=H).scatter_reduce_(0, t(1, 2, dtype=L), t(1, 2), "sum"), ()),
        "integers": (lambda: write_by_mask(t(2, dtype=L), t(2)), ("int64", "float32")),
    },
    "autocast_index_write": {
        "features into embeddings": (lambda: under(H, features_into_embeddings), ("float32", "float16")),
        "masked_scatter": (
            lambda: under(B, lambda: t(2, 4).masked_scatter(t(2, 4) > 0, nn.Linear(4, 4)(t(2, 4)))),
            ("float32", "bfloat16"),
        ),
    },
    "index_dtype": {
        "embedding": (lambda: F.embedding(t(2), t(4, 4)), ("int64", "int32", "float32")),
        "embedding, half ids": (lambda: F.embedding(t(2, dtype=H), t(4, 4)), ("int64", "int32", "float16")),
        "embedding, short ids": (
            lambda: F.embedding(t(2, dtype=torch.int16), t(4, 4)),
            ("int64", "int32", "int16"),
        ),
        "indexing": (lambda: t(2, 2)[t(1)], ("int64", "int32", "uint8", "bool")),
        "gather": (lambda: torch.gather(t(2, 2), 0, t(1, 2)), ("int32", "int64")),
        "index_select": (lambda: torch.index_select(t(2, 2), 0, t(1)), ("int32", "int64")),
        "index_fill": (lambda: t(2, 2).index_fill_(0, t(1), 0.0), ("int64",)),
        "take": (lambda: torch.take(t(2), t(1)), ("int64", "float32")),
        "scatter": (lambda: t(2, 2).scatter_(0, t(1, 2), t(1, 2)), ("int32", "int64")),
        "one_hot": (lambda: F.one_hot(t(2)), ("int64",)),
        "bincount": (lambda: torch.bincount(t(2)), ("float32",)),
        "range": (lambda: range(torch.tensor(1.5)), ()),  # type: ignore[call-overload]
    },
    "mask_dtype": {
        "masked_fill": (lambda: t(2).masked_fill(t(2), 0.0), ("float32",)),
        "masked_fill, half mask": (lambda: t(2).masked_fill(t(2, dtype=H), 0.0), ("float16",)),
        "masked_select": (lambda: torch.masked_select(t(2), t(2)), ("bool",)),
        "where": (lambda: torch.where(t(2), t(2), t(2)), ("float32",)),
    },
    "target_dtype": {
        "float classes": (lambda: F.cross_entropy(t(2, 3), t(2)), ("float32",)),
        "int32 classes": (lambda: F.cross_entropy(t(2, 3), t(2, dtype=torch.int32)), ("int32",)),
        "integer probabilities": (lambda: F.cross_entropy(t(2, 3), t(2, 3, dtype=L)), ("int64",)),
    },
    "overflow_conversion": {
        "masked_fill with float32's minimum": (
            lambda: t(2, dtype=H).masked_fill(t(2) > 0, torch.finfo(S).min),
            ("float16",),
        ),
        "the same in bfloat16": (lambda: t(2, dtype=B).masked_fill(t(2) > 0, torch.finfo(S).min), ("bfloat16",)),
        "full": (lambda: torch.full((2,), 1e9, dtype=H), ("float16",)),
        "clamp": (lambda: t(2, dtype=H).clamp(min=-1e9), ("float16",)),
        "bytes": (lambda: t(2, dtype=BYTE).fill_(1e9), ("uint8",)),
        "beyond float32": (lambda: t(2).masked_fill(t(2) > 0, 1e39), ("float32",)),
    },
    "numpy_bfloat16": {
        "numpy": (lambda: t(2, dtype=B).numpy(), ("bfloat16",)),
        "8-bit floats": (lambda: t(2, dtype=F8).numpy(), ("float8_e4m3fn",)),
    },
    "numpy_dtype": {
        "objects": (lambda: torch.from_numpy(np.array([object()])), ()),
        "narrowing": (lambda: np.add(np.ones(2), 1, out=np.ones(2, dtype=np.int32)), ("float64", "int32")),
    },
    "dtype_argument": {
        "torch's for numpy": (lambda: np.zeros(2, dtype=H), ("float16",)),  # type: ignore[call-overload]
        "numpy's for torch": (lambda: torch.zeros(2, dtype=np.float16), ()),  # type: ignore[call-overload]
        "a name": (lambda: t(2).to("float16"), ("float16",)),
        "a module to integers": (lambda: nn.Linear(2, 2).to(torch.int8), ("int8",)),
    },
    "result_dtype": {
        "in place": (lambda: t(2, dtype=L).add_(t(2)), ("float32", "int64")),
        "in place, scalar": (lambda: t(2, dtype=L).mul_(0.5), ("float32", "int64")),
        "out of mm": (lambda: torch.mm(t(2, 2), t(2, 2), out=t(2, 2, dtype=H)), ("float32", "float16")),
        "out of cat": (lambda: torch.cat([t(2), t(2)], out=t(4, dtype=L)), ("int64",)),
        "out of where": (
            lambda: torch.where(t(2) > 0, t(2), t(2), out=t(2, dtype=H)),
            ("float32", "float16"),
        ),
        "out of dot": (lambda: torch.dot(t(2), t(2), out=t(1, dtype=H).squeeze()), ("float16", "float32")),
        "dropout": (lambda: F.dropout(t(2, dtype=L)), ("float32", "int64")),
    },
    "floating_point_required": {
        "mean": (lambda: t(2, dtype=L).mean(), ("int64",)),
        "std": (lambda: t(2, dtype=L).std(), ()),
        "norm": (lambda: torch.linalg.vector_norm(t(2, dtype=L)), ("int64",)),
        "gradients": (lambda: nn.Parameter(t(2, dtype=L)), ()),
        "cdist": (lambda: torch.cdist(t(2, 2, dtype=L), t(2, 2)), ("int64",)),
        "pinv": (lambda: torch.linalg.pinv(t(2, 2, dtype=L)), ("int64",)),
        "finfo": (lambda: torch.finfo(L), ()),
        "affine_grid": (lambda: F.affine_grid(t(1, 2, 3, dtype=L), [1, 1, 2, 2], align_corners=False), ("int64",)),
    },
    "integer_required": {
        "invert": (lambda: ~t(2), ()),
        "iinfo": (lambda: torch.iinfo(S), ()),
    },
    "complex_unsupported": {
        "clamp": (lambda: rotations().clamp(0.0), ()),
        "maximum": (lambda: torch.maximum(rotations(), rotations()), ()),
        "isin": (lambda: torch.isin(rotations(), rotations()), ("complex64",)),
        "rfft": (lambda: torch.fft.rfft(rotations()), ("complex64",)),
        "sort": (lambda: rotations().sort(), ()),
        "floor": (lambda: rotations().floor(), ()),
        "scalar": (lambda: t(2).index_fill_(0, rows(), 1j), ()),
        "sign": (lambda: rotations().sign(), ()),
        "view_as_complex": (lambda: torch.view_as_complex(rotations().reshape(1, 2)), ("complex64",)),
        "pooling": (lambda: F.max_pool2d(t(1, 1, 4, 4).to(torch.complex64), 2), ("complex64",)),
        "comparison": (lambda: rotations() < rotations(), ("complex64",)),
    },
    "complex_required": {
        "view_as_real": (lambda: torch.view_as_real(t(2)), ()),
        "imag": (lambda: t(2).imag, ()),
        "istft": (lambda: torch.istft(t(9, 4), 16), ()),
    },
    "float8_arithmetic": {
        "fft": (lambda: torch.fft.fft(t(8, dtype=F8)), ("float8_e4m3fn",)),
        "inv": (lambda: torch.linalg.inv(t(2, 2, dtype=F8)), ("float8_e4m3fn",)),
        "eigvals": (lambda: torch.linalg.eigvals(t(2, 2, dtype=F8)), ("float8_e4m3fn",)),
        "std": (lambda: t(2, dtype=F8).std(), ("float8_e4m3fn",)),
    },
    "boolean_arithmetic": {"minus": (lambda: -(t(2) > 0), ()), "difference": (lambda: (t(2) > 0) - (t(2) > 0), ())},
    "autocast_mixed_half": {
        "cat, bfloat16 over float16": (lambda: under(B, lambda: torch.cat([t(2, dtype=H), t(2)])), ()),
        "stack, float16 over bfloat16": (lambda: under(H, lambda: torch.stack([t(2, dtype=B), t(2)])), ()),
    },
    "half_gradients": {"unscale": (unscale_half_gradients, ("float16",))},
    "backward_dtype_mismatch": {
        "loss": (lambda: F.binary_cross_entropy(t(2) * 0.5, t(2, dtype=H)), ("float16", "float32")),
        "loss, integers": (lambda: F.binary_cross_entropy(t(2) * 0.5, t(2, dtype=L)), ("int64", "float32")),
        "gradient": (assign_gradient, ("float16", "float32")),
    },
    "sampling_not_finite": {
        "nan": (lambda: torch.multinomial(torch.tensor([float("nan"), 1.0]), 1), ()),
        "nothing": (lambda: torch.multinomial(torch.zeros(2), 1), ()),
    },
    "not_implemented_for_half": {
        "fft": (lambda: torch.fft.rfft(t(8, dtype=H)), ("float16",)),
        "fft in bfloat16": (lambda: torch.fft.rfft(t(8, dtype=B)), ("bfloat16",)),
        "cholesky": (lambda: torch.linalg.cholesky(torch.eye(2, dtype=B)), ("bfloat16",)),
        "stft": (
            lambda: torch.stft(t(64, dtype=H), 16, window=t(16, dtype=H), return_complex=True),
            ("float16",),
        ),
        "view_as_complex": (lambda: torch.view_as_complex(t(2, 2, dtype=B)), ("bfloat16",)),
        "polar": (lambda: torch.polar(t(2, dtype=B), t(2, dtype=B)), ("bfloat16",)),
    },
    "float32_required": {
        "inv": (lambda: torch.linalg.inv(torch.eye(2, dtype=H)), ("float16",)),
        "quantile": (lambda: torch.quantile(t(2, dtype=H), 0.5), ("float32", "float64")),
        "quantize": (lambda: torch.quantize_per_tensor(t(2, dtype=H), 1.0, 0, torch.qint8), ("float16",)),
        "quantize integers": (lambda: torch.quantize_per_tensor(t(2, dtype=L), 1.0, 0, torch.qint8), ("int64",)),
    },
    "not_implemented_for_dtype": {
        "softmax": (lambda: torch.softmax(t(2, dtype=L), 0), ("int64",)),
        "gelu of bytes": (lambda: F.gelu(t(2, dtype=BYTE)), ("uint8",)),
        "bitwise and": (lambda: t(2) & t(2), ("float32",)),
        "bitwise and of halves": (lambda: t(2, dtype=H) & t(2, dtype=H), ("float16",)),
        "shift": (lambda: t(2, dtype=B) << t(2, dtype=B), ("bfloat16",)),
        "gcd": (lambda: torch.gcd(t(2, dtype=D), t(2, dtype=D)), ("float64",)),
        "scores of integers": (lambda: F.nll_loss(t(2, 3, dtype=L), rows(2)), ("int64",)),
        "8-bit float": (lambda: t(2).to(torch.float8_e4m3fn) + 1, ("float8_e4m3fn",)),
        "randn": (lambda: torch.randn(2, dtype=L), ("int64",)),
        "rms_norm": (lambda: nn.RMSNorm(4)(t(2, 4, dtype=L)), ("int64",)),
    },
    "device_mismatch": {"meta": (lambda: nn.Linear(2, 2).to("meta")(t(2, 2)), ())},
}

WITHOUT_ONEDNN, WITH_ONEDNN = "expected scalar type BFloat16 but found", "Input type (CPUBFloat16Type) and weight type"

BY_PROCESSOR: dict[str, Provocation] = {
    "conv1d without bias": (lambda: nn.Conv1d(3, 4, 2, bias=False)(t(1, 3, 4, dtype=B)), ("bfloat16", "float32")),
    "conv2d without bias": (lambda: conv(S, B, bias=False), ("bfloat16", "float32")),
    "conv2d without bias, two halves": (lambda: conv(H, B, bias=False), ("bfloat16", "float16")),
    "conv_transpose": (lambda: nn.ConvTranspose2d(3, 4, 2)(t(1, 3, 4, 4, dtype=B)), ("bfloat16", "float32")),
}
"""Convolutions whose wording depends on the processor: WITH_ONEDNN where oneDNN computes bfloat16 (x86 with AVX-512),
WITHOUT_ONEDNN elsewhere (x86 with AVX2). `ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` in the environment shows
the second on a processor that has both."""
