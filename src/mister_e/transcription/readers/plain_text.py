"""Reader of plain text: a line is a turn; lines that only say who speaks, and when, are no words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mister_e.transcription.readers.rows import Row

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?\s?(?:[AaPp]\.?[Mm]\.?)?"
_TIME = rf"[\[(]?{_CLOCK}[\])]?"
# "Mara Quill  0:03" of Otter and Teams, "[Mara Quill] 10:15:01" of Zoom, "Speaker 1 (00:03):" of Rev
_HEADS = (
    re.compile(rf"[^\s\[(].{{0,60}}?(?: {{2,4}}|\t){_TIME}:?"),
    re.compile(rf"\[[^\[\]]{{1,60}}\]\s{{0,3}}{_TIME}:?"),
    re.compile(rf"[^\s\[(].{{0,60}}? ?\({_CLOCK}\):"),
    re.compile(rf"{_TIME}(?:\s?(?:-->|[-\u2013])\s?{_TIME})?:?"),
)
_LONE = re.compile(_TIME)
_NAMED = re.compile(rf"(\S.{{0,60}}?) {_TIME}")
_MOST_NAME_WORDS = 5
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
    lines = text.split("\n")
    heads = {
        number for number, line in enumerate(lines) if line and len(line) < 200 and _is_head(line.strip())
    }
    heads |= _names_above(lines, heads)
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace() or number - 1 in heads:
            continue
        start = line[:200].strip()
        match = _STAMP.match(start)
        yield Row(f"line {number}", line.lstrip()[match.end() :] if match else line)


def _is_head(line: str) -> bool:
    """Whether a line only says who speaks, and when."""
    if any(head.fullmatch(line) for head in _HEADS):
        return True
    named = _NAMED.fullmatch(line)
    return named is not None and _is_name(named[1])


def _is_name(line: str) -> bool:
    """Whether a line may be a name: a few words that all begin as names do."""
    words = line.split()
    return 0 < len(words) <= _MOST_NAME_WORDS and all(
        word[0].isupper() or (place and word.isdecimal()) for place, word in enumerate(words)
    )


def _names_above(lines: Sequence[str], heads: set[int]) -> set[int]:
    """Lines that name who speaks above a line with a time alone, where there are several."""
    names = {
        number - 1
        for number in heads
        if number and _LONE.fullmatch(lines[number].strip()) and _is_name(lines[number - 1][:100].strip())
    }
    return names if len(names) > 1 else set()
