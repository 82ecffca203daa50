import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stores import LABELS, SPEECH_DIM, TEXT_DIM, make_store, small_recipe

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError, MisterEError
from mister_e.inference.batch import pad, run
from mister_e.inference.predict import predict
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE
from mister_e.training.losses import LossConfig, mixture_loss
from mister_e.training.mixture_folder import load_mixture
from mister_e.training.runtime import seed_everything
from mister_e.training.settings import MixtureSettings
from mister_e.training.stage2.data import read_training_data
from mister_e.training.stage2.run import run_stage2
from mister_e.training.stage2.task import MixtureTraining, augment


def rows(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# a run


def test_it_learns_and_keeps_the_best_epoch(store, done):
    folder, _, summary = done
    assert summary["seeds"] == [0, 1]
    validation = list(store.conversations("validation"))
    for seed in (0, 1):
        run = folder / "run" / f"seed-{seed}"
        result = json.loads((run / "result.json").read_text())
        scores = [row["validation_weighted_f1"] for row in result["history"]]
        said = predict(load_mixture(run), validation)
        kept = weighted_f1(said.labels[said.scored], said.logits.argmax(1)[said.scored])
        assert kept == pytest.approx(max(scores)) == pytest.approx(result["validation"]["weighted_f1"])
        assert scores[result["best_epoch"]] == max(scores) > 75
    each = [json.loads((folder / "run" / f"seed-{s}" / "result.json").read_text()) for s in (0, 1)]
    values = [one["validation"]["weighted_f1"] for one in each]
    assert summary["validation_weighted_f1"]["mean"] == pytest.approx(np.mean(values))
    assert summary["validation_weighted_f1"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert each[0]["history"] != each[1]["history"]


def test_the_folder_says_all_about_the_model(store, done):
    folder, recipe, _ = done
    trained = load_mixture(folder / "run" / "seed-1")
    assert load_mixture(folder / "run" / "seed-1" / "model").facts == trained.facts
    facts = trained.facts
    assert tuple(trained.labels) == LABELS
    assert (facts.seed, facts.recipe, facts.selection) == (1, "small", "validation")
    assert facts.encoders == store.metadata["encoders"]
    assert trained.protocol == store.protocol
    assert (trained.model.config.text_dim, trained.model.config.speech_dim) == (TEXT_DIM, SPEECH_DIM)
    assert facts.train["learning_rate"] == recipe.stage2().train.learning_rate
    assert not trained.model.training
    trained.check(store)
    temperatures = trained.temperatures(predict(trained, list(store.conversations("test")), mode="text-only"))
    assert (temperatures == trained.calibration.text).all()


def test_only_train_and_validation_are_read(store, tmp_path, monkeypatch):
    asked = []
    plain = EmbeddingStore.conversations
    monkeypatch.setattr(
        EmbeddingStore, "conversations", lambda self, split=None: (asked.append(split), plain(self, split))[1]
    )
    run_stage2(small_recipe(tmp_path, "mixture.train.epochs=1"), store, tmp_path / "run", seeds=[3])
    assert sorted(asked) == ["train", "validation"]


def test_a_finished_run_is_not_done_again(store, done, monkeypatch):
    folder, recipe, summary = done
    monkeypatch.setattr("mister_e.training.stage2.run.train_one", lambda *_: pytest.fail("trained again"))
    assert run_stage2(recipe, store, folder / "run") == summary


def test_the_same_seed_gives_the_same_run(store, done, tmp_path):
    folder, recipe, _ = done
    run_stage2(recipe, store, tmp_path / "again", seeds=[1])
    assert rows(tmp_path / "again" / "seed-1") == rows(folder / "run" / "seed-1")


def test_the_first_loss_is_that_of_plain_code(store, tmp_path):
    recipe = small_recipe(
        tmp_path,
        "mixture.train.batch_size=100",
        "mixture.train.epochs=1",
        "mixture.model.dropout=0",
        "mixture.model.head_dropout=0",
    )
    run_stage2(recipe, store, tmp_path / "run", seeds=[0])
    data = read_training_data(store, recipe)
    seed_everything(0)
    mixture = MisterE(data.config)
    batch = pad(list(store.conversations("train")))
    loss = mixture_loss(
        run(mixture, batch), batch.labels, mask=batch.mask, weights=LossConfig(gamma=1.0, contrastive=0.1)
    )
    assert rows(tmp_path / "run" / "seed-0")[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        "mixture.train.average_from=1",
        "mixture.train.precision=bfloat16",
        "mixture.train.gradient_accumulation=2",
    ],
)
def test_other_ways_of_training_train(store, tmp_path, change):
    recipe = small_recipe(tmp_path, change, "mixture.train.epochs=5")
    assert run_stage2(recipe, store, tmp_path / "run", seeds=[0])["validation_weighted_f1"]["mean"] > 50


def test_the_average_is_what_is_validated_and_kept(store, tmp_path):
    # the mean of one epoch's end is that end, so that only later epochs differ
    kept = {}
    for name, changes in (("one", {"epochs": 1, "average_from": 0}), ("last", {"epochs": 1})):
        recipe = small_recipe(
            tmp_path, *(f"mixture.train.{field}={value}" for field, value in changes.items())
        )
        run_stage2(recipe, store, tmp_path / name, seeds=[0])
        kept[name] = load_mixture(tmp_path / name / "seed-0").model.state_dict()
    torch.testing.assert_close(kept["one"], kept["last"])

    recipe = small_recipe(tmp_path, "mixture.train.average_from=0", "mixture.train.checkpoint_every=1")
    run_stage2(recipe, store, tmp_path / "mean", seeds=[0])
    (checkpoint,) = (tmp_path / "mean" / "seed-0" / "checkpoint").iterdir()
    mean, end = (load_file(checkpoint / f"{name}.safetensors") for name in ("average", "weights"))
    for name, value in mean.items():
        torch.testing.assert_close(value, (kept["last"][name] + end[name]) / 2)


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


# bad input


def broken(value):
    def edit(split, talk, turn, modality, row):
        return row * value if (split, talk, turn, modality) == ("validation", 2, 3, "speech") else row

    return edit


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_named(tmp_path, value):
    store = make_store(tmp_path / "store", edit=broken(value))
    with pytest.raises(
        InputError, match="validation, conversation validation-2, turn u3: its speech embedding"
    ):
        read_training_data(store, small_recipe(tmp_path))


def test_constant_embeddings_are_named(tmp_path):
    store = make_store(
        tmp_path / "store", edit=lambda *a: torch.ones(len(a[-1])) if a[3] == "text" else a[-1]
    )
    with pytest.raises(
        InputError, match="train: all 84 text embeddings are the same, from conversation train-0"
    ):
        read_training_data(store, small_recipe(tmp_path))


def test_a_label_that_training_lacks_is_told(tmp_path):
    def label(split, random):
        classes = 2 if split == "train" else 3
        return int(torch.randint(classes, (1,), generator=random))

    store = make_store(tmp_path / "store", label=label)
    summary = run_stage2(small_recipe(tmp_path), store, tmp_path / "run", seeds=[0])
    (note,) = summary["notes"]
    assert note.startswith("label 'mad' is absent from train")
    assert "turns of validation have it" in note


@pytest.mark.parametrize(
    ("number", "said"), [(1, "has only the label 'glad': no epoch can be chosen by it"), (-1, "has no label")]
)
def test_a_validation_split_that_cannot_choose_is_refused(tmp_path, number, said):
    store = make_store(
        tmp_path / "store",
        label=lambda split, random: (
            number if split == "validation" else int(torch.randint(3, (), generator=random))
        ),
    )
    with pytest.raises(InputError, match=said):
        read_training_data(store, small_recipe(tmp_path))


def test_nothing_to_learn_from_is_an_error(tmp_path):
    store = make_store(tmp_path / "store", label=lambda split, _: -1 if split == "train" else 0)
    with pytest.raises(InputError, match="no turn of the train split has a label"):
        read_training_data(store, small_recipe(tmp_path))


def test_turns_without_anything_and_empty_conversations_are_left_out(tmp_path):
    def edit(split, talk, turn, modality, row):
        return None if talk == 1 or turn == 2 else row

    store = make_store(tmp_path / "store", edit=edit, sizes=(7, 7, 0))
    recipe = small_recipe(tmp_path)
    data = read_training_data(store, recipe)
    assert {len(one) for one in data.train} == {6}
    assert "train-1" not in {one.id for one in data.train}
    run_stage2(recipe, store, tmp_path / "run", seeds=[0])
    assert len(predict(load_mixture(tmp_path / "run" / "seed-0"), data.validation)) == 8 * 7


TEXT = "text={kind: text, encoder: {base: %s}}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            TEXT % "smollm2-135m",
            "text embeddings are by an encoder of base 'minilm-l6', but recipe small has 'smollm2",
        ),
        (
            "speech={kind: whisper, encoder: {}}",
            "speech embeddings are by an encoder of kind 'features', but .* 'whisper'",
        ),
    ],
)
def test_a_store_of_other_encoders_is_refused(store, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        read_training_data(store, small_recipe(tmp_path, change))
    read_training_data(store, small_recipe(tmp_path, TEXT % "minilm-l6"))


def test_a_store_of_one_modality_has_one_expert(tmp_path):
    store = make_store(tmp_path / "store", modalities=("text",))
    with pytest.raises(InputError, match=r"no speech embeddings.*set mixture\.model\.experts=\[text\]"):
        read_training_data(store, small_recipe(tmp_path))
    recipe = small_recipe(tmp_path, "mixture.model.experts=[text]", "mixture.train.epochs=4")
    assert run_stage2(recipe, store, tmp_path / "run", seeds=[0])["validation_weighted_f1"]["mean"] > 50
    trained = load_mixture(tmp_path / "run" / "seed-0")
    assert not any("speech" in name for name, _ in trained.model.named_parameters())


def test_a_recipe_without_a_mixture_is_refused(store, tmp_path):
    recipe = small_recipe(tmp_path).model_copy(update={"mixture": None})
    with pytest.raises(InputError, match="it has no part 'mixture'"):
        run_stage2(recipe, store, tmp_path / "run")


def test_a_loss_that_is_no_number_is_told(store, tmp_path):
    recipe = small_recipe(tmp_path, "mixture.train.learning_rate=1e30", "mixture.train.max_grad_norm=1e30")
    with pytest.raises(MisterEError, match=r"the loss is .*; lower `learning_rate`"):
        run_stage2(recipe, store, tmp_path / "run", seeds=[0])


def test_a_conversation_may_lack_labels(store, tmp_path):
    recipe = small_recipe(tmp_path)
    data = read_training_data(store, recipe)
    bare = replace(data.train[0], labels=torch.full_like(data.train[0].labels, -1))
    task = MixtureTraining(
        MisterE(data.config), replace(data, train=[bare, data.train[1]]), recipe.stage2().train, LossConfig()
    )
    assert task.batch_weight([0]) == 0
    assert task.batch_weight([0, 1]) == len(data.train[1])
