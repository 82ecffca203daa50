"""Alignment: the sound of turns whose times are known, the cues of a transcript, cut out of a recording."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import Recording
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import NO_WORDS, Clip, Utterance
from mister_e.errors import InputError
from mister_e.progress import Progress, silent
from mister_e.transcription.segment import STAGE

# A transcript may run this much past the end of its recording without a note: its times are rounded.
_TOLERANCE_SECONDS = 0.5

# Less sound than this is none, a frame of Whisper's encoder: the cue keeps its words alone.
_MIN_SECONDS = 0.02

# Where a long cue may be cut, from its start: late enough for parts of a useful length; and how long a moment
# has to be quiet: longer than the closure of a stop within a word.
_EARLIEST_CUT_SECONDS, _QUIET_SECONDS = 10.0, 0.2

# Cues may hold this many times the sound of their recording, of one shorter than `LONGEST` this many times
# `LONGEST`. Crosstalk and tiers of annotation stay far below; a cue costs as much work as its sound is long.
_MOST_OVERLAP = 50


def cut_turns(
    blocks: Iterable[NDArray[np.float32]],
    cues: Sequence[Utterance],
    *,
    total: float | None = None,
    recording: Recording | None = None,
    origin: str | Path = "",
    strict: bool = False,
    progress: Progress = silent,
    notes: list[str] | None = None,
    noun: str = "transcript",
) -> Iterator[Utterance]:
    """Cut the sound of cues out of a recording.

    Cues may overlap. A cue longer than `LONGEST` is cut at quiet moments into t0007.1, t0007.2, …;
    its words are divided in proportion to the lengths of the parts. A cue that names a channel
    is cut from it if the recording is split, else from the mean of all. A cue without any length
    keeps its words and has no sound.

    :param blocks: float32 `[C, N]` successive pieces at `SAMPLE_RATE`.
    :param cues: turns with times.
    :param total: seconds of the recording, for progress alone.
    :param recording: its header, to refuse cues beyond an exact length before the work, by name.
    :param origin: path of the transcript, to name it in errors.
    :param strict: refuse a cue without times, or wholly beyond the recording; else it is left out.
    :param progress: told the seconds so far.
    :param notes: told of cues that are left out, and of those that run beyond the end of the recording;
        their sound ends with it.
    :param noun: what the cues are of, for errors.
    :return: the turns in the order of their starts, with samples and at most `LONGEST` long.
    :raises InputError: no cue has times, most lie wholly beyond the recording, up to some moment they hold
        more than 50 times the sound of the recording, or one names a channel that it does not have.
    """
    names = _Names(f"{origin}: " if origin else "", recording.path if recording else "the recording", noun)
    notes = [] if notes is None else notes
    cues = _with_times(cues, names, notes, strict=strict)
    length = recording.duration if recording is not None and recording.exact else None
    if length is not None:
        beyond = _beyond(cues, length, len(cues), names, notes, strict=strict)
        cues = [cue for cue in cues if cue.id not in beyond]
    _check_overlap(cues, length, names)
    return _cut_turns(blocks, _CueCutter(cues, names, notes, strict=strict), total, progress)


def _cut_turns(
    blocks: Iterable[NDArray[np.float32]], cutter: _CueCutter, total: float | None, progress: Progress
) -> Iterator[Utterance]:
    """Feed a cutter."""
    for block in blocks:
        yield from cutter.push(block)
        progress(STAGE, cutter.received / SAMPLE_RATE, total or 0.0)
    yield from cutter.finish()


@dataclass(frozen=True)
class _Names:
    """What errors call the files.

    :param transcript: its path and a colon; empty where it is not known.
    :param recording: its path, or words for it.
    :param noun: what the transcript is.
    """

    transcript: str
    recording: str
    noun: str = "transcript"


def _with_times(
    cues: Sequence[Utterance], names: _Names, notes: list[str], *, strict: bool
) -> Sequence[Utterance]:
    """Cues that have times; the others are left out.

    :raises InputError: none has, or one has none and that is refused.
    """
    timed = [cue for cue in cues if cue.start is not None and cue.end is not None]
    lost = [cue.id for cue in cues if cue.start is None or cue.end is None]
    if lost and (strict or not timed):
        raise InputError(
            f"{names.transcript}{lost[0]}: has no start and end; a {names.noun} of a recording needs times"
        )
    if lost:
        notes.append(f"{_shortened(lost)}: without start or end, left out")
    return timed


def _beyond(
    cues: Sequence[Utterance], length: float, among: int, names: _Names, notes: list[str], *, strict: bool
) -> set[str]:
    """Ids of cues that start after the end of the recording, which are left out with a note.

    :param length: seconds of the recording.
    :param among: number of all cues.
    :raises InputError: they are most of all, or one is refused.
    """
    beyond = [cue for cue in cues if cue.start is not None and cue.start > length + _TOLERANCE_SECONDS]
    if beyond and (strict or 2 * len(beyond) > among):
        raise InputError(
            f"{names.transcript}{beyond[0].id} starts at {beyond[0].start:.2f} s, but {names.recording} ends"
            f" at {length:.2f} s; is this the {names.noun} of another recording?"
        )
    if beyond:
        which = _shortened([f"{cue.id} at {cue.start:.2f} s" for cue in beyond])
        notes.append(f"beyond the end of the recording at {length:.2f} s, left out: {which}")
    return {cue.id for cue in beyond}


def _check_overlap(cues: Sequence[Utterance], length: float | None, names: _Names) -> None:
    """Check that cues do not overlap without measure, wherever the recording may end.

    :param length: seconds of the recording; None = unknown.
    :raises InputError: up to some moment they hold more than `_MOST_OVERLAP` times the sound there is.
    """
    ends_with = math.inf if length is None else length
    spans = [(cue.start, min(cue.end, ends_with)) for cue in cues if cue.start is not None and cue.end]
    starts, ends = np.array([span for span in spans if span[0] < span[1]]).reshape(-1, 2).T
    # the sound up to a moment per second grows or shrinks steadily but where a cue ends
    moments = np.append(ends, LONGEST)
    sound = _seconds_since(starts, moments) - _seconds_since(ends, moments)
    excess = sound > _MOST_OVERLAP * np.maximum(moments, LONGEST)
    if excess.any():
        first = np.where(excess, moments, math.inf).argmin()
        raise InputError(
            f"{names.transcript}its cues up to {moments[first]:.2f} s hold {sound[first]:,.0f} s of sound,"
            f" more than {_MOST_OVERLAP} times what {names.recording} has up to there; check where they end"
        )


def _seconds_since(times: NDArray[np.float64], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the seconds that have passed at each moment `[M]` since those of `times` `[N]` before it."""
    times = np.sort(times)
    passed = np.searchsorted(times, moments)
    sums: NDArray[np.float64] = passed * moments - np.concatenate([[0.0], np.cumsum(times)])[passed]
    return sums


def _shortened(ids: Sequence[str], most: int = 5) -> str:
    """List ids, not too many."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more


@dataclass
class _OpenCue:
    """A cue of which samples are still to come.

    :param order: place of the cue among all.
    :param cue: the cue.
    :param begin: first sample that is not emitted yet.
    :param end: the sample after the last.
    :param words: words that are not emitted yet.
    :param parts: number of parts emitted so far.
    """

    order: int
    cue: Utterance
    begin: int
    end: int
    words: list[str]
    parts: int = 0


@dataclass
class _ReadyTurn:
    """A turn whose samples are there, and are cut out when it is given.

    :param turn: without its sound.
    :param begin: its first sample.
    :param end: the sample after its last.
    """

    turn: Utterance
    begin: int
    end: int


class _CueCutter:
    """Keeps the sound that turns to come need and gives each its samples as soon as no other precedes it."""

    def __init__(
        self, cues: Sequence[Utterance], names: _Names, notes: list[str], *, strict: bool = False
    ) -> None:
        open_cues = [
            _OpenCue(order, cue, _sample_at(cue.start), _sample_at(cue.end), (cue.text or "").split())
            for order, cue in enumerate(cues)
        ]
        # the next cue stands last
        self._upcoming = sorted(
            open_cues, key=lambda open_cue: (open_cue.begin, open_cue.order), reverse=True
        )
        self._open: list[_OpenCue] = []
        self._ready: list[tuple[float, int, int, _ReadyTurn]] = []
        self._sound = np.zeros((0, 0), np.float32)
        self._first = 0
        self._names = names
        self._notes = notes
        self._strict, self._count = strict, len(cues)

    @property
    def received(self) -> int:
        """Samples received so far."""
        return self._first + self._sound.shape[1]

    def push(self, block: NDArray[np.float32]) -> Iterator[Utterance]:
        """Take `[C, N]` more; give the turns that no other can precede any more."""
        self._sound = np.concatenate([self._sound, block], axis=1) if self.received else block
        while self._upcoming and self._upcoming[-1].begin < self.received:
            self._open.append(self._upcoming.pop())
        self._open = [open_cue for open_cue in self._open if not self._emit_parts(open_cue)]
        needed = min((open_cue.begin for open_cue in self._open), default=self.received)
        yield from self._ready_before(min([needed, *(open_cue.begin for open_cue in self._upcoming[-1:])]))
        # sound is kept from the first sample on that a cue still needs; a turn that waits starts no earlier
        drop = max(0, needed - self._first)
        self._sound, self._first = self._sound[:, drop:].copy(), self._first + drop

    def finish(self) -> Iterator[Utterance]:
        """End the recording: what runs beyond it is clipped, what lies beyond it is left out."""
        length = self.received
        upcoming = [open_cue.cue for open_cue in reversed(self._upcoming)]
        beyond = _beyond(
            upcoming, length / SAMPLE_RATE, self._count, self._names, self._notes, strict=self._strict
        )
        self._upcoming = [open_cue for open_cue in self._upcoming if open_cue.cue.id not in beyond]
        for open_cue in self._open:
            self._note_loss(open_cue, length)
            open_cue.end = min(open_cue.end, length)
            self._emit_parts(open_cue)
        for open_cue in reversed(self._upcoming):
            self._note_loss(open_cue, length)
            self._emit(open_cue, open_cue.end, open_cue.words, divided=False)
        yield from self._ready_before(None)

    def _note_loss(self, open_cue: _OpenCue, length: int) -> None:
        """Note a cue that loses sound because the recording ends after `length` samples."""
        shortest = _MIN_SECONDS * SAMPLE_RATE
        ends = f"the recording ends at {length / SAMPLE_RATE:.2f} s"
        if open_cue.end - open_cue.begin >= shortest > length - open_cue.begin:
            self._notes.append(
                f"{open_cue.cue.id} starts at {open_cue.cue.start:.2f} s, {ends}; it has no sound"
            )
        elif open_cue.end > length + _TOLERANCE_SECONDS * SAMPLE_RATE:
            self._notes.append(
                f"{open_cue.cue.id} runs to {open_cue.cue.end:.2f} s, {ends}; its sound ends there"
            )

    def _emit_parts(self, open_cue: _OpenCue) -> bool:
        """Emit the parts of a cue whose samples are there; tell whether that was all of it."""
        longest = round(LONGEST * SAMPLE_RATE)
        while open_cue.end - open_cue.begin > longest and self.received >= open_cue.begin + longest:
            sound = self._samples(open_cue.cue, open_cue.begin, open_cue.begin + longest)
            # the remainder has at least the length of a quiet moment
            latest = min(longest, open_cue.end - open_cue.begin - round(_QUIET_SECONDS * SAMPLE_RATE))
            end = open_cue.begin + quietest_moment(sound[:latest], round(_EARLIEST_CUT_SECONDS * SAMPLE_RATE))
            count = round(len(open_cue.words) * (end - open_cue.begin) / (open_cue.end - open_cue.begin))
            self._emit(open_cue, end, open_cue.words[:count], divided=True)
            open_cue.begin, open_cue.words = end, open_cue.words[count:]
        if open_cue.end > self.received or open_cue.end - open_cue.begin > longest:
            return False
        self._emit(open_cue, open_cue.end, open_cue.words, divided=open_cue.parts > 0)
        return True

    def _samples(self, cue: Utterance, begin: int, end: int) -> NDArray[np.float32]:
        """Samples of a cue's channel (the mean of all where it names none) from `begin` up to `end`."""
        part = self._sound[:, begin - self._first : end - self._first]
        if cue.channel is None or len(part) == 1:
            mean: NDArray[np.float32] = part.mean(axis=0, dtype=np.float32)
            return mean
        if cue.channel >= len(part):
            raise InputError(
                f"{self._names.transcript}{cue.id}: there is no channel {cue.channel},"
                f" {self._names.recording} has {len(part)} (the first is 0)"
            )
        channel: NDArray[np.float32] = part[cue.channel].copy()
        return channel

    def _emit(self, open_cue: _OpenCue, end: int, words: list[str], *, divided: bool) -> None:
        """Make a turn of the samples up to `end`; times stay as written where the cue is not divided."""
        turn = replace(open_cue.cue, audio=None)
        if end != _sample_at(open_cue.cue.end):
            turn = replace(turn, end=end / SAMPLE_RATE)
        if divided:
            open_cue.parts += 1
            start = open_cue.cue.start if open_cue.parts == 1 else open_cue.begin / SAMPLE_RATE
            text = " ".join(words) or None
            turn = replace(turn, id=f"{open_cue.cue.id}.{open_cue.parts}", start=start, text=text)
            if text is None and open_cue.cue.text is not None:
                turn = replace(turn, notes=(*turn.notes, NO_WORDS))
        ready = _ReadyTurn(turn, open_cue.begin, end)
        heapq.heappush(self._ready, (turn.start or 0.0, open_cue.order, open_cue.parts, ready))

    def _ready_before(self, horizon: int | None) -> Iterator[Utterance]:
        """Give the ready turns that start before `horizon` (None = all), in order, with their samples."""
        while self._ready and (horizon is None or self._ready[0][0] * SAMPLE_RATE < horizon):
            ready = heapq.heappop(self._ready)[3]
            if min(ready.end, self.received) - ready.begin < _MIN_SECONDS * SAMPLE_RATE:
                yield ready.turn
                continue
            samples = self._samples(ready.turn, ready.begin, ready.end)
            yield replace(ready.turn, audio=Clip(samples=samples))


def _sample_at(time: float | None) -> int:
    """Sample at a time in seconds."""
    assert time is not None
    return round(time * SAMPLE_RATE)


def quietest_moment(samples: NDArray[np.float32], earliest: int) -> int:
    """Find where a stretch of sound is best cut.

    :param samples: float32 `[N]`.
    :param earliest: no cut before this sample.
    :return: the middle of the quietest moment from there on; of equal ones the last.
    """
    length = round(_QUIET_SECONDS * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(samples[earliest:].astype(np.float64) ** 2)])
    # rounded, so that digital silence counts as equally quiet everywhere
    moments = np.round(energy[length:] - energy[:-length], 6)[::-1]
    return int(earliest + len(moments) - 1 - np.argmin(moments) + length // 2)
