"""A downloaded script, in a folder of its own, with an environment that the lab was installed into."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.requests import result_of
from tests.ui.scripted import MEASURED
from xcomposer_ui.compare.document import document_of_run
from xcomposer_ui.compare.script import script
from xcomposer_ui.core.settings import EMBEDDED_PATH

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not (EMBEDDED_PATH / "config.json").is_file(), reason="the embedded model is not here")
def test_a_script_runs_from_anywhere_once_the_lab_is_installed(tmp_path: Path) -> None:
    """The environment has the lab as `make run` installs it, and the other packages of this one."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (packages / "these.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--no-build-isolation", "-e", ROOT, cwd=tmp_path)
    (tmp_path / "elsewhere").mkdir()
    text = script(document_of_run(result_of("full", MEASURED, text="Who are you?")))
    assert ".venv/bin/python run.py" in text
    (tmp_path / "elsewhere" / "run.py").write_text(text, "utf-8")
    assert run(python, "run.py", cwd=tmp_path / "elsewhere").startswith("full (float32): ")


def test_make_installs_the_lab_itself() -> None:
    assert "--no-deps -e ." in (ROOT / "Makefile").read_text("utf-8")
