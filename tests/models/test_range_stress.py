"""The residual stream scaled by a power of two: the same function of real numbers, in another range."""

from __future__ import annotations

import pytest
import torch

from tests.checkpoints import tiny_model
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.models.base import FamilyModel
from xcomposer_ui.models.range_stress import stressed


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exponent", [-24, 12])
def test_a_wide_range_gives_the_same_logits_to_the_bit(dtype: torch.dtype, exponent: int) -> None:
    model = tiny_model(seed=1).eval().to(dtype)
    ids = torch.arange(3, 12)[None]
    pixels = torch.linspace(-1, 1, 3 * model.config.tower_side**2).reshape(1, 3, model.config.tower_side, -1)
    image = model.encode_image(pixels.to(dtype))
    expected = model(ids).logits
    with stressed(model, exponent):
        assert torch.equal(model.encode_image(pixels.to(dtype)), image * 2.0**exponent)
        assert torch.equal(model(ids).logits, expected)
    assert torch.equal(model(ids).logits, expected)


@torch.no_grad()
def test_float16_overflows_and_the_model_is_as_before_afterwards() -> None:
    model = tiny_model(seed=1).eval().half()
    ids = torch.arange(3, 12)[None]
    expected = model(ids).logits
    with pytest.raises(ZeroDivisionError), stressed(model, 30):
        assert not model(ids).logits.isfinite().any()
        raise ZeroDivisionError
    assert torch.equal(model(ids).logits, expected)
    assert {norm.eps for norm in model.residual_stream().norms} == {model.config.rms_norm_eps}


def test_a_family_that_does_not_say_what_writes_the_stream_refuses() -> None:
    with stressed(FamilyModel(), 0), stressed(FamilyModel(), None):
        pass
    with pytest.raises(UserError, match="stress_exponent"), stressed(FamilyModel(), 1):
        pass
