"""Reader of plain text: a line is a turn; lines that only say who speaks, and when, are no words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mister_e.transcription.readers.rows import Faults, Row

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?\s?(?:[AaPp]\.?[Mm]\.?)?"
_TIME = rf"[\[(]?{_CLOCK}[\])]?"
# "Mara Quill  0:03" of Otter and Teams, "[Mara Quill] 10:15:01" of Zoom, "Speaker 1 (00:03):" of Rev
_CLEAR_HEADS = (
    re.compile(rf"[^\s\[(].{{0,60}}?(?: {{2,4}}|\t){_TIME}:?"),
    re.compile(rf"\[[^\[\]]{{1,60}}\]\s{{0,3}}{_TIME}:?"),
    re.compile(rf"[^\s\[(].{{0,60}}? ?\({_CLOCK}\):"),
)
_TIMES_ALONE = re.compile(rf"{_TIME}(?:\s?(?:-->|[-\u2013])\s?{_TIME})?:?")
_LONE = re.compile(_TIME)
_NAMED = re.compile(rf"(\S.{{0,60}}?) {_TIME}")
_DIGITS = re.compile(r"(\d{1,2})((?::\d{2}){1,2})(?:[.,]\d{1,3})?(?:\s?([AaPp])\.?[Mm])?")
_MOST_NAME_WORDS = 5
_CLEAR, _ALONE, _NAME = range(3)
#: What stands before times that are said.
_DAYS = frozenset(
    re.findall(
        r"\w+",
        """monday tuesday wednesday thursday friday saturday sunday january february march june july august
        september october november december at by around about until from till before after today tomorrow
        tonight""",
    )
)
# "[00:00:03] words"; "10:15:01 From Mara Quill to Everyone: words" of Zoom's chat; a date and time of chats
_STAMP = re.compile(
    rf"[\[(]{_CLOCK}[\])]\s*|{_CLOCK}\s+From\s+[^:\n]{{1,80}}:\s*"
    rf"|\[?\d{{1,4}}[/.]\d{{1,2}}[/.]\d{{2,4}},? {_TIME}(?: -)? ?"
)


def read_plain_text(text: str, faults: Faults) -> Iterator[Row]:
    """Read plain text.

    :param text: the file, lines ending in a newline.
    :param faults: told how many lines were taken for names and times.
    :return: a row a line with words; none of a line that names a speaker and a time, where several do.
    """
    lines = text.split("\n")
    heads = _heads(lines)
    heads |= _names_above(lines, heads)
    if heads:
        those = "1 line that tells" if len(heads) == 1 else f"{len(heads)} lines that tell"
        faults.remark(f"left out {those} only who speaks, or when; the first is line {min(heads) + 1}")
    stamps = {}
    for number, line in enumerate(lines):
        if line and not line.isspace() and number not in heads:
            stamps[number] = _STAMP.match(line[:200].strip())
    several = sum(match is not None for match in stamps.values()) > 1
    for number, match in stamps.items():
        line = lines[number]
        if match and (several or match[0].startswith("[")):
            line = line.lstrip()[match.end() :]
        yield Row(f"line {number + 1}", line)


def _heads(lines: Sequence[str]) -> set[int]:
    """Lines that only say who speaks, and when.

    Words may look like one ("Monday 10:30"), so that only several of a shape are: their times rise, and
    words stand below them. A file may begin with the only one.
    """
    shapes: dict[int, list[int]] = {}
    filled = [number for number, line in enumerate(lines) if line and not line.isspace()]
    for number in filled:
        if len(lines[number]) < 200 and (shape := _shape(lines[number].strip())) is not None:
            shapes.setdefault(shape, []).append(number)
    every = {number for numbers in shapes.values() for number in numbers}
    below = dict(pairwise(filled))
    found: set[int] = set()
    for shape, numbers in shapes.items():
        followed = sum(below.get(number, number) not in every for number in numbers)
        times = [_seconds(lines[number]) for number in numbers]
        falls = sum(after < before for before, after in pairwise(times))
        one = numbers == filled[:1] and shape == _CLEAR
        if 2 * followed >= len(numbers) and 4 * falls < len(numbers) and (len(numbers) > 1 or one):
            found |= {*numbers}
    return found


def _shape(line: str) -> int | None:
    """Which kind of a line that says who speaks, and when, a line may be; None = it holds words."""
    if any(head.fullmatch(line) for head in _CLEAR_HEADS):
        return _CLEAR
    if _TIMES_ALONE.fullmatch(line):
        return _ALONE
    named = _NAMED.fullmatch(line)
    return _NAME if named is not None and _is_name(named[1]) else None


def _seconds(line: str) -> float:
    """The first time of a line, as a number by which times of one shape compare."""
    clock = _DIGITS.search(line)
    if clock is None:
        return 0.0
    first, rest, half = clock.groups()
    hour = int(first) if half is None else int(first) % 12 + 12 * (half in "Pp")
    parts = [hour, *map(int, rest[1:].split(":"))]
    return sum(part * 60.0 ** (len(parts) - place) for place, part in enumerate(parts))


def _is_name(line: str) -> bool:
    """Whether a line may be a name: a few words that all begin as names do."""
    words = line.split()
    return 0 < len(words) <= _MOST_NAME_WORDS and all(
        (word[0].isupper() and word.lower() not in _DAYS) or (place and word.isdecimal())
        for place, word in enumerate(words)
    )


def _names_above(lines: Sequence[str], heads: set[int]) -> set[int]:
    """Lines that name who speaks above a line with a time alone, where there are several."""
    names = {
        number - 1
        for number in heads
        if number and _LONE.fullmatch(lines[number].strip()) and _is_name(lines[number - 1][:100].strip())
    }
    return names if len(names) > 1 else set()
