"""Rooms, lines, microphones and codecs: what each does to a sound, and that what is drawn is drawn again."""

import numpy as np
import pytest

from mister_e.audio.format import SAMPLE_RATE
from mister_e.training.settings import AugmentationConfig
from mister_e.training.stage1.augmentation import (
    CONDITIONS,
    augment,
    augment_statistics,
    echo,
    mask,
    noise,
    opus,
    speed,
    telephone,
)

#: Nothing happens with it.
NEVER = AugmentationConfig(
    **{name: 0.0 for name in AugmentationConfig.model_fields if name.endswith("_probability")},
    statistics_noise=0.0,
    statistics_lost=0.0,
    statistic_lost=0.0,
)


def buzz(pitch: float, seconds: float, seed: int = 0) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 9))
    noisy = 0.1 * sound + np.random.default_rng(seed).normal(0, 0.003, len(time))
    return noisy.astype(np.float32)


def level(sound: np.ndarray, low: float, high: float) -> float:
    """Energy of a band in dB."""
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    frequency = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return 10 * np.log10(spectrum[(frequency >= low) & (frequency < high)].sum() + 1e-12)


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_gives_sound(name):
    sound = buzz(150, 1.0)
    changed = CONDITIONS[name](sound, np.random.default_rng(0))
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert 0.9 * len(sound) < len(changed) < 3 * len(sound)
    assert np.abs(changed).max() > 1e-3


def test_noise_has_the_level_that_was_asked_for():
    sound = buzz(150, 2.0)
    added = noise(sound, 20, np.random.default_rng(0)) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(added**2)) == pytest.approx(20, abs=0.5)


def test_a_telephone_has_no_treble_and_no_bass():
    sound = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    heard = telephone(sound)
    assert level(heard, 5000, 8000) < level(sound, 5000, 8000) - 30
    assert level(heard, 20, 150) < level(sound, 20, 150) - 15
    assert level(heard, 800, 2500) == pytest.approx(level(sound, 800, 2500), abs=1)


def test_speed_moves_length_and_pitch():
    sound = buzz(200, 1.0)
    fast = speed(sound, 1.05)
    assert len(fast) == pytest.approx(len(sound) / 1.05, abs=1)
    peak = np.argmax(np.abs(np.fft.rfft(fast))) * SAMPLE_RATE / len(fast)
    assert peak == pytest.approx(210, abs=2)


def test_a_room_rings_on_and_a_codec_keeps_the_length():
    sound = np.concatenate([buzz(150, 0.5), np.zeros(8000, np.float32)])
    ringing = echo(sound, 0.3, 0.5, np.random.default_rng(0))
    assert np.abs(ringing[8500:10000]).max() > 0.003
    assert len(opus(sound)) == pytest.approx(len(sound), rel=0.1)


def test_the_same_seed_gives_the_same_sound():
    sound = buzz(150, 1.0)
    config = AugmentationConfig()
    first, second = (augment(sound, config, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, augment(sound, config, np.random.default_rng(6)))


def test_what_has_no_probability_never_happens():
    sound, statistics = buzz(150, 1.0), np.arange(8, dtype=np.float32)
    mel = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    for seed in range(20):
        random = np.random.default_rng(seed)
        np.testing.assert_array_equal(augment(sound, NEVER, random), sound)
        np.testing.assert_array_equal(augment_statistics(statistics, NEVER, random), statistics)
        np.testing.assert_array_equal(mask(mel, NEVER, random), mel)


def changed(field, value, sound):
    return augment(sound, NEVER.model_copy(update={field: 1.0, **value}), np.random.default_rng(0))


def test_each_probability_and_range_is_of_its_own_change():
    sound = buzz(150, 1.0)
    slow = changed("speed_probability", {"speed": (0.5, 0.5)}, sound)
    assert len(slow) == 2 * len(sound)
    quiet = changed("silence_probability", {"silence_seconds": (0.25, 0.25)}, sound)
    assert len(quiet) == len(sound) + SAMPLE_RATE // 2
    assert not quiet[: SAMPLE_RATE // 4].any()
    noisy = changed("noise_probability", {"noise_snr": (30.0, 30.0)}, sound) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noisy**2)) == pytest.approx(30, abs=0.5)
    room = changed("room_probability", {"room_seconds": (0.5, 0.5), "room_level": (0.3, 0.3)}, sound)
    assert len(room) == len(sound) + SAMPLE_RATE // 4
    line = changed("telephone_probability", {}, sound)
    assert level(line, 5000, 8000) < level(sound, 5000, 8000) - 30
    assert level(line, 20, 250) < level(sound, 20, 250) - 10
    half = changed("half_band_probability", {}, sound)
    assert level(half, 5000, 8000) < level(sound, 5000, 8000) - 20
    assert level(half, 20, 250) == pytest.approx(level(sound, 20, 250), abs=0.5)
    heard = changed("microphone_probability", {"microphone_db": 6.0}, sound)
    bands = [(100, 400), (600, 1000), (1400, 2000), (3000, 4000)]
    changes = [level(heard, *band) - level(sound, *band) for band in bands]
    assert all(abs(change) <= 6.1 for change in changes)
    assert max(map(abs, changes)) > 0.5
    coded = changed("codec_probability", {}, sound)
    assert 0 < np.abs(coded[: len(sound)] - sound[: len(coded)]).max() < 0.3


def test_statistics_are_shaken_and_hidden():
    statistics = np.full(8, 100.0, np.float32)
    random = np.random.default_rng(0)
    config = NEVER.model_copy(update={"statistics_noise": 0.05})
    rows = np.stack([augment_statistics(statistics, config, random) for _ in range(500)])
    assert rows.std() == pytest.approx(5, rel=0.05)
    config = NEVER.model_copy(update={"statistics_lost": 0.3, "statistic_lost": 0.15})
    rows = np.stack([augment_statistics(statistics, config, random) for _ in range(2000)])
    assert np.isnan(rows).all(1).mean() == pytest.approx(0.3, abs=0.03)
    some = rows[~np.isnan(rows).all(1)]
    assert np.isnan(some).mean() == pytest.approx(0.15, abs=0.02)
    assert (statistics == 100).all()


def test_bands_and_rows_are_masked_with_the_mean():
    mel = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    before = mel.copy()
    bands, rows = set(), set()
    for seed in range(300):
        config = NEVER.model_copy(update={"bands_probability": 1.0, "max_bands": 3})
        masked = mask(mel, config, np.random.default_rng(seed)) != mel
        bands.add(int(masked.all(0).sum()))
        assert masked.any(0).sum() == masked.all(0).sum()
        config = NEVER.model_copy(update={"rows_probability": 1.0, "max_rows": 4})
        masked = mask(mel, config, np.random.default_rng(seed)) != mel
        rows.add(int(masked.all(1).sum()))
    assert bands == {1, 2, 3}
    assert rows == {1, 2, 3, 4}
    np.testing.assert_array_equal(mel, before)
