"""Weights in another form than they come in: made once, in the user's cache."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from mister_e.errors import InputError
from mister_e.files import sha256, write_text
from mister_e.pretrained.model_files import read_json

_HASHES = "sha256.json"
#: Of a folder that cannot be made or written.
_UNWRITABLE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT),
}


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Find a folder of weights in the cache, or make it; what is damaged is made again.

    One process makes it at a time, so that what others left half done can be told and is removed.

    :param target: the folder.
    :param make: fills a new folder, which becomes `target` when it is done.
    :return: `target`, its files as they were made.
    :raises InputError: it is not there, and the cache cannot be written.
    """
    if _is_whole(target):
        return target
    prefix = f".{target.name}-"
    with _writing(target), FileLock(target.parent / f"{target.name}.lock"):
        for leftover in target.parent.glob(f"{prefix}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if _is_whole(target):  # another process was faster
            return target
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        try:
            new = work / "new"
            new.mkdir()
            make(new)
            write_hashes(new)
            if target.exists():
                target.rename(work / "damaged")
            new.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Make the folder of a target, and say what to do where that or a file in it cannot be written."""
    made = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = True
        yield
    except OSError as error:
        if made and error.errno not in _UNWRITABLE:
            raise
        raise InputError(
            f"{target.parent}: weights cannot be kept there ({error.strerror}); make room and let it be"
            " written, or set MISTER_E_CACHE to a folder that can be"
        ) from error


def write_hashes(folder: Path) -> None:
    """Write what the files of a folder are compared with when it is found again."""
    hashes = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != _HASHES}
    write_text(folder / _HASHES, json.dumps(hashes, indent=2) + "\n")


def _is_whole(folder: Path) -> bool:
    """Tell whether all files are there, and as they were written."""
    with suppress(OSError, InputError, TypeError):
        hashes = read_json(folder / _HASHES)
        return bool(hashes) and all(sha256(folder / name) == known for name, known in hashes.items())
    return False
