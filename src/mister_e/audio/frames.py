"""Cutting sound into overlapping windows, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

Floats = NDArray[np.float64]

# Small enough to stay in the processor's cache, large enough to hide numpy's overhead.
_BLOCK = 64


def windows(sound: Floats, width: int, step: float) -> Floats:
    """View sound as evenly spaced windows whose middle is the middle of the sound.

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
