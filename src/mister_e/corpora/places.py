"""Checks of the output folder: it must not touch the source, and one run writes at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mister_e.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: two runs into one folder are not told apart there
    fcntl = None  # type: ignore[assignment]


def check_places(src: Path, out: Path) -> None:
    """Check that the source exists and that the output folder cannot touch it; nothing is created yet.

    :raises InputError: the source is missing, or the output is inside or around it, or cannot be made.
    """
    if not src.exists():
        raise InputError(f"{src}: no such file or folder; check the path")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected the folder to write the corpus into")
    source, target = src.resolve(), out.resolve()
    if src.is_dir() and target.is_relative_to(source):
        raise InputError(f"{out}: lies inside {src}, which stays untouched; choose a folder outside of it")
    if source.is_relative_to(target):
        raise InputError(f"{out}: holds {src}, which stays untouched; choose a folder of its own")
    above = next(path for path in (target, *target.parents) if path.exists())
    if not above.is_dir():
        raise InputError(f"{out}: cannot be made ({above} is a file); choose another folder")
    if not os.access(above, os.W_OK):
        raise InputError(f"{out}: may not be written; choose another folder")


def check_untouched(out: Path, sources: Iterable[Path], targets: Iterable[Path]) -> None:
    """Check that the output neither holds a source file nor links to one.

    :param out: the corpus folder.
    :param sources: the files that are read.
    :param targets: the files that are to be written.
    :raises InputError: naming the first such file.
    """
    folder = out.resolve()
    kept = {os.path.realpath(source) for source in sources}
    for source in kept:
        if Path(source).is_relative_to(folder):
            raise InputError(f"{out}: holds {source}, which stays untouched; choose a folder of its own")
    for target in targets:
        if os.path.lexists(target) and os.path.realpath(target) in kept:
            raise InputError(f"{target}: is a link to a file of the source; remove it, then run again")


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Create the corpus folder, and lock it against other runs.

    :raises InputError: it cannot be made, or another run writes there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); choose another folder") from error
    if fcntl is None:
        yield
        return
    # the folder itself is locked: no file is left, and a run that was killed holds nothing
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise InputError(f"{out}: another prepare is writing here; wait for it, or choose another") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)
