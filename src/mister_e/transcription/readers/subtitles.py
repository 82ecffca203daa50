"""Readers of SubRip, WebVTT and SBV: cues with times, with the faults that real files have."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mister_e.transcription.readers.rolling import Cue, unrolled
from mister_e.transcription.readers.rows import Faults, Row

# HH:MM:SS.fff or MM:SS.fff; Teams once wrote HH:MM:SS:fff, or more than three digits of a second
_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,3}):)([0-5]?\d)(?:[.,](\d{1,9})|:(\d{3}))?")
# what a broken timing still has: an arrow and part of a time, or where a cue begins a full time
_TIME_LIKE = re.compile(r"\d:\d|\d[.,]\d{3}")
_CLOCK = re.compile(r"\s*\d{1,6}:\d{1,2}:\d{1,2}[.,]\d{1,3}(?!\d)")
# only what subtitles mark with, so that "a < b and c > d" stays; no part can hold another's beginning
_TAG = re.compile(
    r"</?(?:i|b|u|s|c|v|font|ruby|rt|lang)(?:[\s.][^<>]*)?>|</?[a-z][\w-]{0,30}/?>", re.IGNORECASE
)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_VOICE = re.compile(r"<v[\s.][^<>\n]*(?:>|$)", re.IGNORECASE | re.MULTILINE)
_MOMENT = re.compile(r"<\d{1,4}:\d\d(?::\d\d)?\.\d{1,6}>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});")
_VTT_COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_WRITE_TIMES = "write its times as 00:00:01,000 --> 00:00:02,500"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a format writes its cues.

    :param times: gives start and end of a line that holds the times of a cue, in seconds; None = it is none.
    :param plain: takes the markup off the words of a cue.
    :param named: whether cues have names, and not only numbers.
    """

    times: Callable[[str], tuple[float, float] | None]
    plain: Callable[[str], str]
    named: bool


def looks_like_srt(text: str) -> bool:
    """Tell whether any line is, or was meant to be, the timing of a cue."""
    return any("->" in line and (_arrow_times(line) or _CLOCK.match(line)) for line in text.split("\n"))


def looks_like_sbv(text: str) -> bool:
    """Tell whether the first line with words is the timing of an SBV cue."""
    return _comma_times(text.lstrip()[:80].split("\n", 1)[0]) is not None


def read_srt(text: str, faults: Faults) -> Iterator[Row]:
    """Read SubRip: what counts is the lines with times; numbers may be wrong, missing or doubled.

    :param text: the file, lines ending in a newline.
    :param faults: told of broken timings, and of words before the first; strict = an InputError.
    :return: cues in the file's order, also those without words; rolling captions with each line once.
    """
    return unrolled(list(_cues(text.split("\n"), _SRT, faults)))


def read_vtt(text: str, faults: Faults) -> Iterator[Row]:
    """Read WebVTT; comments, styles, cue settings and the names in voice spans are dropped.

    :param text: the file, lines ending in a newline.
    :param faults: told of broken timings, and of words before the first; strict = an InputError.
    :return: cues in the file's order, also those without words; rolling captions with each line once.
    """
    return unrolled(list(_cues(_without_comments(text.split("\n")), _VTT, faults)))


def read_sbv(text: str, faults: Faults) -> Iterator[Row]:
    """Read SBV, YouTube's captions with lines as `0:00:01.000,0:00:02.500`; else as `read_srt`."""
    return unrolled(list(_cues(text.split("\n"), _SBV, faults)))


def _seconds(time: str) -> float | None:
    """Seconds of a time of subtitles; None = it is none."""
    match = _TIME.fullmatch(time)
    if not match:
        return None
    hours, minutes, rest, fraction, thousandths = match.groups()
    if hours and int(minutes) > 59:
        return None
    return (
        int(hours or 0) * 3600 + int(minutes) * 60 + int(rest) + float(f"0.{fraction or thousandths or '0'}")
    )


def _arrow_times(line: str) -> tuple[float, float] | None:
    """Start and end of a cue, written with an arrow."""
    if "-->" not in line:
        return None
    before, _, after = line.partition("-->")
    words = after[:200].split(None, 1)
    if not words or len(before) > 200:
        return None
    start, end = _seconds(before.strip()), _seconds(words[0])
    return None if start is None or end is None else (start, end)


def _comma_times(line: str) -> tuple[float, float] | None:
    """Start and end of an SBV cue."""
    if "," not in line[:40]:
        return None
    before, _, after = line[:80].strip().partition(",")
    start, end = _seconds(before.strip()), _seconds(after.strip())
    return None if start is None or end is None else (start, end)


def _without_marks(words: str) -> str:
    """Words without what SubStation marks, which SubRip and WebVTT often hold."""
    return _OVERRIDE.sub("", words).replace("\\N", "\n").replace("\\h", " ")


def _without_tags(words: str) -> str:
    return _TAG.sub("", _VOICE.sub("", _MOMENT.sub("", _without_marks(words))))


def _unescaped(words: str) -> str:
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), _without_tags(words))


def _without_comments(lines: Sequence[str]) -> list[str]:
    """WebVTT with its header, comments and styles as empty lines, so that line numbers stay."""
    kept: list[str] = []
    header = comment = False
    for number, line in enumerate(lines):
        if number == 0 or not lines[number - 1].strip():
            header = number == 0 and line.startswith("WEBVTT")
            comment = bool(_VTT_COMMENT.match(line))
        header = header and not _arrow_times(line)
        kept.append("" if header or comment else line)
    return kept


_SRT = _Kind(_arrow_times, _without_tags, named=False)
_VTT = _Kind(_arrow_times, _unescaped, named=True)
_SBV = _Kind(_comma_times, _without_tags, named=False)


def _cues(lines: Sequence[str], kind: _Kind, faults: Faults) -> Iterator[Cue]:
    """Read the cues of a format: each line with times, and the words up to the next."""
    times = [kind.times(line) for line in lines]
    broken = {number for number in range(len(lines)) if _is_broken(lines, times, number)}
    for number in sorted(broken):
        faults.leave_out(
            f"line {number + 1}", f"not a timing: {lines[number].strip()[:80]!r}; {_WRITE_TIMES}"
        )
    places = [number for number, found in enumerate(times) if found or number in broken]
    # line 1 has an empty line 0 before it
    for number, line in enumerate(_words(["", *lines[: places[0]]], kind.named) if places else []):
        if line.strip() and not line.strip().isdecimal():
            faults.leave_out(f"line {number}", f"words before the first timing; {_WRITE_TIMES} above them")
    for number, following in pairwise([*places, len(lines)]):
        found = times[number]
        if found is None:
            continue
        words = lines[number + 1 : following]
        if following < len(lines):
            words = _words(words, kind.named)
        text = "\n".join(words)
        plain = [line.strip() for line in kind.plain(text).split("\n")]
        moments = "<" in text and _MOMENT.search(text) is not None
        yield Cue(f"line {number + 1}", *found, tuple(line for line in plain if line), moments)


def _is_broken(lines: Sequence[str], times: Sequence[object], number: int) -> bool:
    """Whether a line was meant to hold the times of a cue: its words must not go to another."""
    line = lines[number]
    if times[number]:
        return False
    if "->" in line and _TIME_LIKE.search(line):
        return True
    if not line or not _CLOCK.match(line):
        return False
    # a cue begins after a blank line, perhaps with its number
    before = [lines[place] if place >= 0 else "" for place in (number - 2, number - 1)]
    return not all(line_before.strip() for line_before in before) and not (number and times[number - 1])


def _words(lines: Sequence[str], named: bool) -> Sequence[str]:
    """Lines before a timing without the last one, if that is the number or name of the cue."""
    if lines and lines[-1].strip().isdecimal():
        return lines[:-1]
    if named and len(lines) > 1 and lines[-1].strip() and not lines[-2].strip():
        return lines[:-1]
    return lines
