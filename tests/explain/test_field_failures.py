"""What happened to people who ran InternLM-XComposer, as their reports quote it."""

from __future__ import annotations

import pytest

from xcomposer_ui.explain import explain

CURED = {"as_is": False, "autocast": True, "unified": True, "full": True}
NO_PART = dict.fromkeys(CURED, False)

# report, message, family, dtypes, verdicts where precision decides
REPORTS = [
    (
        "#317",
        "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half",
        "matmul_dtype_mismatch",
        ("float32", "float16"),
        CURED,
    ),
    (
        "#141",
        "RuntimeError: \"compute_indices_weights_cubic\" not implemented for 'Half'",
        "not_implemented_for_half",
        ("float16",),
        {"as_is": False, "autocast": None, "unified": None, "full": True},
    ),
    (
        "#416",
        "RuntimeError: FlashAttention only support fp16 and bf16 data type",
        "flash_attention_dtype",
        ("float16", "bfloat16"),
        {"as_is": False, "autocast": True, "unified": True, "full": False},
    ),
    (
        "#245",
        "RuntimeError: expected scalar type Float but found BFloat16",
        "operand_dtype_mismatch",
        ("float32", "bfloat16"),
        {**CURED, "autocast": None},  # the message names no operation
    ),
    (
        "#205",
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 16.00 MiB (GPU 0; 31.74 GiB "
        "total capacity; "
        "31.25 GiB already allocated; 11.31 MiB free; 31.25 GiB reserved in total by PyTorch)",
        "out_of_memory",
        (),
        {"as_is": None, "autocast": None, "unified": None, "full": False},
    ),
    (
        "#436",
        "Tried to allocate 47.73 GiB. GPU 0 has a total capacity of 79.32 GiB of which 25.31 GiB is free.",
        "out_of_memory",
        (),
        {"as_is": None, "autocast": None, "unified": None, "full": False},
    ),
    (
        "#265",
        "ValueError: The device_map provided does not give any device for the following parameters: plora_glb_GN, "
        "plora_sub_GN",
        "device_map_incomplete",
        (),
        NO_PART,
    ),
    (
        "#274",
        "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:2 and "
        "cuda:0! (when checking argument for argument weight in method wrapper_CUDA__cudnn_convolution)",
        "device_mismatch",
        (),
        NO_PART,
    ),
    (
        "#143",
        "RuntimeError: The size of tensor a (1377) must match the size of tensor b (1376) at non-singleton dimension 3",
        "remote_code_outdated",
        (),
        NO_PART,
    ),
    (
        "#461",
        "ValueError: Input image size (490*490) doesn't match model (336*336).",
        "image_size_mismatch",
        (),
        NO_PART,
    ),
    (
        "ms-swift#4324",
        "AttributeError: 'InternLM2ForCausalLM' object has no attribute 'generate'",
        "remote_code_outdated",
        (),
        NO_PART,
    ),
    (
        "#331",
        "You are using a model of type internlmxcomposer2 to instantiate a model of type internlm. This is "
        "not supported "
        "for all configurations of models and can yield errors.",
        "wrong_model_class",
        (),
        NO_PART,
    ),
    (
        "#33",
        "AttributeError: 'InternLMXComposerTokenizer' object has no attribute 'sp_model'",
        "remote_code_outdated",
        (),
        NO_PART,
    ),
    (
        "#206",
        "OSError: We couldn't connect to 'https://huggingface.co' to load this file, couldn't find it in the cached "
        "files and it looks like openai/clip-vit-large-patch14-336 is not the path to a directory containing a file "
        "named config.json.",
        "offline_download",
        (),
        NO_PART,
    ),
    ("Qwen-VL#93", "\"slow_conv2d_cpu\" not implemented for 'Half'", "not_implemented_for_half", ("float16",), None),
    ("Qwen-VL#93, addmm", "\"addmm_impl_cpu_\" not implemented for 'Half'", "not_implemented_for_half", None, None),
    (
        "Fooocus#759",
        "Currently, AutocastCPU only support Bfloat16 as the autocast_cpu_dtype",
        "autocast_dtype_unsupported",
        ("bfloat16",),
        None,
    ),
    (
        "#390",
        "ModuleNotFoundError: No module named 'transformers_modules.InternLM-XComposer2'",
        "remote_code_path",
        (),
        NO_PART,
    ),
    ("#36", "ModuleNotFoundError: No module named 'rotary_emb'", "package_missing", (), NO_PART),
    (
        "ms-swift#2046",
        "AttributeError: 'InternLM2FlashAttention2' object has no attribute '_flash_attention_forward'",
        "remote_code_outdated",
        (),
        NO_PART,
    ),
    (
        "taggui#222",
        "OSError: internlm/internlm-xcomposer2-vl-7b-4bit does not appear to have a file named pytorch_model.bin, "
        "model.safetensors, tf_model.h5, model.ckpt or flax_model.msgpack.",
        "checkpoint_incomplete",
        (),
        NO_PART,
    ),
    (
        "C4MMD#5",
        "NotImplementedError: Cannot copy out of meta tensor; no data!",
        "device_mismatch",
        (),
        NO_PART,
    ),
]


@pytest.mark.parametrize(
    ("text", "family", "dtypes", "verdicts"), [r[1:] for r in REPORTS], ids=[r[0] for r in REPORTS]
)
def test_is_recognised(
    text: str, family: str, dtypes: tuple[str, ...] | None, verdicts: dict[str, bool | None] | None
) -> None:
    explanation = explain(text)
    assert explanation.family == family
    assert dtypes is None or explanation.dtypes == dtypes
    assert verdicts is None or {fix.strategy: fix.cures for fix in explanation.fixes} == verdicts


def test_a_small_and_a_huge_allocation_have_different_causes() -> None:
    small, huge = (
        explain(f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {size}. GPU 0 has a total capacity of")
        for size in ("16.00 MiB", "47.73 GiB")
    )
    assert "float32" in str(small.cause)
    assert "hd_num" in str(huge.cause)


def test_the_rope_key_needs_the_remote_code_in_its_traceback() -> None:
    header = "Traceback (most recent call last):\n"
    frame = header + '  File "{}", line 365, in _init_rope\n    kind = c["type"]\nKeyError: \'type\''
    ours = explain(frame.format("/root/.cache/huggingface/modules/transformers_modules/x/modeling_internlm2.py"))
    assert ours.family == "remote_code_outdated"
    assert not explain(frame.format("/home/me/configs.py")).recognised
    assert not explain("KeyError: 'type'").recognised
