"""The operations that torch.autocast casts on each device, from PyTorch's own registrations.

`data/autocast.json` lists the operators with an autocast kernel, as
`torch._C._dispatch_get_registrations_for_dispatch_key("AutocastCUDA")` gives them; a test compares the two.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data" / "autocast.json"

_ALIASES = {
    "convolution": "conv2d",
    "dot_general": "matmul",
    "linalg_matmul": "matmul",
    "cdist_forward": "cdist",
    "linalg_solve_ex": "linalg_solve",
    "scaled_dot_product": "scaled_dot_product_attention",
    "thnn_fused_lstm_cell": "lstm_cell",
    "thnn_fused_gru_cell": "gru_cell",
    # What these call is cast on each device, though they themselves have no kernel on one of them.
    "einsum": "bmm",
    "cross_entropy": "nll_loss",
    "cross_entropy_loss": "nll_loss",
    "grid_sample": "grid_sampler",
}
_NAMED = re.compile(
    r"\b(?:F|functional|torch(?:\.nn\.functional)?)\.((?:linalg\.)?[a-z]\w*)\("
    r"|(?<=[\w\])]\.)(matmul|b?mm|addb?mm|baddbmm)\("
)
_MAKES = re.compile(r"(?:arange|as_tensor|empty|eye|from_numpy|full|linspace|ones|randn?|tensor|zeros)(?:_like)?")
_UNARY = (
    r"(?:transpose|permute|view|reshape|contiguous|unsqueeze|squeeze|expand|flatten|swapaxes|t|size|dim"
    r"|to|type|float|half|bfloat16|cpu|cuda|clone|detach|relu|sum|mean|softmax)"
)
_SHAPES = re.compile(rf"\.{_UNARY}\([^()]*\)|\b(?:len|int|math\.sqrt)\([^()]*\)")
METHODS = rf"(?:{_UNARY}|matmul|b?mm|mv|dot|addb?mm|baddbmm|addmv)"
"""A pattern for methods of tensors that stand where two dtypes meet."""
_AT = re.compile(r"[\w\])]\s*@\s*[\w(]")
_LAYERS = re.compile(r"(?:^|[/\\])nn[/\\]modules[/\\](\w+\.py)$")
_FILES = {
    "linear.py": "linear",
    "conv.py": "conv2d",
    "batchnorm.py": "batch_norm",
    "instancenorm.py": "instance_norm",
}
"""File of torch.nn.modules -> the one operation that its layers call."""


def casts(operation: str, device: str | None) -> bool | None:
    """Whether torch.autocast has a kernel for `operation`, such as "aten.addmm" or "batch_norm".

    Args:
        device: "cpu", "cuda", "mps" or "xpu"; None where it is not known.

    Returns:
        None where the device is not known and the answer depends on it. In-place forms ("addmm_") have no kernel.
    """
    name = _plain(operation)
    if device is not None:
        return name in _registered(device)
    answers = {name in _registered(known) for known in ("cpu", "cuda")}
    return answers.pop() if len(answers) == 1 else None


def operation_in(code: str, file: str) -> str | None:
    """The one torch operation that a source line calls, or that the layers in a file of torch.nn call.

    None where the line calls something else too, as in `F.gelu(self.fc1(x))`: either may have failed.
    """
    named = [name for name in map("".join, _NAMED.findall(code)) if not _MAKES.fullmatch(name)]
    multiplies = _AT.search(code) is not None
    if len(named) == 1 and not multiplies and not _calls(_NAMED.sub("(", code)):
        return named[0]
    if not named and multiplies and not _calls(code):
        return "matmul"
    layer = _LAYERS.search(file)
    return _FILES.get(layer[1]) if layer else None


def _calls(code: str) -> bool:
    """Whether `code` calls what may raise a dtype error; methods of one tensor that change shape or dtype do not."""
    while (shorter := _SHAPES.sub("", code)) != code:
        code = shorter
    return re.search(r"[\w\])]\(", code) is not None


def operation_named(message: str) -> str | None:
    """The operation that a message names: by a prefix such as "grid_sampler(): ", or by a product's argument."""
    if found := re.search(r"\b([a-z][a-z_\d]+)\(\): expected input", message):
        return found[1]
    return "matmul" if re.search(r"for argument #\d+ '(?:mat|batch)\d?'", message) else None


def _plain(operation: str) -> str:
    name = operation.removeprefix("aten.").removeprefix("torch.").removeprefix("_").replace(".", "_")
    name = re.sub(r"^(?:native|cudnn|miopen|mps|mkldnn)_", "", name)
    if name.startswith("scaled_dot_product"):
        return "scaled_dot_product_attention"
    return _ALIASES.get(name, name)


@cache
def _registered(device: str) -> frozenset[str]:
    found: dict[str, list[str]] = json.loads(DATA.read_text(encoding="utf-8"))["operations"]
    return frozenset(found.get(device, ()))
