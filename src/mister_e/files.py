"""Files: written atomically, and hashed."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mister_e.errors import InputError

#: Halves of characters, which no Unicode encoding can write; names of files that are not UTF-8 hold some.
_HALF = re.compile("[\ud800-\udfff]")


def readable(name: str) -> str:
    r"""Name of a file as text that can be written: bytes that are not UTF-8 as `\xe9`.

    :param name: as `os.fsdecode` gives it.
    """
    return _HALF.sub(
        lambda half: f"\\x{ord(half[0]) - 0xDC00:02x}" if "\udc80" <= half[0] <= "\udcff" else "\ufffd", name
    )


def writable(text: str) -> str:
    """Text with U+FFFD in place of what no Unicode encoding can write."""
    return _HALF.sub("\ufffd", text)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` when the block ends without an error.

    Whatever interrupts the block (an error, Ctrl-C, kill), `path` stays as it was. A symbolic link
    stays a link: the file that it points to is replaced. A pipe or a device cannot be replaced by a
    rename: there the block gets `path` itself to write to.

    :param path: the file to create or to replace.
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
    """Whether `path` exists and is neither a file nor a folder: a pipe, a device, a socket."""
    return path.exists() and not path.is_file() and not path.is_dir()


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with the line ends of Unix atomically, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(writable(text), encoding="utf-8", newline="\n")


def _temporary(path: Path, target: Path) -> Path:
    """Create an empty file beside the target; errors name `path`, as the caller gave it."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=".part", dir=target.parent)
    except FileNotFoundError:
        raise InputError(f"{path}: the folder {target.parent} does not exist; make it first") from None
    except OSError as error:
        raise _refused(path, error) from error
    os.close(handle)
    return Path(name)


def _refused(path: Path, error: OSError) -> InputError:
    """Make the error for a path that cannot be written."""
    return InputError(f"{path}: cannot write there ({error.strerror}); choose another output")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
