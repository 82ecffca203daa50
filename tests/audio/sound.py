"""Small recordings, written with PyAV, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def tone(seconds: float, *frequencies: float, rate: int = 16_000, level: float = 0.3) -> np.ndarray:
    """One sine a channel, float32 `[C, N]`."""
    time = np.arange(round(seconds * rate)) / rate
    rows = [level * np.sin(2 * np.pi * frequency * time) for frequency in frequencies]
    return np.array(rows, dtype=np.float32)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, codec: str = "pcm_s16le", **options) -> Path:
    """Write float `[C, N]` samples; the container follows from the file's name."""
    formats = {"pcm_s16le": "s16", "flac": "s16", "pcm_f32le": "flt", "pcm_u8": "u8", "pcm_s32le": "s32"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=f"{len(samples)}c")
        convert = av.AudioResampler(format=formats.get(codec, "fltp"), rate=rate)
        # in frames of a quarter second, so that there is more than one packet
        for begin in range(0, samples.shape[1], rate // 4):
            piece = np.ascontiguousarray(samples[:, begin : begin + rate // 4].T, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="flt", layout=f"{len(samples)}c")
            frame.sample_rate = rate
            frame.pts = begin
            for converted in convert.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def write_silent_film(path: Path) -> Path:
    """Write a video without a sound track."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frequency(samples: np.ndarray, rate: int = 16_000) -> float:
    """Strongest frequency (Hz) of float32 `[N]`."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))
