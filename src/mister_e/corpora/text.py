"""Text of old archives, read whatever its encoding, with the damage mended."""

from __future__ import annotations

from pathlib import Path

#: C1 control characters never stand in a text: they are Windows-1252 bytes taken for Latin-1.
_WINDOWS = {
    code: bytes([code]).decode("cp1252", errors="ignore") or None  # five bytes mean nothing there
    for code in range(0x80, 0xA0)
}
_MENDED = {**_WINDOWS, 0xA0: " ", 0xFEFF: None}


def mend(text: str) -> str:
    """Give Windows-1252 code points their meaning, and drop what no text needs.

    :param text: as it was decoded.
    :return: with real quotes, dashes and dots, plain spaces, and none around it.
    """
    return text.translate(_MENDED).strip()


def decode(data: bytes) -> str:
    """Text of a file in UTF-8 or, failing that, in Latin-1 or Windows-1252 (`mend` makes them one)."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_text(path: Path) -> str:
    """Read a text file of any of these encodings."""
    return decode(path.read_bytes())
