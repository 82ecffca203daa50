"""Reader of plain text: a line is a turn; lines that only say who speaks, and when, are no words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mister_e.transcription.readers.rows import Row

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?\s?(?:[AaPp]\.?[Mm]\.?)?"
_TIME = rf"[\[(]?{_CLOCK}[\])]?"
# "Mara Quill  0:03" of Otter and Teams, "[Mara Quill] 10:15:01" of Zoom, "Speaker 1 (00:03):" of Rev
_HEADS = (
    re.compile(rf"[^\s\[(].{{0,60}}?(?: {{2,4}}|\t){_TIME}:?"),
    re.compile(rf"\[[^\[\]]{{1,60}}\]\s{{0,3}}{_TIME}:?"),
    re.compile(rf"[^\s\[(].{{0,60}}? ?\({_CLOCK}\):?"),
    re.compile(rf"{_TIME}(?:\s?(?:-->|[-\u2013])\s?{_TIME})?:?"),
)
# "[00:00:03] words"; "10:15:01 From Mara Quill to Everyone: words" of Zoom's chat; a date and time of chats
_STAMP = re.compile(
    rf"[\[(]{_CLOCK}[\])]\s*|{_CLOCK}\s+From\s+[^:\n]{{1,80}}:\s*"
    rf"|\[?\d{{1,4}}[/.]\d{{1,2}}[/.]\d{{2,4}},? {_TIME}(?: -)? ?"
)


def read_plain_text(text: str) -> Iterator[Row]:
    """Read plain text.

    :param text: the file, lines ending in a newline.
    :return: a row a line with words; none of a line that names a speaker and a time.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            continue
        start = line[:200].strip()
        if len(line) < 200 and any(head.fullmatch(start) for head in _HEADS):
            continue
        match = _STAMP.match(start)
        yield Row(f"line {number}", line.lstrip()[match.end() :] if match else line)
