"""How something was said, in eight numbers: loudness, melody, tempo, voice quality.

The definitions are those of the phonetics program Praat with its standard settings, so that
measurements made here and published tables made there can be mixed.
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
from mister_e.audio.level import mended
from mister_e.audio.pitch import STEP, Candidates, harmonicity, pitch_candidates, pitch_track

# Quieter than this below the loud parts, in dB, a recording tells of its studio and not of the
# voice: digital silence would otherwise drown every variation.
_DEPTH = 50.0
_AUDIBLE = 2e-5  # amplitude of 0 dB, the least that is reported

# Settings of the syllable count of N. H. de Jong and T. Wempe, "Praat script to detect syllable
# nuclei and measure speech rate automatically" (Behavior Research Methods 41, 2009).
_SYLLABLE_STEP = 0.016  # s between values of intensity
_PAUSE_DEPTH = 25.0  # dB below the loud parts at which a pause begins
_DIP = 2.0  # dB between two nuclei
_PAUSE = 0.3  # s, shortest silence that is a pause
_BURST = 0.1  # s, shortest sound that is not part of a pause


@dataclass(frozen=True)
class Prosody:
    """Eight statistics of a stretch of speech; NaN = undefined, as the pitch of a whisper.

    :param duration: s.
    :param avg_intensity: dB re 2e-5, mean power over the windows (a full-scale sine has 91 dB).
    :param intensity_variation: dB, standard deviation over the windows.
    :param avg_pitch: Hz, mean over the voiced frames.
    :param pitch_std: Hz, standard deviation over the voiced frames; 0 without any.
    :param pitch_range: Hz, highest minus lowest; 0 without voiced frames.
    :param articulation_rate: syllables per second without the pauses; NaN without a syllable.
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
        """Numbers in the order of `STATISTICS`: float32 `[8]`."""
        return np.array(astuple(self), dtype=np.float32)


#: Names of the statistics, in the order of `Prosody.to_array`.
STATISTICS: tuple[str, ...] = tuple(field.name for field in fields(Prosody))


def prosody(samples: NDArray[np.float32]) -> Prosody:
    """Measure how something was said.

    :param samples: float `[N]` at `SAMPLE_RATE`; what is not finite counts as silence.
    :return: the statistics; of silence, and below 64 ms, only the duration is defined.
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
    loudness = 10 * np.log10(np.mean(10 ** (level / 10))) + 20 * np.log10(gain / _AUDIBLE)
    return Prosody(
        duration,
        avg_intensity=max(float(loudness), 0.0),
        intensity_variation=float(np.maximum(level, np.quantile(level, 0.99) - _DEPTH).std()),
        avg_pitch=float(voiced.mean()) if len(voiced) else nan,
        pitch_std=float(voiced.std()) if len(voiced) else 0.0,
        pitch_range=float(np.ptp(voiced)) if len(voiced) else 0.0,
        articulation_rate=_articulation_rate(sound, candidates),
        mean_hnr=float(hnr.mean()) if len(hnr) else nan,
    )


def _normalised(samples: NDArray[np.float32]) -> tuple[Floats, float]:
    """Sound with mean 0 and loudest sample 1, and the amplitude that this 1 stands for (0 = silence)."""
    sound = mended(samples).astype(np.float64)
    peak = float(np.abs(sound).max(initial=0.0))
    if peak == 0:
        return sound, 0.0
    sound /= peak
    sound -= sound.mean()
    swing = float(np.abs(sound).max())
    if swing < 1e-6:  # a constant, and the noise of rounding
        return np.zeros_like(sound), 0.0
    return sound / swing, peak * swing


def _intensity(sound: Floats, floor: float) -> Floats:
    """Level over time, smooth enough not to follow the periods of a voice.

    :param sound: samples `[N]` at `SAMPLE_RATE`.
    :param floor: lowest pitch in Hz whose periods do not show; a window lasts 6.4 / floor.
    :return: dB relative to 1 `[T]`, a value every 0.8 / floor seconds.
    """
    window = _kaiser(round(6.4 * SAMPLE_RATE / floor))

    def power(frames: Floats) -> Floats:
        return np.asarray((frames**2) @ window - (frames @ window) ** 2)

    values = by_blocks(power, windows(sound, len(window), 0.8 / floor))
    return np.asarray(10 * np.log10(np.maximum(values, 1e-30)))


@cache
def _kaiser(width: int) -> Floats:
    """Kaiser window with side lobes below -190 dB, summing to 1."""
    window = np.kaiser(width, 2 * np.pi**2 + 0.5)
    return np.asarray(window / window.sum())


def _articulation_rate(sound: Floats, candidates: Candidates) -> float:
    """Syllable nuclei per second of speech without pauses (de Jong and Wempe, 2009).

    :param sound: samples `[N]`.
    :param candidates: its pitch candidates.
    :return: nuclei a second; NaN without a nucleus.
    """
    level = _intensity(sound, floor=50.0)
    if not len(level):
        return nan
    duration = len(sound) / SAMPLE_RATE
    times = _times(len(level), _SYLLABLE_STEP, duration)
    pitch = pitch_track(candidates, voicing=0.25, switch=0.25)  # more lenient than for melody
    nearest = np.rint((times - _times(len(pitch), STEP, duration)[0]) / STEP).astype(int)
    voiced = np.isfinite(pitch)[np.clip(nearest, 0, len(pitch) - 1)]
    sounding = _without_blips(level > np.quantile(level, 0.99) - _PAUSE_DEPTH)
    nuclei = [peak for peak in _nuclei(level) if sounding[peak] and voiced[peak]]
    if not nuclei:
        return nan
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [duration]])
    return float(len(nuclei) / np.diff(edges)[sounding].sum())


def _times(count: int, step: float, duration: float) -> Floats:
    """Middles of evenly spaced windows in a sound, in seconds `[count]`."""
    return np.asarray(duration / 2 + (np.arange(count) - (count - 1) / 2) * step)


def _nuclei(level: Floats) -> list[int]:
    """Positions of the loud intensity peaks that a dip separates from the next.

    The last peak has no next and does not count, as in the script and in tables made with it.
    """
    loud = max(float(np.quantile(level, 0.99)) - _PAUSE_DEPTH, float(level.min()))
    middle = level[1:-1]
    peaks = 1 + np.flatnonzero((middle > level[:-2]) & (middle >= level[2:]) & (middle > loud))
    return [
        int(peak) for peak, following in pairwise(peaks) if level[peak] - level[peak:following].min() > _DIP
    ]


def _without_blips(sounding: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill silences shorter than a pause, then drop sounds shorter than a burst."""
    for kind, shortest in ((False, _PAUSE), (True, _BURST)):
        edges = np.flatnonzero(np.diff(sounding)) + 1
        runs = np.split(sounding, edges)
        sounding = np.concatenate(
            [np.where((run == kind) & (len(run) * _SYLLABLE_STEP < shortest), not kind, run) for run in runs]
        )
    return sounding
