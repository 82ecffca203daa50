import numpy as np
import pytest
import torch

from mister_e.audio.format import SAMPLE_RATE
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.acted_speech import LabelledSound, SamplingConfig, train_speech
from mister_e.training.stage1.augmentation import CONDITIONS, augmented, echo, noise, opus, speed, telephone
from mister_e.training.stage1.recording_simulation import Recordings

pytestmark = pytest.mark.slow


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


def test_the_same_chance_gives_the_same_sound():
    sound = buzz(150, 1.0)
    one, other = (augmented(sound, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_recordings_are_mixed_from_the_moments_of_their_emotions():
    torch.manual_seed(0)
    recordings = Recordings(2, 3, 4, neutral=0, other_corpus_fraction=0.4)
    for _ in range(400):
        corpora, labels = torch.randint(0, 2, (64,)), torch.randint(0, 2, (64,))
        pooled = corpora[:, None] * 10.0 + labels[:, None] * 2.0 + torch.randn(64, 4)
        recordings.update(pooled, corpora, labels)
    torch.testing.assert_close(recordings.mean[1, 1], torch.full((4,), 12.0), atol=0.8, rtol=0)
    mean, spread = recordings.typical
    torch.testing.assert_close(mean, torch.full((4,), 6.0), atol=0.5, rtol=0)
    # both corpora, both emotions, and the noise of either
    torch.testing.assert_close(spread, torch.full((4,), (25 + 1 + 1) ** 0.5), atol=0.5, rtol=0)
    means, spreads = recordings.draw(torch.ones(4000, dtype=torch.long), np.random.default_rng(0))
    assert means.min() > -1
    assert means.max() < 13
    assert (spreads > 0.5).all()
    # four in ten have company of any corpus, here of the other one every second time: two thirds of these
    # are in a recording, and half of that counts the recording alone
    apart = means.max(1).values < 3
    assert float(apart.float().mean()) == pytest.approx(0.4 / 2 * (1 / 3 + 1 / 6), abs=0.03)
    # a third is alone, and has the typical mean
    alone = (means - mean).abs().max(1).values < 1e-4
    assert float(alone.float().mean()) == pytest.approx(1 / 3, abs=0.04)


def test_an_emotion_that_a_corpus_lacks_is_no_part_of_its_recordings():
    recordings = Recordings(1, 3, 2, neutral=0)
    recordings.update(torch.full((8, 2), 5.0), torch.zeros(8, dtype=torch.long), torch.full((8,), 2))
    means, spreads = recordings.draw(torch.zeros(50, dtype=torch.long), np.random.default_rng(0))
    torch.testing.assert_close(means, torch.full((50, 2), 5.0))
    assert torch.isfinite(spreads).all()


@pytest.mark.parametrize("met", [0, 1])
def test_a_corpus_of_which_little_was_met_is_no_company(met):
    recordings = Recordings(3, 2, 4, neutral=None, other_corpus_fraction=1.0)
    recordings.update(torch.randn(60, 4) + 5, torch.ones(60, dtype=torch.long), torch.arange(60) % 2)
    few = torch.full((met,), 2)
    recordings.update(torch.randn(met, 4), few, few * 0)
    means, spreads = recordings.draw(torch.ones(200, dtype=torch.long), np.random.default_rng(0))
    assert means.min() > 2
    assert spreads.min() > 0.3


def test_the_speech_encoder_learns_resumes_and_takes_statistics_alone(tmp_path):
    random = np.random.default_rng(0)
    clips = []
    for i in range(24):
        pitch = random.uniform(100, 130) if i % 2 else random.uniform(250, 330)
        samples = (buzz(pitch, random.uniform(0.4, 0.8), i) * 32767).astype(np.int16)
        clips.append(LabelledSound(samples, np.full(8, np.nan, np.float32), i % 2, "one", str(i)))
    table = [LabelledSound(None, np.full(8, 1.0 + i % 2, np.float32), i % 2, "table") for i in range(8)]

    def trained(folder, epochs):
        torch.manual_seed(0)
        encoder = WhisperEncoder(WhisperEncoderConfig(classes=2, embedding_dim=8, rank=2))
        settings = FinetuneSettings(
            epochs=epochs, learning_rate=3e-3, schedule="constant", trackers=(), ema=0.5
        )
        draws = SamplingConfig(clips=48, batch=12)
        return encoder, train_speech(
            encoder, [*clips, *table], clips[:8], settings, folder, draws=draws, neutral=0
        )

    _, whole = trained(tmp_path / "whole", 2)
    assert set(whole[0]) >= {"one", "one: together", "validation_weighted_f1"}
    assert max(row["validation_weighted_f1"] for row in whole) > 75
    trained(tmp_path / "parts", 1)
    # the second epoch goes on from the checkpoint of the first
    _, resumed = trained(tmp_path / "parts", 2)
    assert resumed[0] == whole[0]
    assert resumed[1]["train_loss"] == pytest.approx(whole[1]["train_loss"], rel=1e-3)
