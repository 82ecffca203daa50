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


def write(
    path: Path,
    samples: np.ndarray,
    rate: int = 16_000,
    codec: str = "pcm_s16le",
    bit_rate: int | None = None,
    **options,
) -> Path:
    """Write float `[C, N]` samples; the container follows from the file's name."""
    formats = {"pcm_s16le": "s16", "flac": "s16", "pcm_f32le": "flt", "pcm_u8": "u8", "pcm_s32le": "s32"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=f"{len(samples)}c")
        if bit_rate is not None:
            stream.bit_rate = bit_rate
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


def write_misjudged(path: Path) -> Path:
    """Write 33 s as a bare AAC or MP3 stream whose length FFmpeg guesses as much shorter.

    The first 3 s take many bits and the others few, and no header says so.
    """
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 48_000))
    quiet = np.zeros((1, 480_000))
    if path.suffix == ".aac":
        return write(path, np.concatenate([loud, quiet], axis=1), codec="aac")
    parts = [
        write(path.with_stem(f"{path.stem}-{rate}"), sound, 16_000, "libmp3lame", rate, write_xing="0")
        for sound, rate in ((loud, 128_000), (quiet, 16_000))
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
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
