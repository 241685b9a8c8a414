"""The origin of each tensor of a run: its name, and what gave it its dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.torch_private import StorageWeakRef, storage_key
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import BUFFER, PARAMETER, Operand

OUTSIDE = ""
"""The module's name where an operation runs outside every module's forward."""

CASTS = ("aten._to_copy", "autocast")
"""The operations that do nothing but cast."""


def dtype_name(dtype: torch.dtype) -> str:
    """torch's spelling without its prefix: "float16"."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Source:
    """Where a tensor comes from. `made_in`: the module it was computed in, then each module that returned it.

    dtype_since: the operation and module that gave it its dtype; None where the model was given it so.
    copy_of: the parameter's name where the tensor is a parameter in another dtype.
    """

    made_by: str
    made_in: str
    dtype_since: tuple[str, str] | None
    returned: bool = False
    copy_of: str | None = None


@dataclass(frozen=True)
class _Weight:
    name: str
    origin: Message
    start: int
    end: int


class TensorOrigins:
    """Sources by storage: views of a tensor share its storage, and with it name and origin."""

    def __init__(self, model: nn.Module) -> None:
        self._weights: dict[int, list[_Weight]] = {}
        # A weak reference keeps a storage's address from being given to another one, so no entry is ever mistaken.
        self._sources: dict[int, tuple[StorageWeakRef, Source]] = {}
        for name, weight in model.named_parameters(remove_duplicate=False):
            self._enter_weight(name, PARAMETER, weight)
        for name, buffer in model.named_buffers(remove_duplicate=False):
            self._enter_weight(name, BUFFER, buffer)

    def _enter_weight(self, name: str, origin: Message, weight: Tensor) -> None:
        key = storage_key(weight)
        if key is None:
            return
        start = int(weight.storage_offset())
        end = start + weight.numel()
        known = self._weights.setdefault(key, [])
        if all((w.start, w.end) != (start, end) for w in known):  # tied weights: the first name
            known.append(_Weight(name, origin, start, end))

    def weight(self, tensor: Tensor) -> tuple[str, Message] | None:
        """(full name, `PARAMETER` or `BUFFER`) of the weight that `tensor` is or is a view of; None for others."""
        key = storage_key(tensor)
        for weight in self._weights.get(key, ()) if key is not None else ():
            if weight.start <= tensor.storage_offset() < max(weight.end, weight.start + 1):
                return weight.name, weight.origin
        return None

    def source(self, tensor: Tensor) -> Source | None:
        key = storage_key(tensor)
        entry = self._sources.get(key) if key is not None else None
        return entry[1] if entry else None

    def note_outputs(self, operation: str, module: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Enter what an operation made. What it changed in place, and views, keep the source they had."""
        taken = {storage_key(tensor) for tensor in inputs}
        for output in outputs:
            key = storage_key(output)
            if key is not None and key not in taken and key not in self._weights:
                source = self._source_of_output(operation, module, inputs, output)
                self._sources[key] = (StorageWeakRef(output.untyped_storage()), source)

    def _source_of_output(self, operation: str, module: str, inputs: list[Tensor], output: Tensor) -> Source:
        copy_of = None
        for tensor in inputs:
            weight = self.weight(tensor)
            if weight is None and tensor.dtype == output.dtype:  # the dtype came with this operand
                known = self.source(tensor)
                return Source(operation, module, known.dtype_since if known else None)
            if weight is not None and tensor.dtype != output.dtype and operation in CASTS:
                copy_of = weight[0]
        return Source(operation, module, (operation, module), copy_of=copy_of)

    def note_returned(self, module: str, outputs: list[Tensor]) -> None:
        """Enter that `module` returned these; of nested modules that return one tensor the outermost counts."""
        for output in outputs:
            key = storage_key(output)
            if key in self._sources and key is not None:
                ref, known = self._sources[key]
                returned = Source(known.made_by, module, known.dtype_since, returned=True, copy_of=known.copy_of)
                self._sources[key] = (ref, returned)

    def operand(self, tensor: Tensor) -> Operand:
        """`tensor` as a person would name it."""
        dtype, shape = dtype_name(tensor.dtype), tuple(tensor.shape)
        if weight := self.weight(tensor):
            return Operand(weight[0], dtype, weight[1], shape)
        source = self.source(tensor)
        if source is None:
            return Operand(Message("activation.given"), dtype, _origin(dtype, None), shape)
        return Operand(_name(source), dtype, _origin(dtype, source.dtype_since), shape)


def _origin(dtype: str, since: tuple[str, str] | None) -> Message:
    if since is None:
        return Message("origin.given", dtype=dtype)
    operation, module = since
    if module == OUTSIDE:
        return Message("origin.outside", dtype=dtype, operation=operation)
    code = "origin.cast" if operation in CASTS else "origin.computed"
    return Message(code, dtype=dtype, module=module, operation=operation)


def _name(source: Source) -> Message:
    if source.copy_of:
        return Message("activation.cast_weight", name=source.copy_of)
    if source.returned:
        return Message("activation.output", module=source.made_in)
    if source.made_in == OUTSIDE:
        return Message("activation.outside", operation=source.made_by)
    return Message("activation.inside", operation=source.made_by, module=source.made_in)


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors among nested arguments, in their order."""
    found: list[Tensor] = []
    _collect(tree, found)
    return found


def _collect(tree: Any, found: list[Tensor]) -> None:
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            _collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, found)
    elif hasattr(tree, "to_tuple"):  # transformers' outputs that are no dicts
        _collect(tree.to_tuple(), found)
