"""Geometry of the timeline: bars of turns, ticks of the clock, outline of the waveform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK, clock

#: Most points of a waveform's outline: more than a screen can show adds only bytes.
OUTLINE_POINTS = 800

# Ticks whose labels stand apart on the screen of a phone, and steps between them (s, or turns) that people
# count in.
_MAX_TICKS = 6
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
# In percent of a timeline that is about 700 px wide: a bar that can still be seen, 1 px, and one that holds a
# letter, 14 px.
_MIN_BAR_WIDTH = 0.15
_MIN_LETTER_WIDTH = 2.0
# A tick's label beyond this fraction of the timeline would be cut off at its right edge.
_LAST_TICK = 0.96


@dataclass(frozen=True)
class Span:
    """A stretch of the timeline, in percent of its width.

    :param x: where it begins.
    :param middle: where a letter in it stands.
    :param wide: whether there is room for a letter.
    """

    x: str
    width: str
    middle: str
    wide: bool


@dataclass(frozen=True)
class Timeline:
    """Geometry of one conversation's timeline.

    :param timed: True along the recording's seconds, False along the numbers of the turns.
    :param spans: one stretch a turn.
    :param ticks: position in percent and what to write there.
    :param outline: path of the waveform inside a unit square; empty without a recording.
    """

    timed: bool
    spans: tuple[Span, ...]
    ticks: tuple[tuple[str, str], ...]
    outline: str


def timeline(conversation: ConversationAnalysis) -> Timeline:
    """Lay out a conversation: along time if every turn has times, else turn by turn."""
    turns = conversation.utterances
    times = [(turn.start, turn.end) for turn in turns if turn.start is not None and turn.end is not None]
    length = max([conversation.duration or 0.0, *(end for _, end in times)])
    if len(times) == len(turns) and length > 0:
        spans = tuple(_span(start / length, end / length) for start, end in times)
        ticks = [(second, clock(second)) for second in _marks(length)]
        return Timeline(True, spans, _place(ticks, length), outline(conversation.waveform))
    count = len(turns)
    spans = tuple(_span(i / count, (i + 0.9) / count) for i in range(count))
    numbers = [(mark - 0.5, str(mark)) for mark in _marks(count) if mark]
    return Timeline(False, spans, _place(numbers, count), "")


def outline(loudness: Sequence[float]) -> str:
    """Path around a waveform that is symmetric about its middle, inside a unit square.

    :param loudness: 0 to 1, evenly spaced; reduced to the peaks of at most `OUTLINE_POINTS` pieces.
    """
    if len(loudness) < 2:
        return ""
    count = min(len(loudness), OUTLINE_POINTS)
    edges = [i * len(loudness) // count for i in range(count + 1)]
    peaks = [max(loudness[a:b]) for a, b in pairwise(edges)]
    loudest = max(peaks) or 1.0
    # half of the height each way, with a margin; the least height keeps silence visible as a line
    heights = [max(peak / loudest * 0.48, 0.01) for peak in peaks]
    top = [f"{_short(i / (count - 1))} {_short(0.5 - h)}" for i, h in enumerate(heights)]
    bottom = [f"{_short(i / (count - 1))} {_short(0.5 + h)}" for i, h in enumerate(heights)]
    return "M" + "L".join([*top, *reversed(bottom)]) + "Z"


def _span(first: float, last: float) -> Span:
    x = min(max(100 * first, 0.0), 100 - _MIN_BAR_WIDTH)
    width = min(max(100 * (last - first), _MIN_BAR_WIDTH), 100 - x)
    return Span(f"{x:.2f}", f"{width:.2f}", f"{x + width / 2:.2f}", width >= _MIN_LETTER_WIDTH)


def _marks(length: float) -> range:
    """Round numbers from 0 to `length`, few enough to be read; 0 alone beyond `LONGEST_CLOCK`."""
    if length >= LONGEST_CLOCK:
        return range(1)
    step = next((step for step in _STEPS if length / step <= _MAX_TICKS), None)
    if step is None:
        days = length / _STEPS[-1] / _MAX_TICKS
        step = _STEPS[-1] * 10 ** math.ceil(math.log10(days))
    return range(0, int(length) + 1, step)


def _place(ticks: Sequence[tuple[float, str]], length: float) -> tuple[tuple[str, str], ...]:
    """Put ticks at percents of the width; a label that would be cut off is left out."""
    return tuple((f"{100 * at / length:.2f}", label) for at, label in ticks if at <= _LAST_TICK * length)


def _short(number: float) -> str:
    """Three decimals, without needless zeros."""
    return f"{number:.3f}".rstrip("0").rstrip(".")
