"""SubRip and WebVTT: cues with times, read with the faults that real files have, and written."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mister_e.errors import InputError

_TIME = r"(?:\d+:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,3})?"
_TIMING = re.compile(rf"^\s*({_TIME})\s*-->\s*({_TIME})(?:\s.*)?$")
# only tags that subtitles use, so that "a < b and c > d" stays
_SRT_MARKUP = re.compile(r"</?(?:i|b|u|s|c|v|font|ruby|rt|lang)(?:[\s.][^>]*)?>|\{\\[^}]*\}", re.IGNORECASE)
_VTT_TAG = re.compile(r"<[^>]*>")
_VTT_COMMENT = re.compile(r"^(?:NOTE|STYLE|REGION)(?:\s|$)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


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
    except ValueError:
        raise InputError(f"{time!r} is not a time; write seconds (12.5) or HH:MM:SS.mmm") from None
    return total


def looks_like_srt(text: str) -> bool:
    """Tell whether any line is the timing of a cue."""
    return any(_TIMING.match(line) for line in text.splitlines())


def read_srt(text: str) -> Iterator[Cue]:
    """Read SubRip: what counts is the lines with times; numbers may be wrong, missing or doubled.

    :param text: the file, lines ending in a newline.
    :return: cues in the file's order, also those without words.
    """
    lines = text.split("\n")
    timings = [number for number, line in enumerate(lines) if _TIMING.match(line)]
    for number, following in zip(timings, [*timings, len(lines)][1:], strict=True):
        words = lines[number + 1 : following]
        # the last line before the next times is that cue's number, if it is one
        if following < len(lines) and words and words[-1].strip().isdecimal():
            words.pop()
        yield _cue(lines[number], number + 1, _SRT_MARKUP.sub("", "\n".join(words)))


def read_vtt(text: str) -> Iterator[Cue]:
    """Read WebVTT; comments, styles, cue settings and the names in voice spans are dropped.

    :param text: the file, lines ending in a newline.
    :return: cues in the file's order, also those without words.
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        block = number
        while number < len(lines) and lines[number].strip():
            number += 1
        if number > block and not _VTT_COMMENT.match(lines[block]):
            # an identifier may stand before the times
            for timing in range(block, min(block + 2, number)):
                if _TIMING.match(lines[timing]):
                    words = _VTT_TAG.sub("", "\n".join(lines[timing + 1 : number]))
                    yield _cue(lines[timing], timing + 1, html.unescape(words))
                    break
        number += 1


def _cue(timing: str, line: int, words: str) -> Cue:
    """Make a cue of its timing line and words."""
    match = _TIMING.match(timing)
    assert match is not None
    return Cue(f"line {line}", seconds(match[1]), seconds(match[2]), " ".join(words.split()))


def to_srt(cues: Sequence[tuple[float, float, str]]) -> str:
    """Write SubRip subtitles.

    :param cues: (start, end, text), seconds; an arrow inside a text is shortened, for it would read as times.
    :return: the file.
    """
    blocks = []
    for number, (start, end, text) in enumerate(cues, start=1):
        words = re.sub(r"-{2,}>", "->", _lines(text))
        blocks.append(f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{words}\n")
    return "\n".join(blocks)


def to_vtt(cues: Iterable[tuple[float, float, str]]) -> str:
    """Write WebVTT subtitles.

    :param cues: (start, end, text), seconds; the text is escaped.
    :return: the file.
    """
    blocks = ["WEBVTT\n"]
    for start, end, text in cues:
        words = html.escape(_lines(text), quote=False)
        blocks.append(f"{_clock(start, '.')} --> {_clock(end, '.')}\n{words}\n")
    return "\n".join(blocks)


def _lines(text: str) -> str:
    """Text without blank lines, which would end the cue, and without control characters."""
    lines = (" ".join(line.split()) for line in _CONTROL.sub(" ", text.replace("\r", "\n")).split("\n"))
    return "\n".join(line for line in lines if line)


def _clock(time: float, point: str) -> str:
    """Seconds as HH:MM:SS and milliseconds after `point`."""
    rest, milliseconds = divmod(round(time * 1000), 1000)
    minutes, secs = divmod(rest, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{secs:02}{point}{milliseconds:03}"
