"""Finding the parts of a raw release, whichever of its folders was named."""

from __future__ import annotations

from pathlib import Path

from mister_e.corpora.extraction.archives import is_litter
from mister_e.errors import InputError

_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar")


def locate(src: Path, part: str, release: str) -> Path:
    """Find a part of a release in the folder given or up to two folders down.

    :param src: the folder that was given.
    :param part: path of a file or folder inside the release; may hold wildcards.
    :param release: what the release is called, for the message.
    :return: the part; of several the first by name, nearest first.
    :raises InputError: it is not there; says what was found and whether an archive waits to be extracted.
    """
    if not src.is_dir():
        what = "is a file" if src.exists() else "does not exist"
        raise InputError(f"{src}: {what}, expected the folder of {release}")
    for depth in range(3):
        found = sorted(path for path in src.glob("*/" * depth + part) if not is_litter(path.name))
        if found:
            return found[0]
    names = sorted(path.name for path in src.iterdir() if not is_litter(path.name))
    archives = [name for name in names if name.lower().endswith(_ARCHIVES)]
    if archives:
        way = f"found {archives[0]}: extract it, and name the folder that it makes"
    else:
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "") or "nothing"
        way = f"found {listed}; name the folder that the archive of {release} makes"
    raise InputError(f"{src}: expected {part} of {release}; {way}")


def folder(path: Path, release: str) -> Path:
    """Insist on a folder that a whole release has.

    :raises InputError: it is missing or empty.
    """
    if not path.is_dir() or next(path.iterdir(), None) is None:
        state = "is empty" if path.is_dir() else "is missing"
        raise InputError(f"{path}: {state}; the release of {release} is half extracted, extract it again")
    return path
