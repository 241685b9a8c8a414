"""What the table must not claim to know."""

from __future__ import annotations

import pytest

from xcomposer_ui.explain import explain

NEAR_MISSES = [
    "",
    "   \n\t",
    "KeyError: 'type'",
    "KeyError: 'dtype'",
    "ZeroDivisionError: division by zero",
    "RuntimeError",
    "NotImplementedError",
    "NotImplementedError: Half a sandwich is not implemented",
    "hello, my model is slow",
    "My float16 model and the float32 picture do not have the same dtype. What shall I do?",
    "In PyTorch mat1 and mat2 must have the same dtype, so cast one of them first.",
    "mat1 and mat2 must have the same dtype, but got it to work in the end",
    "mat1 and mat2 must have",
    "must have the same dtype, but got Float and Half",
    "same dtype, but got Float and Half",
    "expected scalar type Float but found B",
    "We use Half and Float and BFloat16 here, and torch.float16 there.",
    "The expected scalar type of this column is Float but someone found Half a value.",
    "int float long double half",
    "I ran out of memory yesterday, and my GPU was full",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (5) at non-singleton dimension 3",
    "RuntimeError: The size of tensor a (1377) must match the size of tensor b (1376) at non-singleton dimension 1",
    "RuntimeError: CUDA error: device-side assert triggered",
    "RuntimeError: shape '[1, 2]' is invalid for input of size 3",
    "AttributeError: 'NoneType' object has no attribute 'shape'",
    "AttributeError: 'Foo' object has no attribute 'generate'",
    "ModuleNotFoundError: No module named 'pandas'",
    "TypeError: forward() got an unexpected keyword argument 'dtype'",
    "ValueError: too many values to unpack (expected 2)",
    "IndexError: list index out of range",
    "IndexError: index out of range in self",
    "OSError: [Errno 28] No space left on device",
    "RuntimeError: Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
    "assert model.dtype == torch.float16",
    "TypeError: expected type float but got int",
    "NotImplementedError: to_half is not implemented for type Model",
    "save_video is not implemented for Windows",
    "'type'",
    "我的模型是 float16，图片是 float32，怎么办？",
    "モデルは float16 で、画像は float32 です。",
    "Модель в float16, а картинка в float32: что делать?",
    "El modelo está en float16 y la imagen en float32, ¿qué hago?",
    '{"dtype": "float16", "image": "float32"}',
    '{"error": {"code": 500, "message": "Internal Server Error"}}',
    "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "RuntimeError: Sizes of tensors must match except in dimension 1. Expected size 4 but got size 5",
    "RuntimeError: einsum(): subscript i has size 3 for operand 1 which does not broadcast with previously seen size 2",
    "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 1] to have 3 channels, but got 1",
    "RuntimeError: stack expects each tensor to be equal size, but got [3] at entry 0 and [4] at entry 1",
    "RuntimeError: Trying to backward through the graph a second time",
    "RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.",
    "RuntimeError: DataLoader worker (pid 12) is killed by signal: Killed.",
    "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:1275, internal error",
    "torch.distributed.DistBackendError: NCCL error: remote process exited or there was a network error",
    "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "RuntimeError: Function AddBackward0 returned an invalid gradient at index 1 - got [2] but expected shape [3]",
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    "ValueError: operands could not be broadcast together with shapes (3,4) (4,3)",
    "ValueError: setting an array element with a sequence.",
    "numpy.linalg.LinAlgError: Singular matrix",
    "TypeError: unsupported operand type(s) for +: 'float' and 'str'",
    "TypeError: 'float' object is not subscriptable",
    "TypeError: must be real number, not Tensor",
    "ValueError: could not convert string to float: 'half'",
    "AssertionError: expected float, found half",
    "AssertionError: loss did not decrease",
    "assert x.dtype == y.dtype, (x.dtype, y.dtype)",
    "FileNotFoundError: [Errno 2] No such file or directory: 'float16.bin'",
    "PermissionError: [Errno 13] Permission denied: '/root/.cache'",
    "ImportError: libcudnn.so.8: cannot open shared object file",
    "ImportError: cannot import name 'load' from 'yaml' (/x/yaml/__init__.py)",
    "BrokenPipeError: [Errno 32] Broken pipe",
    "KeyboardInterrupt",
    "TimeoutError: The read operation timed out",
    "requests.exceptions.SSLError: HTTPSConnectionPool(host='example.org', port=443)",
    "gradio.exceptions.Error: 'This is taking too long'",
    "warning: float16 weights are large, consider bfloat16",
    "INFO: casting model to float16 and moving to cuda:0",
    "UserWarning: To copy construct from a tensor, it is recommended to use sourceTensor.clone().detach()",
    "float != double in C, and int != float in Python",
    "1 failed, 3 passed: test_half_and_float",
    "loss: nan accuracy: 0.1",
    "half of the float32 tests pass, and the bfloat16 ones are skipped",
    "RuntimeError: The size of tensor a (64) must match the size of tensor b (65) at non-singleton dimension 3",
    "RuntimeError: The size of tensor a (1025) must match the size of tensor b (1024) at non-singleton dimension 3",
    "RuntimeError: Error(s) in loading state_dict for BertModel:\n\tsize mismatch for "
    "bert.embeddings.position_embeddings.weight: copying a param with shape torch.Size([1024, 768]) from checkpoint",
    "size mismatch for text_model.embeddings.position_embedding.weight: copying a param with shape torch.Size([77, 8])",
    "I read that FlashAttention only supports fp16 and bf16, so I use SDPA. My model trains fine. How do I plot it?",
    "FlashAttention only supports fp16 and bf16 data types, so I use SDPA. How do I plot the loss?",
    "bf16 is not supported on V100, but I have an A100. My loss curve looks strange, what can it be?",
    "bf16 is not supported on V100. I have an A100. My loss curve looks strange, what can it be?",
    "The docs say that torch.linalg.eig does not support complex inputs under vmap, is that so?",
    "torch.linalg.eig does not support complex inputs under vmap, is that so?",
    "It does not support complex inputs.",
    "Our firewall: outgoing traffic has been disabled by the administrator since Monday",
    "ls: no file named cat.png in this folder",
    "OSError: There is no file named settings.yaml",
    "AttributeError: 'BertTokenizer' object has no attribute 'vocab'",
    "AttributeError: 'MyTokenizer' object has no attribute 'tokenizer'",
    "OutOfMemoryError: Java heap space",
    "java.lang.OutOfMemoryError: GC overhead limit exceeded",
]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_not_recognised(text: str) -> None:
    explanation = explain(text)
    assert not explanation.recognised
    assert (explanation.family, explanation.dtypes, explanation.fixes) == (None, (), ())
    assert "traceback" in str(explanation.cause)


def test_a_message_in_a_source_line_is_not_the_error() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/home/me/a.py", line 3, in check\n'
        "    assert message == 'mat1 and mat2 must have the same dtype, but got Float and Half'\n"
        "ZeroDivisionError: division by zero\n"
    )
    explanation = explain(text)
    assert not explanation.recognised
    assert explanation.where is not None
    assert "me/a.py, line 3, in check" in str(explanation.where)


def test_an_earlier_unrelated_traceback_is_not_the_error() -> None:
    first = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\n'
    text = (
        f"{first}RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half\n\nfixed that, then:\n\n"
        f"{first}ZeroDivisionError: division by zero"
    )
    assert not explain(text).recognised
