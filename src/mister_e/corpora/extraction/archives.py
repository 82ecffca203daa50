"""Clips inside a `.tar.gz`: listed and read in one pass, without unpacking the archive."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mister_e.errors import InputError

#: Separator between the path of an archive and that of a member in it.
INSIDE = "::"


def is_archive(name: str) -> bool:
    """Whether a file name is that of an archive."""
    return name.lower().endswith((".tar.gz", ".tgz", ".tar"))


def is_litter(path: str) -> bool:
    """Whether a path is metadata of macOS: a `._name` twin, or in a `__MACOSX` folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and (parts[-1].startswith("._") or "__MACOSX" in parts)


def members(archive: Path) -> list[str]:
    """Names of the files in an archive, in its order.

    :raises InputError: it is damaged or cut off.
    """
    with _opened(archive) as tar:
        return [member.name for member in tar if member.isfile() and not is_litter(member.name)]


def stream(archive: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Read members in the order of the archive.

    :param archive: the file.
    :param wanted: names of members; reading ends at the last of them.
    :return: name and content, one at a time.
    :raises InputError: it is damaged or cut off, or lacks one of them.
    """
    missing = set(wanted)
    with _opened(archive) as tar:
        for member in tar:
            if member.name not in missing:
                continue
            missing.discard(member.name)
            content = tar.extractfile(member)
            if content is not None:
                yield member.name, content.read()
            if not missing:
                return
    if missing:
        raise InputError(f"{archive}: has no member {min(missing)}")


def hashes(archive: Path, patterns: Collection[str]) -> Iterator[tuple[str, str]]:
    """Hash members by the pattern of their file name.

    :return: name and SHA-256 of each such member.
    :raises InputError: it is damaged or cut off.
    """
    with _opened(archive) as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            if is_litter(member.name) or not any(fnmatchcase(name, pattern) for pattern in patterns):
                continue
            content = tar.extractfile(member)
            if content is not None:
                yield member.name, hashlib.sha256(content.read()).hexdigest()


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive for one pass; InputError for one that is damaged."""
    try:
        with tarfile.open(archive, mode="r|*") as tar:
            yield tar
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"{archive}: is damaged or cut off ({error}); download it again and compare its size"
        ) from error
