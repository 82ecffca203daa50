"""Sound that is in memory already, at any rate, as the blocks that `decode` gives of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import Channels
from mister_e.audio.format import MAX_RATE, MIN_RATE
from mister_e.audio.resampling import (
    OPPOSITE_NOTE,
    Mixer,
    Samples,
    new_resampler,
    repaired,
    resampled,
    to_frame,
)
from mister_e.errors import InputError

#: More channels than that are samples: then the axes are the other way round.
_MAX_CHANNELS = 32


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
    if rows.ndim != 2 or len(rows) > _MAX_CHANNELS or not rows.size:
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
    if mixer.opposite:
        faults.add(OPPOSITE_NOTE)
    notes.extend(sorted(faults))
