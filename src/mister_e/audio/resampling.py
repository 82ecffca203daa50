"""Samples of any format, rate and number of channels to 16 kHz float32: repaired, mixed, resampled.

Those of a file come frame by frame from `decode`; sound that is in memory already is taken as an array.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import MAX_RATE, MIN_RATE, SAMPLE_RATE, Channels
from mister_e.audio.level import replace_non_finite
from mister_e.errors import InputError

Samples = NDArray[np.float32]

#: Amplitude far beyond full scale. Lossy codecs overshoot 1 a little; 4 is a file with a wrong scale.
_WRONG_SCALE = 4.0

#: Power of the sum of two channels, relative to that of their difference, below which they are in opposite
#: phase: -20 dB. Two voices, one in each channel, have equal powers.
_OPPOSITE = 0.01

#: Share of the power that is remembered from one sample to the next: half of it for 0.1 s of 16 kHz.
_MEMORY = 0.5 ** (10 / SAMPLE_RATE)

OPPOSITE_NOTE = (
    "the two channels are in opposite phase: where they are, one was turned over before they were mixed"
)

#: More channels than that are samples: then the axes are the other way round.
_MAX_CHANNELS = 32


class Mixer:
    """Mixes channels down to one; of two in opposite phase, which would cancel out, one is turned over."""

    def __init__(self) -> None:
        self.sum_power = self.difference_power = 0.0
        #: Whether a channel was turned over anywhere so far.
        self.turned = False

    def __call__(self, samples: Samples) -> Samples:
        """Mix float32 `[C, N]` to `[1, N]`; the samples of successive calls follow each other."""
        if len(samples) != 2:
            return np.asarray(samples.mean(axis=0, keepdims=True))
        left, right = samples
        total, difference = left + right, left - right
        # the last seconds count: a recording may be put together from parts of either phase
        kept = _MEMORY ** samples.shape[1]
        self.sum_power = kept * self.sum_power + float(np.dot(total, total))
        self.difference_power = kept * self.difference_power + float(np.dot(difference, difference))
        opposite = self.sum_power < _OPPOSITE * self.difference_power
        self.turned |= opposite
        return np.asarray((difference if opposite else total)[None] / 2)


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


def array_blocks(
    samples: NDArray[Any],
    rate: int,
    *,
    channels: Channels = "mix",
    seconds: float = 30.0,
    notes: list[str] | None = None,
) -> Iterator[Samples]:
    """Resample an array in pieces.

    :param samples: `[N]`, `[C, N]` or `[N, C]`: floats within [-1, 1], or signed integers of full scale.
    :param rate: Hz.
    :param channels: "mix" = the mean of all channels, "split" = every channel by itself.
    :param seconds: length of a piece, about.
    :param notes: sentences about damage that could be repaired are appended here.
    :return: float32 `[C, N]` pieces at `SAMPLE_RATE`, within [-1, 1].
    :raises InputError: it is no sound: another shape, type, or rate, or no samples.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(f"samples at {rate} Hz: expected a sample rate of {MIN_RATE:,} to {MAX_RATE:,} Hz")
    rows = np.atleast_2d(samples)
    if rows.ndim == 2 and len(rows) > _MAX_CHANNELS >= rows.shape[1]:
        rows = rows.T
    if rows.ndim != 2 or len(rows) > _MAX_CHANNELS or not rows.size or not samples.ndim:
        raise InputError(f"samples of shape {samples.shape}: expected [N], [C, N] or [N, C], N at least 1")
    if not (np.issubdtype(rows.dtype, np.floating) or np.issubdtype(rows.dtype, np.signedinteger)):
        raise InputError(f"samples of type {rows.dtype}: expected floats in [-1, 1], or signed integers")
    return _pieces(rows, int(rate), channels, seconds, [] if notes is None else notes)


def _pieces(
    rows: NDArray[Any], rate: int, channels: Channels, seconds: float, notes: list[str]
) -> Iterator[Samples]:
    scale = 1.0 if np.issubdtype(rows.dtype, np.floating) else float(np.iinfo(rows.dtype).max)
    width = 1 if channels == "mix" else len(rows)
    mixer, resampler, faults = Mixer(), new_resampler(width), set[str]()
    step = max(1, round(seconds * rate))
    for start in range(0, rows.shape[1], step):
        piece = (rows[:, start : start + step] / scale).astype(np.float32)
        yield from resampled(resampler, to_frame(repaired(piece, width, mixer, faults), rate), width)
    yield from resampled(resampler, None, width)
    if mixer.turned:
        faults.add(OPPOSITE_NOTE)
    notes.extend(sorted(faults))
