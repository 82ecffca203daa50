"""Bounds of the speech in a clip, and normalisation of its level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE

# Speech is louder than this power relative to the loudest 200 ms: -38 dB keeps soft consonants, and a
# noise floor 50 dB below the voice stays out.
_SPEECH_POWER = 10 ** (-38 / 10)
# Samples over which power is averaged: 20 ms to find the bounds, 200 ms (a syllable) for the loudest part.
_WINDOW = SAMPLE_RATE // 50
_LOUDEST_WINDOW = SAMPLE_RATE // 5
# Highest gain (40 dB). A clip that it cannot lift to the target (rms below -66 dB of full scale for the
# default one) is noise, and stays quiet.
_MAX_GAIN = 100.0


def replace_non_finite(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set samples that are NaN or infinite to 0.

    :param samples: float, any shape.
    :return: the samples, all finite; the same array where all were finite before.
    """
    finite = np.isfinite(samples)
    return samples if finite.all() else np.where(finite, samples, np.float32(0))


def speech_bounds(samples: NDArray[np.float32]) -> tuple[int, int]:
    """Find the range of samples that holds speech: the first and the last loud window.

    Digital silence around the clip shifts the bounds with the speech; gain does not change them.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :return: start and end, such that `samples[start:end]` is the speech; (0, 0) for silence.
    """
    samples = replace_non_finite(samples)
    non_zero = np.flatnonzero(samples)
    if not len(non_zero):
        return 0, 0
    first, last = int(non_zero[0]), int(non_zero[-1]) + 1
    sound = samples[first:last].astype(np.float64)
    power_sum = np.cumsum(np.pad((sound / np.abs(sound).max()) ** 2, (1, 0)))
    reference = _window_means(power_sum, _LOUDEST_WINDOW).max()
    loud = np.flatnonzero(_window_means(power_sum, _WINDOW) > reference * _SPEECH_POWER)
    return first + int(loud[0]), first + int(loud[-1]) + 1


def normalise_level(samples: NDArray[np.float32], target_rms: float = 0.05) -> NDArray[np.float32]:
    """Scale a clip so that its speech, without the silence around it, has a given level.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :param target_rms: root mean square of the part between `speech_bounds`; 0.05 is -26 dB of full scale.
        Lower where a peak would leave [-1, 1], or where the clip is too quiet to be speech.
    :return: float32 `[N]`; silence stays silence.
    """
    samples = replace_non_finite(samples)
    start, end = speech_bounds(samples)
    sound = samples.astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0))
    if end == start:
        return sound.astype(np.float32)
    # relative to the peak: squares of very large or very small samples stay in range
    rms = peak * float(np.sqrt(np.mean((sound[start:end] / peak) ** 2)))
    return (sound * min(target_rms / rms, 1 / peak, _MAX_GAIN)).astype(np.float32)


def _window_means(power_sum: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean power in the window around each sample, with silence beyond the ends.

    :param power_sum: cumulative sum `[N + 1]` of squared samples.
    :param width: samples in a window.
    :return: `[N]`.
    """
    before = width // 2
    power_sum = np.pad(power_sum, (before, width - before - 1), mode="edge")
    return (power_sum[width:] - power_sum[:-width]) / width
