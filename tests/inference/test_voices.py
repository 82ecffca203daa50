"""Changes of voice as cutting asks for them: shapes, silence, neighbours, and nothing of who speaks."""

import inspect

import numpy as np
import pytest
import torch

from mister_e.encoders.voices.network import VoiceChangeConfig, VoiceChangeNetwork
from mister_e.inference import voices
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predictor import Predictor
from mister_e.inference.voices import VoiceChangeDetector
from mister_e.transcription.cutting.voices import VoiceChanges, VoiceMarks


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return VoiceChangeDetector(VoiceChangeNetwork(VoiceChangeConfig(layers=2)))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = sum(np.sin(2 * np.pi * (110 + 40 * seed) * k * time) / k for k in range(1, 6))
    return (0.1 * tone * (1 + np.sin(9 * time)) + random.normal(0, 0.003, len(time))).astype(np.float32)


def test_every_moment_and_every_tenth_gets_a_probability(detector):
    told: VoiceChanges = detector
    stretches = [sound(3.0), sound(0.95, 1), sound(12.34, 2)]
    moments = [[1.0, 2.0, 2.5], [], [6.0]]
    found = told(stretches, moments)
    assert [len(marks.change) for marks in found] == [3, 0, 1]
    assert [len(marks.overlap) for marks in found] == [30, 10, 124]
    for marks, asked in zip(found, moments, strict=True):
        assert marks.moments.tolist() == pytest.approx(asked)
        for values in (marks.change, marks.overlap):
            assert values.dtype == np.float32
            assert ((values > 0) & (values < 1)).all()


def test_neighbours_and_order_change_nothing_and_the_same_gives_the_same(detector):
    stretches = [sound(3.0), sound(0.5, 1), sound(7.0, 2), sound(2.9, 3), sound(29.9, 1)]
    moments = [[1.0, 2.0], [0.2], [0.1, 3.3, 6.9], [], [10.0, 20.0]]
    together = detector(stretches, moments)
    again = detector(stretches, moments)
    backwards = detector(stretches[::-1], moments[::-1])[::-1]
    alone = [detector([one], [asked])[0] for one, asked in zip(stretches, moments, strict=True)]
    for a, b, c, d in zip(together, again, backwards, alone, strict=True):
        assert np.array_equal(a.change, b.change)
        assert np.array_equal(a.overlap, b.overlap)
        for other in (c, d):
            np.testing.assert_allclose(a.change, other.change, atol=1e-5)
            np.testing.assert_allclose(a.overlap, other.overlap, atol=1e-5)


@pytest.mark.parametrize(
    "silence", [np.zeros(0, np.float32), np.zeros(3, np.float32), np.zeros(16_000, np.float32)]
)
def test_in_silence_no_voice_changes(detector, silence):
    other = sound(1.0)
    found, beside = detector([silence, other], [[0.0, 0.5], [0.5]])
    assert found.change.tolist() == [0.0, 0.0]
    assert len(found.overlap) == -(-len(silence) // 1600)
    assert not found.overlap.any()
    assert beside.change[0] == pytest.approx(detector([other], [[0.5]])[0].change[0], abs=1e-5)


def test_a_tenth_of_a_second_and_what_is_no_number_are_told_of(detector):
    broken = sound(1.0)
    broken[100:200] = np.nan
    short, odd = detector([sound(0.1), broken], [[0.05], [0.5]])
    assert len(short.overlap) == 1
    assert np.isfinite([*short.change, *short.overlap, *odd.change, *odd.overlap]).all()


def test_it_goes_to_the_device_with_everything_else_of_a_model():
    model = ModelFolder.from_pretrained("mini")
    Predictor(model, device="meta")
    parts = (model.mixture, model.voices.network, *model.encoders.values())
    left = {
        name for part in parts for name, value in part.state_dict(keep_vars=True).items() if not value.is_meta
    }
    assert not left


def test_nothing_asked_is_nothing_told(detector):
    assert detector([], []) == []
    assert detector([]) == []


def test_gain_changes_nothing(detector):
    loud, quiet = detector([sound(3.0), sound(3.0) * np.float32(0.1)], [[1.5], [1.5]])
    np.testing.assert_allclose(loud.change, quiet.change, atol=0.02)


def test_moments_that_are_found_are_likely_and_apart(detector):
    (found,) = detector([sound(8.0)])
    assert (np.diff(found.moments) >= 0.4 - 1e-6).all()
    (asked,) = detector([sound(8.0)], [found.moments.tolist()])
    np.testing.assert_allclose(found.change, asked.change, atol=1e-5)
    assert (found.change >= 0.2).all()
    assert len(found.overlap) == 80


def test_what_is_told_has_no_room_for_who_speaks():
    """Marks are a number a moment and a number a tenth; the module offers nothing else."""
    assert set(VoiceMarks.__dataclass_fields__) == {"moments", "change", "overlap"}
    own = {
        name for name, value in vars(voices).items() if getattr(value, "__module__", "") == voices.__name__
    }
    assert {name for name in own if not name.startswith("_")} == {"VoiceChangeDetector"}
    offered = {name for name, _ in inspect.getmembers(VoiceChangeDetector) if not name.startswith("_")}
    assert offered == {"config", "load", "save", "to"}
