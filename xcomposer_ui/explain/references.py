"""Links to further reading."""

from __future__ import annotations

from xcomposer_ui.core.result import Reference

AUTOCAST = Reference(
    "PyTorch: automatic mixed precision, and what autocast casts",
    "https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference",
)
DTYPES = Reference(
    "PyTorch: tensor attributes, dtypes and type promotion",
    "https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.dtype",
)
NUMERICS = Reference(
    "PyTorch: numerical accuracy",
    "https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html",
)
ATTENTION = Reference(
    "PyTorch: scaled_dot_product_attention",
    "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html",
)
FLASH_ATTENTION = Reference(
    "FlashAttention: supported dtypes and GPUs",
    "https://github.com/Dao-AILab/flash-attention#installation-and-features",
)
LOADING = Reference(
    "transformers: loading models, and the dtype they are loaded in",
    "https://huggingface.co/docs/transformers/main/en/models",
)
OFFLINE = Reference(
    "transformers: offline mode", "https://huggingface.co/docs/transformers/main/en/installation#offline-mode"
)
CUDA_MEMORY = Reference("PyTorch: CUDA memory management", "https://docs.pytorch.org/docs/stable/notes/cuda.html")
MPS = Reference("PyTorch: the MPS backend", "https://docs.pytorch.org/docs/stable/notes/mps.html")
FSDP = Reference("PyTorch: fully sharded data parallel", "https://docs.pytorch.org/docs/stable/fsdp.html")
BITSANDBYTES = Reference(
    "transformers: bitsandbytes", "https://huggingface.co/docs/transformers/main/en/quantization/bitsandbytes"
)
ONNX = Reference(
    "ONNX Runtime: float16 models", "https://onnxruntime.ai/docs/performance/model-optimizations/float16.html"
)


def xcomposer(number: int) -> Reference:
    """A report in InternLM-XComposer's own tracker."""
    return Reference(f"InternLM-XComposer#{number}", f"https://github.com/InternLM/InternLM-XComposer/issues/{number}")
