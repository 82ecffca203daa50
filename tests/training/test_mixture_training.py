import numpy as np
import pytest
import torch

from mister_e.config import MixtureConfig
from mister_e.encoders.front_end import Heard
from mister_e.encoders.speech import SpeechEncoder, SpeechEncoderConfig
from mister_e.model import MisterE
from mister_e.training.mix import Pairing, Voices, acted_alone, with_voices, without
from mister_e.training.mixture import (
    Embedded,
    MixtureTuning,
    fit_temperature,
    judge,
    pad,
    score,
    train_mixture,
)
from mister_e.training.speech import LabelledSpeech, SpeechTuning, balanced_draws, train_speech

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


def voices() -> Voices:
    labels = torch.arange(CLASSES).repeat(4)
    return Voices(torch.nn.functional.one_hot(labels, SPEECH).float(), labels, ["one"] * len(labels))


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
    agreeing = with_voices(base, voices(), 1.0, random)
    assert torch.equal(agreeing.speech.argmax(1), base.labels)
    mixed = with_voices(base, voices(), 0.0, random)
    assert 0.1 < (mixed.speech.argmax(1) == base.labels).float().mean() < 0.6
    assert torch.equal(mixed.text, base.text)


def test_a_turn_never_loses_both_modalities():
    base = conversation(6, 0)
    everywhere = torch.ones(6, dtype=torch.bool)
    taken = without(base, speech=everywhere, text=everywhere)
    assert not taken.has_speech.any()
    assert taken.has_text.all()
    wordless = without(base, text=everywhere)
    assert not wordless.has_text.any()
    for shown in Pairing(dropped=0.9, singles=5).epoch([base] * 30, voices(), 3):
        assert (shown.has_text | shown.has_speech).all()


def test_clips_alone_are_conversations_of_one_turn():
    alone = acted_alone(voices(), TEXT)
    assert len(alone) == len(voices().labels)
    logits, gate, labels = judge(MisterE(CONFIG), alone)
    assert logits.shape == (12, CLASSES)
    assert torch.equal(gate, torch.tensor([[1.0, 0.0, 0.0]]).expand(12, 3))
    assert torch.equal(labels, voices().labels)


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


def test_the_speech_encoder_learns():
    random = np.random.default_rng(0)
    labels = [i % 2 for i in range(64)]

    def heard(label: int) -> Heard:
        frames = random.normal(label, 1.0, (int(random.integers(5, 30)), 384)).astype(np.float32)
        return Heard(frames, random.normal(2, 0.1, 8).astype(np.float32))

    turns = LabelledSpeech([heard(label) for label in labels], labels, ["one"] * 64)
    encoder = SpeechEncoder(SpeechEncoderConfig(classes=2, embedding_dim=8))
    history = train_speech(encoder, turns, turns, SpeechTuning(epochs=3, draws=128, batch=16))
    assert max(row["validation_weighted_f1"] for row in history) > 95
