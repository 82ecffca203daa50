"""Readers of SubRip and WebVTT: cues with times, with the faults that real files have."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mister_e.errors import InputError

_TIME = r"(?:\d+:[0-5]?\d|\d{1,3}):[0-5]?\d(?:[.,]\d{1,3})?"
_TIMING = re.compile(rf"^\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?$")
# what a broken timing still has: an arrow and part of a time, or where a cue begins a full time
_ARROW, _TIME_LIKE = re.compile(r"-+>"), re.compile(r"\d:\d|\d[.,]\d{3}")
_CLOCK = re.compile(r"^\s*\d+:\d{1,2}:\d{1,2}[.,]\d{1,3}(?!\d)")
# only tags that subtitles use, so that "a < b and c > d" stays
_SRT_MARKUP = re.compile(r"</?(?:i|b|u|s|c|v|font|ruby|rt|lang)(?:[\s.][^>]*)?>|\{\\[^}]*\}", re.IGNORECASE)
_VTT_TAG = re.compile(r"<[^>]*>")
_VTT_COMMENT = re.compile(r"^(?:NOTE|STYLE|REGION)(?:\s|$)")
_WRITE_TIMES = "write its times as 00:00:01,000 --> 00:00:02,500"


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    :param where: where it stands in its file, for errors, as "line 12".
    :param start: seconds.
    :param end: seconds.
    :param text: the words on one line, without markup.
    """

    where: str
    start: float
    end: float
    text: str


def seconds(time: str) -> float:
    """Read a time written as seconds, MM:SS or HH:MM:SS, with `.` or `,` before the fraction.

    :raises InputError: it is not a time.
    """
    parts = time.strip().replace(",", ".").split(":")
    try:
        if len(parts) > 3 or not all(part.isdecimal() for part in parts[:-1]):
            raise ValueError
        total = float(parts[-1])
        for power, part in enumerate(reversed(parts[:-1]), start=1):
            total += int(part) * 60**power
        # in a clock's time, nothing but the first number counts beyond 59
        if len(parts) > 1 and not all(0 <= float(part) < 60 for part in parts[1:]):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{time!r} is not a time; write seconds (12.5) or HH:MM:SS.mmm") from None
    return total


def looks_like_srt(text: str) -> bool:
    """Tell whether any line is, or was meant to be, the timing of a cue."""
    return any(
        _TIMING.match(line) or (_CLOCK.match(line) and _ARROW.search(line)) for line in text.splitlines()
    )


def read_srt(text: str) -> Iterator[Cue]:
    """Read SubRip: what counts is the lines with times; numbers may be wrong, missing or doubled.

    :param text: the file, lines ending in a newline.
    :return: cues in the file's order, also those without words.
    :raises InputError: a timing is broken, or words stand before the first.
    """
    return _cues(text.split("\n"), lambda words: _SRT_MARKUP.sub("", words), named=False)


def read_vtt(text: str) -> Iterator[Cue]:
    """Read WebVTT; comments, styles, cue settings and the names in voice spans are dropped.

    :param text: the file, lines ending in a newline.
    :return: cues in the file's order, also those without words.
    :raises InputError: a timing is broken, or words stand before the first.
    """
    lines = _without_comments(text.split("\n"))
    return _cues(lines, lambda words: html.unescape(_VTT_TAG.sub("", words)), named=True)


def _without_comments(lines: Sequence[str]) -> list[str]:
    """WebVTT with its header, comments and styles as empty lines, so that line numbers stay."""
    kept: list[str] = []
    header = comment = False
    for number, line in enumerate(lines):
        if number == 0 or not lines[number - 1].strip():
            header = number == 0 and line.startswith("WEBVTT")
            comment = bool(_VTT_COMMENT.match(line))
        header = header and not _TIMING.match(line)
        kept.append("" if header or comment else line)
    return kept


def _cues(lines: Sequence[str], plain: Callable[[str], str], *, named: bool) -> Iterator[Cue]:
    """Read the cues of either format: each line with times, and the words up to the next.

    :param plain: takes the markup off the words of a cue.
    :param named: whether cues have names, and not only numbers.
    """
    for number in range(len(lines)):
        _check_timing(lines, number)
    timings = {number: match for number, line in enumerate(lines) if (match := _TIMING.match(line))}
    places = [*timings, len(lines)]
    # line 1 has an empty line 0 before it
    for number, line in enumerate(_words(["", *lines[: places[0]]], named) if timings else []):
        if line.strip() and not line.strip().isdecimal():
            raise InputError(f"line {number}: words before the first timing; {_WRITE_TIMES} above them")
    for (number, times), following in zip(timings.items(), places[1:], strict=True):
        words = lines[number + 1 : following]
        if following < len(lines):
            words = _words(words, named)
        text = " ".join(plain("\n".join(words)).split())
        yield Cue(f"line {number + 1}", seconds(times[1]), seconds(times[2]), text)


def _check_timing(lines: Sequence[str], number: int) -> None:
    """Refuse a line that was meant to hold the times of a cue: its words would go to another."""
    line = lines[number]
    if _TIMING.match(line):
        return
    # a cue begins after a blank line, perhaps with its number
    before = [lines[place] if place >= 0 else "" for place in (number - 2, number - 1)]
    begins = not all(line_before.strip() for line_before in before) and not _TIMING.match(before[1])
    if (_ARROW.search(line) and _TIME_LIKE.search(line)) or (begins and _CLOCK.match(line)):
        raise InputError(f"line {number + 1}: not a timing: {line.strip()[:80]!r}; {_WRITE_TIMES}")


def _words(lines: Sequence[str], named: bool) -> Sequence[str]:
    """Lines before a timing without the last one, if that is the number or name of the cue."""
    if lines and lines[-1].strip().isdecimal():
        return lines[:-1]
    if named and len(lines) > 1 and lines[-1].strip() and not lines[-2].strip():
        return lines[:-1]
    return lines
