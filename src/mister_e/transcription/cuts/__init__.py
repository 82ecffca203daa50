"""Places to cut a recording at, of diarisers and annotators. Who speaks is dropped as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.conversation import CROSSTALK, Utterance
from mister_e.errors import InputError
from mister_e.transcription.cuts.diarisation import read_diarisation
from mister_e.transcription.cuts.grid import read_grid
from mister_e.transcription.cuts.intervals import Interval
from mister_e.transcription.cuts.rttm import looks_like_rttm, read_rttm
from mister_e.transcription.encoding import read_text
from mister_e.transcription.readers.rows import Faults
from mister_e.transcription.readers.textgrid import looks_like_textgrid

__all__ = ["read_cuts"]

#: Intervals of one file; a day of speech has fewer.
MOST_INTERVALS = 100_000

#: Intervals of one voice that are no further apart (s) are one; a diariser ended them at a window of its own.
_JOINED_SECONDS = 0.25
#: A shorter interval (s) is none: not even a syllable.
_SHORTEST_SECONDS = 0.05
# Times are written with three places and more: 7.05 - 7 is no shorter than 0.05.
_ROUNDING = 1e-6
#: Share of an interval that others cover too, above which it is crosstalk.
_CROSSTALK = 0.5


def read_cuts(
    path: str | Path,
    *,
    recording: str | Path | None = None,
    split: bool = True,
    strict: bool = False,
    notes: list[str] | None = None,
) -> tuple[Utterance, ...]:
    """Read where turns begin and end.

    The content tells the format: RTTM, whose lines may be of several recordings; a TextGrid of Praat, of
    which each interval that is not empty is a turn; or JSON of a diarisation: a list of `{"start", "end"}`,
    bare or under `segments` (WhisperX), `diarization` (pyannote.ai), `content` (pyannote), `sentences` or
    `words` (NeMo), or an object a line with `offset` and `duration`.

    Intervals of one voice that follow each other within 0.25 s are one, unless they carry words or another
    voice speaks in between. Voices
    serve for that alone: no name of one is in what is returned, nor in a note or an error.

    :param path: the file: UTF-8, UTF-16 with its mark, or else Windows-1252.
    :param recording: path of the recording, to find its lines in an RTTM of several.
    :param split: the channels of the recording are apart; else those that the file tells count for nothing.
    :param strict: refuse the file for an interval that cannot be read, which else costs that interval alone.
    :param notes: told what was left out, with its line or number.
    :return: turns without words and sound, in the order of their starts, at least one; those that others
        of the same channel overlap for more than half of their length have the note `CROSSTALK`.
    :raises InputError: the file cannot be read, is of none of these formats, of other recordings, or holds
        no interval.
    """
    path = Path(path)
    faults = Faults(strict=strict)
    try:
        text = read_text(path, faults, noun="file of cuts")
        intervals = list(islice(_read(path, text, recording, faults), MOST_INTERVALS + 1))
        if len(intervals) > MOST_INTERVALS:
            raise InputError(f"has more than {MOST_INTERVALS} intervals; keep those of one recording")
        if not split:
            intervals = [replace(interval, channel=None) for interval in intervals]
        kept = _long_enough(_joined(intervals), faults)
        if not kept:
            raise InputError(
                faults.first or "holds no interval of at least 0.05 s; expected where people speak"
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if notes is not None:
        notes += faults.notes()
    return tuple(
        Utterance(f"t{number:04}", None, one.start, one.end, one.channel, notes=(CROSSTALK,) * crosstalk)
        for number, (one, crosstalk) in enumerate(zip(kept, _overlapped(kept), strict=True), start=1)
    )


_Key = tuple[object, int | None]


def _read(path: Path, text: str, recording: str | Path | None, faults: Faults) -> Sequence[Interval]:
    """Intervals of a file, in its own order.

    :raises InputError: it is of no format that is known, or cannot be read.
    """
    if not text.strip():
        raise InputError("is empty; expected RTTM, a TextGrid or JSON of a diarisation")
    if looks_like_textgrid(text):
        return read_grid(text, faults)
    if text.lstrip()[0] in "[{":
        return read_diarisation(text, faults)
    if path.suffix.lower() == ".rttm" or looks_like_rttm(text):
        return read_rttm(text, faults, recording)
    raise InputError(
        "is neither RTTM, nor a TextGrid saved as text, nor JSON; export the cuts as one of them"
    )


def _joined(intervals: Sequence[Interval]) -> list[Interval]:
    """Join intervals of one voice that nothing parts; give all in the order of their starts."""
    joined: list[Interval] = []
    latest: dict[_Key, int] = {}
    leaders: dict[_Key, float] = {}  # the two voices that go on longest so far
    for interval in sorted(intervals, key=lambda interval: (interval.start, interval.end)):
        key = interval.voice, interval.channel
        place = None if interval.voice is None else latest.get(key)
        others = max((end for voice, end in leaders.items() if voice != key), default=0.0)
        if place is not None and _follows(interval, joined[place].end, others):
            joined[place] = joined[place].until(interval.end)
        else:
            place = latest[key] = len(joined)
            joined.append(interval)
        ends = {**leaders, key: max(leaders.get(key, 0.0), joined[place].end)}
        leaders = dict(sorted(ends.items(), key=lambda item: item[1])[-2:])
    return joined


def _follows(interval: Interval, end: float, others: float) -> bool:
    """Whether an interval goes on where one of its voice ends, and no other voice speaks in between.

    :param end: second at which the one before ends.
    :param others: second at which the last of the others ends that began before this interval.
    """
    return interval.start <= end or (interval.start - end < _JOINED_SECONDS and others <= end)


def _long_enough(intervals: Sequence[Interval], faults: Faults) -> list[Interval]:
    """Intervals that hold a sound; tell how many do not."""
    least = _SHORTEST_SECONDS - _ROUNDING
    short = [interval for interval in intervals if interval.end - interval.start < least]
    if short:
        count = "1 interval" if len(short) == 1 else f"{len(short)} intervals"
        faults.remark(f"{count} shorter than {_SHORTEST_SECONDS} s left out (first: {short[0].where})")
    return [interval for interval in intervals if interval.end - interval.start >= least]


def _overlapped(intervals: Sequence[Interval]) -> list[bool]:
    """Tell which intervals others of their channel cover for more than `_CROSSTALK` of their length."""
    starts = np.array([interval.start for interval in intervals])
    ends = np.array([interval.end for interval in intervals])
    channels = np.array([-1 if interval.channel is None else interval.channel for interval in intervals])
    covered = np.zeros(len(intervals))
    for channel in np.unique(channels):
        own = channels == channel
        covered[own] = _covered(starts[own], ends[own])
    return [bool(value) for value in covered > _CROSSTALK * (ends - starts)]


def _covered(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of each interval that others cover too."""
    # seconds up to each place at which at least two intervals lie over each other
    places = np.concatenate([starts, ends])
    order = np.argsort(places, kind="stable")
    depth = np.cumsum(np.where(order < len(starts), 1, -1))
    lengths = np.diff(places[order], append=places[order[-1]])
    shared = np.concatenate([[0.0], np.cumsum(lengths * (depth > 1))])[:-1]
    until = np.empty(len(places))
    until[order] = shared
    covered: NDArray[np.float64] = until[len(starts) :] - until[: len(starts)]
    return covered
