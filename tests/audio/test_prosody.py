"""Prosody against known signals, and against Praat as an independent oracle."""

import csv
import os
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import parselmouth
import pytest
from faster_whisper.audio import decode_audio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mister_e.audio import frames
from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.pitch import harmonicity, pitch_candidates, pitch_track
from mister_e.audio.prosody import STATISTICS, Prosody, prosody

CLIPS = 40


def time(seconds):
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def voice(f0, seconds=1.5, harmonics=8):
    """Harmonic sound that glides evenly from f0[0] to f0[1] Hz, amplitude below 0.5."""
    t = time(seconds)
    phase = 2 * np.pi * (f0[0] * t + (f0[1] - f0[0]) * t**2 / (2 * seconds))
    orders = np.arange(1, harmonics + 1)[:, None]
    return (0.2 * (np.sin(orders * phase) / orders).sum(axis=0)).astype(np.float32)


def syllables(count, rate=4.0):
    """Voice at 150 Hz whose loudness rises and falls `count` times, `rate` times a second."""
    t = time(count / rate)
    return (voice((150, 150), count / rate) * (0.02 + np.sin(np.pi * rate * t) ** 2)).astype(np.float32)


def praat(samples):
    """The same statistics by Praat itself, but for the count of syllables."""
    sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE)
    hz = sound.to_pitch(0.01, 75, 600).selected_array["frequency"]
    hz = hz[hz > 0]
    intensity = sound.to_intensity(100)
    level = np.maximum(intensity.values, np.quantile(intensity.values, 0.99) - 50)
    hnr = sound.to_harmonicity().values
    return {
        "duration": sound.duration,
        "avg_intensity": intensity.get_average(),
        "intensity_variation": level.std(),
        "avg_pitch": hz.mean(),
        "pitch_std": hz.std(),
        "pitch_range": np.ptp(hz),
        "mean_hnr": hnr[hnr != -200].mean(),
    }


def praat_articulation_rate(samples):
    """De Jong and Wempe's count by Praat's own intensity, pitch and silences."""
    sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE)
    intensity = sound.to_intensity(50)
    level, times = intensity.values[0], intensity.xs()
    loud = np.quantile(level, 0.99)
    pauses = parselmouth.praat.call(
        intensity, "To TextGrid (silences)", loud - 25 - level.max(), 0.3, 0.1, "silent", "sounding"
    )
    pitch = sound.to_pitch_ac(0.02, 30, 4, False, 0.03, 0.25, 0.01, 0.35, 0.25, 450)
    tops = [i for i in range(1, len(level) - 1) if level[i - 1] < level[i] >= level[i + 1]]
    tops = [i for i in tops if level[i] > loud - 25]
    nuclei = 0
    for top, after in pairwise(tops):
        place = parselmouth.praat.call(pauses, "Get interval at time", 1, times[top])
        sounding = parselmouth.praat.call(pauses, "Get label of interval", 1, place) == "sounding"
        voiced = not np.isnan(pitch.get_value_at_time(times[top]))
        nuclei += sounding and voiced and level[top] - level[top:after].min() > 2
    speech = sum(
        parselmouth.praat.call(pauses, "Get end time of interval", 1, i)
        - parselmouth.praat.call(pauses, "Get start time of interval", 1, i)
        for i in range(1, parselmouth.praat.call(pauses, "Get number of intervals", 1) + 1)
        if parselmouth.praat.call(pauses, "Get label of interval", 1, i) == "sounding"
    )
    return nuclei / speech if nuclei else np.nan


def test_names_and_array_have_the_same_order():
    values = Prosody(*range(8))
    assert STATISTICS == (
        "duration",
        "avg_intensity",
        "intensity_variation",
        "avg_pitch",
        "pitch_std",
        "pitch_range",
        "articulation_rate",
        "mean_hnr",
    )
    array = values.to_array()
    assert array.dtype == np.float32
    assert array.tolist() == [getattr(values, name) for name in STATISTICS]


@pytest.mark.parametrize("f0", [(90, 90), (120, 220), (400, 180), (250, 550)])
def test_glides_have_their_pitch(f0):
    measured = prosody(voice(f0))
    low, high = sorted(f0)
    assert measured.avg_pitch == pytest.approx((low + high) / 2, rel=0.01)
    # frames at the very ends see no further than 20 ms into the glide
    assert measured.pitch_range == pytest.approx((high - low) * (1 - 0.04 / 1.5), rel=0.01, abs=0.2)
    assert measured.pitch_std == pytest.approx((high - low) / np.sqrt(12), rel=0.05, abs=0.2)


@pytest.mark.parametrize("f0", [(90, 90), (120, 220), (400, 180), (250, 550)])
def test_synthetic_voices_agree_with_praat(f0):
    noise = np.random.default_rng(0).normal(size=24_000).astype(np.float32)
    samples = voice(f0) * np.linspace(0.1, 1, 24_000, dtype=np.float32) + 0.01 * noise
    measured = prosody(samples)
    for name, expected in praat(samples).items():
        assert getattr(measured, name) == pytest.approx(expected, rel=0.03, abs=0.1), name


def test_full_scale_sine_has_91_decibels():
    measured = prosody(np.sin(2 * np.pi * 200 * time(1)).astype(np.float32))
    assert measured.avg_intensity == pytest.approx(90.97, abs=0.01)
    assert measured.intensity_variation == pytest.approx(0, abs=0.01)


def test_gain_moves_intensity_alone():
    samples = syllables(6)
    loud, quiet = prosody(samples).to_array(), prosody(samples * np.float32(0.01)).to_array()
    assert loud[1] - quiet[1] == pytest.approx(40, abs=1e-3)
    np.testing.assert_allclose(np.delete(loud, 1), np.delete(quiet, 1), rtol=1e-4)


def test_constant_offset_is_no_sound():
    samples = syllables(6)
    np.testing.assert_allclose(prosody(samples + 0.2).to_array(), prosody(samples).to_array(), rtol=1e-3)
    assert np.isnan(prosody(np.full(16_000, 0.3, np.float32)).to_array()[1:]).all()


@pytest.mark.parametrize("ratio", [0.0, 10.0, 20.0])
def test_harmonics_to_noise_ratio_is_the_one_mixed(ratio):
    tone = voice((200, 200), seconds=3, harmonics=1)
    noise = np.random.default_rng(1).normal(size=len(tone))
    noise *= tone.std() * 10 ** (-ratio / 20)
    assert prosody((tone + noise).astype(np.float32)).mean_hnr == pytest.approx(ratio, abs=1.5)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_counts_as_silence(broken):
    sound = voice((120, 180))
    sound[100:150] = 0
    faulty = sound.copy()
    faulty[100:150] = broken
    np.testing.assert_array_equal(prosody(faulty).to_array(), prosody(sound).to_array())
    nothing = prosody(np.full(SAMPLE_RATE, broken, np.float32))
    assert nothing.duration == 1
    assert np.isnan(nothing.to_array()[1:]).all()


@pytest.mark.parametrize("count", [3, 8, 15])
def test_syllables_are_counted_but_the_last(count):
    samples = syllables(count)
    assert prosody(samples).articulation_rate == pytest.approx((count - 1) / (count / 4), rel=0.02)
    assert prosody(samples).articulation_rate == pytest.approx(praat_articulation_rate(samples), rel=0.02)


def test_pauses_do_not_slow_articulation():
    pause = np.zeros(16_000, np.float32)
    samples = np.concatenate([pause, syllables(6), pause, syllables(6), pause])
    rate = prosody(samples).articulation_rate
    assert rate == pytest.approx(11 / 3, rel=0.15)  # 11 / 6 with the pauses
    assert rate == pytest.approx(praat_articulation_rate(samples), rel=0.03)


def test_noise_has_no_pitch_and_no_syllables():
    measured = prosody(np.random.default_rng(2).normal(size=32_000).astype(np.float32) * 0.1)
    assert np.isnan(measured.avg_pitch)
    assert np.isnan(measured.articulation_rate)
    assert (measured.pitch_std, measured.pitch_range) == (0, 0)
    assert measured.mean_hnr < 0


def test_digital_silence_does_not_drown_the_variation():
    """Praat gives such frames -300 dB."""
    samples = np.concatenate([syllables(6), np.zeros(800, np.float32)])
    assert prosody(samples).intensity_variation < 15


def test_blocks_do_not_change_the_result(monkeypatch):
    samples = voice((120, 220)) + np.random.default_rng(3).normal(size=24_000).astype(np.float32) * 0.01
    usual = prosody(samples).to_array()
    monkeypatch.setattr(frames, "_BLOCK", 7)
    np.testing.assert_allclose(prosody(samples).to_array(), usual, rtol=1e-6)


def test_voiced_and_unvoiced_frames_lie_where_they_are():
    samples = np.concatenate(
        [np.zeros(8_000, np.float32), voice((200, 200), 1.0), np.zeros(8_000, np.float32)]
    )
    sound = samples.astype(np.float64) / np.abs(samples).max()
    pitch = pitch_track(pitch_candidates(sound))
    assert len(pitch) == 197
    assert np.isfinite(pitch[52:144]).all()
    assert np.isnan(np.r_[pitch[:45], pitch[-45:]]).all()
    hnr = harmonicity(sound)
    assert np.isfinite(hnr[52:144]).all()
    assert np.isnan(np.r_[hnr[:45], hnr[-45:]]).all()


@pytest.mark.parametrize("length", [0, 1, 100, 639, 1023])
def test_short_sound_has_a_duration_alone(length):
    array = prosody(voice((200, 200))[:length]).to_array()
    assert array[0] == np.float32(length / SAMPLE_RATE)
    assert np.isnan(array[1:]).all()


@settings(deadline=None, max_examples=25)
@given(
    arrays(
        np.float32,
        st.sampled_from([0, 1, 700, 1024, 1500, 2100, 4000]),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        fill=st.sampled_from([0.0, 0.5, 1e38, 1e-40]).map(lambda value: float(np.float32(value))),
    ),
    st.integers(0, 2**32 - 1),
)
def test_any_finite_sound_is_measured_without_complaint(samples, seed):
    noise = np.random.default_rng(seed).uniform(-1, 1, len(samples)).astype(np.float32)
    for sound in (samples, noise, samples * noise):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measured = prosody(sound)
        assert measured.duration == len(sound) / SAMPLE_RATE
        assert not np.isinf(measured.to_array()).any()


@pytest.fixture(scope="module")
def acted():
    """Statistics of acted clips, ours and Praat's, `[clips, 8]` each."""
    if "MISTER_E_DATA" not in os.environ:
        pytest.skip("set MISTER_E_DATA to a folder that holds the corpora ravdess/ and nemo/")
    ours, theirs = [], []
    for corpus in ("ravdess", "nemo"):
        folder = Path(os.environ["MISTER_E_DATA"]) / corpus
        with (folder / "manifest.csv").open(encoding="utf-8") as file:
            files = [row["file"] for row in csv.DictReader(file)]
        for name in files[:: len(files) // (CLIPS // 2)][: CLIPS // 2]:
            samples = decode_audio(str(folder / name), sampling_rate=SAMPLE_RATE)
            ours.append(prosody(samples).to_array())
            expected = praat(samples) | {"articulation_rate": praat_articulation_rate(samples)}
            theirs.append([expected[statistic] for statistic in STATISTICS])
    return np.array(ours, dtype=np.float64), np.array(theirs)


@pytest.mark.parametrize(
    ("statistic", "correlation", "bias"),
    [
        ("duration", 0.9999, 0.001),
        ("avg_intensity", 0.999, 0.1),
        ("intensity_variation", 0.99, 0.2),
        ("avg_pitch", 0.99, 1.0),
        ("pitch_std", 0.95, 2.0),
        ("pitch_range", 0.9, 10.0),
        ("articulation_rate", 0.9, 0.2),
        ("mean_hnr", 0.98, 0.3),
    ],
)
def test_acted_clips_agree_with_praat(acted, statistic, correlation, bias):
    column = STATISTICS.index(statistic)
    ours, theirs = acted[0][:, column], acted[1][:, column]
    assert np.corrcoef(ours, theirs)[0, 1] >= correlation
    assert abs(np.mean(ours - theirs)) <= bias
