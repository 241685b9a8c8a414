"""The tracer: intercepts every operation of a run, with the module that runs it, before it can raise."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from xcomposer_ui.backends.torch_private import TorchDispatchMode
from xcomposer_ui.backends.tracing.tensor_origins import OUTSIDE, TensorOrigins, tensors_in
from xcomposer_ui.tracing.dtype_flow import FailureSite

# Functions whose casts the model's code requests explicitly.
_EXPLICIT_CASTS = frozenset(
    {"to", "type", "type_as", "float", "half", "bfloat16", "double", "copy_", "tensor", "as_tensor"}
)


class Tracer:
    """Traces what runs inside `with Tracer(model):` in this thread, in grad, no_grad and inference mode alike.

    It makes the run several times slower and keeps no tensor alive. `site(error)` returns where `error` arose.
    """

    def __init__(self, model: nn.Module) -> None:
        # The model itself has an empty name in torch; its class's is used instead.
        self.names = {
            module: name or type(model).__name__
            for name, module in model.named_modules()
            if not isinstance(module, torch.jit.ScriptModule)  # which takes no hooks
        }
        self._origins = TensorOrigins(model)
        self._stack: list[str] = []
        self.is_paused = False
        self._function, self._in_autocast = "", False
        self._device = next((weight.device.type for weight in model.parameters()), "cpu")
        self._failed: tuple[BaseException, FailureSite] | None = None
        self._handled: BaseException | None = None
        self._thread = get_ident()
        self._exits = ExitStack()

    def __enter__(self) -> Tracer:
        self._handled, self._thread = sys.exc_info()[1], get_ident()
        with ExitStack() as exits:
            for module, name in self.names.items():
                for handle in self.hooks(module, name):
                    exits.callback(handle.remove)
            exits.enter_context(_Functions(self))
            exits.enter_context(_Operations(self))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def hooks(self, module: nn.Module, name: str) -> list[Any]:
        """Hooks that maintain the stack of running modules, also if one raises."""

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if get_ident() == self._thread:
                self._stack.append(name)
                self.entered(module, tensors_in((args, kwargs)))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if get_ident() == self._thread and self._stack:
                self._origins.note_returned(name, tensors_in(output))
                self.left(output)
                self._stack.pop()

        return [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, always_call=True),
        ]

    def entered(self, module: nn.Module, inputs: list[Tensor]) -> None:
        """For subclasses: `module` is called."""

    def left(self, output: Any) -> None:
        """For subclasses: the running module returns `output`, None if it raised."""

    def computed(self, operation: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """For subclasses: an operation in `module` returned `outputs`."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context for the tracer's own operations, which are not traced."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before

    @property
    def module(self) -> str:
        """The module whose forward is running; `OUTSIDE` if none is."""
        return self._stack[-1] if self._stack else OUTSIDE

    @property
    def raising(self) -> bool:
        """Inside `left`: whether the module ends with an exception."""
        return sys.exc_info()[1] not in (None, self._handled)

    def operation(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """Run one dispatched operation, and record its outputs or its failure."""
        if self.is_paused:
            return operation(*args, **kwargs)
        inputs = tensors_in((args, kwargs))
        name = self._operation_name(operation)
        try:
            output = operation(*args, **kwargs)
        except Exception as error:
            self._note_failure(error, name, inputs)
            raise
        outputs = tensors_in(output)
        self._origins.note_outputs(name, self.module, inputs, outputs)
        self.computed(name, inputs, outputs)
        return output

    def _operation_name(self, operation: Any) -> str:
        """ "aten.addmm"; "autocast" for a cast that autocast made."""
        name = str(operation.overloadpacket)
        by_autocast = name == "aten._to_copy" and self._in_autocast and self._function not in _EXPLICIT_CASTS
        return "autocast" if by_autocast else name

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call torch's `function`, and record a failure of its own checks, which run before any operation."""
        before = self._function, self._in_autocast
        self._function = getattr(function, "__name__", "")
        self._in_autocast = torch.is_autocast_enabled(self._device)  # in dispatch it is not
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self._note_failure(error, _aten_name(function), tensors_in((args, kwargs)))
            raise
        finally:
            self._function, self._in_autocast = before

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether `tensor` is a parameter or a buffer of the model, or a view of one."""
        return self._origins.weight(tensor) is not None

    def _note_failure(self, error: BaseException, operation: str, inputs: list[Tensor]) -> None:
        """Note where `error` arose, unless a call inside the one that it passes did so already."""
        if self._failed is not None and self._failed[0] is error:
            return
        with self.paused():
            operands = tuple(self._origins.operand(tensor) for tensor in inputs)
        self._failed = (error, FailureSite(self.module or None, operation, operands))

    def site(self, error: BaseException) -> FailureSite:
        """Where `error` arose: the operation that raised it, or else the module in whose code it was raised."""
        for raised in with_causes(error):
            if self._failed is not None and self._failed[0] is raised:
                return self._failed[1]
        return FailureSite(module=self._module_in_traceback(error))

    def forget(self, error: BaseException) -> None:
        """Drop `error`, so that `site` no longer finds it, and the tensors in its frames."""
        self._failed = None
        traceback.clear_frames(error.__traceback__)

    def _module_in_traceback(self, error: BaseException) -> str | None:
        owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        named = [self.names[owner] for owner in owners if isinstance(owner, nn.Module) and self.names.get(owner)]
        return named[-1] if named else None


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, and the exceptions before it: what each was raised from, or else while handling."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:  # `raise error from error` names itself
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


class _Operations(TorchDispatchMode):
    """Intercepts dispatched operations, below autocast and autograd, with the dtypes that kernels get."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and not self._tracer.is_paused:
            # In inference mode composite operations arrive undecomposed; decompose them as the other modes do.
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        return self._tracer.operation(func, args, kwargs)


class _Functions(TorchFunctionMode):
    """Intercepts calls of torch's functions, whose own checks may raise before any operation is dispatched."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tracer.call(func, args, kwargs or {})


def _aten_name(function: Any) -> str:
    """ "aten.scaled_dot_product_attention" for the Python function of that name; else its full Python name."""
    name = getattr(function, "__name__", "")
    plain = name if hasattr(torch.ops.aten, name) else name.strip("_")
    return f"aten.{plain}" if plain and hasattr(torch.ops.aten, plain) else resolve_name(function) or repr(function)
