"""What holds for every test: no network, nothing from the shell that they were started in, one thread for torch."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

# Read when the libraries are first imported, so they are set here, before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# A page that ends deletes its uploads, which another run of the tests beside this one may have uploaded too.
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="lab-uploads-")
atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

# The tests' models are small: a second thread makes them no faster, and on a busy machine it makes them several times
# slower, as each operation waits for a thread that has no processor. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

READ_BY_SETTINGS = ("XCOMPOSER_", "SPACE_ID", "SPACES_", "GRADIO_SERVER_")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what `settings_from` would read: a developer's XCOMPOSER_MODEL must not decide a test."""
    for name in list(os.environ):
        if name.startswith(READ_BY_SETTINGS):
            monkeypatch.delenv(name)
