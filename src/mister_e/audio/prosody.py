"""Prosody: eight statistics of loudness, pitch, tempo and voice quality of a turn.

The definitions are those of the phonetics program Praat with its standard settings, so that values
measured here can be mixed with tables measured there.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from functools import cache
from itertools import pairwise
from math import nan

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.frames import Floats, by_blocks, windows
from mister_e.audio.level import replace_non_finite
from mister_e.audio.pitch import STEP, Candidates, harmonicity, pitch_candidates, pitch_track

# Levels further below the loud parts than this (dB) count as this: digital silence, at hundreds of dB
# below, would dominate the variation of intensity, and it is of the recording and not of the voice.
_INTENSITY_RANGE = 50.0
# Amplitude of 0 dB, the lowest level reported. Praat reads samples as pascals, and 20 micropascals are the
# threshold of hearing.
_REFERENCE = 2e-5

# Settings of the syllable count of N. H. de Jong and T. Wempe, "Praat script to detect syllable
# nuclei and measure speech rate automatically" (Behavior Research Methods 41, 2009).
_SYLLABLE_STEP = 0.016  # s between values of intensity
_SILENCE_DEPTH = 25.0  # dB below the loud parts; quieter is a pause
_MIN_DIP = 2.0  # dB that intensity falls between two nuclei
_MIN_PAUSE = 0.3  # s
_MIN_SOUND = 0.1  # s; shorter sounds are part of the pause around them


@dataclass(frozen=True)
class Prosody:
    """Eight statistics of a turn; NaN = undefined, such as the pitch of a whisper.

    :param duration: s.
    :param avg_intensity: dB re 2e-5, mean power over the windows (a full-scale sine has 91 dB).
    :param intensity_variation: dB, standard deviation over the windows.
    :param avg_pitch: Hz, mean over the voiced frames.
    :param pitch_std: Hz, standard deviation over the voiced frames; 0 without any.
    :param pitch_range: Hz, highest minus lowest; 0 without voiced frames.
    :param articulation_rate: syllables per second of speech, pauses excluded; NaN without a syllable.
    :param mean_hnr: dB, harmonics-to-noise ratio, mean over the frames that are not silent.
    """

    duration: float
    avg_intensity: float = nan
    intensity_variation: float = nan
    avg_pitch: float = nan
    pitch_std: float = nan
    pitch_range: float = nan
    articulation_rate: float = nan
    mean_hnr: float = nan

    def to_array(self) -> NDArray[np.float32]:
        """The statistics in the order of `STATISTICS`: float32 `[8]`."""
        return np.array(astuple(self), dtype=np.float32)


#: Names of the statistics, in the order of `Prosody.to_array`.
STATISTICS: tuple[str, ...] = tuple(field.name for field in fields(Prosody))


def prosody(samples: NDArray[np.float32]) -> Prosody:
    """Measure the prosody of a turn.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :return: the statistics; for silence, and below 64 ms, only the duration is defined.
    """
    duration = len(samples) / SAMPLE_RATE
    sound, gain = _normalised(samples)
    level = _intensity(sound, floor=100.0)
    if gain == 0 or not len(level):
        return Prosody(duration)
    candidates = pitch_candidates(sound)
    pitch = pitch_track(candidates)
    voiced = pitch[np.isfinite(pitch)]
    hnr = harmonicity(sound)
    hnr = hnr[np.isfinite(hnr)]
    loudness = 10 * np.log10(np.mean(10 ** (level / 10))) + 20 * np.log10(gain / _REFERENCE)
    return Prosody(
        duration,
        avg_intensity=max(float(loudness), 0.0),
        intensity_variation=float(np.maximum(level, np.quantile(level, 0.99) - _INTENSITY_RANGE).std()),
        avg_pitch=float(voiced.mean()) if len(voiced) else nan,
        pitch_std=float(voiced.std()) if len(voiced) else 0.0,
        pitch_range=float(np.ptp(voiced)) if len(voiced) else 0.0,
        articulation_rate=_articulation_rate(sound, candidates),
        mean_hnr=float(hnr.mean()) if len(hnr) else nan,
    )


def _normalised(samples: NDArray[np.float32]) -> tuple[Floats, float]:
    """Scale to mean 0 and loudest sample 1; also return the amplitude that this 1 was (0 = silence)."""
    sound = replace_non_finite(samples).astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak == 0:
        return sound, 0.0
    sound /= peak
    sound -= sound.mean()
    amplitude = float(np.abs(sound).max())
    if amplitude < 1e-6:  # a constant, and rounding errors
        return np.zeros_like(sound), 0.0
    return sound / amplitude, peak * amplitude


def _intensity(sound: Floats, floor: float) -> Floats:
    """Intensity over time: the power in a Kaiser window, in dB.

    The window is long enough that single periods of a voice do not show (Praat's "To Intensity").

    :param sound: samples `[N]` at `SAMPLE_RATE`.
    :param floor: lowest pitch in Hz; a window lasts 6.4 / floor seconds, half of which has any weight.
    :return: dB relative to 1 `[T]`, a value every 0.8 / floor seconds.
    """
    window = _kaiser(round(6.4 * SAMPLE_RATE / floor))

    def power(frames: Floats) -> Floats:
        """Variance under the window: the local mean is subtracted."""
        return np.asarray((frames**2) @ window - (frames @ window) ** 2)

    values = by_blocks(power, windows(sound, len(window), 0.8 / floor))
    return np.asarray(10 * np.log10(np.maximum(values, 1e-30)))


@cache
def _kaiser(width: int) -> Floats:
    """Kaiser window with side lobes below -190 dB (Praat's "Kaiser-20"), summing to 1."""
    window = np.kaiser(width, 2 * np.pi**2 + 0.5)
    return np.asarray(window / window.sum())


def _articulation_rate(sound: Floats, candidates: Candidates) -> float:
    """Syllable nuclei per second of speech, pauses excluded (de Jong and Wempe, 2009).

    A nucleus is a voiced peak of intensity outside of pauses, with a dip before the next peak.

    :param sound: samples `[N]`.
    :param candidates: its pitch candidates.
    :return: nuclei per second; NaN without a nucleus.
    """
    level = _intensity(sound, floor=50.0)
    if not len(level):
        return nan
    duration = len(sound) / SAMPLE_RATE
    times = _times(len(level), _SYLLABLE_STEP, duration)
    pitch = pitch_track(candidates, voicing=0.25, switch=0.25)  # more lenient than for pitch
    nearest = np.rint((times - _times(len(pitch), STEP, duration)[0]) / STEP).astype(int)
    voiced = np.isfinite(pitch)[np.clip(nearest, 0, len(pitch) - 1)]
    is_sound = _without_short_runs(level > np.quantile(level, 0.99) - _SILENCE_DEPTH)
    nuclei = [peak for peak in _nuclei(level) if is_sound[peak] and voiced[peak]]
    if not nuclei:
        return nan
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [duration]])
    return float(len(nuclei) / np.diff(edges)[is_sound].sum())


def _times(count: int, step: float, duration: float) -> Floats:
    """Times of the middles of evenly spaced, centred windows, in seconds `[count]`."""
    return np.asarray(duration / 2 + (np.arange(count) - (count - 1) / 2) * step)


def _nuclei(level: Floats) -> list[int]:
    """Positions of the loud intensity peaks with a dip before the next peak.

    The last peak has no next and does not count, as in the script of de Jong and Wempe.
    """
    loud = max(float(np.quantile(level, 0.99)) - _SILENCE_DEPTH, float(level.min()))
    middle = level[1:-1]
    peaks = 1 + np.flatnonzero((middle > level[:-2]) & (middle >= level[2:]) & (middle > loud))
    return [
        int(peak)
        for peak, following in pairwise(peaks)
        if level[peak] - level[peak:following].min() > _MIN_DIP
    ]


def _without_short_runs(is_sound: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Turn silences shorter than a pause into sound, then short sounds into silence."""
    for kind, shortest in ((False, _MIN_PAUSE), (True, _MIN_SOUND)):
        edges = np.flatnonzero(np.diff(is_sound)) + 1
        runs = np.split(is_sound, edges)
        is_sound = np.concatenate(
            [np.where((run == kind) & (len(run) * _SYLLABLE_STEP < shortest), not kind, run) for run in runs]
        )
    return is_sound
