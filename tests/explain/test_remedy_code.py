"""The code of the remedies, executed: it answers where the same call without it raises the error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from xcomposer_ui.core.settings import EMBEDDED_PATH
from xcomposer_ui.core.strategies import STRATEGIES
from xcomposer_ui.explain import explain
from xcomposer_ui.explain.remedy_code import PICTURE, PUBLISHED, remedy_code

MISMATCH = "RuntimeError: mat1 and mat2 must have the same dtype, but got Float and {half}"


def executed(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`code` as a script in `folder`, beside a picture, with the package on its path."""
    Image.new("RGB", (64, 48), "#d62828").save(folder / PICTURE)
    (folder / "remedy.py").write_text(code, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", f"import sys, runpy; sys.path.insert(0, {root!r}); runpy.run_path('remedy.py')"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not (EMBEDDED_PATH / "config.json").is_file(), reason="the embedded model is not here")
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "as_is"])
def test_the_code_of_a_remedy_answers(strategy: str, half: str, tmp_path: Path) -> None:
    ran = executed(remedy_code(STRATEGIES[strategy], half, "embedded", "cpu"), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not (EMBEDDED_PATH / "config.json").is_file(), reason="the embedded model is not here")
def test_the_same_code_without_the_remedy_raises_the_error(tmp_path: Path) -> None:
    ran = executed(remedy_code(STRATEGIES["as_is"], "float16", "embedded", "cpu"), tmp_path)
    assert ran.returncode == 1
    assert MISMATCH.format(half="Half") in ran.stderr
    text_only = remedy_code(STRATEGIES["as_is"], "float16", "embedded", "cpu", with_picture=False)
    assert executed(text_only, tmp_path).returncode == 0


@pytest.mark.parametrize(("half", "spelt"), [("float16", "Half"), ("bfloat16", "BFloat16")])
def test_a_pasted_error_gets_code_in_its_own_half_type_for_what_may_cure_it(half: str, spelt: str) -> None:
    explanation = explain(MISMATCH.format(half=spelt))
    code = {fix.strategy: fix.code for fix in explanation.fixes}
    assert code["as_is"] is None
    assert f'torch.autocast("cuda", torch.{half})' in (code["autocast"] or "")
    assert f".to(torch.{half})" in (code["unified"] or "")
    assert "dtype=torch.float32" in (code["full"] or "") and half not in (code["full"] or "")
    assert all(PUBLISHED in found for found in code.values() if found)


def test_a_name_is_a_literal_and_never_code() -> None:
    hostile = "x'); import os; os.system('true') #"
    assert f"checkpoint = {hostile!r}" in remedy_code(STRATEGIES["full"], model=hostile)


@pytest.mark.parametrize(
    ("text", "clash"),
    [
        (MISMATCH.format(half="Half"), True),
        ("RuntimeError: expected scalar type Float but found Half", True),
        ("FlashAttention only support fp16 and bf16 data type", False),
        ("RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'", False),
        ("TypeError: Got unsupported ScalarType BFloat16", False),
    ],
)
def test_only_dtypes_that_meet_in_one_operation_clash(text: str, clash: bool) -> None:
    assert explain(text).clash is clash
