"""How periodic speech is over time: pitch and harmonics-to-noise ratio.

Both follow P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound" (IFA Proceedings 17, 1993), with the settings that
phoneticians use by default, so that the values compare with published tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.frames import Floats, by_blocks, windows

#: Seconds between values.
STEP = 0.01
#: Lowest and highest pitch, in Hz.
FLOOR, CEILING = 75.0, 600.0

_SILENCE = 0.03  # frames below this share of the loudest sample lean to unvoiced
_OCTAVE_COST = 0.01  # per octave below the ceiling: the shorter of two equal periods wins
_JUMP_COST = 0.35  # of a pitch change, per octave

_PERIOD = int(SAMPLE_RATE / FLOOR)  # the longest, in samples
_REACH = 12  # samples on each side that interpolation looks at
_FINE = 4  # steps of interpolation in a sample
_LAGS = _PERIOD + _REACH + 2
_TINY = 1e-12


@dataclass(frozen=True)
class Candidates:
    """Pitches that each frame could have.

    :param frequency: Hz `[T, K]`.
    :param scores: how well each fits `[T, K]`, about 0 to 1; -inf = no candidate.
    :param loudness: peak of each frame `[T]` relative to the loudest sample of all.
    """

    frequency: Floats
    scores: Floats
    loudness: Floats


def pitch_candidates(sound: Floats) -> Candidates:
    """Peaks of the autocorrelation of each frame of three longest periods.

    :param sound: samples `[N]` at `SAMPLE_RATE`, mean 0, loudest sample 1 (or all 0).
    :return: candidates, one frame every `STEP`; no frame below 40 ms.
    """
    width = round(3 * SAMPLE_RATE / FLOOR)
    peaks = by_blocks(_autocorrelation_peaks, windows(sound, width, STEP))
    loudness, lags, strengths = peaks[:, 0, 0], peaks[:, 1], peaks[:, 2]
    frequency = SAMPLE_RATE / lags
    scores = strengths - _OCTAVE_COST * np.log2(CEILING / frequency)
    return Candidates(frequency, np.where(frequency > CEILING, -np.inf, scores), loudness)


def pitch_track(candidates: Candidates, voicing: float = 0.45, switch: float = 0.14) -> Floats:
    """Fundamental frequency: the cheapest way through the candidates.

    :param candidates: from `pitch_candidates`.
    :param voicing: score that a voiced frame needs.
    :param switch: cost of a change between voiced and unvoiced.
    :return: Hz `[T]`, one value every `STEP`, NaN where unvoiced.
    """
    if not len(candidates.loudness):
        return np.empty(0)
    unvoiced = _unvoiced_score(candidates.loudness, _SILENCE, voicing)
    path = _best_path(candidates, unvoiced, switch)
    values = np.column_stack([candidates.frequency, np.full(len(path), np.nan)])
    return np.asarray(values[np.arange(len(path)), path])


def harmonicity(sound: Floats) -> Floats:
    """Harmonics-to-noise ratio, from the correlation of one period's length with what follows it.

    :param sound: samples `[N]` at `SAMPLE_RATE`, mean 0, loudest sample 1 (or all 0).
    :return: dB `[T]`, one value every `STEP`, NaN in quiet frames and where nothing repeats.
    """
    peaks = by_blocks(_cross_correlation_peaks, windows(sound, _PERIOD + _LAGS, STEP))
    loudness, strengths = peaks[:, 0, 0], peaks[:, 2]
    best = strengths.max(axis=1)
    periodic = best > np.maximum(_unvoiced_score(loudness, silence=0.1, voicing=0.0), _TINY)
    best = np.clip(best, _TINY, 1 / np.clip(best, 1 + _TINY, None))  # interpolation may overshoot 1
    return np.where(periodic, 10 * np.log10(best / (1 - best)), np.nan)


def _autocorrelation_peaks(frames: Floats) -> Floats:
    """Peaks of the autocorrelation of `[T, width]`, free of the Hann window's own."""
    frames, loudness = _centred(frames)
    width = frames.shape[1]
    size = _fft_size(width + _LAGS)
    spectrum = np.fft.rfft(frames * _hann(width), size)
    raw = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, :_LAGS]
    correlation = raw / (np.maximum(raw[:, :1], _TINY) * _hann_correlation(width))
    return _peaks(correlation, loudness, count=8, shortest=int(SAMPLE_RATE / CEILING), least=0.1)


def _cross_correlation_peaks(frames: Floats) -> Floats:
    """Peaks of the correlation of each frame's first period with every later stretch as long."""
    frames, loudness = _centred(frames)
    size = _fft_size(frames.shape[1])
    spectrum = np.fft.rfft(frames, size) * np.fft.rfft(frames[:, :_PERIOD], size).conj()
    products = np.fft.irfft(spectrum, size)[:, :_LAGS]
    power = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = (power[:, _PERIOD:] - power[:, :-_PERIOD])[:, :_LAGS]
    correlation = products / np.maximum(np.sqrt(energy * energy[:, :1]), _TINY)
    return _peaks(correlation, loudness, count=2, shortest=2, least=0.0)


def _centred(frames: Floats) -> tuple[Floats, Floats]:
    """Take the mean off each frame; also the peak `[T]` of the longest period in its middle."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    start = (frames.shape[1] - _PERIOD) // 2
    return frames, np.abs(frames[:, start : start + _PERIOD]).max(axis=1)


def _fft_size(least: int) -> int:
    """Smallest length of the form 2^a or 3 * 2^a that is not below `least`."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= least else power


@cache
def _hann(width: int) -> Floats:
    return np.asarray(np.hanning(width + 2)[1:-1])


@cache
def _hann_correlation(width: int) -> Floats:
    """Normalised autocorrelation of the Hann window `[_LAGS]`."""
    full = np.correlate(_hann(width), _hann(width), "full")[width - 1 :]
    return np.asarray(full[:_LAGS] / full[0])


@cache
def _interpolation() -> Floats:
    """Windowed-sinc weights `[2 * _REACH + 1, 2 * _FINE + 1]` for offsets from -1 to 1 sample."""
    distance = np.arange(-_REACH, _REACH + 1)[:, None] - np.linspace(-1, 1, 2 * _FINE + 1)
    return np.asarray(np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / (_REACH + 1))))


def _peaks(correlation: Floats, loudness: Floats, count: int, shortest: int, least: float) -> Floats:
    """Highest local maxima of each frame's correlation.

    :param correlation: `[T, _LAGS]` at whole lags.
    :param loudness: `[T]`, handed through.
    :param count: how many maxima to keep, K.
    :param shortest: lag to start from, in samples.
    :param least: maxima not above this are no candidates.
    :return: `[T, 3, K]`: loudness, lags in samples, and strengths (-inf = no candidate).
    """
    inside = correlation[:, shortest : _PERIOD + 1]
    before, after = correlation[:, shortest - 1 : _PERIOD], correlation[:, shortest + 1 : _PERIOD + 2]
    heights = np.where((inside > before) & (inside >= after) & (inside > least), inside, -np.inf)
    places = np.argpartition(heights, -count, axis=1)[:, -count:]
    found = np.isfinite(np.take_along_axis(heights, places, axis=1))
    rows, columns = np.nonzero(found)
    lags, strengths = np.full(places.shape, float(_PERIOD)), np.full(places.shape, -np.inf)
    lags[found], strengths[found] = _between_samples(correlation, rows, places[rows, columns] + shortest)
    return np.stack([np.broadcast_to(loudness[:, None], lags.shape), lags, strengths], axis=1)


def _between_samples(
    correlation: Floats, rows: NDArray[np.intp], places: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Move maxima from whole lags to where the band-limited curve has them."""
    around = np.abs(places[:, None] + np.arange(-_REACH, _REACH + 1))  # a correlation is even
    fine = correlation[rows[:, None], around] @ _interpolation()
    top = fine[:, 1:-1].argmax(axis=1) + 1
    each = np.arange(len(top))
    left, middle, right = fine[each, top - 1], fine[each, top], fine[each, top + 1]
    bend = np.maximum(2 * middle - left - right, _TINY)
    shift = np.clip((right - left) / (2 * bend), -0.5, 0.5)  # summit of the parabola through the three
    return places + (top - _FINE + shift) / _FINE, middle + (right - left) * shift / 4


def _unvoiced_score(loudness: Floats, silence: float, voicing: float) -> Floats:
    """Strength of the candidate "unvoiced": the voicing threshold, and more in quiet frames."""
    return np.asarray(voicing + np.maximum(0.0, 2 - loudness * (1 + voicing) / silence))


def _best_path(candidates: Candidates, unvoiced: Floats, switch: float) -> NDArray[np.intp]:
    """Viterbi search through the K candidates of each frame and "unvoiced".

    :param unvoiced: score `[T]` of the candidate "unvoiced", which gets the number K.
    :return: number of each frame's winner `[T]`.
    """
    octaves = np.log2(candidates.frequency)
    jumps = _JUMP_COST * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    costs = np.pad(jumps, ((0, 0), (0, 1), (0, 1)), constant_values=switch)
    costs[:, -1, -1] = 0.0
    scores = np.column_stack([candidates.scores, unvoiced])
    total, origins = scores[0], np.zeros(scores.shape, dtype=np.intp)
    for t in range(1, len(scores)):
        arriving = total[:, None] - costs[t - 1]
        origins[t] = arriving.argmax(axis=0)
        total = arriving.max(axis=0) + scores[t]
    path = np.empty(len(scores), dtype=np.intp)
    path[-1] = total.argmax()
    for t in range(len(scores) - 1, 0, -1):
        path[t - 1] = origins[t, path[t]]
    return path
