"""Samples of any format, rate and number of channels to 16 kHz float32: repaired, mixed, resampled."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import replace_non_finite

Samples = NDArray[np.float32]

#: Amplitude far beyond full scale. Lossy codecs overshoot 1 a little; 4 is a file with a wrong scale.
_WRONG_SCALE = 4.0

#: Power of the sum of two channels, relative to that of their difference, below which they are in opposite
#: phase: -20 dB. Two voices, one in each channel, have equal powers.
_OPPOSITE = 0.01

OPPOSITE_NOTE = "the two channels are in opposite phase: one was turned over before they were mixed"


class Mixer:
    """Mixes channels down to one; of two in opposite phase, which would cancel out, one is turned over."""

    def __init__(self) -> None:
        self.sum_power = self.difference_power = 0.0

    @property
    def opposite(self) -> bool:
        """Whether nearly all sound so far would be lost in the sum."""
        return self.sum_power < _OPPOSITE * self.difference_power

    def __call__(self, samples: Samples) -> Samples:
        """Mix float32 `[C, N]` to `[1, N]`."""
        if len(samples) != 2:
            return np.asarray(samples.mean(axis=0, keepdims=True))
        left, right = samples
        total, difference = left + right, left - right
        self.sum_power += float(np.dot(total, total))
        self.difference_power += float(np.dot(difference, difference))
        return np.asarray((difference if self.opposite else total)[None] / 2)


def repaired(samples: Samples, width: int, mixer: Mixer, faults: set[str]) -> Samples:
    """Make samples finite and within [-1, 1], in `width` channels; add what was wrong to `faults`."""
    finite = replace_non_finite(samples)
    if finite is not samples:
        faults.add("samples that are not numbers (NaN or infinite) were taken as silence")
        samples = finite
    if np.abs(samples).max(initial=0) > _WRONG_SCALE:
        faults.add("samples far beyond full scale were clipped; the file's scale may be wrong")
    samples = np.clip(samples, -1, 1)
    if len(samples) != width:
        samples = np.repeat(mixer(samples), width, axis=0)
    return samples


# Frames are handled packed ("flt"), never planar: PyAV 18 reads past the end of its
# plane pointers when there are exactly eight.


def to_floats(as_floats: av.AudioResampler, frame: av.AudioFrame) -> Samples:
    """Samples of a frame of any format as float32 `[C, N]`."""
    count = frame.layout.nb_channels
    rows = [out.to_ndarray().reshape(-1, count) for out in as_floats.resample(frame)]
    return np.concatenate([np.zeros((0, count), np.float32), *rows], dtype=np.float32).T


def to_frame(samples: Samples, rate: int) -> av.AudioFrame:
    """Make a frame for FFmpeg of float32 `[C, N]`."""
    packed = np.ascontiguousarray(samples.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=f"{len(samples)}c")
    frame.sample_rate = rate
    return frame


def new_resampler(width: int) -> av.AudioResampler:
    """Make what resamples packed frames to `SAMPLE_RATE`, in `width` channels."""
    return av.AudioResampler(format="flt", layout=f"{width}c", rate=SAMPLE_RATE)


def resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None, width: int) -> Iterator[Samples]:
    """Resample a frame (None = flush the end) to float32 `[C, N]` pieces."""
    for out in resampler.resample(frame):
        if out.samples:
            # the resampling filter overshoots at steps
            yield np.clip(out.to_ndarray().reshape(-1, width).T, -1, 1)
