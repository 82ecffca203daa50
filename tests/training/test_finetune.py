import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.base import embed
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.training.losses import focal_loss
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.classify import classify, positions_of
from mister_e.training.stage1.task import class_weights, finetune

LABELS = LabelSet(["sad", "glad"])
GLAD, SAD = (
    ("so happy and glad", "wonderful joy", "what a lovely day"),
    ("crying", "terrible sad loss", "it hurts"),
)


def talk(name, count, seed):
    random = np.random.default_rng(seed)
    turns = []
    for number in range(count):
        label = int(random.integers(2))
        text = str(random.choice((SAD, GLAD)[label])) + " " + str(random.choice(["now", "today", "again"]))
        turns.append(Utterance(str(number), text, label=None if number == 3 else list(LABELS)[label]))
    return Conversation(name, tuple(turns))


TRAIN, VALIDATION = [talk(f"t{i}", 8, i) for i in range(4)], [talk("v", 10, 99)]
SETTINGS = FinetuneSettings(epochs=2, learning_rate=3e-4, batch_cost=64, trackers=())


def encoder(**config):
    seed_everything(0)
    return TextEncoder.from_base(TextEncoderConfig(classes=2, embedding_dim=16, **config))


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    tuned = encoder()
    result = finetune(tuned, TRAIN, VALIDATION, LABELS, SETTINGS, tmp_path)
    assert len(result.history) == 2
    assert result.validation_weighted_f1 == max(row["validation_weighted_f1"] for row in result.history)
    truth = positions_of(VALIDATION, LABELS)
    judged = truth >= 0
    right = (classify(tuned, VALIDATION)[judged] == truth[judged]).mean()
    assert right > 0.9
    assert [row["step"] for row in rows(tmp_path) if "step" in row] == list(
        range(1, 1 + sum("step" in row for row in rows(tmp_path)))
    )


def test_the_first_loss_is_that_of_plain_code(tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_cost": 10_000, "gamma": 2.0})
    tuned = encoder(dropout=0.0)
    for module in tuned.backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    tuned.eval()
    embeddings, _ = embed(tuned, TRAIN)
    targets = torch.from_numpy(positions_of(TRAIN, LABELS))
    real = targets >= 0
    with torch.inference_mode():
        log = tuned.logits(embeddings)[real].log_softmax(-1)
    known = log.gather(1, targets[real][:, None]).squeeze(1)
    expected = -((1 - known.exp()) ** 2 * known).mean()
    finetune(tuned, TRAIN, VALIDATION, LABELS, settings, tmp_path)
    assert rows(tmp_path)[0]["loss"] == pytest.approx(float(expected), abs=1e-4)


def test_accumulated_batches_make_the_same_step_as_one(tmp_path):
    losses = []
    for name, update in (
        ("one", {"batch_examples": 16}),
        ("four", {"batch_examples": 4, "gradient_accumulation": 4}),
    ):
        tuned = encoder(dropout=0.0)
        for module in tuned.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        settings = SETTINGS.model_copy(update={"epochs": 1, "batch_cost": 10_000, **update})
        finetune(tuned, TRAIN[:2], VALIDATION, LABELS, settings, tmp_path / name)
        losses.append(rows(tmp_path / name)[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_finished_run_is_not_done_again(tmp_path):
    first = finetune(encoder(), TRAIN, VALIDATION, LABELS, SETTINGS, tmp_path)
    logged = (tmp_path / "log.jsonl").read_text()
    again = finetune(encoder(), TRAIN, VALIDATION, LABELS, SETTINGS, tmp_path)
    assert again.history == first.history
    assert (tmp_path / "log.jsonl").read_text() == logged


def test_tensorboard_hears_of_the_run(tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 1, "trackers": ("tensorboard",)})
    finetune(encoder(), TRAIN, VALIDATION, LABELS, settings, tmp_path)
    assert list((tmp_path / "trackers").glob("**/events*"))


def test_class_weights_are_inverse_to_the_counts():
    targets = np.array([0, 0, 0, 1, -1])
    weights = class_weights(targets, 2, FinetuneSettings(class_weights="balanced"))
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 4 / 2]))
    weights = class_weights(targets, 2, FinetuneSettings(class_weights=0.5))
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 4 / 2]).sqrt())
    with pytest.raises(InputError, match="class_weights: 3 weights, but there are 2 classes"):
        class_weights(targets, 2, FinetuneSettings(class_weights=(1, 1, 1)))


def test_weighted_loss_is_the_weighted_mean():
    logits, targets = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, -1, 1])
    weights = torch.tensor([0.5, 2.0])
    real = torch.ones(6, dtype=torch.bool)
    mine = focal_loss(logits, targets, mask=real, gamma=0, class_weights=weights)
    torch.testing.assert_close(mine, F.cross_entropy(logits, targets, weight=weights, ignore_index=-1))


def test_nothing_to_learn_from_is_an_error(tmp_path):
    blank = [Conversation("c", (Utterance("0", None, label="sad"), Utterance("1", "words")))]
    with pytest.raises(InputError, match="no turn of the training split has a label and text"):
        finetune(encoder(), blank, VALIDATION, LABELS, SETTINGS, tmp_path)
    with pytest.raises(InputError, match="turns of the validation split with text have no label"):
        finetune(encoder(), TRAIN, blank, LABELS, SETTINGS, tmp_path)


def test_a_label_outside_the_set_is_named(tmp_path):
    odd = [Conversation("c", (Utterance("7", "words", label="bored"),))]
    with pytest.raises(InputError, match="conversation c, turn 7: label 'bored' is none of sad, glad"):
        finetune(encoder(), odd, VALIDATION, LABELS, SETTINGS, tmp_path)
