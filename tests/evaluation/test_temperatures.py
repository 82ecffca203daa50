"""Temperatures come from validation: not from train, and whatever the test split holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stores import LABELS, make_store, small_recipe

from mister_e.evaluation.ensemble import ensemble
from mister_e.evaluation.trained_run import evaluate_run, load_seeds
from mister_e.inference.calibration import fit_temperature, temperatures
from mister_e.inference.predict import predict
from mister_e.training.stage2.run import run_stage2


def store_with(folder, changed=None):
    """A store in which the labels and embeddings of one split are others; those before it are the same."""

    def label(split, random):
        number = int(torch.randint(len(LABELS), (1,), generator=random))
        return (number + 1) % len(LABELS) if split == changed else number

    def edit(split, talk, turn, modality, row):
        return -3 * row if split == changed else row

    return make_store(folder, strength=1.0, label=label, edit=edit)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two seeds, and the store that it was trained on."""
    folder = tmp_path_factory.mktemp("temperatures")
    store = store_with(folder / "store")
    recipe = small_recipe(folder, "mixture.train.epochs=3")
    run_stage2(recipe, store, folder / "run", seeds=(0, 1))
    return folder / "run", store


def fitted(predictions):
    scored = predictions.scored
    return fit_temperature(
        torch.from_numpy(predictions.logits[scored]), torch.from_numpy(predictions.labels[scored])
    )


def used(evaluation):
    """Temperatures of each seed and of the ensemble."""
    return [card.temperatures for card in evaluation.cards.values()], evaluation.ensemble.temperatures


def test_the_temperature_of_a_run_is_that_of_validation(trained):
    run, store = trained
    for folder in load_seeds(run).values():
        by_split = {
            split: fitted(predict(folder.mixture, list(store.conversations(split))))
            for split in ("train", "validation", "test")
        }
        assert len(set(by_split.values())) == 3  # so that one cannot be taken for another
        assert folder.calibration.both == by_split["validation"]


def test_the_temperature_of_an_ensemble_is_that_of_validation(trained):
    run, store = trained
    seeds = load_seeds(run).values()
    by_split = {}
    for split in ("train", "validation", "test"):
        predictions = [predict(seed.mixture, list(store.conversations(split))) for seed in seeds]
        heats = [temperatures(seed.calibration, own) for seed, own in zip(seeds, predictions, strict=True)]
        by_split[split] = fitted(ensemble(predictions, heats))
    assert len(set(by_split.values())) == 3
    for split in ("validation", "test"):
        assert used(evaluate_run(run, store, split=split))[1] == (by_split["validation"],)


def test_another_test_split_changes_the_scores_but_no_temperature(trained, tmp_path):
    run, store = trained
    before = evaluate_run(run, store, split="test")
    after = evaluate_run(run, store_with(tmp_path / "test", changed="test"), split="test")
    assert used(after) == used(before)
    assert not np.array_equal(after.confusion, before.confusion)
    assert after.ensemble.scores != before.ensemble.scores
    # the test would notice: another validation split does change that of the ensemble
    moved = evaluate_run(run, store_with(tmp_path / "validation", changed="validation"), split="test")
    assert used(moved)[1] != used(before)[1]
