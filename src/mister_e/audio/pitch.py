"""Pitch and harmonics-to-noise ratio (HNR) over time.

Both follow P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound" (IFA Proceedings 17, 1993), the algorithm of the program
Praat, with Praat's default settings, so that the values compare with published tables:

1. In each frame, local maxima of the autocorrelation, r(lag), are the pitch candidates; the
   autocorrelation of the windowed frame is divided by that of the window, which removes its bias.
2. The strength of a candidate is r(lag) minus a cost for low pitch; "unvoiced" is one more candidate.
3. The pitch track is the path through the candidates with the greatest sum of strengths minus
   the costs of jumps (Viterbi search).
4. HNR = 10 * log10(r / (1 - r)) dB, of the highest r: the periodic part of the power against the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.frames import Floats, by_blocks, windows

#: Seconds between values. Praat's costs of jumps are for this step.
STEP = 0.01
#: Lowest and highest pitch, in Hz (Praat's defaults).
FLOOR, CEILING = 75.0, 600.0

# Praat's defaults: silence threshold, octave cost, octave-jump cost
_SILENCE = 0.03  # a frame whose peak is below this fraction of the loudest sample counts as unvoiced
_OCTAVE_COST = 0.01  # per octave below the ceiling: the shorter of two equally good periods wins
_JUMP_COST = 0.35  # per octave between the pitches of two successive frames

_PERIOD = int(SAMPLE_RATE / FLOOR)  # longest period, in samples
_REACH = 12  # samples on each side that the interpolation uses
_FINE = 4  # points of the interpolated curve per sample; a parabola refines between them
_LAGS = _PERIOD + _REACH + 2  # lags for which the correlation is computed
_TINY = 1e-12


@dataclass(frozen=True)
class Candidates:
    """Pitch candidates of each frame.

    :param frequency: Hz `[T, K]`.
    :param scores: strength of each `[T, K]`, about 0 to 1; -inf = no candidate.
    :param loudness: peak of each frame `[T]` relative to the loudest sample of all.
    """

    frequency: Floats
    scores: Floats
    loudness: Floats


def pitch_candidates(sound: Floats) -> Candidates:
    """Find the pitch candidates of a sound, in frames as long as three of the longest periods.

    The strength of a candidate is `r(lag) - octave_cost * log2(ceiling / frequency)`.

    :param sound: samples `[N]` at `SAMPLE_RATE`, mean 0, loudest sample 1 (or all 0).
    :return: candidates, one frame every `STEP`; no frame where the sound is shorter than 40 ms.
    """
    width = round(3 * SAMPLE_RATE / FLOOR)
    peaks = by_blocks(_autocorrelation_peaks, windows(sound, width, STEP))
    loudness, lags, strengths = peaks[:, 0, 0], peaks[:, 1], peaks[:, 2]
    frequency = SAMPLE_RATE / lags
    scores = strengths - _OCTAVE_COST * np.log2(CEILING / frequency)
    return Candidates(frequency, np.where(frequency > CEILING, -np.inf, scores), loudness)


def pitch_track(candidates: Candidates, voicing: float = 0.45, switch: float = 0.14) -> Floats:
    """Fundamental frequency: the best path through the candidates.

    :param candidates: from `pitch_candidates`.
    :param voicing: strength of "unvoiced" in a loud frame: what a voiced candidate must exceed.
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
    """Harmonics-to-noise ratio, `10 * log10(r / (1 - r))`, by cross-correlation.

    r is the highest correlation of a stretch as long as the longest period with a later one as long: the
    "cc" method, which Praat prefers for HNR.

    :param sound: samples `[N]` at `SAMPLE_RATE`, mean 0, loudest sample 1 (or all 0).
    :return: dB `[T]`, one value every `STEP`, NaN in silent frames and in those without a period.
    """
    peaks = by_blocks(_cross_correlation_peaks, windows(sound, _PERIOD + _LAGS, STEP))
    loudness, strengths = peaks[:, 0, 0], peaks[:, 2]
    best = strengths.max(axis=1)
    # Praat's settings for HNR: silence threshold 0.1, voicing threshold 0
    periodic = best > np.maximum(_unvoiced_score(loudness, silence=0.1, voicing=0.0), _TINY)
    # interpolation may overshoot 1: r > 1 becomes 1 / r, as in Praat
    best = np.clip(best, _TINY, 1 / np.clip(best, 1 + _TINY, None))
    return np.where(periodic, 10 * np.log10(best / (1 - best)), np.nan)


def _autocorrelation_peaks(frames: Floats) -> Floats:
    """Peaks of the autocorrelation of frames `[T, width]`, divided by that of their Hann window."""
    frames, loudness = _centred(frames)
    width = frames.shape[1]
    size = _fft_size(width + _LAGS)
    spectrum = np.fft.rfft(frames * _hann(width), size)
    raw = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:, :_LAGS]
    correlation = raw / (np.maximum(raw[:, :1], _TINY) * _hann_correlation(width))
    return _peaks(correlation, loudness, count=8, shortest=int(SAMPLE_RATE / CEILING), least=0.1)


def _cross_correlation_peaks(frames: Floats) -> Floats:
    """Peaks of the normalised correlation of each frame's first longest period with every later stretch."""
    frames, loudness = _centred(frames)
    size = _fft_size(frames.shape[1])
    spectrum = np.fft.rfft(frames, size) * np.fft.rfft(frames[:, :_PERIOD], size).conj()
    products = np.fft.irfft(spectrum, size)[:, :_LAGS]
    power = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = (power[:, _PERIOD:] - power[:, :-_PERIOD])[:, :_LAGS]
    correlation = products / np.maximum(np.sqrt(energy * energy[:, :1]), _TINY)
    return _peaks(correlation, loudness, count=2, shortest=2, least=0.0)


def _centred(frames: Floats) -> tuple[Floats, Floats]:
    """Subtract the mean of each frame; also the peak `[T]` within one longest period in its middle."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    start = (frames.shape[1] - _PERIOD) // 2
    return frames, np.abs(frames[:, start : start + _PERIOD]).max(axis=1)


def _fft_size(least: int) -> int:
    """Smallest length of the form 2^a or 3 * 2^a that is not below `least`."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= least else power


@cache
def _hann(width: int) -> Floats:
    """Hann window `[width]` without the zeros at its ends."""
    return np.asarray(np.hanning(width + 2)[1:-1])


@cache
def _hann_correlation(width: int) -> Floats:
    """Normalised autocorrelation of the Hann window `[_LAGS]`."""
    full = np.correlate(_hann(width), _hann(width), "full")[width - 1 :]
    return np.asarray(full[:_LAGS] / full[0])


@cache
def _interpolation() -> Floats:
    """Windowed-sinc weights `[2 * _REACH + 1, 2 * _FINE + 1]` for offsets from -1 to 1 sample.

    A correlation of a sampled sound is band-limited, so that sinc interpolation gives its values between
    samples; a raised cosine ends the infinite sum after `_REACH` samples.
    """
    distance = np.arange(-_REACH, _REACH + 1)[:, None] - np.linspace(-1, 1, 2 * _FINE + 1)
    return np.asarray(np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / (_REACH + 1))))


def _peaks(correlation: Floats, loudness: Floats, count: int, shortest: int, least: float) -> Floats:
    """Find the highest local maxima of each frame's correlation.

    :param correlation: `[T, _LAGS]` at whole lags.
    :param loudness: `[T]`, returned with the maxima.
    :param count: how many maxima to keep, K.
    :param shortest: shortest lag, in samples.
    :param least: a maximum must exceed this.
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
    """Move maxima from whole lags to those of the interpolated curve.

    :return: lags in samples and heights of the maxima.
    """
    around = np.abs(places[:, None] + np.arange(-_REACH, _REACH + 1))  # a correlation is even
    fine = correlation[rows[:, None], around] @ _interpolation()
    top = fine[:, 1:-1].argmax(axis=1) + 1
    each = np.arange(len(top))
    left, middle, right = fine[each, top - 1], fine[each, top], fine[each, top + 1]
    # vertex of the parabola through the three highest points
    curvature = np.maximum(2 * middle - left - right, _TINY)
    shift = np.clip((right - left) / (2 * curvature), -0.5, 0.5)
    return places + (top - _FINE + shift) / _FINE, middle + (right - left) * shift / 4


def _unvoiced_score(loudness: Floats, silence: float, voicing: float) -> Floats:
    """Strength of the candidate "unvoiced": the voicing threshold, and more in quiet frames.

    `voicing + max(0, 2 - (peak / global peak) / (silence / (1 + voicing)))`, Boersma (1993).
    """
    return np.asarray(voicing + np.maximum(0.0, 2 - loudness * (1 + voicing) / silence))


def _best_path(candidates: Candidates, unvoiced: Floats, switch: float) -> NDArray[np.intp]:
    """Viterbi search for the best path through the K candidates of each frame and "unvoiced".

    A step between two pitches costs `_JUMP_COST` an octave, one between voiced and unvoiced `switch`, one
    between two unvoiced frames nothing.

    :param unvoiced: score `[T]` of the candidate "unvoiced", which gets the number K.
    :return: number of each frame's candidate on the path `[T]`.
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
