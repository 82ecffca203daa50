"""Geometry of the timeline: strip of emotions, bars of turns, ticks of the clock, outline of the waveform."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TypeVar

from mister_e.analysis.strip import Cell, cells, layout
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK, clock

T = TypeVar("T")

#: Most points of a waveform's outline: more than a screen can show adds only bytes.
OUTLINE_POINTS = 800

#: Bars stand for single turns up to this many, which are 1 px wide on average on a phone.
MOST_BARS = 200
#: Pieces into which a conversation of more turns is divided: each is 1.5 px wide on a phone, 5 px on a desk.
PIECES = 180
#: Height of a bar in px, and the least that is seen.
BAR_HEIGHT, _MIN_BAR_HEIGHT = 15, 3

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
class Piece:
    """A stretch of the strip.

    :param emotion: the one that lasts longest in it.
    """

    emotion: str
    span: Span


@dataclass(frozen=True)
class Bar:
    """A bar in the lane of its emotion.

    :param turns: positions of the turns that it stands for, from 0.
    :param height: in px, at most `BAR_HEIGHT`: the more, the more of their stretch they fill.
    """

    emotion: str
    turns: tuple[int, ...]
    span: Span
    height: int


@dataclass(frozen=True)
class Timeline:
    """Geometry of one conversation's timeline.

    :param timed: True along the recording's seconds, False along the numbers of the turns.
    :param strip: the whole conversation, without its silences.
    :param bars: from left to right, one a turn; of many turns, one an emotion and piece.
    :param summed: whether bars stand for pieces.
    :param ticks: position in percent and what to write there.
    :param outline: path of the waveform inside a unit square; empty without a recording.
    """

    timed: bool
    strip: tuple[Piece, ...]
    bars: tuple[Bar, ...]
    summed: bool
    ticks: tuple[tuple[str, str], ...]
    outline: str


def timeline(conversation: ConversationAnalysis) -> Timeline:
    """Lay out a conversation: along time if every turn has times, else turn by turn."""
    place = layout(conversation)
    summed = len(conversation) > MOST_BARS
    if summed:
        pieces = cells(conversation, place.spans, PIECES)
        strip = tuple(_strip(pieces))
        bars = tuple(sorted(_bars(pieces), key=lambda bar: float(bar.span.x)))
    else:
        gap = 1.0 if place.timed else 0.9
        spans = [_span(first, first + gap * (last - first)) for first, last in place.spans]
        strip = tuple(Piece(turn.emotion, span) for turn, span in zip(conversation, spans, strict=True))
        bars = tuple(Bar(piece.emotion, (i,), piece.span, BAR_HEIGHT) for i, piece in enumerate(strip))
    if place.timed:
        ticks = [(float(second), clock(second)) for second in _marks(place.length)]
    else:
        ticks = [(mark - 0.5, str(mark)) for mark in _marks(place.length) if mark]
    wave = outline(conversation.waveform) if place.timed else ""
    return Timeline(place.timed, strip, bars, summed, _place(ticks, place.length), wave)


def _strip(pieces: Sequence[Cell]) -> Iterator[Piece]:
    """Yield stretches of one emotion."""
    for emotion, first, last in _stretches([piece.emotion for piece in pieces]):
        if emotion is not None:
            yield Piece(emotion, _span(first / len(pieces), last / len(pieces)))


def _bars(pieces: Sequence[Cell]) -> Iterator[Bar]:
    """Yield bars of each emotion; neighbouring pieces of the same turns are one bar."""
    count = len(pieces)
    for emotion in dict.fromkeys(emotion for piece in pieces for emotion in piece.share):
        for turns, first, last in _stretches([tuple(piece.turns.get(emotion, ())) for piece in pieces]):
            if turns:
                fill = sum(piece.share[emotion] for piece in pieces[first:last]) / (last - first)
                # the root keeps apart what fills little, as in pieces of a minute most emotions do
                height = max(_MIN_BAR_HEIGHT, round(BAR_HEIGHT * math.sqrt(min(fill, 1.0))))
                yield Bar(emotion, turns, _span(first / count, last / count), height)


def _stretches(values: Sequence[T]) -> Iterator[tuple[T, int, int]]:
    """Yield each run of equal values: the value, its first position and the one after its last."""
    for value, group in groupby(range(len(values)), key=values.__getitem__):
        positions = list(group)
        yield value, positions[0], positions[-1] + 1


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
