import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.backbones.lora import LoraSettings, adapter_weights
from mister_e.encoders.base import embed
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.metrics.classification import weighted_f1
from mister_e.training.losses import focal_loss
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.classify import classify, positions_of
from mister_e.training.stage1.task import adamw, class_weights, finetune

pytestmark = pytest.mark.slow

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
    stages: set[str] = set()
    result = finetune(
        tuned, TRAIN, VALIDATION, LABELS, SETTINGS, tmp_path, progress=lambda stage, *_: stages.add(stage)
    )
    assert "finetune" in stages
    assert None not in stages
    assert len(result.history) == 2
    assert result.validation_weighted_f1 == max(row["validation_weighted_f1"] for row in result.history)
    truth = positions_of(VALIDATION, LABELS)
    judged = truth >= 0
    right = (classify(tuned, VALIDATION)[judged] == truth[judged]).mean()
    assert right > 0.9
    assert [row["step"] for row in rows(tmp_path) if "step" in row] == list(
        range(1, 1 + sum("step" in row for row in rows(tmp_path)))
    )


def without_dropout(tuned):
    """The encoder, such that a loss can be computed twice."""
    for module in tuned.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return tuned


@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": 2.0},
        {"gamma": 0.0, "label_smoothing": 0.2},
        {"gamma": 0.0, "class_weights": (0.2, 3.0)},
        {"gamma": 0.0, "class_weights": "balanced", "label_smoothing": 0.1},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_the_first_loss_is_that_of_plain_code(tmp_path, changes):
    settings = SETTINGS.model_copy(update={"epochs": 1, "batch_cost": 10_000, **changes})
    tuned = without_dropout(encoder(dropout=0.0))
    embeddings, _ = embed(tuned, TRAIN)
    targets = torch.from_numpy(positions_of(TRAIN, LABELS))
    real = targets >= 0
    with torch.inference_mode():
        logits = tuned.logits(embeddings)[real]
    if settings.gamma:
        known = logits.log_softmax(-1).gather(1, targets[real][:, None]).squeeze(1)
        expected = -((1 - known.exp()) ** settings.gamma * known).mean()
    else:
        weights = settings.class_weights
        if weights == "balanced":
            counts = targets[real].bincount()
            weights = (counts.sum() / (2 * counts)).tolist()
        expected = F.cross_entropy(
            logits,
            targets[real],
            weight=None if weights is None else torch.tensor(weights),
            label_smoothing=settings.label_smoothing,
        )
    plain = F.cross_entropy(logits, targets[real])
    assert abs(float(expected - plain)) > 1e-3  # the setting tells the losses apart
    finetune(tuned, TRAIN, VALIDATION, LABELS, settings, tmp_path)
    assert rows(tmp_path)[0]["loss"] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("weights", [None, (0.1, 4.0)])
@pytest.mark.parametrize(
    ("turns_per_prompt", "size"),
    [(1, 5), (3, 2)],  # 14 labelled turns as 5, 5 and 4; prompts of 3 turns, some with one that has no label
)
def test_accumulated_batches_make_the_same_step_as_one(tmp_path, turns_per_prompt, size, weights):
    first = []
    for name, update in (
        ("one", {"batch_examples": 16}),
        ("parts", {"batch_examples": size, "gradient_accumulation": 4}),
    ):
        settings = SETTINGS.model_copy(
            update={"epochs": 1, "batch_cost": 10_000, "class_weights": weights, **update}
        )
        tuned = without_dropout(encoder(dropout=0.0, turns_per_prompt=turns_per_prompt))
        finetune(tuned, TRAIN[:2], VALIDATION, LABELS, settings, tmp_path / name)
        steps = [row for row in rows(tmp_path / name) if "step" in row]
        assert len(steps) == 1
        first.append(steps[0])
    assert first[0]["loss"] == pytest.approx(first[1]["loss"], abs=1e-5)
    assert first[0]["gradient_norm"] == pytest.approx(first[1]["gradient_norm"], rel=1e-3)


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    decay = 0.9
    settings = SETTINGS.model_copy(
        update={
            "epochs": 4,
            "learning_rate": 3e-3,
            "batch_examples": 8,
            "ema": decay,
            "checkpoint_every": 1,
            "warmup": 0.0,
        }
    )
    tuned = encoder(lora=LoraSettings(rank=2, targets=("query", "value")))
    found = {}

    def record(stage="", done=0, total=0):
        """Read the weights after each step from its checkpoint."""
        for checkpoint in (tmp_path / "checkpoint").glob("step-*"):
            step = int(checkpoint.name.split("-")[1])
            found.setdefault(step, load_file(checkpoint / "weights.safetensors"))

    done = finetune(tuned, TRAIN, VALIDATION, LABELS, settings, tmp_path, progress=record)
    record()
    steps = [found[step] for step in range(1, len(found) + 1)]
    per_epoch = len(steps) // 4
    mean, wanted = steps[0], []
    for step, weights in enumerate(steps):
        d = min(decay, (1 + step) / (10 + step)) if step else 0.0
        mean = {name: d * mean[name] + (1 - d) * value for name, value in weights.items()}
        if (step + 1) % per_epoch == 0:
            wanted.append(mean)
    ends = steps[per_epoch - 1 :: per_epoch]

    kept = {name: value.clone() for name, value in adapter_weights(tuned).items()}
    for name, value in wanted[done.best_epoch].items():
        torch.testing.assert_close(kept[name], value, atol=1e-5, rtol=1e-4)
    assert not all(torch.allclose(kept[name], ends[done.best_epoch][name], atol=1e-4) for name in kept)

    def score(weights):
        tuned.load_state_dict(weights, strict=False)
        truth = positions_of(VALIDATION, LABELS)
        judged = truth >= 0
        return weighted_f1(truth[judged].tolist(), classify(tuned, VALIDATION)[judged].tolist())

    logged = [row["validation_weighted_f1"] for row in rows(tmp_path) if "step" not in row]
    assert logged == [row["validation_weighted_f1"] for row in done.history]
    assert logged == pytest.approx([score(weights) for weights in wanted])
    assert logged != pytest.approx([score(weights) for weights in ends])  # the average tells them apart


@pytest.mark.parametrize("head_learning_rate", [None, 3e-3])
@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2, targets=("query", "value"))])
def test_the_optimizer_of_backbone_and_head(lora, head_learning_rate):
    settings = FinetuneSettings(
        learning_rate=1e-4, head_learning_rate=head_learning_rate, weight_decay=0.3, betas=(0.7, 0.8)
    )
    tuned = encoder(lora=lora, pooling="attentive")
    optimizer = adamw(tuned, settings)
    assert isinstance(optimizer, torch.optim.AdamW)
    group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    assert group_of.keys() == {id(parameter) for parameter in trained}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)
    kinds = set()
    for module_name, module in tuned.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            group = group_of[id(parameter)]
            head = module_name.split(".")[0] in ("pool", "project", "classify")
            matrix = isinstance(module, nn.Linear | nn.Embedding) and name == "weight"
            assert group["scale"] == pytest.approx(30 if head and head_learning_rate else 1), module_name
            assert group["weight_decay"] == (0.3 if matrix else 0.0), f"{module_name}.{name}"
            assert group["betas"] == (0.7, 0.8)
            kinds.add((head, matrix))
    assert kinds == {(True, True), (True, False), (False, True)} | (
        {(False, False)} if lora is None else set()
    )


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
