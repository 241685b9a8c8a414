"""The origin of each tensor of a run: its name, and the operation that set its dtype."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from xcomposer_ui.backends.torch_private import StorageWeakRef, storage_key
from xcomposer_ui.core.messages import Message
from xcomposer_ui.core.result import BUFFER, PARAMETER, Operand

OUTSIDE = ""
"""The module's name for operations outside every module's forward."""

CASTS = ("aten._to_copy", "autocast")
"""The operations that only cast."""


def dtype_name(dtype: torch.dtype) -> str:
    """torch's spelling without its prefix: "float16"."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Source:
    """The origin of a tensor. made_by: the operation. made_in: the module that computed it, later the one that
    returned it.

    dtype_since: the operation and module that set its dtype; None if it came with the model's inputs.
    copy_of: the parameter's name if the tensor is a parameter in another dtype.
    """

    made_by: str
    made_in: str
    dtype_since: tuple[str, str] | None
    returned: bool = False
    copy_of: str | None = None


@dataclass(frozen=True)
class Weight:
    """origin: `PARAMETER` or `BUFFER`. start, end: its elements in its storage."""

    name: str
    origin: Message
    start: int
    end: int


class TensorOrigins:
    """Sources by storage: views of a tensor share its storage, name and origin."""

    def __init__(self, model: nn.Module) -> None:
        self._weights: dict[int, list[Weight]] = {}
        # A weak reference keeps a storage's address from being reused, so the keys are unique.
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
            known.append(Weight(name, origin, start, end))

    def weight(self, tensor: Tensor) -> Weight | None:
        """The weight that `tensor` is or is a view of; None for others."""
        key = storage_key(tensor)
        for weight in self._weights.get(key, ()) if key is not None else ():
            if weight.start <= tensor.storage_offset() < max(weight.end, weight.start + 1):
                return weight
        return None

    def source(self, tensor: Tensor) -> Source | None:
        key = storage_key(tensor)
        entry = self._sources.get(key) if key is not None else None
        return entry[1] if entry else None

    def note_outputs(self, operation: str, module: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Record an operation's outputs. Inputs that it changed in place, and views, keep their source."""
        input_keys = {storage_key(tensor) for tensor in inputs}
        for output in outputs:
            key = storage_key(output)
            if key is not None and key not in input_keys and key not in self._weights:
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
                copy_of = weight.name
        return Source(operation, module, (operation, module), copy_of=copy_of)

    def note_returned(self, module: str, outputs: list[Tensor]) -> None:
        """Record that `module` returned these; if nested modules return the same tensor, the outermost is kept."""
        for output in outputs:
            key = storage_key(output)
            if key in self._sources and key is not None:
                ref, known = self._sources[key]
                self._sources[key] = ref, replace(known, made_in=module, returned=True)

    def operand(self, tensor: Tensor) -> Operand:
        """The description of `tensor` for people."""
        dtype, shape = dtype_name(tensor.dtype), tuple(tensor.shape)
        if weight := self.weight(tensor):
            return Operand(weight.name, dtype, weight.origin, shape)
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
    """The tensors in nested arguments, in order."""
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
    elif hasattr(tree, "to_tuple"):  # outputs of transformers that are not dicts
        _collect(tree.to_tuple(), found)
