"""Nothing relies on the memory layout of what a kernel returns: kernels of one function differ in it by device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from tests.checkpoints import tiny_model
from xcomposer_ui.models.cache import PreallocatedCache

KERNELS = frozenset(
    "linear scaled_dot_product_attention conv2d layer_norm embedding silu gelu sigmoid softmax interpolate matmul "
    "mm bmm addmm einsum cat mul rmul add radd sub rsub neg rsqrt square mean cos sin".split()
)
"""Functions with several kernels, which agree in values and not in strides. In-place ones keep their layout."""

PARTS = [[1, 70, 71], [72, 73]]
PICTURES = [Image.radial_gradient("L").convert("RGB"), Image.linear_gradient("L").convert("RGB")]
MEMBERS = {
    "single-image": {},
    "tiled": {"tiles": "2.5"},
}


class OtherStrides(TorchFunctionMode):
    """Every result of a kernel with its values unchanged and its dimensions laid out in reverse order."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = (resolve_name(func) or "").rpartition(".")[2].strip("_")
        if isinstance(result, Tensor) and result.dim() > 1 and name in KERNELS:
            self.changed.add(name)
            order = tuple(reversed(range(result.dim())))
            return result.permute(order).clone(memory_format=torch.contiguous_format).permute(order)
        return result


def single(model: Any, dtype: torch.dtype) -> Tensor:
    """Logits of a prompt with a picture, and of two steps of decoding after it."""
    cache = PreallocatedCache()
    inputs = model.joined_inputs(PARTS, [model.preprocess(PICTURES[0]).to(dtype)])
    logits = [model(**inputs, cache=cache).logits]
    logits += [model(input_ids=torch.tensor([[token]]), cache=cache).logits for token in (80, 81)]
    return torch.cat(logits, dim=1)


def batch(model: Any, dtype: torch.dtype) -> Tensor:
    """Logits of two prompts of different length, padded, and of a step of decoding after them."""
    cache = PreallocatedCache()
    embeds = torch.cat([model.joined_inputs(PARTS, [model.preprocess(p).to(dtype)])["inputs_embeds"] for p in PICTURES])
    im_mask = model.joined_inputs(PARTS, [model.preprocess(PICTURES[0]).to(dtype)])["im_mask"].expand(2, -1)
    seen = torch.ones(im_mask.shape, dtype=torch.long)
    seen[1, :2] = 0
    first = model(inputs_embeds=embeds, im_mask=im_mask, attention_mask=seen, cache=cache).logits
    seen = torch.cat((seen, torch.ones(2, 1, dtype=torch.long)), dim=1)
    step = model(input_ids=torch.tensor([[80], [81]]), attention_mask=seen, cache=cache).logits
    return torch.cat((first, step), dim=1)[:, 2:]  # rows of padding mean nothing


def conversation(model: Any, dtype: torch.dtype) -> Tensor:
    """Logits of a prompt that is read in two pieces, the second after what is cached."""
    cache = PreallocatedCache()
    inputs = model.joined_inputs(PARTS, [model.preprocess(PICTURES[0]).to(dtype)])
    embeds, mask = inputs["inputs_embeds"], inputs["im_mask"]
    first = model(inputs_embeds=embeds[:, :9], im_mask=mask[:, :9], cache=cache).logits
    return torch.cat((first, model(inputs_embeds=embeds[:, 9:], im_mask=mask[:, 9:], cache=cache).logits), dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("call", [single, batch, conversation])
@torch.no_grad()
def test_logits_do_not_depend_on_the_strides_that_kernels_return(
    call: Callable[[Any, torch.dtype], Tensor], member: str, dtype: torch.dtype
) -> None:
    model = tiny_model(**MEMBERS[member]).to(dtype)
    wanted = call(model, dtype)
    with OtherStrides() as mode:
        found = call(model, dtype)
    assert {"linear", "scaled_dot_product_attention", "conv2d", "layer_norm", "embedding", "silu"} <= mode.changed
    # Another layout may take another kernel, which rounds differently.
    torch.testing.assert_close(found, wanted, **tolerance(dtype))


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    """Absolute and relative, some times the dtype's spacing at 1."""
    eps = torch.finfo(dtype).eps
    return {"atol": 64 * eps, "rtol": 16 * eps}
