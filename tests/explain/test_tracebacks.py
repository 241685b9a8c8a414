"""Whole pastes: tracebacks, notebooks with colour codes, launchers' output. The message is found, and the place."""

from __future__ import annotations

import html
import json
import re
import textwrap

import pytest

from xcomposer_ui.cli.explain import as_text
from xcomposer_ui.core.messages import worded
from xcomposer_ui.core.result import explanation_as_json
from xcomposer_ui.explain import explain

MESSAGE = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
PLAIN = f"""\
Loading checkpoint shards: 100%|##########| 2/2
Traceback (most recent call last):
  File "/home/me/work/ask.py", line 12, in <module>
    response, history = model.chat(query=text, image=path, tokenizer=tokenizer, history=[])
                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/site-packages/torch/utils/_contextlib.py", line 115, in decorate_context
    return func(*args, **kwargs)
  File "/root/.cache/huggingface/modules/transformers_modules/vl/modeling_internlm_xcomposer2.py", line 155, in img2emb
    img_embeds = self.vision_proj[0](features)
  File "/usr/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1518, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
  File "/usr/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 114, in forward
    return F.linear(input, self.weight, self.bias)
{MESSAGE}
"""
ESC = "\x1b["
NOTEBOOK = f"""\
{ESC}0;31m---------------------------------------------------------------------------{ESC}0m
{ESC}0;31mRuntimeError{ESC}0m                              Traceback (most recent call last)
Cell {ESC}0;32mIn[3], line 2{ESC}0m
{ESC}1;32m      1{ESC}0m text {ESC}38;5;241m={ESC}39m {ESC}38;5;124m"what"{ESC}39m
{ESC}0;32m----> 2{ESC}0m model{ESC}38;5;241m.{ESC}39mchat(query{ESC}38;5;241m={ESC}39mtext)

File {ESC}0;32m~/env/site-packages/torch/nn/modules/linear.py:114{ESC}0m, in {ESC}0;36mLinear.forward{ESC}0;34m(self)
{ESC}1;32m    113{ESC}0m {ESC}38;5;28;01mdef{ESC}39;00m forward(self)
{ESC}0;32m--> 114{ESC}0m     return F.linear(input, self.weight, self.bias)

{ESC}0;31mRuntimeError{ESC}0m: mat1 and mat2 must have the same dtype, but got Float and Half"""
RANKS = "\n".join(f"[rank0]: {line}" for line in PLAIN.splitlines())
LAUNCHER = (
    PLAIN + '\nTraceback (most recent call last):\n  File "/bin/torchrun", line 8, in <module>\n    sys.exit(main())\n'
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \nask.py FAILED"
)
TWO_RANKS = "\n".join(f"[rank{rank}]: {line}" for line in PLAIN.splitlines()[1:] for rank in (0, 1))
JOURNAL = "\n".join(f"Nov 28 10:00:01 gpu1 python[4121]: {line}" for line in PLAIN.splitlines())
JSON_LOG = "\n".join(json.dumps(entry) for entry in ({"message": "started"}, {"level": "error", "exc_info": PLAIN}))
GROUP = (
    "  + Exception Group Traceback (most recent call last):\n"
    '  |   File "/home/me/work/serve.py", line 5, in main\n  |     await tasks\n'
    "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
    "  +-+---------------- 1 ----------------\n"
    + "\n".join(f"    | {line}" for line in PLAIN.splitlines()[1:])
    + "\n    +------------------------------------"
)
CHAINED = (
    PLAIN + "\nDuring handling of the above exception, another exception occurred:\n\n"
    'Traceback (most recent call last):\n  File "/home/me/work/app.py", line 3, in show\n    raise ValueError(error)\n'
    "ValueError: the demo gave no answer"
)
PYTEST = f"""\
    def test_answer():
>       model.chat()

ask.py:12: in test_answer
E       {MESSAGE}

env/site-packages/torch/nn/modules/linear.py:114: RuntimeError"""
RICH = f"""\
╭─────────────── Traceback (most recent call last) ────────────────╮
│ /home/me/work/ask.py:12 in answer                                │
│                                                                  │
│   11 │                                                           │
│ ❱ 12 │   return model.chat(query=text)                           │
╰──────────────────────────────────────────────────────────────────╯
{MESSAGE}"""
IPYNB = json.dumps(
    {"cells": [{"outputs": [{"output_type": "error", "ename": "RuntimeError", "traceback": NOTEBOOK.split("\n")}]}]}
)
IPYNB_PIECE = "\n".join(json.dumps(line + "\n") + "," for line in NOTEBOOK.split("\n"))

HTML = (
    '<div class="output_area"><pre>\n<span class="ansi-red-fg">RuntimeError</span>'
    "                  Traceback (most recent call last)\n"
    'Cell <span class="ansi-green-fg">In[3], line 2</span>\n'
    '<span class="ansi-green-fg">----&gt; 2</span> model.chat()\n\n'
    '<span class="ansi-red-fg">RuntimeError</span>: mat1 and mat2 must have the same dtype, but got <b>Float</b> and '
    "<b>Half</b></pre></div>"
)

PASTES = {
    "a message": MESSAGE,
    "without its class": MESSAGE.partition(": ")[2],
    "wrapped by the terminal": MESSAGE.replace("Float and", "Float\nand"),
    "Windows line ends": PLAIN.replace("\n", "\r\n"),
    "typographic quotes": f"“{MESSAGE}”",
    "in a sentence": f"I followed the README and got `{MESSAGE}` on my laptop, please help",
    "a log line": f"2024-05-24 10:00:00,123 ERROR demo - {MESSAGE.partition(': ')[2]}",
    "a traceback": PLAIN,
    "indented": "\n".join(f"    {line}" for line in PLAIN.splitlines()),
    "quoted": "\n".join(f"> {line}" for line in PLAIN.splitlines()),
    "from a container": "\n".join(f"demo-1  | {line}" for line in PLAIN.splitlines()),
    "several ranks": RANKS,
    "two ranks that write over one another": TWO_RANKS,
    "a journal": JOURNAL,
    "a log in JSON": JSON_LOG,
    "a group of exceptions": GROUP,
    "a launcher": LAUNCHER,
    "chained": CHAINED,
    "a notebook": NOTEBOOK,
    "a notebook whose escapes were lost": NOTEBOOK.replace("\x1b", ""),
    "a notebook file": IPYNB,
    "a piece of a notebook file": IPYNB_PIECE,
    "a notebook's page": HTML,
    "escaped": html.escape(PLAIN, quote=True),
    "pytest": PYTEST,
    "rich": RICH,
    "a very long log": "epoch 1 loss 0.1\n" * 100_000 + PLAIN,
}


def where_in(text: str, language: str = "en") -> str:
    """The place that the explanation of `text` names, in `language`; empty without one."""
    return worded(explain(text).where or "", language)


@pytest.mark.parametrize("text", PASTES.values(), ids=PASTES.keys())
def test_the_message_is_found(text: str) -> None:
    explanation = explain(text)
    assert explanation.family == "matmul_dtype_mismatch"
    assert explanation.dtypes == ("float32", "float16")


@pytest.mark.parametrize(
    "name",
    [
        *("a traceback", "several ranks", "two ranks that write over one another", "a launcher", "chained", "indented"),
        *("a journal", "a log in JSON", "a group of exceptions"),
    ],
)
def test_the_model_s_own_frame_and_the_module_are_named(name: str) -> None:
    where = where_in(PASTES[name])
    assert where.startswith("vl/modeling_internlm_xcomposer2.py, line 155, in img2emb")
    assert "`vision_proj.0` (a Linear layer)" in where
    assert "`img_embeds = self.vision_proj[0](features)`" in where


@pytest.mark.parametrize("name", ["a notebook", "a notebook file", "a notebook whose escapes were lost"])
def test_a_notebook_s_cell_is_named(name: str) -> None:
    where = where_in(PASTES[name])
    assert where.startswith("In[3], line 2")
    assert "model.chat(query=text)" in where


def test_the_guides_of_rich_are_no_part_of_the_code() -> None:
    deeper = RICH.replace("❱ 12 │   return model.chat(query=text)   ", "❱ 12 │   │   return self.vision_proj(feats)")
    linear = "│ /env/site-packages/torch/nn/modules/linear.py:114 in forward      │\n╰──"
    for text, code in (
        (RICH, "return model.chat(query=text)"),
        (deeper.replace("╰──", linear), "return self.vision_proj(feats)"),
    ):
        assert where_in(text).endswith(f": `{code}`.")
    assert "`vision_proj` (a Linear layer)" in where_in(deeper.replace("╰──", linear))


@pytest.mark.parametrize("indent", ["\t", " \t", "  "], ids=["tabs", "a blank and tabs", "blanks"])
def test_a_traceback_may_be_indented_with_tabs(indent: str) -> None:
    lines = (re.sub(r"^(  )+", lambda blanks: indent * (len(blanks[0]) // 2), line) for line in PLAIN.splitlines())
    text = "\n".join(lines)
    assert where_in(text) == where_in(PLAIN)
    assert where_in(textwrap.indent(text, "\t")) == where_in(PLAIN)


@pytest.mark.parametrize("name", ["<module>", "Demo.run.<locals>.<lambda>"])
@pytest.mark.parametrize(
    "frame",
    ['  File "/home/me/ask.py", line 3, in {}', "File ~/me/ask.py:3, in {}(text)"],
    ids=["Python", "IPython"],
)
def test_a_function_s_angle_brackets_are_kept(frame: str, name: str) -> None:
    text = f"Traceback (most recent call last):\n{frame.format(name)}\n    model.chat()\n{MESSAGE}"
    assert where_in(text) == f"me/ask.py, line 3, in {name}: `model.chat()`."
    assert f"（{name}）" in where_in(text, "zh")


def test_a_notebook_s_cell_without_a_name_keeps_its_brackets() -> None:
    text = f"Traceback (most recent call last)\nCell In [4], line 2, in <cell line: 2>()\n{MESSAGE}"
    assert where_in(text).startswith("In [4], line 2, in <cell line: 2>")


def test_two_calls_on_one_line_name_no_module() -> None:
    text = PLAIN.replace("self.vision_proj[0](features)", "self.vision_proj(self.vit(image))")
    where = where_in(text)
    assert "the module" not in where


def test_a_message_alone_has_no_place() -> None:
    assert explain(MESSAGE).where is None


def test_everything_is_said_in_chinese() -> None:
    explanation = explain(PLAIN)
    assert explanation.where is not None
    sentences = [explanation.title, explanation.cause, explanation.where, *(fix.why for fix in explanation.fixes)]
    texts = [worded(sentence, "zh") for sentence in sentences]
    assert all(text and any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in texts)
    assert "float32、float16" in worded(explanation.cause, "zh")
    assert "float32, float16" in worded(explanation.cause, "en")


def test_a_type_in_angle_brackets_is_no_tag() -> None:
    text = "<pre>expected m1 and m2 to have the same dtype, but got: c10::complex<float> != float</pre>"
    assert explain(text).dtypes == ("complex64", "float32")


@pytest.mark.parametrize("text", ["[" * 500_000 + "]" * 500_000, '{"a":' * 5_000 + "1" + "}" * 5_000])
def test_what_is_nested_without_end_is_read_as_text(text: str) -> None:
    assert not explain(text).recognised


@pytest.mark.parametrize("function", ["<module>", "<lambda>", "<listcomp>"])
def test_a_frame_without_a_name_is_called_as_python_calls_it(function: str) -> None:
    pasted = f'Traceback (most recent call last):\n  File "a.py", line 3, in {function}\n    y = a @ b\n{MESSAGE}\n'
    for text in (pasted, html.escape(pasted)):
        assert where_in(text) == f"a.py, line 3, in {function}: `y = a @ b`."
        assert f"（{function}）" in where_in(text, "zh")


def test_the_first_known_error_is_explained_and_later_ones_are_named() -> None:
    traceback = 'Traceback (most recent call last):\n  File "/srv/{0}.py", line 3, in {0}\n    {0}(x)\n{1}\n\n'
    first = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and Half"
    later = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."
    log = "".join(traceback.format(*error) for error in (("load", first), ("retry", first), ("serve", later)))
    found = explain(log)
    assert found.family == explain(first).family
    assert found.also == (explain(later).title,)
    assert explain(first).also == ()
    assert explanation_as_json(found)["also"] == [str(explain(later).title)]
    assert str(explain(later).title) in as_text(found)
