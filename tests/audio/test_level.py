"""Where sound begins and ends, and how loud it is made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import normalise_level, replace_non_finite, speech_bounds


def clip(seed, seconds=0.6):
    """Noise whose loudness wanders over 60 dB, with quiet edges: a worst case for thresholds."""
    random = np.random.default_rng(seed)
    samples = random.normal(size=round(seconds * SAMPLE_RATE))
    steps = random.uniform(-60, 0, 8)
    steps[3] = 0
    envelope = np.interp(np.arange(len(samples)), np.linspace(0, len(samples), 8), steps)
    return (0.05 * samples * 10 ** (envelope / 20)).astype(np.float32)


def silence(length):
    return np.zeros(length, np.float32)


def trimmed(samples):
    return samples[slice(*speech_bounds(samples))]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(0, 9_000), st.integers(0, 9_000))
def test_digital_silence_around_a_clip_changes_nothing(seed, before, after):
    samples = clip(seed)
    start, end = speech_bounds(samples)
    padded = np.concatenate([silence(before), samples, silence(after)])
    assert speech_bounds(padded) == (start + before, end + before)
    np.testing.assert_array_equal(trimmed(padded), trimmed(samples))
    np.testing.assert_allclose(trimmed(normalise_level(padded)), trimmed(normalise_level(samples)), rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(-15, 40))
def test_gain_moves_no_bounds_and_is_undone(seed, decibels):
    samples = clip(seed)
    louder = samples * np.float32(10 ** (decibels / 20))
    # rounding may lift one sample's window over the threshold
    assert np.abs(np.subtract(speech_bounds(louder), speech_bounds(samples))).max() <= 1
    np.testing.assert_allclose(normalise_level(louder), normalise_level(samples), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("floor", [0.0, 5e-5, 0.05 * 10 ** (-50 / 20)])
def test_a_noise_floor_is_not_sound(floor):
    random = np.random.default_rng(0)
    samples = (floor * random.normal(size=48_000)).astype(np.float32)
    samples[16_000:28_000] += (0.05 * random.normal(size=12_000)).astype(np.float32)
    start, end = speech_bounds(samples)
    assert 16_000 - SAMPLE_RATE // 50 <= start <= 16_000
    assert 28_000 <= end <= 28_000 + SAMPLE_RATE // 50


def test_a_quiet_ending_is_kept():
    """A soft consonant 30 dB under the vowel belongs to the word."""
    random = np.random.default_rng(0)
    word = 0.1 * random.normal(size=9_600)
    word[6_400:] *= 10 ** (-30 / 20)
    samples = np.concatenate([silence(4_000), word.astype(np.float32), silence(4_000)])
    assert speech_bounds(samples) == (4_000, 13_600)


@pytest.mark.parametrize("length", [0, 1, 500, 16_000])
def test_silence_stays_silence(length):
    assert speech_bounds(silence(length)) == (0, 0)
    np.testing.assert_array_equal(normalise_level(silence(length)), silence(length))


def test_a_single_sample_is_sound():
    samples = np.concatenate([silence(10), np.ones(1, np.float32), silence(10)])
    assert speech_bounds(samples) == (10, 11)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_as_silence(broken):
    samples = clip(4)
    samples[100] = samples[5_000:5_100] = 0
    faulty = samples.copy()
    faulty[100] = faulty[5_000:5_100] = broken
    np.testing.assert_array_equal(replace_non_finite(faulty), samples)
    assert replace_non_finite(faulty).dtype == np.float32
    assert speech_bounds(faulty) == speech_bounds(samples)
    np.testing.assert_array_equal(normalise_level(faulty), normalise_level(samples))
    nothing = np.full(800, broken, np.float32)
    assert speech_bounds(nothing) == (0, 0)
    np.testing.assert_array_equal(normalise_level(nothing), silence(800))


def test_sound_without_fault_is_not_copied():
    samples = clip(5)
    assert replace_non_finite(samples) is samples


@pytest.mark.parametrize("target", [0.01, 0.05, 0.1])
def test_the_sound_gets_the_level_asked_for(target):
    samples = np.concatenate([silence(30_000), clip(1), silence(30_000)])
    scaled = normalise_level(samples, target)
    assert scaled.dtype == np.float32
    assert len(scaled) == len(samples)
    assert np.sqrt(np.mean(trimmed(scaled) ** 2)) == pytest.approx(target, rel=1e-4)


def test_peaks_stay_inside_full_scale():
    samples = clip(2)
    samples[5_000] = 3.0
    assert np.abs(normalise_level(samples)).max() <= 1
    assert np.abs(normalise_level(np.full(1_600, 3e38, np.float32), 2.0)).max() == 1


def test_what_is_too_quiet_to_be_speech_is_not_blown_up():
    """Rounding noise of 16 bits must not become a loud hiss."""
    samples = np.random.default_rng(3).integers(-1, 2, 16_000).astype(np.float32) / 32_768
    assert np.abs(normalise_level(samples)).max() < 0.01
