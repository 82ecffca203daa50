"""What the mixture is shown in training, and its optimizer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import small_recipe
from torch import nn

from mister_e.encoders.conversations import StoredConversation
from mister_e.errors import InputError
from mister_e.inference.batch import pad
from mister_e.model import MisterE
from mister_e.training.losses import LossConfig
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import MixtureSettings
from mister_e.training.stage2.data import read_training_data
from mister_e.training.stage2.task import MixtureTraining, augment

#: Without dropout, so that a loss can be computed twice.
NO_DROPOUT = ("mixture.model.dropout=0", "mixture.model.head_dropout=0")


# the optimizer


def training_of(store, folder, *changes):
    """A task on the store, with a mixture of its own."""
    recipe = small_recipe(folder, *changes)
    data = read_training_data(store, recipe)
    stage2 = recipe.stage2()
    seed_everything(0)
    return MixtureTraining(MisterE(data.config), data, stage2.train, stage2.loss.resolve(data.counts))


def test_matrices_decay_and_biases_norms_and_learned_embeddings_do_not(store, tmp_path):
    task = training_of(store, tmp_path, "mixture.train.weight_decay=0.3", "mixture.train.betas=[0.7, 0.8]")
    optimizer = task.optimizer()
    assert isinstance(optimizer, torch.optim.AdamW)
    groups = [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
    parameters = dict(task.mixture.named_parameters())
    assert len(groups) == len(parameters)
    group_of = {id(parameter): group for parameter, group in groups}
    decayed = set()
    for module_name, module in task.mixture.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            group = group_of[id(parameter)]
            matrix = isinstance(module, nn.Linear | nn.Conv1d | nn.GRU) and name.startswith("weight")
            assert group["weight_decay"] == (0.3 if matrix else 0.0), f"{module_name}.{name}"
            assert group["betas"] == (0.7, 0.8)
            assert group["scale"] == 1.0
            if matrix:
                decayed.add(f"{module_name}.{name}")
    others = parameters.keys() - decayed
    assert {name.rpartition(".")[2].partition("_")[0] for name in decayed} == {"weight"}
    assert any(name.endswith("bias") for name in others)
    assert any("norm" in name and name.endswith("weight") for name in others)
    assert any("missing" in name for name in others)


# what is shown


def test_variations_take_what_they_may(store):
    talks = list(store.conversations("train")) * 40
    settings = MixtureSettings(drop_text=0.3, drop_speech=0.2, prefixes=0.5)
    random = np.random.default_rng(0)
    shown = [augment(one, settings, random) for one in talks]
    text = torch.cat([one.has_text for one in shown]).float().mean().item()
    speech = torch.cat([one.has_speech for one in shown]).float().mean().item()
    # a turn that would lose both keeps either: 0.06 of them
    assert 1 - text == pytest.approx(0.3 - 0.03, abs=0.03)
    assert 1 - speech == pytest.approx(0.2 - 0.03, abs=0.03)
    assert all((one.has_text | one.has_speech).all() for one in shown)
    cut = [len(now) < len(before) for now, before in zip(shown, talks, strict=True)]
    assert 0.3 < np.mean(cut) < 0.5
    for now, before in zip(shown, talks, strict=True):
        assert now.ids == before.ids[: len(now)]
        assert torch.equal(now.text, before.text[: len(now)])


@settings(deadline=None)
@given(
    turns=st.lists(st.sampled_from(["both", "text", "speech"]), min_size=1, max_size=8),
    chances=st.lists(st.sampled_from([0.0, 0.3, 0.9, 0.999]), min_size=4, max_size=4),
    unlabelled=st.integers(0, 7),
    seed=st.integers(0, 1000),
)
def test_a_turn_keeps_what_it_has_alone(turns, chances, unlabelled, seed):
    has_text, has_speech = (
        torch.tensor([turn in ("both", name) for turn in turns]) for name in ("text", "speech")
    )
    count = len(turns)
    labels = torch.zeros(count, dtype=torch.long)
    labels[: min(unlabelled, count - 1)] = -1
    conversation = StoredConversation(
        "c",
        tuple(map(str, range(count))),
        torch.randn(count, 2),
        torch.randn(count, 2),
        has_text,
        has_speech,
        labels,
    )
    names = ("drop_text", "drop_speech", "drop_conversation", "prefixes")
    wanted = MixtureSettings(**dict(zip(names, chances, strict=True)))
    shown = augment(conversation, wanted, np.random.default_rng(seed))
    length = len(shown)
    assert 1 <= length <= count
    assert (shown.labels >= 0).any()  # something to learn from
    assert (shown.has_text | shown.has_speech).all()
    alone = ~(has_text & has_speech)[:length]
    assert torch.equal(shown.has_text[alone], has_text[:length][alone])
    assert torch.equal(shown.has_speech[alone], has_speech[:length][alone])
    assert not (shown.has_text & ~has_text[:length]).any()
    assert not (shown.has_speech & ~has_speech[:length]).any()


def test_a_conversation_that_loses_a_modality_keeps_turns_that_have_nothing_else(store):
    conversation = next(store.conversations("train"))
    has_text = torch.ones(len(conversation), dtype=torch.bool)
    has_text[1] = False
    settings = MixtureSettings(drop_conversation=0.999)
    ways = set()
    for seed in range(20):
        shown = augment(replace(conversation, has_text=has_text), settings, np.random.default_rng(seed))
        ways.add((tuple(shown.has_text.tolist()), tuple(shown.has_speech.tolist())))
    count = len(conversation)
    only_second = tuple(i == 1 for i in range(count))
    assert ways == {
        ((False,) * count, (True,) * count),
        (tuple(has_text.tolist()), only_second),
    }


def test_input_dropout_is_of_training_alone(store, tmp_path):
    task = training_of(store, tmp_path, "mixture.train.input_dropout=0.25", *NO_DROPOUT)
    seen = []

    def record(module, arguments, named):
        seen.append(arguments[:2] or (named["text"], named["speech"]))

    task.mixture.register_forward_pre_hook(record, with_kwargs=True)
    batch = pad(list(store.conversations("train")))
    plain = (batch.text, batch.speech)
    task.model.eval()
    task.model(**batch.inputs())
    assert all(torch.equal(shown, own) for shown, own in zip(seen.pop(), plain, strict=True))
    task.model.train()
    task.model(**batch.inputs())
    for shown, own in zip(seen.pop(), plain, strict=True):
        kept = shown != 0
        real = batch.mask.unsqueeze(-1) & (own != 0)
        assert kept[real].float().mean() == pytest.approx(0.75, abs=0.06)
        torch.testing.assert_close(shown[kept], own[kept] / 0.75)
    task.validate(None)  # in the midst of training
    validation = pad(list(store.conversations("validation")))
    shown = torch.cat([text[text != 0] for text, _ in seen]).sort().values
    torch.testing.assert_close(shown, validation.text[validation.text != 0].sort().values)


def test_whole_conversations_lose_one_modality(store):
    talks = list(store.conversations("train")) * 20
    random = np.random.default_rng(0)
    shown = [augment(one, MixtureSettings(drop_conversation=0.5), random) for one in talks]
    kinds = [(bool(one.has_text.any()), bool(one.has_speech.any())) for one in shown]
    assert kinds.count((True, True)) / len(kinds) == pytest.approx(0.5, abs=0.1)
    assert kinds.count((True, False)) / len(kinds) == pytest.approx(0.25, abs=0.1)
    assert all(one.has_text.all() or not one.has_text.any() for one in shown)


def test_what_is_drawn_does_not_depend_on_the_process(store, tmp_path):
    recipe = small_recipe(tmp_path, "mixture.train.drop_text=0.5")
    data = read_training_data(store, recipe)
    task = MixtureTraining(
        MisterE(data.config).eval(), data, recipe.stage2().train, LossConfig(contrastive=0)
    )
    task.model.eval()
    losses = [task.loss(task.model, [2, 5], "cpu", (0, 7, 0, process)).item() for process in (0, 1)]
    assert losses[0] == losses[1] != task.loss(task.model, [2, 5], "cpu", (0, 8, 0, 0)).item()


def test_class_weights():
    counts = np.array([6, 3, 1])
    balanced = LossConfig(class_weights="balanced").resolve(counts).class_weights
    assert balanced == pytest.approx((10 / 18, 10 / 9, 10 / 3))
    assert LossConfig().resolve(counts) == LossConfig()
    assert LossConfig().resolve(np.array([6, 0, 1])).class_weights == (1.0, 0.0, 1.0)
    with pytest.raises(InputError, match="class_weights: 2 weights, but there are 3 classes"):
        LossConfig(class_weights=(1, 2)).resolve(counts)


def test_a_conversation_may_lack_labels(store, tmp_path):
    recipe = small_recipe(tmp_path)
    data = read_training_data(store, recipe)
    bare = replace(data.train[0], labels=torch.full_like(data.train[0].labels, -1))
    task = MixtureTraining(
        MisterE(data.config), replace(data, train=[bare, data.train[1]]), recipe.stage2().train, LossConfig()
    )
    assert task.batch_weight([0]) == 0
    assert task.batch_weight([0, 1]) == len(data.train[1])
