"""A card that is emulated on the CPU, to find tensors of the host and of the card that meet.

Every tensor is the CPU's; those that would be on a card are marked, and say so as their `device`. As on a real card,
an operation on tensors of both, or pinning a tensor of the card, raises. What torch.cuda would report is 0. Autocast
and GradScaler for CUDA do nothing here, and speed, memory and kernels are the CPU's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CARD = torch.device("cuda", 0)

MADE_ON_THE_HOST = frozenset("tensor as_tensor from_numpy zeros ones empty full arange linspace eye rand randn".split())
"""Functions that make a tensor on the host unless a device is given."""

MIXES = frozenset("__getitem__ __setitem__ copy_ _has_compatible_shallow_copy_type".split())
"""Functions that take tensors of both; the result is where the first one is."""


def _on_card(tensor: Tensor) -> bool:
    return getattr(tensor, "on_card", False)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


def _placed(result: Any, on_card: bool) -> Any:
    for tensor in _tensors(result):
        tensor.on_card = on_card  # type: ignore[attr-defined]
    return result


class _Emulation(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(function, "__name__", ""), dict(kwargs or {})
        if name in ("__get__", "__set__"):
            return self._attribute(function, name, args)
        if name in ("to", "cuda", "cpu"):
            return self._moved(function, name, args, kwargs)
        if name == "pin_memory":
            if _on_card(args[0]):
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
            return args[0]
        if (device := kwargs.get("device")) is not None:
            kwargs["device"] = "cpu"
            return _placed(function(*args, **kwargs), torch.device(device).type == "cuda")
        if name in MADE_ON_THE_HOST:
            return _placed(function(*args, **kwargs), False)
        found = list(_tensors((args, kwargs)))
        places = {
            _on_card(tensor) for tensor in found if tensor.dim() or _on_card(tensor)
        }  # numbers may come from both
        if len(places) > 1 and name not in MIXES:
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got cuda:0 and cpu")
        on_card = _on_card(found[0]) if name in MIXES and found else True in places
        return _placed(function(*args, **kwargs), on_card)

    @staticmethod
    def _attribute(function: Any, name: str, args: Any) -> Any:
        tensor, attribute = args[0], getattr(function.__self__, "__name__", "")
        if name == "__set__":
            if attribute == "data":
                _placed(tensor, _on_card(args[1]))
            return function(*args)
        if attribute == "device" and _on_card(tensor):
            return CARD
        if attribute == "is_cuda":
            return _on_card(tensor)
        return _placed(function(*args), _on_card(tensor))

    @staticmethod
    def _moved(function: Any, name: str, args: Any, kwargs: Any) -> Tensor:
        source, *others = args
        places = [*others, kwargs.pop("device", None)]
        given = [torch.device(place).type for place in places if isinstance(place, (str, torch.device))]
        given += ["cuda" if _on_card(other) else "cpu" for other in others if isinstance(other, Tensor)]
        on_card = (given or ["cuda" if _on_card(source) else "cpu"])[0] == "cuda" if name == "to" else name == "cuda"
        kept = {option: value for option, value in kwargs.items() if option != "non_blocking"}
        dtypes = [other if isinstance(other, torch.dtype) else other.dtype for other in others if _has_dtype(other)]
        result = source.to(*dtypes, **kept) if dtypes or kept else source
        if result is source and on_card != _on_card(source):
            result = source.clone()
        return _placed(result, on_card)  # type: ignore[no-any-return]


def _has_dtype(value: Any) -> bool:
    return isinstance(value, (torch.dtype, Tensor))


@contextmanager
def emulated_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A context in which `.to("cuda")` works."""
    copied, made = nn.Parameter.__deepcopy__, nn.Parameter.__new__
    monkeypatch.setattr(nn.Parameter, "__deepcopy__", lambda self, memo: _placed(copied(self, memo), _on_card(self)))

    def parameter(cls: type, data: Any = None, requires_grad: bool = True) -> Any:
        return _placed(made(cls, data, requires_grad), data is not None and _on_card(data))

    monkeypatch.setattr(nn.Parameter, "__new__", parameter)
    for name in ("memory_allocated", "max_memory_allocated", "memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: 0)
    for name in ("synchronize", "reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(torch.cuda, "Event", MagicMock(return_value=MagicMock(elapsed_time=lambda _: 1.0)))
    with _Emulation():
        yield
