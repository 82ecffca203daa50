"""The waveform of a recording as a few peaks, computed while its blocks are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

#: Points of an outline at most.
POINTS = 1000

#: Samples for one peak that is kept: 50 ms.
_STEP = SAMPLE_RATE // 20


class Waveform:
    """Peaks over time and the duration of a recording, without a second pass over it."""

    def __init__(self) -> None:
        self._samples = 0
        self._rest = np.zeros(0, np.float32)
        self._peaks: list[NDArray[np.float32]] = []

    def watch(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield blocks unchanged, and record their peaks.

        :param blocks: float32 `[C, N]`, successive pieces of the recording.
        """
        for block in blocks:
            self._samples += block.shape[1]
            loudest = np.concatenate([self._rest, np.abs(block).max(0)])
            whole = len(loudest) // _STEP * _STEP
            self._peaks.append(loudest[:whole].reshape(-1, _STEP).max(1))
            self._rest = loudest[whole:]
            yield block

    @property
    def duration(self) -> float:
        """Seconds of the blocks so far."""
        return self._samples / SAMPLE_RATE

    def outline(self) -> tuple[float, ...]:
        """At most `POINTS` peaks, evenly spaced over the recording, 1 = the highest; empty for silence."""
        peaks = np.concatenate([*self._peaks, [self._rest.max()] if len(self._rest) else []])
        if not len(peaks) or not peaks.max():
            return ()
        edges = np.linspace(0, len(peaks), min(POINTS, len(peaks)) + 1).astype(int)[:-1]
        outline = np.maximum.reduceat(peaks, edges) / peaks.max()
        return tuple(round(float(point), 3) for point in outline)
