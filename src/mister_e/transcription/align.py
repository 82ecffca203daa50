"""The sound of turns whose times are known: a transcript's cues cut out of a recording."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import Recording
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import Clip, Utterance
from mister_e.errors import InputError
from mister_e.progress import Progress, silent
from mister_e.transcription.segment import STAGE

# A transcript may run this much (s) past the end of its recording unremarked: rounding.
_SLACK = 0.5

# Less sound than this (s) is none: the cue keeps its words alone.
_SHORTEST = 0.02

# Where a long cue may be cut (s from its start), and how long a moment has to be quiet.
_EARLIEST_CUT, _QUIET = 10.0, 0.2


def cut_turns(
    blocks: Iterable[NDArray[np.float32]],
    cues: Sequence[Utterance],
    *,
    total: float | None = None,
    recording: Recording | None = None,
    origin: str | Path = "",
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> Iterator[Utterance]:
    """Cut the sound of cues out of a recording.

    Cues may overlap. A cue longer than `LONGEST` is cut at quiet moments into t0007.1, t0007.2, …;
    its words are shared out in proportion to the lengths of the parts. A cue that names a channel
    is cut from it if the recording is split, else from the mean of all. A cue without any length
    keeps its words and has no sound.

    :param blocks: float32 `[C, N]` successive pieces at `SAMPLE_RATE`.
    :param cues: turns with times.
    :param total: seconds of the recording, for progress alone.
    :param recording: its header, to refuse cues beyond an exact length before the work, by name.
    :param origin: path of the transcript, to name it in errors.
    :param progress: told the seconds heard so far.
    :param notes: told of cues that run beyond the end of the recording; their sound ends with it.
    :return: the turns in the order of their starts, with samples and at most `LONGEST` long.
    :raises InputError: a cue has no times, lies wholly beyond the recording, or names a channel
        that the recording does not have.
    """
    names = _Names(f"{origin}: " if origin else "", recording.path if recording else "the recording")
    for cue in cues:
        if cue.start is None or cue.end is None:
            raise InputError(
                f"{names.transcript}{cue.id}: has no start and end; a transcript of a recording needs times"
            )
        if recording is not None and recording.exact and recording.duration is not None:
            _check_within(cue, recording.duration, names)
    return _cut_turns(blocks, _CueCutter(cues, names, [] if notes is None else notes), total, progress)


def _cut_turns(
    blocks: Iterable[NDArray[np.float32]], cutter: _CueCutter, total: float | None, progress: Progress
) -> Iterator[Utterance]:
    """Feed a cutter."""
    for block in blocks:
        yield from cutter.push(block)
        progress(STAGE, cutter.heard / SAMPLE_RATE, total or 0.0)
    yield from cutter.finish()


@dataclass(frozen=True)
class _Names:
    """What errors call the files.

    :param transcript: its path and a colon; empty where it is not known.
    :param recording: its path, or words for it.
    """

    transcript: str
    recording: str


def _check_within(cue: Utterance, length: float, names: _Names) -> None:
    """Refuse a cue that starts after the end of the recording."""
    assert cue.start is not None
    if cue.start > length + _SLACK:
        raise InputError(
            f"{names.transcript}{cue.id} starts at {cue.start:.2f} s, but {names.recording} ends at"
            f" {length:.2f} s; is this the transcript of another recording?"
        )


@dataclass
class _Rest:
    """What is still to be cut of a cue.

    :param order: place of the cue among all.
    :param cue: the cue.
    :param begin: first sample that was not given yet.
    :param end: the sample after the last.
    :param words: words that were not given yet.
    :param parts: number of parts given so far.
    """

    order: int
    cue: Utterance
    begin: int
    end: int
    words: list[str]
    parts: int = 0


class _CueCutter:
    """Keeps the sound that open cues need and gives each its samples as soon as they are there."""

    def __init__(self, cues: Sequence[Utterance], names: _Names, notes: list[str]) -> None:
        rests = [
            _Rest(order, cue, _sample(cue.start), _sample(cue.end), (cue.text or "").split())
            for order, cue in enumerate(cues)
        ]
        # the next one to come stands last
        self._coming = sorted(rests, key=lambda rest: (rest.begin, rest.order), reverse=True)
        self._open: list[_Rest] = []
        self._ready: list[tuple[float, int, int, Utterance]] = []
        self._sound = np.zeros((0, 0), np.float32)
        self._first = 0
        self._names = names
        self._notes = notes

    @property
    def heard(self) -> int:
        """Samples heard so far."""
        return self._first + self._sound.shape[1]

    def push(self, block: NDArray[np.float32]) -> Iterator[Utterance]:
        """Hear `[C, N]` more; give the turns that no other can precede any more."""
        self._sound = np.concatenate([self._sound, block], axis=1) if self.heard else block
        while self._coming and self._coming[-1].begin < self.heard:
            self._open.append(self._coming.pop())
        self._open = [rest for rest in self._open if not self._cut(rest)]
        # sound is kept from the first sample on that a cue still needs
        needed = min((rest.begin for rest in self._open), default=self.heard)
        drop = max(0, needed - self._first)
        self._sound, self._first = self._sound[:, drop:].copy(), self._first + drop
        yield from self._in_order(min([needed, *(rest.begin for rest in self._coming[-1:])]))

    def finish(self) -> Iterator[Utterance]:
        """End the recording: what runs beyond it is clipped, what lies beyond it is an error."""
        length = self.heard
        for rest in reversed(self._coming):
            _check_within(rest.cue, length / SAMPLE_RATE, self._names)
        for rest in self._open:
            self._note_loss(rest, length)
            rest.end = min(rest.end, length)
            self._cut(rest)
        for rest in reversed(self._coming):
            self._note_loss(rest, length)
            self._give(rest, rest.end, rest.words, divided=False)
        yield from self._in_order(None)

    def _note_loss(self, rest: _Rest, length: int) -> None:
        """Note a cue that loses sound because the recording ends after `length` samples."""
        shortest = _SHORTEST * SAMPLE_RATE
        ends = f"the recording ends at {length / SAMPLE_RATE:.2f} s"
        if rest.end - rest.begin >= shortest > length - rest.begin:
            self._notes.append(f"{rest.cue.id} starts at {rest.cue.start:.2f} s, {ends}; it has no sound")
        elif rest.end > length + _SLACK * SAMPLE_RATE:
            self._notes.append(f"{rest.cue.id} runs to {rest.cue.end:.2f} s, {ends}; its sound ends there")

    def _cut(self, rest: _Rest) -> bool:
        """Give what can be given of a cue; tell whether that was all of it."""
        longest = round(LONGEST * SAMPLE_RATE)
        while rest.end - rest.begin > longest and self.heard >= rest.begin + longest:
            sound = self._take(rest, rest.begin + longest)
            # the remainder has at least the length of a quiet moment
            latest = min(longest, rest.end - rest.begin - round(_QUIET * SAMPLE_RATE))
            end = rest.begin + quietest(sound[:latest], round(_EARLIEST_CUT * SAMPLE_RATE))
            count = round(len(rest.words) * (end - rest.begin) / (rest.end - rest.begin))
            self._give(rest, end, rest.words[:count], divided=True)
            rest.begin, rest.words = end, rest.words[count:]
        if rest.end > self.heard or rest.end - rest.begin > longest:
            return False
        self._give(rest, rest.end, rest.words, divided=rest.parts > 0)
        return True

    def _take(self, rest: _Rest, end: int) -> NDArray[np.float32]:
        """Samples of a cue's channel (the mean of all where it names none) up to `end`."""
        part = self._sound[:, rest.begin - self._first : end - self._first]
        if rest.cue.channel is None or len(part) == 1:
            mean: NDArray[np.float32] = part.mean(axis=0, dtype=np.float32)
            return mean
        if rest.cue.channel >= len(part):
            raise InputError(
                f"{self._names.transcript}{rest.cue.id}: there is no channel {rest.cue.channel},"
                f" {self._names.recording} has {len(part)} (the first is 0)"
            )
        channel: NDArray[np.float32] = part[rest.cue.channel].copy()
        return channel

    def _give(self, rest: _Rest, end: int, words: list[str], *, divided: bool) -> None:
        """Make a turn of the samples up to `end`; times stay as written where nothing was cut."""
        clip = None
        if min(end, self.heard) - rest.begin >= _SHORTEST * SAMPLE_RATE:
            clip = Clip(samples=self._take(rest, end))
        turn = replace(rest.cue, audio=clip)
        if end != _sample(rest.cue.end):
            turn = replace(turn, end=end / SAMPLE_RATE)
        if divided:
            rest.parts += 1
            start = rest.cue.start if rest.parts == 1 else rest.begin / SAMPLE_RATE
            text = " ".join(words) or None
            turn = replace(turn, id=f"{rest.cue.id}.{rest.parts}", start=start, text=text)
        heapq.heappush(self._ready, (turn.start or 0.0, rest.order, rest.parts, turn))

    def _in_order(self, horizon: int | None) -> Iterator[Utterance]:
        """Give the ready turns that start before `horizon` (None = all), in order."""
        while self._ready and (horizon is None or self._ready[0][0] * SAMPLE_RATE < horizon):
            yield heapq.heappop(self._ready)[3]


def _sample(time: float | None) -> int:
    """Sample at a time in seconds."""
    assert time is not None
    return round(time * SAMPLE_RATE)


def quietest(samples: NDArray[np.float32], earliest: int) -> int:
    """Find where a stretch of sound is best cut.

    :param samples: float32 `[N]`.
    :param earliest: no cut before this sample.
    :return: the middle of the quietest moment from there on; of equal ones the last.
    """
    length = round(_QUIET * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(samples[earliest:].astype(np.float64) ** 2)])
    # rounded, so that digital silence counts as equally quiet everywhere
    moments = np.round(energy[length:] - energy[:-length], 6)[::-1]
    return int(earliest + len(moments) - 1 - np.argmin(moments) + length // 2)
