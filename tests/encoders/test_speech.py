import numpy as np
import pytest
import torch

from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import SAMPLE_RATE
from mister_e.encoders.front_end import Heard, SpeechFrontEnd, centred, load_whisper
from mister_e.encoders.speech import SpeechEncoder, SpeechEncoderConfig, collate


@pytest.fixture(scope="module")
def front_end():
    return SpeechFrontEnd(load_whisper())


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return SpeechEncoder(SpeechEncoderConfig(embedding_dim=16)).eval()


def voice(seconds: float, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """Make a buzzing vowel whose pitch glides and whose loudness beats four times a second."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(3 * time))) / SAMPLE_RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(8 * np.pi * time))
    noise = np.random.default_rng(seed).normal(0, 0.003, len(time))
    return (0.1 * sound + noise).astype(np.float32)


def embed(encoder: SpeechEncoder, heard: list[Heard]) -> torch.Tensor:
    statistics = torch.from_numpy(centred(np.stack([turn.statistics for turn in heard])))
    with torch.inference_mode():
        return encoder.join(encoder.pool_heard(heard), statistics)


def test_a_turn_is_heard_alike_alone_and_in_company(front_end):
    turns = [voice(seconds, seed=i) for i, seconds in enumerate((0.7, 2.3, 2.4, 1.0, 2.3))]
    together = front_end.hear(turns)
    for turn, heard in zip(turns, together, strict=True):
        (alone,) = front_end.hear([turn])
        np.testing.assert_allclose(heard.frames, alone.frames, atol=1e-4)
        np.testing.assert_array_equal(heard.statistics, alone.statistics)


def test_frames_are_fifty_a_second_of_real_sound(front_end):
    (heard,) = front_end.hear([voice(2.0)])
    assert heard.frames.shape == (100, 384)
    assert heard.statistics.shape == (len(STATISTICS),)


@pytest.mark.parametrize("gain", [0.2, 3.0])
def test_neither_gain_nor_silence_around_it_moves_the_embedding(front_end, encoder, gain):
    turn = voice(1.7)
    silence = np.zeros(9_000, np.float32)
    plain, changed = front_end.hear([turn, np.concatenate([silence, gain * turn, silence, silence])])
    one, other = embed(encoder, [plain])[0], embed(encoder, [changed])[0]
    # the frozen encoder computes in 8 bits: rounding, not the sound, is what differs
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.9999
    assert (one - other).norm() < 0.02 * one.norm()


def test_sound_that_is_none_is_missing(front_end):
    heard = front_end.hear([np.zeros(SAMPLE_RATE, np.float32), voice(1.0), np.zeros(0, np.float32)])
    assert heard[0] is None
    assert heard[1] is not None
    assert heard[2] is None


def test_a_tenth_of_a_second_and_a_minute_are_both_heard(front_end):
    short, long = front_end.hear([voice(0.1), voice(60.0)])
    assert 1 <= len(short.frames) <= 5
    assert len(long.frames) == 1500


def test_padding_and_company_do_not_change_an_embedding(encoder):
    random = np.random.default_rng(0)
    heard = [
        Heard(random.normal(size=(n, 384)).astype(np.float32), random.normal(size=8).astype(np.float32))
        for n in (3, 40, 7)
    ]
    pooled = encoder.pool_heard(heard)
    alone = torch.cat([encoder.pool_heard([turn]) for turn in heard])
    torch.testing.assert_close(pooled, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.pool_heard(heard, batch_frames=1), pooled, atol=1e-5, rtol=0)
    frames, mask, _ = collate(heard)
    frames[~mask] = float("nan")
    torch.testing.assert_close(encoder.pooled(frames, mask), pooled, atol=1e-5, rtol=0)


def test_missing_frames_are_not_silent_frames(encoder):
    statistics = np.ones(8, np.float32)
    with torch.no_grad():
        encoder.missing_frames.fill_(0.5)
    missing = encoder.pool_heard([Heard(None, statistics)])
    silent = encoder.pool_heard([Heard(np.zeros((5, 384), np.float32), statistics)])
    assert torch.equal(missing[0], encoder.missing_frames)
    assert not torch.allclose(missing, silent)


def test_undefined_statistics_count_as_average_and_say_so(encoder):
    pooled = torch.zeros(2, encoder.pool.width)
    known = torch.tensor([[1.0] * 8, [1.0] * 8])
    known[1, 3] = float("nan")
    embedded = encoder.join(pooled, known)
    assert torch.isfinite(embedded).all()
    assert not torch.allclose(embedded[0], embedded[1])


def test_fitted_statistics_are_those_of_the_defined_values():
    encoder = SpeechEncoder(SpeechEncoderConfig())
    rows = torch.rand(50, 8) + 1
    rows[::2, 5] = float("nan")
    encoder.fit_statistics(rows)
    column = STATISTICS.index("avg_intensity")
    torch.testing.assert_close(encoder.statistics_mean[column], rows[:, column].mean())
    torch.testing.assert_close(encoder.statistics_std[column], rows[:, column].std(unbiased=False))
    logs = rows[1::2, 5].log()
    assert STATISTICS[5] == "pitch_range"
    torch.testing.assert_close(encoder.statistics_mean[5], logs.mean())


def test_intensity_is_relative_to_the_recording():
    rows = np.full((3, 8), 2.0, np.float32)
    rows[:, 1] = [60, np.nan, 70]
    louder = rows.copy()
    louder[:, 1] += 12
    np.testing.assert_array_equal(centred(rows), centred(louder))
    np.testing.assert_array_equal(centred(rows)[:, 1], [-5, np.nan, 5])
    np.testing.assert_array_equal(centred(rows)[:, 0], rows[:, 0])
    assert np.isnan(centred(np.full((2, 8), np.nan, np.float32))).all()
