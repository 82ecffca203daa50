"""Simulated recordings: the moments that clips are standardised by in training."""

import numpy as np
import pytest
import torch

from mister_e.training.settings import RecordingSimulationConfig
from mister_e.training.stage1.recording_simulation import RecordingSimulator


def simulator(corpora, classes, width, neutral=None, **settings):
    config = RecordingSimulationConfig(**{"other_corpus_fraction": 0.0, **settings})
    return RecordingSimulator(corpora, classes, width, config, neutral)


def test_recordings_are_mixed_from_the_moments_of_their_emotions():
    torch.manual_seed(0)
    recordings = simulator(2, 3, 4, neutral=0, other_corpus_fraction=0.4)
    for _ in range(400):
        corpora, labels = torch.randint(0, 2, (64,)), torch.randint(0, 2, (64,))
        pooled = corpora[:, None] * 10.0 + labels[:, None] * 2.0 + torch.randn(64, 4)
        recordings.update(pooled, corpora, labels)
    torch.testing.assert_close(recordings.mean[1, 1], torch.full((4,), 12.0), atol=0.8, rtol=0)
    mean, std = recordings.typical
    torch.testing.assert_close(mean, torch.full((4,), 6.0), atol=0.5, rtol=0)
    # both corpora, both emotions, and the noise of either
    torch.testing.assert_close(std, torch.full((4,), (25 + 1 + 1) ** 0.5), atol=0.5, rtol=0)
    means, stds = recordings.draw(torch.ones(4000, dtype=torch.long), np.random.default_rng(0))
    assert means.min() > -1
    assert means.max() < 13
    assert (stds > 0.5).all()
    # four in ten are among clips of any corpus, here of the other one every second time: two thirds of these
    # are in a recording, and half of that counts the recording alone
    apart = means.max(1).values < 3
    assert float(apart.float().mean()) == pytest.approx(0.4 / 2 * (1 / 3 + 1 / 6), abs=0.03)
    # a third is alone, and has the typical mean
    alone = (means - mean).abs().max(1).values < 1e-4
    assert float(alone.float().mean()) == pytest.approx(1 / 3, abs=0.04)


def test_an_emotion_that_a_corpus_lacks_is_no_part_of_its_recordings():
    recordings = simulator(1, 3, 2, neutral=0)
    recordings.update(torch.full((8, 2), 5.0), torch.zeros(8, dtype=torch.long), torch.full((8,), 2))
    means, stds = recordings.draw(torch.zeros(50, dtype=torch.long), np.random.default_rng(0))
    torch.testing.assert_close(means, torch.full((50, 2), 5.0))
    assert torch.isfinite(stds).all()


@pytest.mark.parametrize("met", [0, 1])
def test_nothing_is_put_among_a_corpus_of_which_little_was_met(met):
    recordings = simulator(3, 2, 4, other_corpus_fraction=1.0)
    recordings.update(torch.randn(60, 4) + 5, torch.ones(60, dtype=torch.long), torch.arange(60) % 2)
    few = torch.full((met,), 2)
    recordings.update(torch.randn(met, 4), few, few * 0)
    means, stds = recordings.draw(torch.ones(200, dtype=torch.long), np.random.default_rng(0))
    assert means.min() > 2
    assert stds.min() > 0.3


def settled(**settings):
    """Two emotions, 0 at 0 and 1 at 10, with next to no spread of their own."""
    found = simulator(1, 2, 1, neutral=0, **settings)
    pooled = torch.tensor([[0.0], [10.0]] * 50)
    found.update(pooled, torch.zeros(100, dtype=torch.long), torch.tensor([0, 1] * 50))
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # alone: the typical mean, which is that of both in equal weights
        ({"alone_fraction": 1.0, "long_fraction": 0.0}, {5.0}),
        # long and balanced: both in equal weights
        ({"alone_fraction": 0.0, "long_fraction": 1.0, "mostly_neutral": 0.0, "balanced": 1.0}, {5.0}),
        # long and all of it neutral
        (
            {"alone_fraction": 0.0, "long_fraction": 1.0, "mostly_neutral": 1.0, "neutral_weight": 1.0}
            | {"balanced": 0.0},
            {0.0},
        ),
    ],
)
def test_each_kind_of_recording_has_its_mean(settings, expected):
    means, _ = settled(**settings).draw(torch.zeros(50, dtype=torch.long), np.random.default_rng(0))
    assert {round(float(mean), 3) for mean in means} == expected


def test_a_mostly_neutral_recording_has_the_rest_of_any_emotion():
    found = settled(
        alone_fraction=0.0, long_fraction=1.0, mostly_neutral=1.0, neutral_weight=0.7, balanced=0.0
    )
    means, _ = found.draw(torch.zeros(2000, dtype=torch.long), np.random.default_rng(0))
    assert means.max() <= 3.001
    # three tenths of the weight, of which the other emotion has half on the mean
    assert float(means.mean()) == pytest.approx(1.5, abs=0.1)


def test_a_short_recording_is_between_its_own_and_the_typical_moments():
    settings = {"mostly_neutral": 1.0, "neutral_weight": 1.0, "balanced": 0.0}
    found = settled(alone_fraction=0.0, long_fraction=0.0, **settings)
    means, _ = found.draw(torch.zeros(2000, dtype=torch.long), np.random.default_rng(0))
    assert float(means.min()) < 0.1
    assert float(means.max()) > 4.9
    assert float(means.mean()) == pytest.approx(2.5, abs=0.1)


def test_a_checkpoint_keeps_the_moments():
    kept = {name: value.clone() for name, value in settled().weights().items()}
    empty = simulator(1, 2, 1)
    empty.load(kept)
    assert float(empty.typical[0]) == pytest.approx(5.0)
