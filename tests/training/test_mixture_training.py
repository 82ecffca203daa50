from dataclasses import replace

import numpy as np
import pytest
import torch

from mister_e.inference.calibration import fit_temperature
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.training.batching import balanced_draws
from mister_e.training.mixture import Embedded, MixtureTuning, judge, pad, score, train_mixture
from mister_e.training.stage1.acted_speech import PLAIN
from mister_e.training.stage2.pairing import PairingConfig, Voices, acted_alone, drop_modality, replace_speech

CLASSES, TEXT, SPEECH = 3, 6, 4
CONFIG = MixtureConfig(
    classes=CLASSES,
    text_dim=TEXT,
    speech_dim=SPEECH,
    hidden=8,
    gru_layers=1,
    gru_hidden=4,
    fusion_dim=8,
    fusion_blocks=1,
    attention_dim=6,
)


def conversation(turns: int, seed: int) -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (turns,), generator=generator)
    text = torch.nn.functional.one_hot(labels, TEXT) + 0.1 * torch.randn(turns, TEXT, generator=generator)
    speech = torch.nn.functional.one_hot(labels, SPEECH) + 0.1 * torch.randn(
        turns, SPEECH, generator=generator
    )
    everywhere = torch.ones(turns, dtype=torch.bool)
    return Embedded(text, speech, everywhere, everywhere, labels)


class OneHot:
    """Stands for a speech encoder whose pooled states are the embeddings already."""

    def embed_recording(self, pooled, statistics):
        return pooled


def voices(group: str = "one") -> Voices:
    labels = torch.arange(CLASSES).repeat(4)
    pooled = torch.nn.functional.one_hot(labels, SPEECH).float()
    statistics = np.zeros((len(labels), 8), np.float32)
    return Voices(OneHot(), pooled, statistics, labels, np.array([group] * len(labels)))


def test_padding_labels_pads_as_unlabelled():
    batch = pad([conversation(2, 0), conversation(5, 1)])
    assert batch.mask.sum(1).tolist() == [2, 5]
    assert batch.labels[0, 2:].tolist() == [-1, -1, -1]
    assert batch.text.shape == (2, 5, TEXT)
    assert batch.has_text.dtype == torch.bool


def test_training_learns_and_keeps_the_best_epoch():
    torch.manual_seed(0)
    train = [conversation(5, seed) for seed in range(24)]
    validation = [conversation(4, 100 + seed) for seed in range(8)]
    mixture = MisterE(CONFIG)
    history = train_mixture(
        mixture,
        lambda epoch: train,
        lambda model: {"both": score(model, validation)},
        MixtureTuning(epochs=12, batch=8, rate=1e-2),
    )
    assert len(history) == 12
    assert score(mixture, validation) == pytest.approx(max(row["validation"] for row in history))
    assert score(mixture, validation) > 90


def test_the_same_seed_gives_the_same_losses():
    def losses() -> list[float]:
        torch.manual_seed(1)
        mixture = MisterE(CONFIG)
        train = [conversation(3, seed) for seed in range(8)]
        history = train_mixture(
            mixture, lambda _: train, lambda _: {"none": 0.0}, MixtureTuning(epochs=2, batch=4)
        )
        return [row["loss"] for row in history]

    assert losses() == losses()


def test_acted_clips_stand_in_for_a_conversations_sound():
    base = conversation(40, 0)
    random = np.random.default_rng(0)
    agreeing = replace_speech(base, voices(), 1.0, random)
    assert torch.equal(agreeing.speech.argmax(1), base.labels)
    mixed = replace_speech(base, voices(), 0.0, random)
    assert 0.1 < (mixed.speech.argmax(1) == base.labels).float().mean() < 0.6
    assert torch.equal(mixed.text, base.text)
    other = replace_speech(base, voices(), 0.0, random, otherwise=True)
    assert not (other.speech.argmax(1) == base.labels).any()


def test_a_turn_never_loses_both_modalities():
    base = conversation(6, 0)
    everywhere = torch.ones(6, dtype=torch.bool)
    taken = drop_modality(base, speech=everywhere, text=everywhere)
    assert not taken.has_speech.any()
    assert taken.has_text.all()
    wordless = drop_modality(base, text=everywhere)
    assert not wordless.has_text.any()
    for shown in PairingConfig(dropped=0.9, singles=5).epoch([base] * 30, voices(), 3):
        assert (shown.has_text | shown.has_speech).all()


def test_clips_alone_are_conversations_of_one_turn():
    alone = acted_alone(voices(), TEXT)
    assert len(alone) == len(voices().labels)
    judged = judge(MisterE(CONFIG), alone)
    assert judged.logits.shape == (12, CLASSES)
    assert torch.equal(judged.gate, torch.tensor([[1.0, 0.0, 0.0]]).expand(12, 3))
    assert torch.equal(judged.labels, voices().labels)
    assert judged.conversations.tolist() == list(range(12))


def test_read_speech_is_shown_as_recordings_in_which_all_is_neutral():
    acted = voices()
    plain = replace(acted, groups=np.where(acted.labels.numpy() == 0, PLAIN, acted.groups))
    base = Embedded(
        torch.randn(3, TEXT),
        torch.randn(3, SPEECH),
        torch.ones(3, dtype=torch.bool),
        torch.ones(3, dtype=torch.bool),
        torch.tensor([0, 1, 2]),
    )
    shown = PairingConfig(singles=5, plain=20).epoch([base] * 4, plain, 3)
    assert len(shown) == 4 + 5 + 20
    recordings = [one for one in shown if len(one) >= 4]
    assert len(recordings) == 20
    assert not any(one.has_text.any() or one.labels.any() or not one.has_speech.all() for one in recordings)
    assert len({len(one) for one in recordings}) > 5
    assert len(PairingConfig(singles=5, plain=20).epoch([base] * 4, acted, 3)) == 4 + 5


def test_the_temperature_mends_what_was_stretched():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1.0, rel=0.1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3.0, rel=0.1)


def test_draws_are_balanced_over_corpora_and_classes():
    labels = [0] * 900 + [1] * 100 + [0] * 90 + [1] * 110
    groups = ["big"] * 1000 + ["small"] * 200
    drawn = balanced_draws(labels, groups, 8000, seed=0)
    for group in ("big", "small"):
        for label in (0, 1):
            share = np.mean([groups[i] == group and labels[i] == label for i in drawn])
            assert share == pytest.approx(0.25, abs=0.03)
