"""explain_dtypes around models that are not the lab's."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from xcomposer_ui import explain_dtypes
from xcomposer_ui.backends import error_notes

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def told(error: BaseException) -> str:
    """The error's own message and what was added to it, on any Python."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(**SMALL, image_size=28, patch_size=14)


def test_clip_s_patch_embedding_is_named() -> None:
    text = CLIPTextConfig(**SMALL, vocab_size=64)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision_config().to_dict(), projection_dim=16)
    model = CLIPModel(config).half().eval()
    layer, pixels = model.vision_model.embeddings.patch_embedding, torch.rand(1, 3, 28, 28)
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model), torch.no_grad():
        # CLIP casts its pixels itself; take that away, as a wrapper that embeds its own pixels does.
        layer(pixels)
    message = told(caught.value)
    assert "vision_model.embeddings.patch_embedding, aten.convolution" in message
    assert "float32   activation (given to the model) (1x3x28x28)" in message
    assert "float16   vision_model.embeddings.patch_embedding.weight" in message
    assert "yes        autocast" in message


def test_llava_with_a_float32_projector_is_explained() -> None:
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=64, pad_token_id=0),
        image_token_index=5,
        vision_feature_layer=-1,
    )
    model: Any = LlavaForConditionalGeneration(config).half().eval()
    name = next(name for name, module in model.named_modules() if name.endswith("multi_modal_projector.linear_1"))
    model.get_submodule(name).float()  # as a checkpoint whose adapter was trained and saved in float32
    ids = torch.tensor([[1, 5, 5, 5, 5, 2]])
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model), torch.no_grad():
        model(input_ids=ids, pixel_values=torch.rand(1, 3, 28, 28).half(), attention_mask=torch.ones_like(ids))
    message = told(caught.value)
    assert f"Where: {name}, aten.addmm" in message
    assert f"float32   {name}.weight" in message
    assert re.search(r"float16   activation \(.*float16 since", message)
    assert message.startswith("mat1 and mat2 must have the same dtype, but got Half and Float")


def test_it_is_the_same_error_and_its_class_is_kept() -> None:
    model, raised = nn.Linear(2, 2).half(), []
    with pytest.raises(RuntimeError) as caught:
        try:
            with explain_dtypes(model):
                try:
                    model(torch.rand(1, 2))
                except RuntimeError as error:
                    raised.append(error)
                    raise
        finally:
            assert not model._forward_hooks
    assert caught.value is raised[0]


def test_what_has_nothing_to_do_with_dtypes_passes_through_untouched() -> None:
    with pytest.raises(ZeroDivisionError) as caught, explain_dtypes(nn.Linear(2, 2)):
        _ = 1 / 0
    assert told(caught.value) == "division by zero"


def test_a_call_that_answers_answers() -> None:
    model = nn.Linear(2, 2)
    with explain_dtypes(model):
        assert model(torch.rand(1, 2)).shape == (1, 2)


def test_without_notes_the_message_carries_the_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(RuntimeError):
        add_note = None  # as on Python 3.10

    error = Old("mat1 and mat2 must have the same dtype, but got Float and Half")
    with pytest.raises(Old) as caught, explain_dtypes(nn.Linear(2, 2)):
        raise error
    assert caught.value is error
    assert "A matrix product was given two dtypes" in str(error)


def test_what_is_scripted_takes_no_hooks_and_the_rest_is_looked_into() -> None:
    scripted = torch.jit.script(nn.Linear(4, 4))
    model = nn.Sequential(scripted, nn.Linear(4, 3))
    with explain_dtypes(model), explain_dtypes(scripted):
        assert model(torch.rand(2, 4)).shape == (2, 3)
    model[1].half()
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model):
        model(torch.rand(2, 4))
    assert "Where: 1, aten.addmm" in told(caught.value)


@pytest.mark.parametrize("cause", [True, False], ids=["from", "while handling"])
def test_an_error_that_a_clash_was_turned_into_is_explained(cause: bool) -> None:
    model = nn.Linear(4, 3).half()
    with pytest.raises(ValueError, match="bad input") as caught, explain_dtypes(model):
        try:
            model(torch.rand(2, 4))
        except RuntimeError as error:
            if cause:
                raise ValueError("bad input") from error
            raise ValueError("bad input")  # noqa: B904
    assert "aten.addmm" in told(caught.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module, not str"), explain_dtypes("model"):  # type: ignore[arg-type]
        pass


def test_an_error_is_explained_once_by_the_innermost() -> None:
    inner = nn.Linear(2, 2).half()
    outer = nn.Sequential(inner)
    with pytest.raises(RuntimeError) as caught, explain_dtypes(outer), explain_dtypes(inner):
        outer(torch.rand(1, 2))
    assert told(caught.value).count("A matrix product was given two dtypes") == 1


def test_an_error_that_cannot_say_what_it_is_comes_out_as_it_is() -> None:
    class Mute(RuntimeError):
        def __str__(self) -> str:
            raise ValueError("no words")

    with pytest.raises(Mute), explain_dtypes(nn.Linear(2, 2)):
        raise Mute


def test_two_threads_have_their_own_explanation_of_one_model() -> None:
    model, caught = nn.Linear(2, 2).half(), []

    def call() -> None:
        try:
            with explain_dtypes(model):
                for _ in range(5):
                    model(torch.rand(1, 2).half())
                model(torch.rand(1, 2))
        except RuntimeError as error:
            caught.append(told(error))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caught) == 3
    assert all(text.count("Where: Linear, aten.addmm") == 1 for text in caught)
    assert not model._forward_hooks and not model._forward_pre_hooks


def test_the_note_is_in_chinese_where_that_is_asked_for() -> None:
    model = nn.Linear(2, 2).half()
    features = torch.rand(1, 2)
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model, language="zh"):
        model(features)
    message = told(caught.value)
    assert "位置：Linear, aten.addmm" in message
    assert "激活值（传给模型的输入） (1x2); 传给模型时即为 float32" in message
    assert "Where" not in message and "since" not in message


def test_the_documented_example_says_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain_dtypes.md").read_text("utf-8")
    code, output = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)
    with pytest.raises(RuntimeError) as caught:
        exec(code, {})
    message, *lines = output.splitlines()
    said = told(caught.value)
    assert message.endswith(said.partition("\n")[0])
    for line in lines:
        assert line.removesuffix("...") in said


def test_the_package_does_not_load_torch_by_itself() -> None:
    code = "import sys, xcomposer_ui; print('explain_dtypes' in xcomposer_ui.__all__, 'torch' in sys.modules)"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]
    assert error_notes.explain_dtypes is explain_dtypes


@pytest.mark.parametrize(
    ("product", "verdict"),
    [
        (torch.bmm, "yes"),
        (torch.cdist, "yes"),
        (lambda x, weight: torch.lerp(x, weight, 0.5), "no"),
        (lambda x, weight: torch.bmm(x, weight, out=x.clone()), "no"),
        (lambda x, weight: x.clone().baddbmm_(x, weight), "no"),
    ],
    ids=["bmm", "cdist", "lerp", "out=", "in-place"],
)
def test_the_verdict_on_autocast_is_that_of_the_operation_that_raised(product: Any, verdict: str) -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3, 3, dtype=torch.float16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = product(x, self.weight)
            return y

    model = Product()
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model), torch.no_grad():
        model(torch.ones(2, 3, 3))
    assert re.search(rf"^  {verdict} +autocast ", told(caught.value), re.MULTILINE)
    # The verdict is what autocast does.
    with torch.autocast("cpu", torch.float16), torch.no_grad():
        if verdict == "yes":
            model(torch.ones(2, 3, 3))
        else:
            with pytest.raises(RuntimeError):
                model(torch.ones(2, 3, 3))


@pytest.mark.parametrize("off", [True, False], ids=["switched off", "no rule"])
def test_autocast_is_the_cause_where_the_record_shows_that_it_made_the_half_operand(off: bool) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            with torch.autocast("cpu", enabled=False):
                return cast(torch.Tensor, self.second(y) if off else torch.lerp(y, x, 0.5))

    model, x = Two(), torch.ones(2, 4)
    with pytest.raises(RuntimeError) as caught, explain_dtypes(model), torch.autocast("cpu", torch.bfloat16):
        model(x)
    message = told(caught.value)
    assert re.search(rf"^  {'yes' if off else 'it depends'} +as_is .*float32 weights and inputs agree", message, re.M)
    assert re.search(r"^  no +autocast .*It is the cause", message, re.M)
    assert model(x).dtype == torch.float32
