"""Where a clip holds sound, and how loud it is made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

# Sound is what lies less than this far below the loudest fifth of a second: soft consonants do,
# a noise floor 50 dB under the voice does not.
_DEPTH = 10 ** (-38 / 10)
_WINDOW = SAMPLE_RATE // 50
_LOUD = SAMPLE_RATE // 5
# A turn that this cannot lift (rms under -66 dB of full scale) is noise, and stays quiet.
_MOST_GAIN = 100.0


def mended(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take samples that are not numbers (NaN or infinite) as silence.

    :param samples: float, any shape.
    :return: the same samples, all finite; the very same array where they were.
    """
    finite = np.isfinite(samples)
    return samples if finite.all() else np.where(finite, samples, np.float32(0))


def speech_bounds(samples: NDArray[np.float32]) -> tuple[int, int]:
    """Range of samples that holds sound, exact to the sample.

    Digital silence added around the clip moves the bounds and nothing else; gain does not move them.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :return: start and end, such that `samples[start:end]` is the sound; (0, 0) for silence.
    """
    samples = mended(samples)
    inked = np.flatnonzero(samples)
    if not len(inked):
        return 0, 0
    first, last = int(inked[0]), int(inked[-1]) + 1
    sound = samples[first:last].astype(np.float64)
    power = np.cumsum(np.pad((sound / np.abs(sound).max()) ** 2, (1, 0)))
    reference = _window_means(power, _LOUD).max()
    loud = np.flatnonzero(_window_means(power, _WINDOW) > reference * _DEPTH)
    return first + int(loud[0]), first + int(loud[-1]) + 1


def normalise_level(samples: NDArray[np.float32], target_rms: float = 0.05) -> NDArray[np.float32]:
    """Scale a clip so that its sound, not the silence around it, has a given level.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :param target_rms: root mean square of the part between `speech_bounds`; less where a peak
        would leave [-1, 1] or the clip is too quiet to be speech.
    :return: float32 `[N]`; silence stays silence.
    """
    samples = mended(samples)
    start, end = speech_bounds(samples)
    sound = samples.astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0))
    if end == start:
        return sound.astype(np.float32)
    rms = peak * float(np.sqrt(np.mean((sound[start:end] / peak) ** 2)))
    return (sound * min(target_rms / rms, 1 / peak, _MOST_GAIN)).astype(np.float32)


def _window_means(power: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean power in the window around each sample, with silence beyond the ends.

    :param power: running sum `[N + 1]` of squared samples.
    :param width: samples in a window.
    :return: `[N]`.
    """
    before = width // 2
    power = np.pad(power, (before, width - before - 1), mode="edge")
    return (power[width:] - power[:-width]) / width
