"""The pre-flight check on tiny models of published models: built from a config.json alone, with real tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.backends.published import CONFIGS, skip_where_it_is_broken, write_config
from xcomposer_ui.backends.lint import CastingTracer, _accepted_inputs, lint
from xcomposer_ui.backends.tiny_models.build import NoTinyModelError, configuration, loaded_in, tiny_model
from xcomposer_ui.backends.tiny_models.inputs import inputs_for
from xcomposer_ui.core.errors import UserError
from xcomposer_ui.tracing.lint import Lint, LintCase

H, S = torch.float16, torch.float32
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}


def cases(found: Lint) -> dict[tuple[str, str], LintCase]:
    return {(case.strategy, case.half): case for case in found.cases}


def test_our_own_family_clashes_at_the_projector_as_it_is_and_nowhere_else(tmp_path: Path) -> None:
    found = lint(str(write_config(tmp_path / "model", "xcomposer2")))
    assert not found.ok
    assert found.model_class == "InternLMXComposer2ForCausalLM"
    for (strategy, half), case in cases(found).items():
        if strategy != "as_is":
            assert case.clean, (strategy, half)
            continue
        (boundary,) = case.boundaries
        assert (boundary.module, boundary.operation) == ("vision_proj.0", "aten.addmm")
        assert set(boundary.dtypes) == {"float32", half}
        assert boundary.family == "matmul_dtype_mismatch"
        assert any(operand.name == "vision_proj.0.weight" for operand in boundary.operands)
        assert case.stopped_by is None


@pytest.mark.parametrize("family", [name for name in CONFIGS if name != "xcomposer2"])
def test_a_published_model_s_twin_is_small_and_answers_under_every_strategy(family: str, tmp_path: Path) -> None:
    skip_where_it_is_broken(family)
    found = lint(str(write_config(tmp_path / family, family)))
    assert found.parameters < 20_000_000
    assert len(found.cases) == 7  # full precision once, the others in both half types
    assert all(case.stopped_by is None for case in found.cases), found
    assert cases(found)["full", "float16"].clean


def test_a_twin_is_loaded_as_its_checkpoint_would_be(tmp_path: Path) -> None:
    tiny = tiny_model(*configuration(str(write_config(tmp_path / "blip", "blip_2"))))
    half = loaded_in(tiny, H)
    dtypes = {name.split(".")[0]: weight.dtype for name, weight in half.named_parameters()}
    assert dtypes["language_model"] == dtypes["vision_model"] == H
    assert dtypes["qformer"] == S  # this family keeps it so in float16
    assert all(weight.dtype == S for weight in tiny.parameters())


def test_one_image_token_stands_for_each_feature(tmp_path: Path) -> None:
    tiny = tiny_model(*configuration(str(write_config(tmp_path / "llava", "llava"))))
    ids = inputs_for(tiny)["input_ids"]
    assert int((ids == tiny.config.image_token_index).sum()) == (56 // 14) ** 2


def test_a_class_is_checked_by_its_name(tmp_path: Path) -> None:
    found, config = configuration("LlavaForConditionalGeneration")
    assert found is not None
    assert found.__name__ == "LlavaForConditionalGeneration"
    assert type(config).__name__ == "LlavaConfig"
    assert configuration("transformers.LlavaForConditionalGeneration")[0] is found
    assert configuration("transformers:LlavaForConditionalGeneration")[0] is found


@pytest.mark.parametrize("name", ["NoSuchModel", "no_such_package.Model", "/nowhere/model", ""])
def test_what_is_neither_folder_nor_class_is_the_user_s_mistake(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        configuration(name or str(tmp_path))
    assert caught.value.code == ("no_model_class" if name else "no_config")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "made_up", "auto_map": {"AutoModel": "code.Model"}}, "no class of its own"),
        ({**SMALL, "model_type": "bert", "architectures": ["BertModel"]}, "does not answer"),
        ({**SMALL, "model_type": "clip_vision_model"}, "no image-text model"),
    ],
    ids=["remote code", "no picture", "no words"],
)
def test_a_model_without_a_twin_says_why(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(NoTinyModelError, match=reason):
        lint(str(tmp_path))


BY_CLASS = (
    *("Llava", "LlavaNext", "LlavaOnevision", "VipLlava", "Qwen2VL", "Qwen2_5_VL", "Qwen3VL", "Idefics2", "Idefics3"),
    *("SmolVLM", "PaliGemma", "Gemma3", "Blip2", "InstructBlip", "Blip", "Kosmos2", "InternVL", "Pix2Struct"),
    *("AyaVision", "GotOcr2", "Mllama", "Lfm2Vl", "DeepseekVL"),
)


@pytest.mark.parametrize("family", BY_CLASS)
def test_a_class_s_default_sizes_make_a_twin_that_answers(family: str) -> None:
    """Some defaults do not fit themselves: Qwen's tower ends narrower than its text, for one."""
    skip_where_it_is_broken(family)
    tiny = tiny_model(*configuration(f"{family}ForConditionalGeneration"))
    assert sum(weight.numel() for weight in tiny.parameters()) < 20_000_000
    inputs = _accepted_inputs(tiny)
    assert {"pixel_values", "flattened_patches"} & set(inputs)


@pytest.mark.parametrize("name", ["Emu3ForConditionalGeneration", "Molmo2ForConditionalGeneration"])
def test_a_class_whose_defaults_cannot_be_built_says_why(name: str) -> None:
    with pytest.raises(NoTinyModelError, match="cannot be built: "):
        lint(name)


# Mending


class Chain(nn.Module):
    """Three boundaries: a half linear, a half norm, a write into half embeddings; float32 comes back after each."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.embedding = nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x).float()
        x = self.norm(x).float()
        text = self.embedding(torch.tensor([0, 1])).clone()
        text[torch.tensor([True, False])] = x
        q = text[None, None]
        return nn.functional.scaled_dot_product_attention(q, q.float(), q.float())


def mended(call: Any, model: nn.Module) -> tuple[CastingTracer, Any]:
    mender = CastingTracer(model)
    with torch.no_grad(), mender:
        return mender, call()


def test_every_boundary_is_found_in_one_run() -> None:
    model = Chain().half()
    mender, answer = mended(lambda: model(torch.rand(1, 4)), model)
    assert [(boundary.module, boundary.operation) for boundary in mender.boundaries] == [
        ("linear", "aten.addmm"),
        ("norm", "aten.native_layer_norm"),
        ("Chain", "aten.index_put_"),
        ("Chain", "aten.scaled_dot_product_attention"),
    ]
    assert answer.dtype == H
    assert mender.boundaries[2].dtypes == ("float16", "float32")


def test_a_boundary_that_is_met_again_is_told_once() -> None:
    model = nn.Linear(4, 4).half()
    mender, _ = mended(lambda: [model(torch.rand(1, 4)) for _ in range(3)], model)
    assert len(mender.boundaries) == 1


def test_what_no_cast_mends_is_raised() -> None:
    model = nn.Linear(4, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        mended(lambda: model(torch.rand(1, 5)), model)
    with pytest.raises(RuntimeError, match="indices"):
        mended(lambda: nn.functional.embedding(torch.rand(1), torch.rand(2, 2)), model)


def test_a_clean_model_has_no_boundary() -> None:
    model = Chain()
    mender, _ = mended(lambda: model(torch.rand(1, 4)), model)
    assert mender.boundaries == ()
