"""Where somebody speaks: one channel cut into turns at its pauses, while it comes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import LONGEST, SAMPLE_RATE

#: A pause this long (s) ends a turn.
PAUSE = 0.5

#: Sound kept before and after the speech of a turn (s): soft first sounds are recognised late.
BEFORE, AFTER = 0.2, 0.1

#: Speech shorter than this (s) is a click, not a turn.
SHORTEST = 0.2

# Silero judges windows of 512 samples, each with the 64 samples before it; speech begins above
# the first probability and goes on until it falls below the second (its authors' values).
_WINDOW, _CONTEXT = 512, 64
_BEGINS, _GOES_ON = 0.5, 0.35

# Windows are judged in groups of one size, whatever the size of the pieces that come in:
# so the same sound gives the same numbers to the last bit.
_GROUP = 64


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
    """

    start: float
    channel: int | None
    samples: NDArray[np.float32]

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
        """Judge whole windows, `[W * 512]` to `[W]`."""
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
        self._judged = 0  # windows judged so far
        self._begin: int | None = None  # sample where the present turn begins, with its pad
        self._voiced: list[float] = []  # probability of each window since then
        self._free = 0  # no later turn begins before this sample

    @property
    def horizon(self) -> float:
        """Second before which no turn begins any more."""
        if self._begin is not None:
            return self._begin / SAMPLE_RATE
        return max(self._free, self._judged * _WINDOW - _BEFORE) / SAMPLE_RATE

    def push(self, samples: NDArray[np.float32]) -> list[Speech]:
        """Hear more.

        :param samples: float32 `[N]`, what follows the samples of the call before.
        :return: the turns that ended, in order.
        """
        self._sound = np.concatenate([self._sound, samples])
        turns: list[Speech] = []
        size = _GROUP * _WINDOW
        while (begin := self._judged * _WINDOW - self._first) + size <= len(self._sound):
            turns += self._judge(self._sound[begin : begin + size])
        keep = min(
            self._judged * _WINDOW - _BEFORE, self._judged * _WINDOW if self._begin is None else self._begin
        )
        drop = max(0, keep - self._first)
        self._sound, self._first = self._sound[drop:].copy(), self._first + drop
        return turns

    def finish(self) -> list[Speech]:
        """End the recording.

        :return: the turns that were not ended.
        """
        length = self._first + len(self._sound)
        rest = self._sound[self._judged * _WINDOW - self._first :]
        turns: list[Speech] = []
        if len(rest):
            turns += self._judge(np.pad(rest, (0, -len(rest) % _WINDOW)))
        if self._begin is not None:
            turns += self._end(length)
        return turns

    def _judge(self, samples: NDArray[np.float32]) -> list[Speech]:
        """Move on by whole windows; return the turns that ended within them."""
        turns: list[Speech] = []
        for probability in self._silero(samples).tolist():
            if self._begin is None and probability >= _BEGINS:
                self._begin = max(self._free, self._judged * _WINDOW - _BEFORE)
                self._voiced = []
            self._judged += 1
            if self._begin is None:
                continue
            self._voiced.append(probability)
            position = self._judged * _WINDOW
            if len(self._voiced) >= _PAUSE_WINDOWS and max(self._voiced[-_PAUSE_WINDOWS:]) < _GOES_ON:
                turns += self._end(position)
            elif position + _WINDOW - self._begin > LONGEST * SAMPLE_RATE:
                turns.append(self._cut())
        return turns

    def _end(self, position: int) -> list[Speech]:
        """End the present turn after its last speech, at most at sample `position`."""
        assert self._begin is not None
        begin, self._begin = self._begin, None
        silent = next((n for n, p in enumerate(reversed(self._voiced)) if p >= _GOES_ON), len(self._voiced))
        if len(self._voiced) - silent < _SHORTEST_WINDOWS:
            return []
        end = min(self._judged * _WINDOW - silent * _WINDOW + _AFTER, position)
        self._free = end
        return [self._speech(begin, end)]

    def _cut(self) -> Speech:
        """Cut the present turn, now as long as a turn may be, at its longest pause."""
        assert self._begin is not None
        begin = self._begin
        first = self._judged - len(self._voiced)
        pause, length = longest_pause([p < _GOES_ON for p in self._voiced])
        if not length:
            # nobody pauses: the least voiced window of the second half
            half = len(self._voiced) // 2
            pause, length = half + int(np.argmin(self._voiced[half:])), 1
        opens, closes = (first + pause) * _WINDOW, (first + pause + length) * _WINDOW
        middle = (opens + closes) // 2
        end = min(opens + _AFTER, middle)
        self._begin = self._free = max(closes - _BEFORE, middle)
        self._voiced = self._voiced[pause + length :]
        return self._speech(begin, end)

    def _speech(self, begin: int, end: int) -> Speech:
        """Copy the samples of a turn."""
        samples = self._sound[begin - self._first : end - self._first].copy()
        return Speech(begin / SAMPLE_RATE, self._channel, samples)


def longest_pause(silent: list[bool]) -> tuple[int, int]:
    """Find the longest run of True that has speech on both sides; of equal ones the last.

    :param silent: whether nobody speaks, one value a window.
    :return: where it begins and its length; length 0 = there is none.
    """
    best, length, run = 0, 0, 0
    spoke = False
    for index, quiet in enumerate(silent):
        if quiet:
            run += 1
            continue
        if spoke and run and run >= length:
            best, length = index - run, run
        spoke, run = True, 0
    return best, length
