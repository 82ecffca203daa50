import numpy as np
import pytest
import torch

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Clip
from mister_e.encoders.speech.batching import collate
from mister_e.encoders.speech.frontend import AudioFeatures, SpeechFrontend, TurnAudio, centred
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig


@pytest.fixture(scope="module")
def front_end():
    return SpeechFrontend()


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return WhisperEncoder(WhisperEncoderConfig(embedding_dim=16)).eval()


def voice(seconds: float, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """Make a buzzing vowel whose pitch glides and whose loudness beats four times a second."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(3 * time))) / SAMPLE_RATE
    sound = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(8 * np.pi * time))
    noise = np.random.default_rng(seed).normal(0, 0.003, len(time))
    return (0.1 * sound + noise).astype(np.float32)


@torch.inference_mode()
def embed(encoder: WhisperEncoder, heard: list[AudioFeatures]) -> torch.Tensor:
    return encoder.embed_pooled(encoder.pool_features(heard), np.stack([turn.statistics for turn in heard]))


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one.float(), other.float(), dim=-1).min().detach())


def test_a_turn_is_heard_alike_alone_and_in_company(front_end):
    turns = [voice(seconds, seed=i) for i, seconds in enumerate((0.7, 2.3, 2.4, 1.0, 2.3))]
    together = front_end.extract_features(turns)
    for turn, heard in zip(turns, together, strict=True):
        (alone,) = front_end.extract_features([turn])
        np.testing.assert_array_equal(heard.mel, alone.mel)
        np.testing.assert_array_equal(heard.statistics, alone.statistics)


def test_rows_are_a_hundred_a_second_of_real_sound(front_end):
    (heard,) = front_end.extract_features([voice(2.0)])
    assert heard.mel.shape == (200, 80)
    assert heard.statistics.shape == (len(STATISTICS),)


@pytest.mark.parametrize("gain", [0.2, 3.0])
def test_neither_gain_nor_silence_around_it_moves_the_embedding(front_end, encoder, gain):
    turn = voice(1.7)
    silence = np.zeros(9_000, np.float32)
    plain, changed = front_end.extract_features(
        [turn, np.concatenate([silence, gain * turn, silence, silence])]
    )
    np.testing.assert_allclose(plain.mel, changed.mel, atol=1e-3)
    assert alike(embed(encoder, [plain]), embed(encoder, [changed])) > 0.9999


def test_sound_that_is_none_is_missing(front_end):
    heard = front_end.extract_features(
        [np.zeros(SAMPLE_RATE, np.float32), voice(1.0), np.zeros(0, np.float32)]
    )
    assert heard[0] is None
    assert heard[1] is not None
    assert heard[2] is None


def test_a_tenth_of_a_second_and_a_minute_are_both_heard(front_end, encoder):
    short, long = front_end.extract_features([voice(0.1), voice(60.0)])
    assert 2 <= len(short.mel) <= 10
    assert len(long.mel) == 3000
    assert torch.isfinite(encoder.pool_features([short, long])).all()


def test_padding_and_company_do_not_change_an_embedding(encoder, front_end):
    heard = front_end.extract_features(
        [voice(seconds, pitch) for seconds, pitch in ((0.1, 90), (2.0, 220), (0.7, 140))]
    )
    pooled = encoder.pool_features(heard)
    alone = torch.cat([encoder.pool_features([turn]) for turn in heard])
    torch.testing.assert_close(pooled, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(encoder.pool_features(heard, batch_rows=1), pooled, atol=1e-4, rtol=0)
    mels, lengths, _ = collate(heard)
    for row, length in enumerate(lengths.tolist()):
        mels[row, length:] = float("nan")
    torch.testing.assert_close(encoder.pooled(mels, lengths), pooled, atol=1e-4, rtol=0)


def test_loudness_counts_beside_sound_unless_the_encoder_never_learned_it(front_end):
    statistics = np.full((3, 8), 2.0, np.float32)
    statistics[:, 1] = (50, 51, 52)
    louder = statistics.copy()
    louder[2, 1] = 53
    for loudness in (True, False):
        torch.manual_seed(0)
        encoder = WhisperEncoder(WhisperEncoderConfig(embedding_dim=16, rank=0, loudness=loudness)).eval()
        (heard,) = front_end.extract_features([voice(1.0)])
        pooled = encoder.pool_features([heard, AudioFeatures(None, statistics[1]), heard])
        with torch.inference_mode():
            one, other = (encoder.embed_pooled(pooled, table) for table in (statistics, louder))
        assert torch.equal(one[2], other[2]) != loudness
        # where statistics are all there is, they count whole
        third = torch.full((3, encoder.pool.width), torch.nan)
        with torch.inference_mode():
            one, other = (encoder.embed_pooled(third, table) for table in (statistics, louder))
        assert not torch.equal(one[2], other[2])


def test_missing_sound_is_a_learned_vector_and_not_silence(encoder):
    statistics = np.ones(8, np.float32)
    with torch.no_grad():
        encoder.missing_sound.fill_(0.5)
    pooled = encoder.pool_features(
        [AudioFeatures(None, statistics), AudioFeatures(np.zeros((9, 80), np.float32), statistics)]
    )
    assert pooled[0].isnan().all()
    assert torch.isfinite(pooled[1]).all()
    relative = encoder.relative(pooled)
    assert torch.equal(relative[0], encoder.missing_sound)
    assert not torch.allclose(relative[0], relative[1])


def test_a_recording_is_taken_off_its_turns():
    encoder = WhisperEncoder(WhisperEncoderConfig(rank=0)).eval()
    turns = torch.randn(4000, encoder.pool.width)
    moved = 3.0 + 2.0 * turns
    # as many turns as this make their own mean and spread; few leave the typical ones
    torch.testing.assert_close(encoder.relative(moved), encoder.relative(turns), atol=0.05, rtol=0)
    alone = encoder.relative(moved[:1])
    torch.testing.assert_close(alone, moved[:1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(encoder.relative(moved[:8]), moved[:8], atol=0.5)


def test_what_is_saved_is_what_was_trained_and_not_the_base(tmp_path):
    torch.manual_seed(1)
    encoder = WhisperEncoder(WhisperEncoderConfig(embedding_dim=8)).eval()
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name.endswith(".up"):
                weight.normal_(0, 0.02)
    encoder.save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5e6
    again = WhisperEncoder.load(tmp_path).eval()
    mels = torch.randn(2, 50, 80)
    lengths = torch.tensor([50, 31])
    assert alike(again.pooled(mels, lengths), encoder.pooled(mels, lengths)) > 0.999
    plain = WhisperEncoder(WhisperEncoderConfig(embedding_dim=8, rank=0)).eval()
    assert alike(plain.pooled(mels, lengths), encoder.pooled(mels, lengths)) < 0.999


def test_undefined_statistics_count_as_average_and_say_so(encoder):
    pooled = torch.zeros(2, encoder.pool.width)
    known = torch.tensor([[1.0] * 8, [1.0] * 8])
    known[1, 3] = float("nan")
    embedded = encoder.join(pooled, known)
    assert torch.isfinite(embedded).all()
    assert not torch.allclose(embedded[0], embedded[1])


def test_fitted_statistics_are_those_of_the_defined_values():
    encoder = WhisperEncoder(WhisperEncoderConfig())
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


@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_statistics_far_from_all_that_was_seen_count_as_far_and_no_farther(encoder, monkeypatch, far):
    monkeypatch.setattr(encoder, "_scale", lambda values: values)
    there = torch.zeros(1, encoder.pool.width)
    deviations = (torch.full_like(encoder.statistics_std, value) for value in (far, 4 * np.sign(far), 3.0))
    rows = [(encoder.statistics_mean + own * encoder.statistics_std)[None] for own in deviations]
    with torch.no_grad():
        beyond, edge, within = (encoder.join(there, row) for row in rows)
    torch.testing.assert_close(beyond, edge, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(edge, within)


def test_the_length_of_a_turn_is_that_of_its_spectrogram(front_end):
    for seconds in (0.5, 20.0):
        time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        samples = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
        turn = TurnAudio(Clip(samples=samples), {})
        assert abs(turn.length - front_end.extract_features([samples])[0].length) <= 3
