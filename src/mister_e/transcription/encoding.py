"""Transcript files as text, whatever they are encoded in."""

from __future__ import annotations

from pathlib import Path

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults

#: The words of a week are less; JSON of this size needs about 1 GB of memory.
MOST_BYTES = 64 * 2**20

# the longer mark first: UTF-16's is the beginning of UTF-32's
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_LONE = "\ufffd"


def read_text(path: Path, faults: Faults, *, noun: str = "transcript") -> str:
    """Text of a file, its lines ending in a newline.

    UTF-8, UTF-16 or UTF-32 with its mark, UTF-16 without, or else Windows-1252. In a file that is UTF-8
    but for some bytes, these become �.

    :param faults: told of bytes that were replaced.
    :param noun: what the file is, for errors.
    :raises InputError: the file cannot be read, is too large, or is not text.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no such file; check the path of the {noun}") from None
    except IsADirectoryError:
        raise InputError(f"is a folder, expected a {noun}") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"cannot be read ({error}); check the path of the {noun}") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"is larger than {MOST_BYTES >> 20} MB; cut the {noun} into parts")
    if data.startswith(b"ooBinaryFile"):
        raise InputError("is a binary file of Praat; save it as text")
    text = _decoded(data, faults)
    if "\0" in text:
        raise InputError(f"is not text; expected a {noun}")
    # two marks stand where files were joined
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def without_lone_surrogates(text: str) -> str:
    r"""Replace halves of characters, as JSON's `\ud83d` alone is, by �; what follows is the same."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _decoded(data: bytes, faults: Faults) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    start = data[:400]
    for high, low, encoding in (
        (start[1::2], start[::2], "utf-16-le"),
        (start[::2], start[1::2], "utf-16-be"),
    ):
        # letters of Europe have a high byte of 0, and never a low one
        if low and high.count(0) > len(high) / 2 and not low.count(0):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", errors="replace")
    replaced = text.count(_LONE)
    if sum(not character.isascii() for character in text) > 2 * replaced:
        faults.remark(f"bytes that are not UTF-8 were replaced by {_LONE} in {replaced} places")
        return text
    faults.remark("has bytes that are not UTF-8, read as Windows-1252; save it as UTF-8 if that is wrong")
    return data.decode("cp1252", errors="replace")
