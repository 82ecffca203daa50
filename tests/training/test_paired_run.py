"""A run that pairs words with voices: chosen, calibrated and scored under all conditions; resumable."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from paired_stores import make_clips, make_encoder, make_words, paired_recipe
from safetensors.torch import load_file
from stores import LABELS, small_recipe

from mister_e.encoders.registry import load_encoder
from mister_e.encoders.store import EmbeddingStore
from mister_e.errors import InputError
from mister_e.evaluation.trained_run import evaluate_conditions
from mister_e.inference.calibration import calibrate, fit_temperature
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.labels import LabelSet
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE
from mister_e.training.losses import LossConfig
from mister_e.training.settings import PairingConfig
from mister_e.training.stage2.conditions import conditions_of
from mister_e.training.stage2.data import read_training_data
from mister_e.training.stage2.pairing import VoiceStores
from mister_e.training.stage2.run import run_stage2
from mister_e.training.stage2.task import MixtureTraining

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pathlib import Path
import torch
from mister_e.encoders.store import EmbeddingStore
from mister_e.training.recipe import read_recipe
from mister_e.training.stage2.pairing import VoiceStores
from mister_e.training.stage2.run import run_stage2

torch.set_num_threads(1)
folder = Path(sys.argv[1])
voices = VoiceStores.load([folder / "loud", folder / "reading"], str(folder / "encoder"))
recipe = read_recipe(folder / "small.yaml", sys.argv[3:])
run_stage2(recipe, EmbeddingStore.load(folder / "talks"), Path(sys.argv[2]), voices=voices)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of stores, their encoder and a script that trains on them."""
    folder = tmp_path_factory.mktemp("paired")
    make_encoder().save(folder / "encoder")
    encoder = load_encoder(folder / "encoder")  # in the precision that folders keep
    make_words(folder / "talks", encoder)
    make_clips(folder / "loud", encoder, "loud")
    make_clips(folder / "reading", encoder, "reading", clips=6, only=0)
    (folder / "train.py").write_text(SCRIPT)
    return folder


@pytest.fixture(scope="module")
def words(place):
    return EmbeddingStore.load(place / "talks")


@pytest.fixture(scope="module")
def voices(place):
    return VoiceStores.load([place / "loud", place / "reading"], str(place / "encoder"))


@pytest.fixture(scope="module")
def done(place, words, voices):
    """A finished run of two seeds."""
    recipe = paired_recipe(place, "mixture.train.epochs=4", "seeds=[0, 1]")
    return place / "run", recipe, run_stage2(recipe, words, place / "run", voices=voices)


def rows(run):
    return [json.loads(line) for line in (run / "seed-0" / "log.jsonl").read_text().splitlines()]


def validation(words, voices):
    """The conditions of the validation split, by name."""
    clips = voices.clips("validation", LabelSet(LABELS), ["reading"])
    pairing = PairingConfig(neutral_corpora=("reading",))
    shown = conditions_of(list(words.conversations("validation")), clips, pairing)
    return {condition.name: condition for condition in shown}


def f1(mixture, condition):
    predictions = predict(mixture, condition.conversations)
    chosen = predictions.scored
    return weighted_f1(predictions.labels[chosen].tolist(), predictions.logits[chosen].argmax(1).tolist())


def test_the_epoch_is_chosen_by_the_mean_over_the_conditions(words, voices, done):
    folder, _, summary = done
    conditions = [condition for condition in validation(words, voices).values() if condition.selects]
    assert len(conditions) == 4
    for seed in (0, 1):
        result = json.loads((folder / f"seed-{seed}" / "result.json").read_text())
        for row in result["history"]:
            each = [row[condition.name] for condition in conditions]
            assert row["validation_weighted_f1"] == pytest.approx(np.mean(each))
        kept = result["history"][result["best_epoch"]]
        assert kept["validation_weighted_f1"] == max(
            row["validation_weighted_f1"] for row in result["history"]
        )
        trained = ModelFolder.load(folder / f"seed-{seed}", encoders=False)
        for condition in conditions:
            assert f1(trained.mixture, condition) == pytest.approx(kept[condition.name])
        assert result["validation"]["weighted_f1"] == pytest.approx(kept["validation_weighted_f1"])
        assert set(result["validation"]["conditions"]) == set(validation(words, voices))
    assert summary["validation_weighted_f1"]["mean"] > 50


def test_each_temperature_is_fitted_on_its_conditions(words, voices, done):
    folder, _, _ = done
    trained = ModelFolder.load(folder / "seed-0", encoders=False)
    conditions = validation(words, voices)

    def fitted(shown, *names):
        logits, labels = [], []
        for name in names:
            predictions = predict(trained.mixture, conditions[name].conversations)
            chosen = (predictions.shown == shown).all(1)
            logits.append(predictions.logits[chosen])
            labels.append(predictions.labels[chosen])
        return fit_temperature(
            torch.from_numpy(np.concatenate(logits)), torch.from_numpy(np.concatenate(labels))
        )

    paired = "text and acted clips, 60 % of the turn's label"
    found = trained.calibration
    assert found.text == fitted((True, False), "text")
    assert found.both == fitted((True, True), "text and statistics", paired)
    assert found.speech == fitted((False, True), "voice", "voice: loud, as one recording")
    plain = calibrate(trained.mixture, list(words.conversations("validation")))
    assert (found.both, found.speech) != (plain.both, plain.speech)


def test_the_model_says_what_it_was_trained_on(done, voices):
    folder, recipe, _ = done
    config = ModelFolder.load(folder / "seed-1", encoders=False).config
    assert config.training["corpora"] == ["loud: 12 clips", "reading: 6 clips"]
    assert config.training["voices"] == {"loud": "l" * 64, "reading": "r" * 64} == voices.sha256
    assert config.training["selection"].startswith("validation, by the mean over 4 conditions: text; text")
    assert config.training["pairing"]["singles"] == recipe.stage2().pairing.singles == 20
    assert "validation, voice: loud, as one recording" in config.scores
    card = (folder / "seed-1" / "model" / "README.md").read_text()
    assert "**Also trained on** loud: 12 clips" in card


def test_only_train_and_validation_are_read(words, voices, tmp_path, monkeypatch):
    asked = []
    plain = EmbeddingStore.conversations
    monkeypatch.setattr(
        EmbeddingStore, "conversations", lambda self, split=None: (asked.append(split), plain(self, split))[1]
    )
    run_stage2(paired_recipe(tmp_path, "mixture.train.epochs=1"), words, tmp_path / "run", voices=voices)
    assert set(asked) == {"train", "validation"}


def test_batches_mix_single_clips_and_conversations(words, voices, tmp_path):
    recipe = paired_recipe(tmp_path, "mixture.train.batch_size=8")
    data = read_training_data(words, recipe, voices)
    task = MixtureTraining(MisterE(data.config), data, recipe.stage2().train, LossConfig(contrastive=0))
    for epoch in (0, 1):
        batches = task.batches(epoch)
        assert sorted(place for batch in batches for place in batch) == list(range(10 + 20 + 3))
        assert [len(batch) for batch in batches] == [8, 8, 8, 8, 1]
        lengths = [{len(task.conversations[place]) for place in batch} for batch in batches[:4]]
        assert all(len(own) > 1 for own in lengths)
        shown = task.conversations
        assert task.batch_weight(list(range(len(shown)))) == sum(map(len, shown))
        assert torch.equal(data.epoch(0, epoch)[5].speech, shown[5].speech)
    loss = task.loss(task.model, batches[0], "cpu", (0, 7, 0, 0))
    assert torch.isfinite(loss)


def test_a_killed_run_goes_on_to_the_same_losses(place, tmp_path):
    changes = [
        *("mixture.train.epochs=6", "mixture.train.checkpoint_every=4", "seeds=[0]"),
        *("mixture.train.ema=0.9", "mixture.pairing={singles: 30, neutral_corpora: [reading]}"),
    ]
    small_recipe(place)
    python = [sys.executable, str(place / "train.py"), str(place)]
    subprocess.run([*python, str(tmp_path / "whole"), *changes], check=True, capture_output=True)
    log = tmp_path / "killed" / "seed-0" / "log.jsonl"
    kills = 0
    with subprocess.Popen([*python, str(tmp_path / "killed"), *changes], stderr=subprocess.DEVNULL) as run:
        while run.poll() is None:
            # in the middle of an epoch, some steps after a checkpoint
            if log.exists() and sum('"step"' in line for line in log.read_text().splitlines()) >= 22:
                os.kill(run.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.001)
    assert kills == 1
    subprocess.run([*python, str(tmp_path / "killed"), *changes], check=True, capture_output=True)
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    one, two = (
        load_file(Path(tmp_path / name) / "seed-0/model/mixture.safetensors") for name in ("whole", "killed")
    )
    assert all((one[name] == two[name]).all() for name in one)


# what is refused


def test_a_recipe_that_pairs_wants_voices_and_no_other_takes_them(words, voices, tmp_path):
    with pytest.raises(InputError, match=r"mixture\.pairing puts .*give --voices STORE.*--speech ENCODER"):
        run_stage2(paired_recipe(tmp_path), words, tmp_path / "run")
    with pytest.raises(InputError, match=r"has no mixture\.pairing"):
        run_stage2(small_recipe(tmp_path), words, tmp_path / "run", voices=voices)
    assert not (tmp_path / "run").exists()


def test_one_of_voices_and_encoder_alone_is_refused(place):
    assert VoiceStores.load([], None) is None
    with pytest.raises(InputError, match="--voices without --speech ENCODER"):
        VoiceStores.load([place / "loud"], None)
    with pytest.raises(InputError, match="--speech without --voices STORE"):
        VoiceStores.load([], str(place / "encoder"))


def test_other_voices_or_another_pairing_do_not_go_on_with_a_run(words, voices, done, place, tmp_path):
    folder, recipe, _ = done
    fewer = VoiceStores([voices.stores[0]], voices.encoder)
    changed = recipe.changed({"mixture.pairing.neutral_corpora": []})
    with pytest.raises(InputError, match=r"another recipe\.pairing\.neutral_corpora"):
        run_stage2(changed, words, folder, voices=voices)
    lone = paired_recipe(tmp_path, "mixture.pairing.neutral_corpora=[]", "mixture.train.epochs=1")
    run_stage2(lone, words, tmp_path / "run", voices=fewer)
    with pytest.raises(InputError, match=r"another voices"):
        run_stage2(lone, words, tmp_path / "run", voices=voices)


# scores


def test_a_run_is_scored_under_each_condition(words, voices, done, place):
    folder, _, _ = done
    found = evaluate_conditions(folder, words, voices, split="test")
    trained = ModelFolder.load(folder / "seed-0", encoders=False)
    conditions = conditions_of(
        list(words.conversations("test")),
        voices.clips("test", LabelSet(LABELS), ["reading"]),
        PairingConfig(neutral_corpora=("reading",)),
    )
    assert list(found) == [condition.name for condition in conditions]
    for condition in conditions:
        evaluation = found[condition.name]
        assert list(evaluation.cards) == [0, 1]
        assert evaluation.protocol.mode == condition.name
        assert evaluation.test_scored == 1
        card = evaluation.cards[0]
        assert card.turns == sum(map(len, condition.conversations))
        if not condition.among_present:
            assert card.scores["weighted_f1"] == pytest.approx(f1(trained.mixture, condition))
    # clips are drawn again by themselves, conversations whole
    assert found["voice: loud"].first.conversations == 12
    assert found["text"].first.conversations == 10
    assert found["voice: loud"].protocol.corpus.name == "loud"
    assert found["voice: loud"].protocol.corpus_sha256 == "l" * 64
    assert found["voice"].protocol.corpus.name == "loud, reading"
    assert found["text"].protocol.corpus.name == "talks"
    assert "no result on the corpus" in found["pairs that agree (the words' label)"].notes[0]
    temperatures = {name: set(evaluation.first.temperatures) for name, evaluation in found.items()}
    assert temperatures["text"] == {trained.calibration.text}
    assert temperatures["voice"] == {trained.calibration.speech}
    # a conversation without statistics is judged by its words
    assert temperatures["text and statistics"] == {trained.calibration.text, trained.calibration.both}
    (line,) = (folder / "test_scored.jsonl").read_text().splitlines()
    assert json.loads(line)["mode"] == "conditions"
    assert set(json.loads(line)["weighted_f1"]) == set(found)


def test_the_choice_is_among_the_labels_that_a_corpus_has(words, done, place, tmp_path):
    folder, _, _ = done
    encoder = load_encoder(place / "encoder")
    two = make_clips(tmp_path / "two", encoder, "two", labels=("sad", "mad", "bored"))
    found = evaluate_conditions(folder, words, VoiceStores([two], encoder))["voice: two"]
    assert tuple(found.first.labels) == ("sad", "mad")
    assert list(found.choice.absent) == ["glad"]


def test_runs_and_clips_that_do_not_belong_together_are_refused(words, voices, done, place, tmp_path):
    folder, _, _ = done
    run_stage2(small_recipe(tmp_path, "mixture.train.epochs=1", "seeds=[0]"), words, tmp_path / "plain")
    with pytest.raises(InputError, match=r"plain: its recipe has no mixture\.pairing"):
        evaluate_conditions(tmp_path / "plain", words, voices)
    metadata = {**voices.stores[0].metadata, "corpus_sha256": "9" * 64}
    other = VoiceStores([EmbeddingStore(voices.stores[0].folder, metadata)], voices.encoder)
    with pytest.raises(InputError, match=r"it is of loud 999.*trained on loud lll.*prepared otherwise"):
        evaluate_conditions(folder, words, other)
    with pytest.raises(InputError, match="there is no split 'train' to score"):
        evaluate_conditions(folder, words, voices, split="train")
