"""Reader of LRC: lines that begin with the time at which they are said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row

_TIME = re.compile(r"\s*\[(\d{1,4}):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_INNER = re.compile(r"<\d{1,4}:\d{1,2}(?:[.:]\d{1,3})?>")
_HEAD = re.compile(r"\s*\[[A-Za-z#]{1,20}:[^\]\n]*\]\s*")
_OFFSET = re.compile(r"^[ \t]*\[offset:[ \t]*([+-]?\d{1,7})[ \t]*\]", re.IGNORECASE | re.MULTILINE)
#: A chorus is sung a few times: of a line with more times than this, the rest are left out.
_MOST_TIMES = 50
#: What a line without a successor lasts, in seconds.
_LAST_SECONDS = 5.0


def looks_like_lrc(text: str) -> bool:
    """Tell whether the first line that is no head, as `[ar: …]`, begins with a time, as `[00:12.50]`."""
    for line in text[:10_000].split("\n"):
        if line.strip() and not _HEAD.fullmatch(line):
            match = _TIME.match(line)
            return match is not None and "." in match[2]
    return False


def read_lrc(text: str, faults: Faults) -> Iterator[Row]:
    """Read LRC: a line ends where the next begins; one that stands with several times is said so often.

    :param text: the file, lines ending in a newline.
    :param faults: told of lines without a time, and of those with more than 50.
    :raises InputError: no line has a time.
    """
    offset = _OFFSET.search(text[:10_000])
    shift = -int(offset[1]) / 1000 if offset else 0.0
    lines: list[tuple[float, str, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        where, place = f"line {number}", 0
        times: list[float] = []
        while match := _TIME.match(line, place):
            times.append(max(0.0, int(match[1]) * 60 + float(match[2].replace(":", ".")) + shift))
            place = match.end()
        words = _INNER.sub("", line[place:]).strip()
        if not times and words and not _HEAD.fullmatch(line):
            faults.leave_out(where, "has no time before its words; write it as [00:12.50]")
        if len(times) > _MOST_TIMES:
            faults.leave_out(
                f"{where}, times {_MOST_TIMES + 1} to {len(times)}",
                f"a line is said at most {_MOST_TIMES} times; give the others a line of their own",
            )
        lines += [(time, where, words) for time in times[:_MOST_TIMES]]
    if not lines:
        raise InputError("has no line with a time, as [00:12.50]")
    lines.sort(key=lambda line: line[0])
    ends = [after[0] for _, after in pairwise(lines)] + [lines[-1][0] + _LAST_SECONDS]
    for (start, where, words), end in zip(lines, ends, strict=True):
        yield Row(where, words, start, end)
