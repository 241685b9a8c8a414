"""Wordings that this CPU cannot raise: other devices, older releases, other libraries. Each with its source."""

from __future__ import annotations

import pytest

from xcomposer_ui.core.messages import Message, worded
from xcomposer_ui.explain import explain

WORDINGS = [
    # PyTorch 2.8
    (
        "RuntimeError: attempting to assign a gradient with dtype 'c10::Half' to a tensor with dtype 'float'. Please "
        "ensure that the gradient and the tensor have the same dtype",
        "backward_dtype_mismatch",
        ("float16", "float32"),
        None,
    ),
    (
        "TypeError: zeros() received an invalid combination of arguments - got (int, dtype=type), but expected one of:"
        "\n * (tuple of ints size, *, Tensor out = None, torch.dtype dtype = None, bool requires_grad = False)",
        "dtype_argument",
        (),
        False,
    ),
    # InternLM-XComposer#348, PuLID#162: CUDA's wording of mm
    (
        "RuntimeError: expected mat1 and mat2 to have the same dtype, but got: float != c10::BFloat16",
        "matmul_dtype_mismatch",
        ("float32", "bfloat16"),
        True,
    ),
    ("expected mat1 and mat2 to have the same dtype, but got: float!= c10::Half", "matmul_dtype_mismatch", None, True),
    # Windows: MSVC names the struct
    (
        "RuntimeError: expected mat1 and mat2 to have the same dtype, but got: float != struct c10::Half",
        "matmul_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # pytorch 1.13 to 2.0 name no dtypes
    ("RuntimeError: mat1 and mat2 must have the same dtype", "matmul_dtype_mismatch", (), True),
    # pytorch 2.x, addmm with an explicit self; bitsandbytes' packed weights reach it as Byte or Char
    (
        "RuntimeError: self and mat2 must have the same dtype, but got Half and Float",
        "matmul_dtype_mismatch",
        None,
        None,  # a linear layer's bias, which autocast casts, or an in-place product, which it does not
    ),
    (
        "RuntimeError: self and mat2 must have the same dtype, but got Half and Byte",
        "matmul_dtype_mismatch",
        None,
        False,
    ),
    (
        "RuntimeError: self and mat2 must have the same dtype, but got BFloat16 and Char",
        "matmul_dtype_mismatch",
        None,
        False,
    ),
    # pytorch#35755, CrossDomainFewShot#30: pytorch 1.0 to 1.6
    (
        "RuntimeError: Expected object of scalar type Float but got scalar type Half for argument #2 'mat2' in call to "
        "_th_mm",
        "matmul_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    (
        "RuntimeError: Expected object of scalar type Float but got scalar type Double for argument #2 'mat1' in call "
        "to _th_addmm",
        "matmul_dtype_mismatch",
        ("float32", "float64"),
        False,
    ),
    # pytorch 0.4
    (
        "RuntimeError: Expected object of type torch.cuda.FloatTensor but found type torch.cuda.HalfTensor "
        "for argument "
        "#2 'mat2'",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # ACmix#15, COLD-Attack#20: convolutions on CUDA
    (
        "RuntimeError: Input type (torch.cuda.FloatTensor) and weight type (torch.cuda.HalfTensor) should be the same",
        "conv_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    (
        "Input type (torch.cuda.ByteTensor) and weight type (torch.cuda.HalfTensor) should be the same",
        "conv_dtype_mismatch",
        ("uint8", "float16"),
        False,
    ),
    # pytorch-yolo-v3#7: pytorch 0.4's spelling
    (
        "RuntimeError: Input type (CUDAFloatTensor) and weight type (CUDAHalfTensor) should be the same",
        "conv_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # pytorch on Apple's GPU
    (
        "RuntimeError: Input type (MPSFloatType) and weight type (MPSHalfType) should be the same",
        "conv_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # HumanGaussian#25: one dtype, two devices
    (
        "RuntimeError: Input type (torch.cuda.HalfTensor) and weight type (torch.HalfTensor) should be the same",
        "device_mismatch",
        ("float16",),
        False,
    ),
    (
        "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same or input should be "
        "a MKLDNN tensor and weight is a dense tensor",
        "device_mismatch",
        ("float32",),
        False,
    ),
    # one dtype, two devices, in the words of PyTorch 1.x and 0.4
    (
        "Input type (CUDABFloat16Type) and weight type (CPUBFloat16Type) should be the same",
        "device_mismatch",
        ("bfloat16",),
        False,
    ),
    ("expected type torch.cuda.FloatTensor but got torch.FloatTensor", "device_mismatch", ("float32",), False),
    (
        "expected device cuda:0 and dtype Half but got device cuda:1 and dtype Half",
        "device_mismatch",
        ("float16",),
        False,
    ),
    # two dtypes and two devices: no cast alone cures it
    *(
        (text, "device_mismatch", ("float32", "float16"), False)
        for text in (
            "RuntimeError: Input type (torch.FloatTensor) and weight type (torch.cuda.HalfTensor) should be the same "
            "or input should be a MKLDNN tensor and weight is a dense tensor",
            "RuntimeError: Input type (CPUFloatType) and weight type (CUDAHalfType) should be the same",
            "RuntimeError: Input type (MPSFloatType) and bias type (CPUHalfType) should be the same",
            "RuntimeError: expected device cpu and dtype Float but got device cuda:0 and dtype Half",
            "RuntimeError: expected type CPUFloatType but got CUDAHalfType",
            "RuntimeError: Expected object of type torch.FloatTensor but found type torch.cuda.HalfTensor for argument "
            "#2 'mat2'",
        )
    ),
    # MetalPerformanceShaders, printed before the process is killed
    (
        "/AppleInternal/Library/BuildRoots/x/MPSNDArrayMatrixMultiplication.mm:4140: failed assertion `Destination "
        "NDArray and Accumulator NDArray cannot have different datatype in MPSNDArrayMatrixMultiplication'",
        "matmul_dtype_mismatch",
        (),
        True,
    ),
    (
        "error: input types 'tensor<2x1280xf32>' and 'tensor<*xf16>' are not broadcast compatible",
        "mps_dtype_mismatch",
        ("float32", "float16"),
        None,
    ),
    # MicroSplit-reproducibility#22
    (
        "TypeError: Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. Please "
        "use float32 instead.",
        "float64_unsupported",
        ("float64",),
        False,
    ),
    # InternLM-XComposer#424, lmms-eval#201: flash-attn's own check
    ("RuntimeError: query and key must have the same dtype", "attention_dtype_mismatch", (), True),
    # transformers 4.3x
    (
        "ValueError: Flash Attention 2.0 only supports torch.float16 and torch.bfloat16 dtypes, but the "
        "current dype in "
        "InternLM2ForCausalLM is torch.float32. You should run training or inference using Automatic Mixed-Precision",
        "flash_attention_dtype",
        ("float16", "bfloat16", "float32"),
        True,
    ),
    # pytorch's sdp_utils
    (
        "Expected query, key and value to all be of dtype: {Half, BFloat16}. Got Query dtype: float, Key dtype: float, "
        "and Value dtype: float instead.",
        "flash_attention_dtype",
        ("float16", "bfloat16", "float32"),
        True,
    ),
    ("RuntimeError: No available kernel.  Aborting execution.", "attention_no_kernel", (), None),
    # older pytorch on the CPU
    (
        "RuntimeError: \"LayerNormKernelImpl\" not implemented for 'Half'",
        "not_implemented_for_half",
        ("float16",),
        None,
    ),
    ("RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'", "not_implemented_for_half", ("float16",), None),
    (
        "RuntimeError: mixed dtype (CPU): expect input to have scalar type of BFloat16",
        "norm_dtype_mismatch",
        None,
        False,
    ),
    # cuFFT
    (
        "RuntimeError: cuFFT only supports dimensions whose sizes are powers of two when computing in half precision, "
        "but got a signal size of[100]",
        "half_fft_size",
        ("float16",),
        False,
    ),
    # CUDA losses
    (
        "RuntimeError: \"nll_loss_forward_reduce_cuda_kernel_2d_index\" not implemented for 'Float'",
        "target_dtype",
        ("float32",),
        False,
    ),
    # torch.amp on CUDA
    (
        "RuntimeError: torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.",
        "autocast_unsafe_loss",
        (),
        False,
    ),
    # pytorch 1.10 to 2.1
    (
        "RuntimeError: Currently, AutocastCPU only support Bfloat16 as the autocast_cpu_dtype",
        "autocast_dtype_unsupported",
        ("bfloat16",),
        False,
    ),
    # trl#1723, peft#484: FSDP
    (
        "ValueError: Must flatten tensors with uniform dtype but got torch.bfloat16 and torch.float32",
        "sharded_dtype_mismatch",
        ("bfloat16", "float32"),
        None,
    ),
    (
        "ValueError: `FlatParameter` requires uniform dtype but got torch.float16 and torch.float32",
        "sharded_dtype_mismatch",
        ("float16", "float32"),
        None,
    ),
    # torch.distributed
    (
        "ValueError: Invalid usage of tensors with different dtypesFound torch.float32 and  torch.float16",
        "sharded_dtype_mismatch",
        ("float32", "float16"),
        None,
    ),
    # Triton's compiler
    (
        "AssertionError: First input (fp16) and second input (fp32) must have the same dtype!",
        "matmul_dtype_mismatch",
        ("float16", "float32"),
        False,
    ),
    (
        "triton.compiler.errors.CompilationError: at 33:15:\n    acc += tl.dot(a, b)\n           ^\n"
        "AssertionError('Both operands must be same dtype. Got fp16 and fp32')",
        "matmul_dtype_mismatch",
        ("float16", "float32"),
        False,
    ),
    # torch.compile wraps the operation's own message
    (
        "torch._dynamo.exc.TorchRuntimeError: Failed running call_function <built-in function "
        "linear>(*(FakeTensor(..., "
        "size=(2, 2)), Parameter(FakeTensor(..., size=(2, 2), dtype=torch.float16))), **{}):\n"
        "expected m1 and m2 to have the same dtype, but got: float != c10::Half",
        "matmul_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # ONNX Runtime
    (
        "onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument: [ONNXRuntimeError] : 2 : INVALID_ARGUMENT : "
        "Unexpected input data type. Actual: (tensor(float)) , expected: (tensor(float16))",
        "onnx_input_dtype",
        ("float32", "float16"),
        None,
    ),
    # vLLM, on a GPU before Ampere
    (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla "
        "V100 GPU has "
        "compute capability 7.0.",
        "bfloat16_unsupported",
        ("bfloat16",),
        None,
    ),
    # transformers with bitsandbytes
    (
        "ValueError: `.to` is not supported for `4-bit` or `8-bit` bitsandbytes models. Please use the model as it is",
        "quantised_cast",
        (),
        False,
    ),
    # CUDA's kernel prints the reason, the exception does not say it
    (
        "/pytorch/aten/src/ATen/native/cuda/TensorCompare.cu:110: _assert_async_cuda_kernel: block: [0,0,0], thread: "
        "[0,0,0] Assertion `probability tensor contains either `inf`, `nan` or element < 0` failed.\n"
        "Traceback (most recent call last):\n"
        '  File "/home/me/chat.py", line 5, in <module>\n'
        "    model.generate(ids, do_sample=True)\n"
        "RuntimeError: CUDA error: device-side assert triggered",
        "sampling_not_finite",
        (),
        False,
    ),
    # DeepSpeed
    (
        "Exception: Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.",
        "loss_scale_exhausted",
        (),
        None,
    ),
    (
        "[2026-11-28 10:32:45,123] [INFO] [loss_scaler.py:190:update_scale] [deepspeed] OVERFLOW! Rank 0 Skipping "
        "step. Attempted loss scale: 65536, reducing to 32768",
        "loss_scale_lowered",
        (),
        None,
    ),
    # pytorch on CUDA: LayerNorm, half input and float32 weights
    ("RuntimeError: expected scalar type Half but found Float", "operand_dtype_mismatch", ("float16", "float32"), None),
    # xformers
    (
        "ValueError: Query/Key/Value should either all have the same dtype, or (in the quantized case) Key/Value "
        "should have dtype torch.int32\n  query.dtype: torch.float32\n  key.dtype  : torch.float16\n  value.dtype: "
        "torch.float16",
        "attention_dtype_mismatch",
        ("float32", "float16"),
        True,
    ),
    # pytorch#144018, vllm#1007: the memory-efficient kernel on CUDA
    ("RuntimeError: invalid dtype for bias - should match query's dtype", "attention_mask_dtype", (), True),
    # pytorch 1.5 to 1.13
    (
        "AssertionError: Only float, byte, and bool types are supported for attn_mask, not torch.int64",
        "attention_mask_dtype",
        None,
        False,
    ),
    # transformers 4.3x, a warning
    (
        "You are attempting to use Flash Attention 2.0 without specifying a torch dtype. This might lead to unexpected "
        "behaviour",
        "flash_attention_dtype",
        (),
        True,
    ),
    # yolov5#156: pytorch 1.4
    (
        "RuntimeError: expected device cuda:0 and dtype Float but got device cuda:0 and dtype Half",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        False,
    ),
    # YOLOv3-Torch2TRT#2: pytorch 1.2
    (
        "RuntimeError: expected backend CUDA and dtype Float but got backend CUDA and dtype Half",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        False,
    ),
    # pytorch-ssd#78: one dtype, two devices
    (
        "RuntimeError: expected device cpu and dtype Float but got device cuda:0 and dtype Float",
        "device_mismatch",
        ("float32",),
        False,
    ),
    # SqueezeWave#3: pytorch 1.0
    (
        "RuntimeError: expected type CUDAFloatType but got CUDAHalfType",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        False,
    ),
    # pytorch#42218: pytorch 1.6
    (
        "RuntimeError: grid_sampler(): expected input and grid to have same dtype, but input has c10::Half and grid "
        "has float",
        "operand_dtype_mismatch",
        ("float16", "float32"),
        True,
    ),
    # PPO-PyTorch#33: pytorch 1.5
    (
        "RuntimeError: expected dtype Double but got dtype Float (validate_dtype at "
        "/pytorch/aten/src/ATen/native/TensorIterator.cpp:143)",
        "backward_dtype_mismatch",
        ("float64", "float32"),
        False,
    ),
    # pytorch#110758: a fused optimizer
    (
        "RuntimeError: params, grads, exp_avgs, and exp_avg_sqs must have same dtype, device, and layout",
        "optimizer_state_dtype_mismatch",
        (),
        False,
    ),
    # SuperGlue_PyTorch_MultiGPU_implementation#1: pytorch 1.3
    (
        "RuntimeError: output with backend CUDA and dtype Float doesn't match the desired backend CUDA and dtype "
        "Double",
        "result_dtype",
        ("float32", "float64"),
        False,
    ),
    # pytorch#23377, pytorch#14843, apex#244, pytorch#127224: half kernels that were missing, in four wordings
    (
        "RuntimeError: _thnn_conv2d_forward not supported on CPUType for Half",
        "not_implemented_for_half",
        ("float16",),
        None,
    ),
    (
        "RuntimeError: thnn_conv2d_forward is not implemented for type torch.HalfTensor",
        "not_implemented_for_half",
        ("float16",),
        None,
    ),
    ("RuntimeError: \"add\" not implemented for 'torch.HalfTensor'", "not_implemented_for_half", ("float16",), None),
    ("RuntimeError: grid_sampler_2d_cpu not implemented for Half", "not_implemented_for_half", ("float16",), None),
    # pytorch 1.10 to 2.0
    (
        "RuntimeError: User specified autocast device_type must be 'cuda' or 'cpu'",
        "autocast_dtype_unsupported",
        (),
        False,
    ),
    # LSTM on pytorch before 2.9
    (
        "ValueError: input must have the type torch.float16, got type torch.float32",
        "rnn_dtype_mismatch",
        ("float16", "float32"),
        None,
    ),
    # pytorch 0.4, additions
    (
        "RuntimeError: expected type torch.cuda.FloatTensor but got torch.cuda.HalfTensor",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        False,
    ),
    # pytorch on Apple's GPU: one dtype, two devices
    (
        "RuntimeError: Input type (MPSFloatType) and weight type (torch.FloatTensor) should be the same",
        "device_mismatch",
        ("float32",),
        False,
    ),
    # torch.mean on pytorch 0.4 to 1.10
    (
        "RuntimeError: Can only calculate the mean of floating types. Got Long instead.",
        "floating_point_required",
        ("int64",),
        False,
    ),
    # torch.dot on pytorch 1.7 to 1.12
    (
        "RuntimeError: expected both vectors to have same dtype, but found Half and Float",
        "vector_product_dtype_mismatch",
        ("float16", "float32"),
        None,
    ),
    # flash-attn's later wordings
    ("ValueError: Flash Attention only supports fp16 and bf16", "flash_attention_dtype", ("float16", "bfloat16"), True),
    # pytorch's memory-efficient kernels on CUDA, bfloat16 on a GPU before Ampere
    ("RuntimeError: cutlassF: no kernel found to launch!", "attention_no_kernel", (), None),
    # transformers 4.4x
    (
        "ValueError: FP16 Mixed precision training with AMP or APEX (`--fp16`) and FP16 half precision evaluation "
        "(`--fp16_full_eval`) can only be used on CUDA or MLU devices or NPU devices or certain XPU devices",
        "float16_unsupported",
        None,
        None,
    ),
    # bitsandbytes
    (
        "ValueError: Blockwise 4bit quantization only supports 16/32-bit floats, but got torch.uint8",
        "quantised_cast",
        ("uint8",),
        False,
    ),
    (
        "UserWarning: Input type into Linear4bit is torch.float16, but bnb_4bit_compute_dtype=torch.float32 (default). "
        "This will lead to slow inference or training speed.",
        "quantised_compute_dtype",
        ("float16", "float32"),
        None,
    ),
    (
        "MatMul8bitLt: inputs will be cast from torch.float32 to float16 during quantization",
        "quantised_compute_dtype",
        ("float32", "float16"),
        None,
    ),
    # torch.testing
    (
        "AssertionError: The values for attribute 'dtype' do not match: torch.float32 != torch.float16.",
        "operand_dtype_mismatch",
        ("float32", "float16"),
        False,
    ),
    # pytorch on Apple's GPU before macOS 14
    (
        "RuntimeError: MPS BFloat16 is only supported on MacOS 14 or newer",
        "bfloat16_unsupported",
        ("bfloat16",),
        None,
    ),
    ("BFloat16 is not supported on this device.", "bfloat16_unsupported", ("bfloat16",), None),
    ("I get `bf16 is not supported on V100` here, why?", "bfloat16_unsupported", ("bfloat16",), None),
    ("ERROR demo - Flash Attention only supports fp16 and bf16", "flash_attention_dtype", None, True),
    ("flash_attn only supports half and bfloat16 inputs", "flash_attention_dtype", None, True),
    ("isposinf does not support complex inputs.", "complex_unsupported", (), False),
    ("Sort does not support complex dtypes on CPU", "complex_unsupported", (), False),
    ("IndexError: argmax(): does not support complex input", "complex_unsupported", (), False),
    # ComfyUI
    ("OutOfMemoryError: Allocation on device 0 would exceed allowed memory.", "out_of_memory", (), None),
    ("torch.OutOfMemoryError: Allocation on device", "out_of_memory", (), None),
    # diffusers, transformers, huggingface_hub
    (
        "OSError: Error no file named diffusion_pytorch_model.bin found in directory /models/vae.",
        "checkpoint_incomplete",
        (),
        False,
    ),
    (
        "LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the "
        "local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass "
        "'local_files_only=False' as input.",
        "offline_download",
        (),
        False,
    ),
    ("AttributeError: 'QWenTokenizer' object has no attribute 'tokenizer'", "remote_code_outdated", (), False),
    (
        "size mismatch for vit.vision_tower.vision_model.embeddings.position_embedding.weight: copying a param with "
        "shape torch.Size([577, 1024]) from checkpoint, the shape in current model is torch.Size([1226, 1024]).",
        "image_size_mismatch",
        (),
        False,
    ),
    (
        "RuntimeError: MPS does not support cumsum op with int64 input",
        "not_implemented_for_dtype",
        ("int64",),
        False,
    ),
    # torch.distributed on CUDA
    (
        "TypeError: Input tensor data type is not supported for NCCL process group: Short",
        "not_implemented_for_dtype",
        ("int16",),
        False,
    ),
    # pytorch 2.1 on: 8-bit matrix products
    (
        "RuntimeError: torch._scaled_mm is only supported on CUDA devices with compute capability >= 9.0 or 8.9, or "
        "ROCm MI300+",
        "float8_arithmetic",
        (),
        None,
    ),
]


# The lab's own words for runs that raise nothing; an answer that is quoted in them is not read for errors.
SILENT = {
    "NonFiniteLogits: the logits are not finite: NaN or infinity arises first at model.layers.1.feed_forward.w2": (
        "non_finite_logits"
    ),
    "RepeatedToken: the answer repeats one token 64 times to its end: “…expected scalar type Float but found Half”": (
        "repeated_token"
    ),
    "EmptyAnswer: the model ended its answer before its first word": "empty_answer",
    str(Message("train.non_finite.update", step=1, module="output")): "non_finite_update",
    **{
        str(Message(f"train.non_finite.{cause}", step=3, module="output")): "non_finite_training"
        for cause in ("gradients", "activations")
    },
    str(Message("train.non_finite.loss", step=3)): "non_finite_training",
}


@pytest.mark.parametrize(("text", "family"), SILENT.items(), ids=SILENT.values())
def test_a_silent_failure_is_explained(text: str, family: str) -> None:
    explanation = explain(text)
    assert (explanation.family, explanation.dtypes) == (family, ())


@pytest.mark.parametrize(("text", "family", "dtypes", "autocast"), WORDINGS, ids=[w[0][:60] for w in WORDINGS])
def test_is_recognised(text: str, family: str, dtypes: tuple[str, ...] | None, autocast: bool | None) -> None:
    explanation = explain(text)
    assert explanation.family == family
    assert dtypes is None or explanation.dtypes == dtypes
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is autocast


@pytest.mark.parametrize(
    ("device", "cures"), [("cpu", False), ("cuda", True), (None, None)], ids=["cpu", "cuda", "unknown"]
)
def test_the_device_decides_where_it_matters(device: str | None, cures: bool | None) -> None:
    text = "All tensors must have the same dtype, got input1: float, input2: float, weight: c10::Half, bias: c10::Half"
    fixes = {fix.strategy: fix.cures for fix in explain(text, device=device).fixes}
    assert fixes == {"as_is": False, "autocast": cures, "unified": True, "full": True}


NORM = """Traceback (most recent call last):
  File "/home/me/model.py", line 9, in forward
    return self.norm(features)
  File "/env/site-packages/torch/nn/modules/{file}", line 217, in forward
    return F.{function}(
  File "/env/site-packages/torch/nn/functional.py", line 2905, in {function}
    return torch.{function}(
RuntimeError: expected scalar type Half but found Float"""


@pytest.mark.parametrize(
    ("file", "function", "device", "cures"),
    [
        ("normalization.py", "layer_norm", "cuda", True),
        ("normalization.py", "layer_norm", "cpu", False),
        ("normalization.py", "group_norm", None, None),
        ("batchnorm.py", "batch_norm", "cuda", False),
    ],
)
def test_a_traceback_tells_that_the_operands_are_a_norm_s(
    file: str, function: str, device: str | None, cures: bool | None
) -> None:
    explanation = explain(NORM.format(file=file, function=function), device=device)
    assert explanation.family == "norm_dtype_mismatch"
    assert explanation.dtypes == ("float16", "float32")
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is cures


CONVOLUTION = """Traceback (most recent call last):
  File "/home/me/model.py", line 9, in forward
    return self.patches(pixels)
  File "/env/site-packages/torch/nn/modules/conv.py", line 548, in forward
    return {call}
{inner}RuntimeError: {message}"""
INNER = """  File "/env/site-packages/torch/nn/modules/conv.py", line 543, in _conv_forward
    return F.conv2d(
"""
CALLED = CONVOLUTION.format(call="self._conv_forward(input, self.weight, self.bias)", inner=INNER, message="{}")
TRANSPOSED = CONVOLUTION.format(call="F.conv_transpose2d(", inner="", message="{}")
OWN = (
    'Traceback (most recent call last):\n  File "/home/me/a.py", line 9, in patches\n    return {}\nRuntimeError: {{}}'
)
WITH_KERNELS = (
    "Input type (CPUBFloat16Type) and weight type (torch.FloatTensor) should be the same or input should be a MKLDNN "
    "tensor and weight is a dense tensor"
)
WITHOUT_KERNELS = "expected scalar type BFloat16 but found Float"


@pytest.mark.parametrize("message", [WITH_KERNELS, WITHOUT_KERNELS], ids=["with kernels", "without kernels"])
@pytest.mark.parametrize(
    "traceback",
    [CALLED, TRANSPOSED, OWN.format("F.conv2d(pixels, self.weight)"), OWN.format("torch.conv1d(")],
    ids=["a layer", "a transposed layer", "a function", "torch's function"],
)
def test_a_traceback_tells_that_the_operands_are_a_convolution_s(traceback: str, message: str) -> None:
    """PyTorch words it by whether the processor has bfloat16 kernels; the explanation is one for both."""
    explanation = explain(traceback.format(message))
    assert explanation.family == "conv_dtype_mismatch"
    assert explanation.dtypes == ("bfloat16", "float32")
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is True


@pytest.mark.parametrize(
    "code",
    [
        "F.conv2d(a @ b, self.weight)",
        "F.conv2d(torch.bmm(a, b), weight)",
        "self.my_conv2d(",
        "torch.einsum(formula, a)",
    ],
)
def test_a_line_that_may_have_failed_elsewhere_tells_no_convolution(code: str) -> None:
    assert explain(OWN.format(code).format(WITHOUT_KERNELS)).family == "operand_dtype_mismatch"


def test_the_order_of_the_operands_is_told_only_where_the_message_has_it() -> None:
    def cause(message: str) -> str:
        return str(explain(f"RuntimeError: {message}").cause)

    assert "usually a float32 picture" in cause("mat1 and mat2 must have the same dtype, but got Float and Half")
    assert "met float32 weights" in cause("mat1 and mat2 must have the same dtype, but got Half and Float")
    for message in (
        "mat1 and mat2 must have the same dtype",
        "mat1 and mat2 must have the same dtype, but got Long and Float",
        "self and mat2 must have the same dtype, but got Float and Half",  # the bias comes first
        "Expected object of scalar type Float but got scalar type Double for argument #2 'mat1' in call to _th_addmm",
    ):
        assert "first" not in cause(message)
        assert "picture" not in cause(message)


@pytest.mark.parametrize(
    ("code", "cures"),
    [
        ('torch.einsum("bhqd,bhkd->bhqk", q, k)', True),
        ("F.grid_sample(features, grid)", True),
        ("F.cross_entropy(scores, targets, weight=weight)", True),
        ("q @ k.transpose(-1, -2)", True),
        ("(attn @ v).transpose(1, 2).reshape(x.size(0), -1, width)", True),
        ("q @ torch.eye(4)", None),
        ("self.table(x) @ k", None),  # either may have raised
        ("torch.softmax(q @ k, dim=-1)", None),
    ],
)
def test_a_source_line_tells_the_operation_that_autocast_casts(code: str, cures: bool | None) -> None:
    explanation = explain(OWN.format(code).format("expected scalar type Half but found Float"))
    assert explanation.family == "operand_dtype_mismatch"
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is cures


@pytest.mark.parametrize(
    "message",
    [
        "RuntimeError: quantile() input tensor must be either float or double dtype",
        "RuntimeError: linalg.inv: Low precision dtypes not supported. Got Half",
    ],
)
def test_the_other_half_type_is_not_advised_where_it_has_no_kernel_either(message: str) -> None:
    reasons = {fix.strategy: str(fix.why) for fix in explain(message).fixes}
    assert reasons["unified"].startswith("Neither half type")


def test_a_gpu_without_bfloat16_is_told_what_float16_does_under_each_strategy() -> None:
    text = (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has "
        "compute capability 7.5."
    )
    explanation = explain(text)
    reasons = {fix.strategy: str(fix.why) for fix in explanation.fixes}
    assert "clashes" in reasons["as_is"]
    assert "this strategy runs" in reasons["autocast"]
    assert worded(explanation.cause, "en").endswith("Tesla T4, has 7.5.")
    assert worded(explanation.cause, "zh").endswith("Tesla T4 为 7.5。")


@pytest.mark.parametrize(
    ("text", "dtypes", "autocast"),
    [
        ("RuntimeError: mat1 and mat2 must have the same dtype, but g", (), True),
        ("mat1 and mat2 must have the same dtype, but got", (), True),
        ("mat1 and mat2 must have the same dtype, but got Fl", (), True),
        ("mat1 and mat2 must have the same dtype, but got Flo...", (), True),
        ("mat1 and mat2 must have the same dtype, but g…", (), True),
        ("mat1 and mat2 must have the same dtype, but got Float an", ("float32",), None),
        ("mat1 and mat2 must have the same dtype, but got Float and B", ("float32",), None),  # BFloat16, Bool or Byte
        ("mat1 and mat2 must have the same dtype, but got Long an", ("int64",), False),
        ("mat1 and mat2 must have the same dtype, but got Float and Ha...", ("float32", "float16"), True),
        ("mat1 and mat2 must have the same dtype, but got Float and BF", ("float32", "bfloat16"), True),
        ("mat2 must have the same dtype, but got Float and Half", ("float32", "float16"), None),  # mat1, or self
        ("2 must have the same dtype, but got Float and Half", ("float32", "float16"), None),
        ("m2 to have the same dtype, but got: float != c10::Half", ("float32", "float16"), True),
        ("expected m1 and m2 to have the same dtype, but got: float != c10::Ha", ("float32", "float16"), True),
        ("scalar type Float but found Half", ("float32", "float16"), None),
        ("expected scalar type Float but found Ha", ("float32", "float16"), None),
        ("Input type (float) and bias type (c10::Half) sho", ("float32", "float16"), True),
        ("type (float) and bias type (c10::Half) should be the same", ("float32", "float16"), True),
    ],
)
def test_a_message_that_is_cut_is_recognised(text: str, dtypes: tuple[str, ...], autocast: bool | None) -> None:
    explanation = explain(text)
    assert (explanation.recognised, explanation.dtypes) == (True, dtypes)
    assert {fix.strategy: fix.cures for fix in explanation.fixes}["autocast"] is autocast
