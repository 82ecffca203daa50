"""Compression of a recording to mono Opus, to be played inside a report."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.sandbox import blocks

#: Bits per second: clear speech, about 11 MB an hour.
BIT_RATE = 24_000

#: MIME type of what `encode` returns.
MIME_TYPE = "audio/ogg"


def encode(source: str | Path | Iterable[NDArray[np.float32]], *, bit_rate: int = BIT_RATE) -> bytes:
    """Encode sound as mono Opus in an Ogg container, which browsers play.

    :param source: path of a recording (its channels are averaged), or float32 `[N]` pieces at `SAMPLE_RATE`.
    :param bit_rate: bits per second.
    :return: the Ogg file; about `bit_rate / 8` bytes a second.
    :raises InputError: the recording cannot be read.
    """
    if isinstance(source, (str, Path)):
        source = (block[0] for block in blocks(source))
    target = io.BytesIO()
    # bit-exact: the same sound gives the same bytes, without a random serial number
    with av.open(target, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", bit_rate=bit_rate)
        assert isinstance(stream, av.AudioStream)
        for samples in source:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples)[None], format="flt", layout="mono"
            )
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()
