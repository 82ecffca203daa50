"""Writing files whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mister_e.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed onto it when the block ends well.

    Whatever interrupts the block (an error, Ctrl-C, kill), `path` stays as it was. A symbolic link
    stays one: the file that it points to is replaced. What is no regular file (a pipe, a device)
    cannot be replaced without destroying it: the block is given `path` itself to write to.

    :param path: the file to make or to replace.
    :raises InputError: the folder is missing or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    if is_special(path):
        try:
            yield path
        except OSError as error:
            raise _refused(path, error) from error
        return
    temporary = _temporary(path, path.resolve())
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path.resolve())
    finally:
        temporary.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: a pipe, a device, a socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _temporary(path: Path, target: Path) -> Path:
    """Make an empty file beside the target; errors name the path that was asked for."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except FileNotFoundError:
        raise InputError(f"{path}: the folder {target.parent} does not exist; make it first") from None
    except OSError as error:
        raise _refused(path, error) from error
    os.close(handle)
    return Path(name)


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot write there ({error.strerror}); choose another output")


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
