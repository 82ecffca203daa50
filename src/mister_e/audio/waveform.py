"""The outline of a recording, gathered while it passes by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

#: Most points of an outline.
POINTS = 1000

_STEP = SAMPLE_RATE // 20


class Waveform:
    """Loudness over time, and the length, of blocks that are being read by somebody else."""

    def __init__(self) -> None:
        self._samples = 0
        self._rest = np.zeros(0, np.float32)
        self._peaks: list[NDArray[np.float32]] = []

    def watch(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Pass blocks on, looking at them.

        :param blocks: float32 `[C, N]`, one after the other.
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
        """Seconds seen so far."""
        return self._samples / SAMPLE_RATE

    def outline(self) -> tuple[float, ...]:
        """At most `POINTS` peaks, evenly spaced over the recording, 1 = its loudest."""
        peaks = np.concatenate([*self._peaks, [self._rest.max()] if len(self._rest) else []])
        if not len(peaks) or not peaks.max():
            return ()
        edges = np.linspace(0, len(peaks), min(POINTS, len(peaks)) + 1).astype(int)[:-1]
        outline = np.maximum.reduceat(peaks, edges) / peaks.max()
        return tuple(round(float(point), 3) for point in outline)
