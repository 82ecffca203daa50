"""Sound in memory is heard like the file of it."""

from __future__ import annotations

import numpy as np
import pytest
from sound import frequency, tone, write

from mister_e.audio import blocks
from mister_e.audio.resampling import array_blocks
from mister_e.errors import InputError


def whole(samples, rate, **options):
    return np.concatenate(list(array_blocks(samples, rate, **options)), axis=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_an_array_is_the_file_of_it(tmp_path, rate):
    sound = tone(2, 300, 900, rate=rate)
    path = write(tmp_path / "a.wav", sound, rate, "pcm_f32le")
    for channels in ("mix", "split"):
        from_file = np.concatenate(list(blocks(path, channels=channels)), axis=1)
        for samples in (sound, sound.T, sound.astype(np.float64), np.asfortranarray(sound)):
            found = whole(samples, rate, channels=channels, seconds=0.7)
            assert found.shape == from_file.shape
            np.testing.assert_allclose(found, from_file, atol=2e-3)


def test_integers_are_of_full_scale():
    sound = (tone(1, 440) * 32767).astype(np.int16)
    found = whole(sound[0], 16_000)
    assert found.dtype == np.float32
    assert np.abs(found).max() == pytest.approx(0.3, abs=0.01)
    assert frequency(found[0]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("samples", "rate", "why"),
    [
        (np.array(0.5), 16_000, r"shape \(\)"),
        (np.zeros(0), 16_000, r"shape \(0,\)"),
        (np.zeros((2, 3, 4)), 16_000, r"shape \(2, 3, 4\)"),
        (np.zeros((100, 100)), 16_000, r"shape \(100, 100\)"),
        (np.zeros(100, np.uint8), 16_000, "type uint8"),
        (np.zeros(100, complex), 16_000, "type complex"),
        (np.zeros(100), 1, "at 1 Hz"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate, why):
    with pytest.raises(InputError, match=why):
        array_blocks(samples, rate)


def test_faults_are_repaired_and_told():
    notes: list[str] = []
    sound = tone(1, 440)[0]
    sound[100] = np.nan
    assert np.isfinite(whole(sound, 16_000, notes=notes)).all()
    assert notes == ["samples that are not numbers (NaN or infinite) were taken as silence"]
    opposite: list[str] = []
    assert np.abs(whole(np.stack([sound, -sound]), 16_000, notes=opposite)).max() > 0.2
    assert any("opposite phase" in note for note in opposite)
