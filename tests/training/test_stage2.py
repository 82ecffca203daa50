import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stores import LABELS, SPEECH_DIM, TEXT_DIM, make_store, small_recipe

from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError, MisterEError
from mister_e.evaluation.trained_run import check_store
from mister_e.inference.batch import pad, run
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE
from mister_e.training.losses import LossConfig, mixture_loss
from mister_e.training.runtime import seed_everything
from mister_e.training.stage2.data import read_training_data
from mister_e.training.stage2.run import run_stage2

pytestmark = pytest.mark.slow


def load(run):
    """The model of a run, without encoders."""
    return ModelFolder.load(run, encoders=False)


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
        said = predict(load(run).mixture, validation)
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
    trained = load(folder / "run" / "seed-1")
    assert load(folder / "run" / "seed-1" / "model").config == trained.config
    config, training = trained.config, trained.config.training
    assert tuple(trained.labels) == LABELS
    assert (training["seed"], training["recipe"], training["selection"]) == (1, "small", "validation")
    assert {name: encoder.model_dump() for name, encoder in config.encoders.items()} == store.metadata[
        "encoders"
    ]
    assert training["protocol"] == store.protocol.to_json()
    assert training["corpus_sha256"] == store.metadata["corpus_sha256"]
    assert (config.mixture.text_dim, config.mixture.speech_dim) == (TEXT_DIM, SPEECH_DIM)
    assert training["train"]["learning_rate"] == recipe.stage2().train.learning_rate
    assert not trained.mixture.training
    check_store(trained, store)
    text_only = predict(trained.mixture, list(store.conversations("test")), mode="text-only")
    assert (temperatures(trained.calibration, text_only) == trained.calibration.text).all()


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


#: Without dropout, so that a loss can be computed twice.
NO_DROPOUT = ("mixture.model.dropout=0", "mixture.model.head_dropout=0")


@pytest.mark.parametrize(
    "loss",
    [
        {},
        {"gamma": 2.5},
        {"contrastive": 1.0, "temperature": 0.3},
        {"consistency": 3.0},
        {"label_smoothing": 0.2},
        {"class_weights": [0.2, 3.0, 1.0]},
    ],
    ids=lambda loss: next(iter(loss), "as it is"),
)
def test_the_first_loss_is_that_of_plain_code(store, tmp_path, loss):
    recipe = small_recipe(
        tmp_path,
        "mixture.train.batch_size=100",
        "mixture.train.epochs=1",
        *NO_DROPOUT,
        *(f"mixture.loss.{name}={value}" for name, value in loss.items()),
    )
    run_stage2(recipe, store, tmp_path / "run", seeds=[0])
    data = read_training_data(store, recipe)
    seed_everything(0)
    mixture = MisterE(data.config)
    batch = pad(list(store.conversations("train")))
    plain = LossConfig(**{"gamma": 1.0, "contrastive": 0.1, **loss})
    value = mixture_loss(run(mixture, batch), batch.labels, mask=batch.mask, weights=plain).item()
    assert rows(tmp_path / "run" / "seed-0")[0]["loss"] == pytest.approx(value, rel=1e-5)
    if loss:
        other = mixture_loss(
            run(mixture, batch),
            batch.labels,
            mask=batch.mask,
            weights=LossConfig(gamma=1.0, contrastive=0.1),
        )
        assert other.item() != pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("class_weights", ["null", "balanced", "[0.1, 5, 1]"])
def test_accumulated_batches_are_one_big_batch(store, tmp_path, class_weights):
    first = []
    for name, changes in (
        ("whole", ["batch_size=100"]),
        ("parts", ["batch_size=5", "gradient_accumulation=3"]),  # 5, 5 and 2 conversations of 3 to 9 turns
    ):
        recipe = small_recipe(
            tmp_path,
            *NO_DROPOUT,
            "mixture.loss.contrastive=0",  # its pairs are those within a batch
            "mixture.loss.consistency=0",  # a mean over turns, whatever their labels weigh
            f"mixture.loss.class_weights={class_weights}",
            "mixture.train.epochs=1",
            *(f"mixture.train.{change}" for change in changes),
        )
        run_stage2(recipe, store, tmp_path / name, seeds=[0])
        first.append(rows(tmp_path / name / "seed-0")[0])
    assert first[0]["loss"] == pytest.approx(first[1]["loss"], rel=1e-5)
    assert first[0]["gradient_norm"] == pytest.approx(first[1]["gradient_norm"], rel=1e-4)


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


class StepWeights:
    """As a progress hook: the weights after each step, from the checkpoints of a run that writes them all."""

    def __init__(self, run):
        self.run, self.found = run, {}

    def __call__(self, stage="", done=0, total=0):
        for checkpoint in (self.run / "checkpoint").glob("step-*"):
            step = int(checkpoint.name.split("-")[1])
            self.found.setdefault(step, load_file(checkpoint / "weights.safetensors"))

    def after(self):
        """Weights after each step, once the run is over."""
        self()
        assert sorted(self.found) == list(range(1, len(self.found) + 1))
        return [self.found[step] for step in sorted(self.found)]


def averages(steps, per_epoch, ema=None, average_from=None):
    """What is to be validated at the end of each epoch, by the formulas."""
    if average_from is not None:
        ends = steps[per_epoch - 1 :: per_epoch]
        return [
            {name: torch.stack([e[name] for e in ends[min(average_from, i) : i + 1]]).mean(0) for name in end}
            if i >= average_from
            else end
            for i, end in enumerate(ends)
        ]
    mean = steps[0]
    found = []
    for step, weights in enumerate(steps):
        decay = min(ema, (1 + step) / (10 + step)) if step else 0.0
        mean = {name: decay * mean[name] + (1 - decay) * value for name, value in weights.items()}
        if (step + 1) % per_epoch == 0:
            found.append(mean)
    return found


@pytest.mark.parametrize("average", [{"ema": 0.9}, {"average_from": 0}], ids=["ema", "average_from"])
def test_the_average_is_what_is_validated_and_kept(store, tmp_path, average):
    recipe = small_recipe(
        tmp_path,
        "mixture.train.epochs=5",
        "mixture.train.checkpoint_every=1",
        "mixture.train.learning_rate=3e-2",
        *(f"mixture.train.{name}={value}" for name, value in average.items()),
    )
    folder = tmp_path / "run" / "seed-0"
    hook = StepWeights(folder)
    run_stage2(recipe, store, tmp_path / "run", seeds=[0], progress=hook)
    result = json.loads((folder / "result.json").read_text())
    history = result["history"]
    assert [row for row in rows(folder) if "step" not in row] == history
    steps = hook.after()
    per_epoch = len(steps) // len(history)
    trained, validation = load(folder), list(store.conversations("validation"))

    def score(weights):
        trained.mixture.load_state_dict(weights)
        said = predict(trained.mixture, validation)
        return weighted_f1(said.labels[said.scored], said.logits.argmax(1)[said.scored])

    kept = {name: value.clone() for name, value in trained.mixture.state_dict().items()}
    wanted = averages(steps, per_epoch, **average)
    ends = steps[per_epoch - 1 :: per_epoch]
    best = result["best_epoch"]
    for name, value in wanted[best].items():
        torch.testing.assert_close(kept[name], value, atol=1e-5, rtol=1e-4)
    assert not all(torch.allclose(kept[name], ends[best][name], atol=1e-3) for name in kept)
    scores = [score(weights) for weights in wanted]
    assert [row["validation_weighted_f1"] for row in history] == pytest.approx(scores)
    assert scores != pytest.approx([score(weights) for weights in ends])  # the average tells them apart
    assert result["validation"]["weighted_f1"] == pytest.approx(scores[best])


def test_the_best_epoch_before_a_kill_is_kept_after_resuming(store, tmp_path):
    # steps so long that the mixture forgets what it knew
    recipe = small_recipe(tmp_path, "mixture.train.epochs=6", "mixture.train.learning_rate=0.1")
    run_stage2(recipe, store, tmp_path / "whole", seeds=[0])
    whole = json.loads((tmp_path / "whole" / "seed-0" / "result.json").read_text())
    per_epoch = len([row for row in rows(tmp_path / "whole" / "seed-0") if "step" in row]) // 6
    best = whole["best_epoch"]
    assert best <= 3  # an epoch lies between the best one and the kill

    def kill(stage, step, total):
        if step == (best + 2) * per_epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage2(recipe, store, tmp_path / "killed", seeds=[0], progress=kill)
    run_stage2(recipe, store, tmp_path / "killed", seeds=[0])
    killed = json.loads((tmp_path / "killed" / "seed-0" / "result.json").read_text())
    assert (killed["best_epoch"], killed["history"]) == (best, whole["history"])
    one, two = (load(tmp_path / name / "seed-0").mixture.state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)


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
    assert len(predict(load(tmp_path / "run" / "seed-0").mixture, data.validation)) == 8 * 7


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
    trained = load(tmp_path / "run" / "seed-0")
    assert not any("speech" in name for name, _ in trained.mixture.named_parameters())


def test_a_recipe_without_a_mixture_is_refused(store, tmp_path):
    recipe = small_recipe(tmp_path).model_copy(update={"mixture": None})
    with pytest.raises(InputError, match="it has no part 'mixture'"):
        run_stage2(recipe, store, tmp_path / "run")


def test_a_loss_that_is_no_number_is_told(store, tmp_path):
    recipe = small_recipe(tmp_path, "mixture.train.learning_rate=1e30", "mixture.train.max_grad_norm=1e30")
    with pytest.raises(MisterEError, match=r"the loss is .*; lower `learning_rate`"):
        run_stage2(recipe, store, tmp_path / "run", seeds=[0])
