"""Files that cannot be written: a sentence, and what was there stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xcomposer_ui.core.errors import UserError
from xcomposer_ui.core.files import append_whole, write_whole

ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from xcomposer_ui.core import files
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # no file may grow beyond that, as on a full disk
try:
    getattr(files, sys.argv[1])(Path(sys.argv[2]), "x" * 6000)
except files.UserError as error:
    sys.exit(str(error))
"""


def left_by(kind: str, file: Path) -> tuple[str, str]:
    """(what is said, what `file` holds) after writing more than fits on the disk."""
    file.write_text("before\n")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, kind, str(file)], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.stderr.strip(), file.read_text()


@pytest.mark.parametrize("kind", ["write_whole", "append_whole"])
def test_on_a_full_disk_the_file_stays_as_it_was(kind: str, tmp_path: Path) -> None:
    said, content = left_by(kind, tmp_path / "out.csv")
    assert said.startswith("The file out.csv cannot be written") and "\n" not in said
    assert content == "before\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.csv"]


def test_what_fits_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "out"
    append_whole(file, "图\u2028\n")
    append_whole(file, "b\r\n")
    assert file.read_bytes() == "图\u2028\nb\r\n".encode()
    write_whole(file, "c\n")
    assert file.read_bytes() == b"c\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write into any folder")
def test_in_a_read_only_folder_it_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    tmp_path.chmod(0o500)
    for write in (write_whole, append_whole):
        with pytest.raises(UserError, match="cannot be written"):
            write(tmp_path / "new", "x")
    assert (tmp_path / "out").read_text() == "before"
    tmp_path.chmod(0o700)
