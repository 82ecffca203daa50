"""Overlapping windows of a signal, processed in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

Floats = NDArray[np.float64]

# Windows in a block: few enough to stay in the processor's cache, enough to hide numpy's overhead.
_BLOCK = 64


def windows(sound: Floats, width: int, step: float) -> Floats:
    """Evenly spaced windows of a signal, centred: what does not fill a window is left out at both ends.

    :param sound: samples `[N]` at `SAMPLE_RATE`.
    :param width: samples in a window.
    :param step: seconds between windows, a whole number of samples.
    :return: read-only view `[T, width]`; T is 0 when the sound is shorter than a window.
    """
    if len(sound) < width:
        return np.empty((0, width))
    hop = round(step * SAMPLE_RATE)
    spare = (len(sound) - width) % hop
    return np.lib.stride_tricks.sliding_window_view(sound, width)[spare // 2 :: hop]


def by_blocks(measure: Callable[[Floats], Floats], frames: Floats) -> Floats:
    """Apply a function to windows, a block at a time.

    :param measure: maps windows `[B, width]` to `[B, ...]`.
    :param frames: windows `[T, width]`.
    :return: `[T, ...]`.
    """
    starts = range(0, max(len(frames), 1), _BLOCK)
    return np.concatenate([measure(frames[start : start + _BLOCK]) for start in starts])
