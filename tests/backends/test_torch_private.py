"""Notices when a release of PyTorch changes one of the private parts that the lab builds on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from xcomposer_ui.backends import torch_private
from xcomposer_ui.backends.torch_private import (
    AllocatorEvents,
    FakeTensorMode,
    StorageTracker,
    StorageWeakRef,
    TorchDispatchMode,
    is_alone_in_its_storage,
    storage_key,
    tree_map,
    writes_into_an_operand,
)


def test_allocations_and_frees_are_recorded_to_the_byte() -> None:
    events = AllocatorEvents()
    events.start()
    tensor = torch.empty(1000, dtype=torch.float32)
    other = torch.empty(10, dtype=torch.float64)
    del tensor
    assert [change for change in events.stop() if change] == [4000, 80, -4000]
    assert not events.on
    del other


def test_a_tensor_is_alone_in_its_storage_until_another_one_lies_there() -> None:
    tensor = torch.empty(10, 4)
    assert is_alone_in_its_storage(tensor)
    view = tensor[0]
    assert not is_alone_in_its_storage(tensor)
    assert not is_alone_in_its_storage(view)
    del view
    assert is_alone_in_its_storage(tensor)


def test_recording_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    events = AllocatorEvents()
    events.start()
    torch.empty(10)
    events.stop()
    assert capfd.readouterr() == ("", "")


def test_storages_are_followed_from_their_allocation_to_their_end() -> None:
    changes: list[tuple[int, int]] = []
    tracker = StorageTracker(lambda change, block: changes.append((change, block)))
    with FakeTensorMode(), torch.no_grad():
        layer = nn.Linear(4, 8)
        tracker.track_external(layer)
        held = [change for change, _ in changes]
        changes.clear()
        with tracker:
            output = layer(torch.empty(2, 4))
            view = output[0]
            block = tracker.block_of(output)
            assert tracker.block_of(view) == block
            del output, view
    assert sum(held) >= (4 * 8 + 8) * 4
    assert (-2 * 8 * 4, block) in changes


def test_fake_tensors_have_sizes_and_no_storage() -> None:
    with FakeTensorMode():
        assert torch.empty(10**12).sum().shape == ()


def test_a_dispatch_mode_sees_operations_and_which_write_into_an_operand() -> None:
    seen: dict[str, bool] = {}

    class Seeing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen[str(func.overloadpacket)] = writes_into_an_operand(func)
            return func(*args, **(kwargs or {}))

    with Seeing():
        torch.zeros(2).add_(1).mul(2)
    assert seen["aten.add_"]
    assert not seen["aten.mul"]


def test_views_share_a_storage_key_and_sparse_tensors_have_none() -> None:
    tensor = torch.zeros(4)
    assert storage_key(tensor) == storage_key(tensor[1:]) != storage_key(torch.zeros(4))
    assert storage_key(torch.eye(2).to_sparse()) is None
    assert not StorageWeakRef(tensor.untyped_storage()).expired()


def test_nested_arguments_are_mapped() -> None:
    assert tree_map(lambda n: n + 1, {"a": [1, (2,)]}) == {"a": [2, (3,)]}


PRIVATE = re.compile(r"torch\._|torch\..*\._|torch\.multiprocessing\.reductions")


def names_private_parts(file: Path) -> bool:
    """Whether a statement of `file` imports a private part of torch, or takes one from `torch`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and PRIVATE.match(f"{node.module}."):
            return True
        if isinstance(node, ast.Attribute) and PRIVATE.match(ast.unparse(node)):
            return True
    return False


def test_private_parts_are_named_in_one_file() -> None:
    package = Path(torch_private.__file__).parents[1]
    files = [file for file in package.rglob("*.py") if "training" not in file.parts]
    named = [str(file.relative_to(package)) for file in files if names_private_parts(file)]
    assert named == ["backends/torch_private.py"]
