"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mister_e.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed onto it when the block ends well.

    Whatever interrupts the block (an error, Ctrl-C, kill), `path` stays as it was.

    :param path: the file to make or to replace.
    :raises InputError: the folder is missing or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except FileNotFoundError:
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot write there ({error.strerror}); choose another output") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
