"""What recordings do to a voice: rooms, lines, microphones and codecs, for training and for the test of them.

Every function maps float32 `[N]` at `SAMPLE_RATE` to the same kind, perhaps of another length.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import speech_bounds
from mister_e.training.settings import AugmentationConfig

Sound = NDArray[np.float32]


def noise(sound: Sound, snr: float, random: np.random.Generator, slope: float = 0.0) -> Sound:
    """Add noise.

    :param snr: dB between the power of what sounds and that of the noise.
    :param slope: how fast the spectrum falls: 0 = white, 1 = pink, 2 = brown.
    """
    made = np.fft.rfft(random.standard_normal(len(sound)))
    made /= np.arange(1, len(made) + 1) ** (slope / 2)
    added = np.fft.irfft(made, len(sound))
    start, end = speech_bounds(sound)
    power = np.mean(sound[start:end].astype(np.float64) ** 2) if end > start else 0.0
    gain = np.sqrt(power / 10 ** (snr / 10) / (np.mean(added**2) + 1e-12))
    return np.asarray(sound + gain * added, np.float32)


def echo(sound: Sound, seconds: float, level: float, random: np.random.Generator) -> Sound:
    """Put the sound in a room: noise that dies away behind it.

    :param seconds: until the echo is 60 dB down.
    :param level: amplitude of the echo, relative to the direct sound.
    """
    length = max(2, int(seconds * SAMPLE_RATE))
    tail = random.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: min(40, length // 2)] = 0  # the nearest wall is some way off
    room = level * tail / np.sqrt((tail**2).sum())
    room[0] = 1
    return np.asarray(signal.fftconvolve(sound, room)[: len(sound) + length // 2], np.float32)


def telephone(sound: Sound) -> Sound:
    """Keep 300 to 3400 Hz of 8 kHz."""
    band = signal.butter(4, [300, 3400], "bandpass", fs=8000, output="sos")
    narrow = signal.sosfilt(band, signal.resample_poly(sound, 1, 2))
    return np.asarray(signal.resample_poly(narrow, 2, 1), np.float32)


def half_band(sound: Sound) -> Sound:
    """Keep what is below 4 kHz."""
    return np.asarray(signal.resample_poly(signal.resample_poly(sound, 1, 2), 2, 1), np.float32)


def mu_law(sound: Sound) -> Sound:
    """Go through eight bits of a telephone exchange (G.711)."""
    peak = float(np.abs(sound).max(initial=0.0)) + 1e-9
    bent = np.sign(sound) * np.log1p(255 * np.abs(sound) / peak) / np.log(256)
    bent = np.round((bent + 1) * 127.5) / 127.5 - 1
    return np.asarray(np.sign(bent) * np.expm1(np.abs(bent) * np.log(256)) / 255 * peak, np.float32)


def opus(sound: Sound, bits: int = 12_000) -> Sound:
    """Go through a lossy codec and back.

    :param bits: a second.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as written:
        stream = written.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bits
        samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            written.mux(packet)
    file.seek(0)
    resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
    with av.open(file, "r") as read:
        parts = [
            piece.to_ndarray()[0] for frame in read.decode(audio=0) for piece in resampler.resample(frame)
        ]
    return np.concatenate([np.zeros(0, np.float32), *parts]).astype(np.float32)


def speed(sound: Sound, factor: float) -> Sound:
    """Play faster, and so higher, or slower."""
    places = np.arange(int(len(sound) / factor)) * factor
    return np.asarray(np.interp(places, np.arange(len(sound)), sound), np.float32)


def coloured(sound: Sound, max_db: float, random: np.random.Generator) -> Sound:
    """Filter as another microphone would: a smooth random response.

    :param max_db: dB up or down at most.
    """
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(1 + 31 * np.linspace(0, 1, len(spectrum)))
    response = 10 ** (np.interp(octaves, np.arange(6), random.uniform(-max_db, max_db, 6)) / 20)
    return np.asarray(np.fft.irfft(spectrum * response, len(sound)), np.float32)


def silence(sound: Sound, before: float, after: float) -> Sound:
    """Put digital silence around it, in seconds."""
    return np.pad(sound, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))


def augment(sound: Sound, config: AugmentationConfig, random: np.random.Generator) -> Sound:
    """Draw a recording that this voice might have been heard through.

    :param config: how often each thing happens, and how strongly.
    :param random: two calls with generators of one state give the same sound.
    """
    if random.random() < config.speed_probability:
        sound = speed(sound, random.uniform(*config.speed))
    if random.random() < config.microphone_probability:
        sound = coloured(sound, config.microphone_db, random)
    if random.random() < config.room_probability:
        sound = echo(sound, random.uniform(*config.room_seconds), random.uniform(*config.room_level), random)
    if random.random() < config.silence_probability:
        sound = silence(sound, *random.uniform(*config.silence_seconds, 2))
    if random.random() < config.noise_probability:
        sound = noise(sound, random.uniform(*config.noise_snr), random, float(random.integers(3)))
    line = random.random()
    if line < config.telephone_probability:
        sound = telephone(sound)
    elif line < config.telephone_probability + config.half_band_probability:
        sound = half_band(sound)
    if random.random() < config.codec_probability:
        if random.random() < 0.5:
            sound = mu_law(sound)
        else:
            sound = opus(sound, int(random.uniform(*config.codec_bits)))
    return sound


def augment_statistics(
    statistics: NDArray[np.float32], config: AugmentationConfig, random: np.random.Generator
) -> NDArray[np.float32]:
    """Shake the statistics of a clip, and hide some (NaN), so that no single one is relied on.

    :param statistics: float32 `[8]`; NaN = undefined.
    """
    shaken = random.normal(0, config.statistics_noise, len(statistics)).astype(np.float32)
    result = statistics + shaken * np.abs(statistics)
    lost = random.random(len(result)) < (
        1.0 if random.random() < config.statistics_lost else config.statistic_lost
    )
    result[lost] = np.nan
    return result


def mask(
    mel: NDArray[np.float32], config: AugmentationConfig, random: np.random.Generator
) -> NDArray[np.float32]:
    """Mask neighbouring bands, and a moment, with the mean (SpecAugment, Park et al. 2019).

    :param mel: `[M, 80]`, unchanged.
    """
    mel = mel.copy()
    if random.random() < config.bands_probability:
        first = int(random.integers(0, mel.shape[1] - config.max_bands - 1))
        mel[:, first : first + int(random.integers(1, config.max_bands + 1))] = mel.mean()
    if random.random() < config.rows_probability and len(mel) > 2 * config.max_rows + 2:
        first = int(random.integers(0, len(mel) - config.max_rows - 1))
        mel[first : first + int(random.integers(1, config.max_rows + 1))] = mel.mean()
    return mel


#: Conditions under which a clip has to keep its label, for the test of it.
CONDITIONS: Mapping[str, Callable[[Sound, np.random.Generator], Sound]] = {
    "as recorded": lambda sound, _: sound,
    "20 dB quieter": lambda sound, _: sound * np.float32(0.1),
    "silence around it": lambda sound, _: silence(sound, 0.75, 0.75),
    "noise, 20 dB": lambda sound, random: noise(sound, 20, random),
    "small room": lambda sound, random: echo(sound, 0.3, 0.5, random),
    "telephone": lambda sound, _: mu_law(telephone(sound)),
    "codec, 12 kbit/s": lambda sound, _: opus(sound),
    "5 % faster": lambda sound, _: speed(sound, 1.05),
    "5 % slower": lambda sound, _: speed(sound, 0.95),
}
