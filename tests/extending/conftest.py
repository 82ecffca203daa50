"""A copy of the package to which the steps of CONTRIBUTING's "How to add" are done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mister_e

PACKAGE = Path(mister_e.__file__).parent


class Copy:
    """The package in a folder of its own; the weights of the bundled models are not copied.

    :param folder: where to put it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skipped = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(PACKAGE, folder / "mister_e", ignore=skipped)

    def add(self, path: str, text: str) -> None:
        """Add a file."""
        file = self.folder / "mister_e" / path
        assert not file.exists(), f"{path}: is there already"
        file.write_text(text, encoding="utf-8")

    def edit(self, path: str, *changes: tuple[str, str]) -> None:
        """Put the second of each pair in place of the first, which stands there once."""
        file = self.folder / "mister_e" / path
        text = file.read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, f"{path}: no longer edited at {old!r}: mend CONTRIBUTING.md and this"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")

    def python(self, *words: str | Path) -> str:
        """Run Python with the copy in place of the package; give what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "80"}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path):
    made = Copy(tmp_path / "copy")
    where = made.python("-c", "import mister_e; print(mister_e.__file__)").strip()
    assert Path(where) == made.folder / "mister_e" / "__init__.py"
    return made
