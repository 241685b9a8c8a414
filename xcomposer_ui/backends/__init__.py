"""Who answers: loads models, applies strategies, measures. torch lives here, gradio never does."""

import os

# Both are read when torch is loaded. Reading the allocator's events (`memory.py`) makes its profiler print a line a
# run, and a warning that operations are missing from the record, which is what was asked for.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
