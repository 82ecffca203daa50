"""What a recording's own bytes say of its length, where FFmpeg does not tell: wrong and cut-off files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

#: Bytes at the end of a file that hold the last page of Ogg, which has at most 65,307.
_TAIL = 1 << 17
#: Bytes at the start of a file that hold the first frame of MP3, behind its tags.
_HEAD = 1 << 16
#: A difference of sizes (bytes) that is no fault: padding, and a last block.
_SLACK = 1024


def ignores_length(file: BinaryIO) -> bool:
    """Tell whether the data chunk of a WAV says less than the file holds, so that it has to be ignored.

    A recorder that stops without closing its file leaves a length of 0, or that of its last save. What
    follows the data of a good file are other chunks, each with a name of four letters.

    :param file: at any position, which is changed.
    """
    size = file.seek(0, os.SEEK_END)
    found = _data_chunk(file)
    if found is None:
        return False
    start, length = found
    # some writers forget the byte that makes an odd length even
    ends = {start + length, start + length + length % 2}
    return size - max(ends) > _SLACK and not any(_is_chunk(file, end, size) for end in ends)


def _is_chunk(file: BinaryIO, place: int, size: int) -> bool:
    """Tell whether a chunk of RIFF, or a tag of MP3, begins at a place."""
    file.seek(place)
    head = file.read(8)
    name, length = head[:4], int.from_bytes(head[4:], "little")
    if name[:3] in (b"ID3", b"TAG"):
        return True
    return name.isascii() and name.decode("ascii").isprintable() and place + 8 + length <= size + 1


def _data_chunk(file: BinaryIO) -> tuple[int, int] | None:
    """Start and stated length of the data of a WAV; None = no WAV, or without data."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return file.tell(), length
        file.seek(length + length % 2, os.SEEK_CUR)
    return None


def length_note(path: str | Path) -> str | None:
    """Say where the length that a recording states is not that of its file.

    :param path: a regular file.
    :return: a sentence; None = nothing is known to be wrong.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if ignores_length(file):
            return "the header says less sound than the file holds; all of it was read"
        if (found := _data_chunk(file)) is not None:
            start, length = found
            # recorders that cannot go back write 0 or the highest number
            if length not in (0, 0xFFFFFFFF) and start + length > size + _SLACK:
                return _cut(f"the header says {length:,} bytes of sound, the file has {size - start:,}")
            return None
        file.seek(0)
        head = file.read(_HEAD)
        if head[:4] == b"OggS":
            return _ogg_note(file, size)
        return _mp3_note(head, size)


def _cut(what: str) -> str:
    return f"{what}; it may be cut off"


def _ogg_note(file: BinaryIO, size: int) -> str | None:
    """The last page of an Ogg has a mark."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    place = tail.rfind(b"OggS")
    if place < 0 or len(tail) < place + 27:
        return _cut("the file ends in the middle of a page")
    segments = tail[place + 26]
    table = tail[place + 27 : place + 27 + segments]
    if len(tail) < place + 27 + segments + sum(table):
        return _cut("the file ends in the middle of a page")
    return None if tail[place + 5] & 4 else _cut("the file ends without its end mark")


def _mp3_note(head: bytes, size: int) -> str | None:
    """The first frame of an MP3 may state the bytes of all: `Xing` (or `Info`), flags, frames, bytes."""
    tag = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        tag = 10 + sum((byte & 0x7F) << (7 * power) for power, byte in enumerate(reversed(head[6:10])))
    frame = head[tag : tag + 256]
    if len(frame) < 2 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0:
        return None
    flags = int.from_bytes(frame[place + 4 : place + 8], "big")
    if flags & 3 != 3:  # frames and bytes are both told
        return None
    stated = int.from_bytes(frame[place + 12 : place + 16], "big")
    if tag + stated > size + _SLACK:
        return _cut(f"the header says {stated:,} bytes, the file has {size - tag:,}")
    return None
