"""Voice activity detection: one channel cut into turns at its pauses, as it comes in.

Silero's network gives each window of 32 ms a probability of speech; turns follow from those.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import LONGEST, SAMPLE_RATE

#: A pause this long (s) ends a turn. Stops and breaths within a sentence are mostly shorter.
PAUSE = 0.5

#: Sound kept before and after the speech of a turn (s): more before, for soft first sounds are detected late.
BEFORE, AFTER = 0.2, 0.1

#: Speech shorter than this (s) is a click, not a turn.
SHORTEST = 0.2

# Silero takes windows of 512 samples, each with the 64 samples before it (its input at 16 kHz).
_WINDOW, _CONTEXT = 512, 64
# Speech begins at the first probability and goes on until it falls below the second: the values of
# Silero's authors. The gap between the two keeps a soft syllable from ending a turn.
_ONSET, _OFFSET = 0.5, 0.35

# The network runs on groups of one size, whatever the size of the pieces that come in:
# so the same sound gives the same numbers to the last bit.
_GROUP_WINDOWS = 64

# Silero bears a smaller offset; sound as good as all recordings have it stays as it is, to the last bit.
_OFFSET_HEARD = 0.01


def _windows(time: float) -> int:
    """Windows in a time in seconds."""
    return round(time * SAMPLE_RATE / _WINDOW)


_BEFORE, _AFTER = round(BEFORE * SAMPLE_RATE), round(AFTER * SAMPLE_RATE)
_PAUSE_WINDOWS = _windows(PAUSE)
_SHORTEST_WINDOWS = _windows(SHORTEST)


@dataclass(frozen=True)
class Speech:
    """Sound of one turn.

    :param start: first second within the recording.
    :param channel: 0-based; None where the channels are mixed.
    :param samples: float32 `[N]` at `SAMPLE_RATE`.
    :param pauses: spans in which nobody speaks, between others in which somebody does: begin and end in
        seconds from `start`, in order.
    """

    start: float
    channel: int | None
    samples: NDArray[np.float32]
    pauses: tuple[tuple[float, float], ...] = ()

    @property
    def end(self) -> float:
        """Last second."""
        return self.start + len(self.samples) / SAMPLE_RATE


class _Silero:
    """Probability of speech in each window of a channel, state carried from piece to piece."""

    def __init__(self) -> None:
        from faster_whisper.vad import get_vad_model

        self._session = get_vad_model().session
        self._state = {name: np.zeros((1, 1, 128), np.float32) for name in ("h", "c")}
        self._before = np.zeros(_CONTEXT, np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Classify whole windows: `[W * 512]` samples to `[W]` probabilities."""
        windows = samples.reshape(-1, _WINDOW)
        before = np.concatenate([self._before[None], windows[:-1, -_CONTEXT:]])
        self._before = windows[-1, -_CONTEXT:].copy()
        inputs = {"input": np.concatenate([before, windows], axis=1), **self._state}
        output, self._state["h"], self._state["c"] = self._session.run(None, inputs)
        probabilities: NDArray[np.float32] = output.reshape(-1)
        return probabilities


class TurnCutter:
    """Cuts one channel into turns. Memory holds one turn at most, however long the recording.

    A turn begins where speech does and ends at a pause of `PAUSE`. A turn that would be longer
    than `LONGEST` is cut at its longest pause so far. Where pieces begin and end changes nothing.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._silero = _Silero()
        self._sound = np.zeros(0, np.float32)  # from sample `_first` of the recording on
        self._first = 0
        self._done = 0  # windows classified so far
        self._begin: int | None = None  # sample where the present turn begins, with its pad
        self._probabilities: list[float] = []  # of each window since then
        self._earliest = 0  # sample before which no later turn begins

    @property
    def horizon(self) -> float:
        """Time in seconds before which no turn begins any more."""
        if self._begin is not None:
            return self._begin / SAMPLE_RATE
        return max(self._earliest, self._done * _WINDOW - _BEFORE) / SAMPLE_RATE

    def push(self, samples: NDArray[np.float32]) -> list[Speech]:
        """Take more sound.

        :param samples: float32 `[N]`, what follows the samples of the call before.
        :return: the turns that ended, in order.
        """
        self._sound = np.concatenate([self._sound, samples])
        turns: list[Speech] = []
        size = _GROUP_WINDOWS * _WINDOW
        while (begin := self._done * _WINDOW - self._first) + size <= len(self._sound):
            turns += self._advance(_centred(self._sound[begin : begin + size]))
        keep = min(
            self._done * _WINDOW - _BEFORE, self._done * _WINDOW if self._begin is None else self._begin
        )
        drop = max(0, keep - self._first)
        self._sound, self._first = self._sound[drop:].copy(), self._first + drop
        return turns

    def finish(self) -> list[Speech]:
        """End the recording.

        :return: the turns that were not ended.
        """
        length = self._first + len(self._sound)
        rest = self._sound[self._done * _WINDOW - self._first :]
        turns: list[Speech] = []
        if len(rest):
            turns += self._advance(np.pad(_centred(rest), (0, -len(rest) % _WINDOW)))
        if self._begin is not None:
            turns += self._end(length)
        return turns

    def _advance(self, samples: NDArray[np.float32]) -> list[Speech]:
        """Move on by whole windows; return the turns that ended within them."""
        turns: list[Speech] = []
        for probability in self._silero(samples).tolist():
            if self._begin is None and probability >= _ONSET:
                self._begin = max(self._earliest, self._done * _WINDOW - _BEFORE)
                self._probabilities = []
            self._done += 1
            if self._begin is None:
                continue
            self._probabilities.append(probability)
            position = self._done * _WINDOW
            if (
                len(self._probabilities) >= _PAUSE_WINDOWS
                and max(self._probabilities[-_PAUSE_WINDOWS:]) < _OFFSET
            ):
                turns += self._end(position)
            elif position + _WINDOW - self._begin > LONGEST * SAMPLE_RATE:
                turns.append(self._cut())
        return turns

    def _end(self, position: int) -> list[Speech]:
        """End the present turn after its last speech, at most at sample `position`."""
        assert self._begin is not None
        begin, self._begin = self._begin, None
        silent = next(
            (n for n, value in enumerate(reversed(self._probabilities)) if value >= _OFFSET),
            len(self._probabilities),
        )
        if len(self._probabilities) - silent < _SHORTEST_WINDOWS:
            return []
        end = min(self._done * _WINDOW - silent * _WINDOW + _AFTER, position)
        self._earliest = end
        return [self._speech(begin, end, len(self._probabilities))]

    def _cut(self) -> Speech:
        """Cut the present turn, now as long as a turn may be, at its longest pause."""
        assert self._begin is not None
        begin = self._begin
        first = self._done - len(self._probabilities)
        pause, length = longest_pause([value < _OFFSET for value in self._probabilities])
        if not length:
            # without a pause: the window of the second half with the lowest probability, as no part gets tiny
            half = len(self._probabilities) // 2
            pause, length = half + int(np.argmin(self._probabilities[half:])), 1
        opens, closes = (first + pause) * _WINDOW, (first + pause + length) * _WINDOW
        middle = (opens + closes) // 2
        end = min(opens + _AFTER, middle)
        self._begin = self._earliest = max(closes - _BEFORE, middle)
        speech = self._speech(begin, end, pause)
        self._probabilities = self._probabilities[pause + length :]
        return speech

    def _speech(self, begin: int, end: int, windows: int) -> Speech:
        """Copy the samples of a turn, which has so many of the present windows."""
        samples = self._sound[begin - self._first : end - self._first].copy()
        first = (self._done - len(self._probabilities)) * _WINDOW - begin
        pauses = quiet_runs([value < _OFFSET for value in self._probabilities[:windows]])
        return Speech(
            begin / SAMPLE_RATE,
            self._channel,
            samples,
            tuple(
                ((first + a * _WINDOW) / SAMPLE_RATE, (first + b * _WINDOW) / SAMPLE_RATE) for a, b in pauses
            ),
        )


def _centred(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples `[N]` without an offset that would keep the network from hearing speech."""
    offset = samples.mean()
    return samples - offset if abs(offset) > _OFFSET_HEARD else samples


def quiet_runs(silent: list[bool]) -> list[tuple[int, int]]:
    """Find the runs of True that have speech on both sides.

    :param silent: whether nobody speaks, one value a window.
    :return: where each begins, and the window after its last.
    """
    speaking = [index for index, quiet in enumerate(silent) if not quiet]
    return [(a + 1, b) for a, b in pairwise(speaking) if b > a + 1]


def longest_pause(silent: list[bool]) -> tuple[int, int]:
    """Find the longest run of True that has speech on both sides; of equal ones the last.

    :param silent: whether nobody speaks, one value a window.
    :return: where it begins and its length; length 0 = there is none.
    """
    runs = quiet_runs(silent)
    first, last = max(reversed(runs), key=lambda run: run[1] - run[0], default=(0, 0))
    return first, last - first
