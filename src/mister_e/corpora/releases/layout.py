"""Search for the parts of a raw release, whichever of its folders the user gave."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mister_e.corpora.base import Row
from mister_e.corpora.extraction.archives import is_litter
from mister_e.errors import InputError

_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar")

#: A release that lacks more clips or transcripts than this was not fully extracted.
_STRAY = 10


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
    found = find(src, part)
    if found is not None:
        return found
    names = sorted(path.name for path in src.iterdir() if not is_litter(path.name))
    archives = [name for name in names if name.lower().endswith(_ARCHIVES)]
    if archives:
        way = f"found {archives[0]}: extract it, and name the folder that it makes"
    else:
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "") or "nothing"
        way = f"found {listed}; name the folder that the archive of {release} makes"
    raise InputError(f"{src}: expected {part} of {release}; {way}")


def find(src: Path, part: str) -> Path | None:
    """Find a part as `locate` does; None = it is not there."""
    for depth in range(3):
        found = sorted(path for path in src.glob("*/" * depth + part) if not is_litter(path.name))
        if found:
            return found[0]
    return None


def folder(path: Path, release: str) -> Path:
    """Check that a folder of the release exists and is not empty.

    :raises InputError: it is missing or empty.
    """
    if not path.is_dir() or all(is_litter(entry.name) for entry in path.iterdir()):
        state = "is empty" if path.is_dir() else "is missing"
        raise InputError(f"{path}: {state}; the release of {release} is half extracted, extract it again")
    return path


def check_whole(place: Path, what: str, lost: Sequence[str], total: int) -> None:
    """Check that a release was fully extracted.

    :param place: what is named as half extracted.
    :param what: the parts that are counted, such as "clips".
    :param lost: names of those missing, without the ones that the release itself is known to lack.
    :param total: how many there should be.
    :raises InputError: more are missing than a stray few.
    """
    if len(lost) > _STRAY:
        raise InputError(
            f"{place}: half extracted: {len(lost):,} of {total:,} {what} are missing, the first: {lost[0]};"
            " extract its archive again, to the end"
        )


def check_rows_whole(
    place: Path, rows: Sequence[Row], repairs: list[str], known: Collection[str] = ()
) -> None:
    """Apply `check_whole` to clips and words of a release; without a single clip it is text alone.

    :param place: what is named as half extracted.
    :param rows: all of the release.
    :param repairs: a release without clips is noted here.
    :param known: ids of turns whose clip the release itself lacks.
    :raises InputError: it was extracted halfway.
    """
    without = [row.utterance_id for row in rows if row.audio is None and row.utterance_id not in known]
    if any(row.audio is not None for row in rows):
        check_whole(place, "clips", without, len(rows))
    elif rows:
        repairs.append(f"NOT ONE CLIP was found; all {len(rows):,} turns are text alone")
    check_whole(place, "turns' words", [row.utterance_id for row in rows if row.text is None], len(rows))
