"""Continued training of an exported model's tower, on a tiny model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.test_loop import TINY
from xcomposer_ui.training.continuation import (
    LARGEST_KNOWN,
    Continuation,
    TrainedTower,
    continue_training,
    fit_head,
    is_known,
    step_loss,
)
from xcomposer_ui.training.learner import create_model
from xcomposer_ui.training.pictures import sample_batch
from xcomposer_ui.training.tower import pixel_tensor
from xcomposer_ui.training.world import Scene, Thing

TWO_BLOCKS = replace(TINY, tower_layers=2)
SHORT = replace(Continuation(), batch=4, steps=6, fixed_layers=1, fit_batches=2, fit_steps=4)


def test_sketches_and_large_shapes_are_not_known() -> None:
    def scene(extent: float, by_brush: bool = False) -> Scene:
        return Scene(9, 9, (Thing(0, 0, 0.5, 0.5, extent, 0.0, (0, 0, 0)),), by_brush=by_brush)

    assert is_known(scene(0.2)) and is_known(Scene(9, 9, drawn=False))
    assert not is_known(scene(LARGEST_KNOWN)) and not is_known(scene(0.2, by_brush=True))


def test_divided_blocks_compute_what_the_model_computes() -> None:
    model = create_model(TWO_BLOCKS)
    batch = sample_batch((1, 2), 3, TINY.side, TINY.patches)
    prepared = TrainedTower(model, 1).prepared(batch)
    with torch.no_grad():
        torch.testing.assert_close(prepared.embeddings, model.vision_proj(model.vit(pixel_tensor(batch))))
    assert prepared.known.tolist() == [is_known(scene) for scene in batch.scenes]


def test_before_training_nothing_has_changed() -> None:
    tower = TrainedTower(create_model(TWO_BLOCKS), 1)
    head, prepared = (
        fit_head(SHORT, TWO_BLOCKS, tower),
        tower.prepared(sample_batch((1, 2), 4, TINY.side, TINY.patches)),
    )
    without = step_loss(replace(SHORT, kept=0.0), TWO_BLOCKS, tower, head, prepared)
    assert step_loss(SHORT, TWO_BLOCKS, tower, head, prepared).item() == pytest.approx(without.item())


def test_only_the_upper_blocks_are_trained(tmp_path) -> None:
    model, before = create_model(TWO_BLOCKS), create_model(TWO_BLOCKS).state_dict()
    continue_training(SHORT, TWO_BLOCKS, tmp_path, model)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(".encoder.layers.1." in name for name in changed)


def test_a_resumed_continuation_gives_the_same_weights(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("xcomposer_ui.training.continuation.CHECKPOINT_STEPS", 3)
    weights = []
    for name, lengths in (("straight", (6,)), ("halved", (3, 6))):
        (tmp_path / name).mkdir()
        for steps in lengths:
            model = create_model(TWO_BLOCKS)
            stopped = None if steps == 6 else steps
            continue_training(SHORT, TWO_BLOCKS, tmp_path / name, model, stop_after=stopped)
        weights.append(np.concatenate([p.detach().numpy().ravel() for p in model.vit.parameters()]))
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-7)
