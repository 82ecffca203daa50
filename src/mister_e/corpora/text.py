"""Text of old archives: decoding of mixed encodings, and repair of wrongly decoded text."""

from __future__ import annotations

import re
from pathlib import Path

#: C1 control characters never stand in a text: they are Windows-1252 bytes taken for Latin-1.
_WINDOWS = {
    code: bytes([code]).decode("cp1252", errors="ignore") or None  # five bytes mean nothing there
    for code in range(0x80, 0xA0)
}
_MENDED = {**_WINDOWS, 0xA0: " ", 0xFEFF: None}

#: Character to the one byte it is in Windows-1252, as a Latin-1 character; C1 controls stand for themselves.
_BYTES = {ord(letter): code for code, letter in _WINDOWS.items() if letter is not None}

#: What Windows-1252 can write; anything else was not misread from it, and ends a run.
_RUN = re.compile(f"[\\x00-\\xff{''.join(map(chr, _BYTES))}]+")

_BOM = b"\xef\xbb\xbf"

#: Characters without width: they say nothing by themselves.
ZERO_WIDTH = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


def mend(text: str) -> str:
    """Repair a text: undo UTF-8 read as Windows-1252, map Windows-1252 control codes, strip spaces.

    :param text: as it was decoded.
    :return: the text with the letters, quotes and dashes that were meant, without spaces around it.
    """
    # unscrambling comes first: it needs the code points that are mapped after it
    return unscrambled(text).translate(_MENDED).strip()


def unscrambled(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252 or Latin-1, such as "Ã©" for "é".

    :return: each run of Windows-1252 as it was meant, or unchanged where it is not of that kind.
    """
    return text if text.isascii() else _RUN.sub(_as_utf8, text)


def decode(data: bytes) -> str:
    """Decode a file line by line: as UTF-8, or where that fails as Windows-1252."""
    return "".join(map(_decoded, data.removeprefix(_BOM).splitlines(keepends=True)))


def lines(path: Path) -> list[str]:
    """Read the mended lines of a text file.

    They end at CR, LF or both, and at none of the other code points where Unicode ends a line: byte 85 of
    these files is an ellipsis.
    """
    return [mend(_decoded(line)) for line in path.read_bytes().removeprefix(_BOM).splitlines()]


def _decoded(line: bytes) -> str:
    """Decode one line; `mend` maps the codes in which Latin-1 and Windows-1252 differ."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _as_utf8(run: re.Match[str]) -> str:
    """Encode a run as Windows-1252 and decode it as UTF-8, if that is possible."""
    try:
        return run[0].translate(_BYTES).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return run[0]
