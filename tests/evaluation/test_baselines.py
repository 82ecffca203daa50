from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from stores import LABELS, SPEECH_DIM, TEXT_DIM, make_store

from mister_e.errors import InputError
from mister_e.evaluation.baselines import BASELINES, run, run_baselines
from mister_e.evaluation.baselines.classic import (
    INVERSE_STRENGTHS,
    labelled_turns,
    logistic_regression,
    majority,
)
from mister_e.evaluation.baselines.inputs import BaselineInput, as_predictions, baseline_inputs
from mister_e.evaluation.baselines.networks import BcLstm, Mlp, Settings, TurnTransformer, network, predict
from mister_e.inference.calibration import fit_temperature
from mister_e.labels import LabelSet

pytestmark = pytest.mark.slow

NETWORKS = (Mlp, BcLstm, TurnTransformer)
SHORT = Settings(epochs=6, patience=3, batch_size=4)


def holes(split, talk, turn, modality, row):
    """Every fifth turn has no sound, every seventh no words; the 35th would have nothing."""
    gone = (modality == "speech" and turn % 5 == 4) or (modality == "text" and turn % 7 == 6)
    return None if gone else row


def test_embeddings_stand_side_by_side_standardised_on_train(tmp_path):
    store = make_store(tmp_path / "store", turns=40, edit=holes)
    train = baseline_inputs(store)["train"]
    features = torch.cat([conversation.features for conversation in train])
    assert features.shape[1] == TEXT_DIM + SPEECH_DIM + 2
    has_text, has_speech = features[:, TEXT_DIM].bool(), features[:, -1].bool()
    text, speech = features[:, :TEXT_DIM], features[:, TEXT_DIM + 1 : -1]
    for rows, there in ((text, has_text), (speech, has_speech)):
        assert rows[there].mean(0).abs().max() < 1e-5
        assert rows[there].std(0, correction=0) == pytest.approx(1, abs=1e-4)
        assert not rows[~there].any()
    assert not train[0].has_input[34]
    assert train[0].has_input[33]


def test_validation_and_test_are_put_on_the_scale_of_train(tmp_path):
    def shifted(split, talk, turn, modality, row):
        return row if split == "train" else row + 100

    inputs = baseline_inputs(make_store(tmp_path / "store", edit=shifted))
    plain = baseline_inputs(make_store(tmp_path / "plain"))
    difference = inputs["test"][0].features - plain["test"][0].features
    assert difference[:, 0].min() > 10
    assert torch.equal(inputs["train"][0].features, plain["train"][0].features)


def test_a_constant_number_becomes_zero(tmp_path):
    def constant(split, talk, turn, modality, row):
        row[0] = 3.0
        return row

    inputs = baseline_inputs(make_store(tmp_path / "store", edit=constant))
    assert not torch.cat([one.features[:, 0] for one in inputs["train"]]).any()


@pytest.mark.parametrize("make", NETWORKS)
def test_padding_and_company_change_nothing(make):
    torch.manual_seed(0)
    model = make(5, 3).eval()
    conversations = [
        BaselineInput(
            f"{turns}",
            tuple(map(str, range(turns))),
            torch.randn(turns, 5),
            torch.zeros(turns),
            torch.ones(turns),
        )
        for turns in (9, 2, 5, 1)
    ]
    together = predict(model, conversations)
    alone = np.concatenate([predict(model, [conversation]) for conversation in conversations])
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(("make", "looks"), [(Mlp, False), (BcLstm, True), (TurnTransformer, True)])
def test_who_looks_at_other_turns(make, looks):
    torch.manual_seed(0)
    model = make(5, 3).eval()
    turns = torch.randn(1, 6, 5)
    other = turns.clone()
    other[0, 0] += 3
    mask = torch.ones(1, 6, dtype=torch.bool)
    with torch.inference_mode():
        moved = (model(turns, mask) - model(other, mask)).abs()[0, 5].max()
    assert (moved > 1e-6) == looks


@pytest.mark.parametrize("make", NETWORKS)
def test_networks_learn_and_the_same_seed_learns_the_same(make, tmp_path):
    inputs = baseline_inputs(make_store(tmp_path / "store", strength=4.0, edit=holes))
    fit = network(make, SHORT)
    first, again, other = (fit(inputs["train"], inputs["validation"], 3, seed) for seed in (0, 0, 1))
    logits = first.predict(inputs["test"])
    predictions = as_predictions(inputs["test"], logits)
    right = logits.argmax(1) == predictions.labels
    assert right[predictions.scored].mean() > 0.85
    assert np.array_equal(logits, again.predict(inputs["test"]))
    assert not np.array_equal(logits, other.predict(inputs["test"]))


def test_the_majority_is_as_sure_as_it_is_frequent(tmp_path):
    store = make_store(
        tmp_path / "store", label=lambda split, random: int(torch.rand(1, generator=random) < 0.3)
    )
    inputs = baseline_inputs(store)
    predictions = as_predictions(
        inputs["test"], majority(inputs["train"], inputs["validation"], 3, 0).predict(inputs["test"])
    )
    labels = torch.cat([conversation.labels for conversation in inputs["train"]]).numpy()
    assert (predictions.logits.argmax(1) == 0).all()
    assert predictions.probabilities()[0, :2] == pytest.approx(np.bincount(labels) / len(labels), abs=1e-4)


def test_logistic_regression_is_that_of_scikit_learn_and_never_says_an_unknown_label(tmp_path):
    store = make_store(
        tmp_path / "store", label=lambda split, random: 2 * int(torch.rand(1, generator=random) < 0.5)
    )
    inputs = baseline_inputs(store)
    fitted = logistic_regression(inputs["train"], inputs["validation"], 3, 0)
    logits = fitted.predict(inputs["test"])
    features, labels = labelled_turns(inputs["train"])
    oracle = LogisticRegression(C=fitted.chosen["C"], max_iter=1000, tol=1e-3).fit(features, labels)
    expected = oracle.predict(torch.cat([conversation.features for conversation in inputs["test"]]).numpy())
    assert logits.argmax(1).tolist() == expected.tolist()
    assert set(expected) == {0, 2}
    probabilities = as_predictions(inputs["test"], logits).probabilities()
    assert probabilities[:, 1].max() < 1e-6


@pytest.fixture
def short(monkeypatch):
    """Baselines that take a moment, and a list of those that were trained."""
    trained: list[tuple[str, int]] = []

    def watched(name, fit, *arguments):
        trained.append((name, arguments[-1]))
        return fit(*arguments)

    quick = {"mlp": network(Mlp, SHORT), "bc-lstm": network(BcLstm, SHORT)}
    quick["transformer"] = network(TurnTransformer, SHORT)
    for name, baseline in BASELINES.items():
        fit = partial(watched, name, quick.get(name, baseline.fit))
        monkeypatch.setitem(BASELINES, name, run.Baseline(fit, baseline.seeded))
    return trained


def test_all_run_once_and_are_not_done_again(tmp_path, short):
    store = make_store(tmp_path / "store", edit=holes)
    summary = run_baselines(store, tmp_path / "out", seeds=(0, 3))
    assert short == [
        ("majority", 0),
        ("logistic-regression", 0),
        *((name, seed) for name in ("mlp", "bc-lstm", "transformer") for seed in (0, 3)),
    ]
    assert json.loads((tmp_path / "out" / "baselines.json").read_text()) == summary
    assert summary["protocol"]["selection"] == "validation"
    assert summary["protocol"]["split"] == "test"
    assert summary["baselines"]["majority"]["test"]["weighted_f1"]["sd"] is None
    row = summary["baselines"]["bc-lstm"]
    cards = [json.loads((tmp_path / "out" / "bc-lstm" / f"seed-{seed}.json").read_text()) for seed in (0, 3)]
    values = [card["test"]["scores"]["weighted_f1"] for card in cards]
    assert row["test"]["weighted_f1"]["mean"] == pytest.approx(np.mean(values), abs=1e-3)
    assert row["test"]["weighted_f1"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-3)
    lines = (tmp_path / "out" / "baselines.md").read_text().splitlines()
    assert len(lines) == 2 + len(BASELINES)
    assert lines[2].startswith("| majority | - | ")

    short.clear()
    more = run_baselines(store, tmp_path / "out", seeds=(0, 3, 4), names=("majority", "mlp"))
    assert short == [("mlp", 4)]
    assert more["baselines"]["mlp"]["seeds"] == [0, 3, 4]
    other = make_store(tmp_path / "other", modalities=("text",))
    with pytest.raises(InputError, match=r"another encoders\.speech"):
        run_baselines(other, tmp_path / "out", seeds=(0,))
    with pytest.raises(InputError, match="unknown baseline 'svm'"):
        run_baselines(store, tmp_path / "out", seeds=(0,), names=("svm",))


def test_nothing_of_test_is_seen_before_all_is_chosen(tmp_path, short, monkeypatch):
    events: list[str] = []
    inputs = baseline_inputs(make_store(tmp_path / "store"))

    class Watched(Mapping):
        def __getitem__(self, split):
            events.append(split)
            return inputs[split]

        def __iter__(self):
            return iter(inputs)

        def __len__(self):
            return len(inputs)

    def fit(*arguments):
        fitted = BASELINES["mlp"].fit(*arguments)
        events.append("fitted")
        return fitted

    def watched_temperature(logits, labels):
        events.append("temperature")
        return fit_temperature(logits, labels)

    monkeypatch.setattr(run, "fit_temperature", watched_temperature)
    run.run_seed(run.Baseline(fit), Watched(), LabelSet(LABELS), 0)
    assert {"train", "validation"} <= set(events[: events.index("fitted")])
    assert events.index("fitted") < events.index("temperature") < events.index("test")
    assert events.count("fitted") == events.count("temperature") == 1


def test_temperature_and_choices_do_not_follow_test(tmp_path, short):
    inputs = baseline_inputs(make_store(tmp_path / "store", strength=1.0))
    labels = LabelSet(LABELS)

    def changed(conversation):
        other = (conversation.labels + 1) % len(LABELS)
        return replace(conversation, features=-3 * conversation.features, labels=other)

    for name in ("logistic-regression", "mlp"):
        before = run.run_seed(BASELINES[name], inputs, labels, 0)
        other_test = {**inputs, "test": list(map(changed, inputs["test"]))}
        after = run.run_seed(BASELINES[name], other_test, labels, 0)
        assert after["test"]["scores"] != before["test"]["scores"]
        assert after["chosen"] == before["chosen"]
        assert after["validation"] == before["validation"]
        temperatures = [result["test"]["calibration"]["temperatures"] for result in (before, after)]
        assert temperatures[0] == temperatures[1] == before["validation"]["calibration"]["temperatures"]


def test_the_temperature_is_that_of_validation(tmp_path):
    inputs = baseline_inputs(make_store(tmp_path / "store", strength=1.0))
    result = run.run_seed(BASELINES["logistic-regression"], inputs, LabelSet(LABELS), 0)
    fitted = logistic_regression(inputs["train"], inputs["validation"], len(LABELS), 0)
    by_split = {}
    for split, conversations in inputs.items():
        logits = torch.from_numpy(fitted.predict(conversations))
        by_split[split] = fit_temperature(logits, torch.cat([own.labels for own in conversations]))
    assert len(set(by_split.values())) == 3  # so that one cannot be taken for another
    assert result["test"]["calibration"]["temperatures"] == [pytest.approx(by_split["validation"])]


def noisy(split, seed):
    """Conversations of three classes under noise: 80 turns of 30 numbers, which train can learn by heart."""
    random = torch.Generator().manual_seed(seed)
    conversations = []
    for number in range(16):
        labels = torch.randint(3, (5,), generator=random)
        features = torch.randn(5, 30, generator=random)
        features[torch.arange(5), labels] += 1
        ids = tuple(f"{split}-{number}-{turn}" for turn in range(5))
        there = torch.ones(5, dtype=torch.bool)
        conversations.append(BaselineInput(f"{split}-{number}", ids, features, labels, there))
    return conversations


@pytest.mark.parametrize(("seed", "expected"), [(12, 0.1), (19, 0.01)])
def test_the_regularisation_is_chosen_on_validation(seed, expected):
    inputs = {split: noisy(split, 10 * seed + n) for n, split in enumerate(("train", "validation", "test"))}
    turns = {split: labelled_turns(conversations) for split, conversations in inputs.items()}
    best = {}
    for split, (features, labels) in turns.items():
        scores = []
        for strength in INVERSE_STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3).fit(*turns["train"])
            scores.append(f1_score(labels, model.predict(features), average="weighted", zero_division=0))
        best[split] = INVERSE_STRENGTHS[int(np.argmax(scores))]
    fitted = logistic_regression(inputs["train"], inputs["validation"], 3, 0)
    assert fitted.chosen == {"C": best["validation"]} == {"C": expected}
    assert best["validation"] not in (best["train"], best["test"])
    chosen = LogisticRegression(C=expected, max_iter=1000, tol=1e-3).fit(*turns["train"])
    logits = chosen.predict_log_proba(turns["test"][0])
    assert fitted.predict(inputs["test"]) == pytest.approx(logits, abs=1e-5)


def test_a_learning_rate_is_chosen_on_validation_whatever_their_order(tmp_path, monkeypatch):
    inputs = baseline_inputs(make_store(tmp_path / "store", strength=4.0))
    for rates in ((1e-9, 1e-2), (1e-2, 1e-9)):
        monkeypatch.setattr("mister_e.evaluation.baselines.networks.LEARNING_RATES", rates)
        fitted = network(Mlp, SHORT)(inputs["train"], inputs["validation"], 3, 0)
        assert fitted.chosen["learning_rate"] == 1e-2


def test_one_modality_is_enough(tmp_path, short):
    store = make_store(tmp_path / "store", modalities=("speech",))
    summary = run_baselines(store, tmp_path / "out", seeds=(0,), names=("logistic-regression",))
    assert summary["baselines"]["logistic-regression"]["test"]["weighted_f1"]["mean"] > 50


def test_bad_stores_are_told(tmp_path):
    def broken(split, talk, turn, modality, row):
        return row * float("nan") if (split, talk, turn, modality) == ("test", 2, 1, "speech") else row

    with pytest.raises(InputError, match="turn u1: its speech embedding is not a number"):
        baseline_inputs(make_store(tmp_path / "nan", edit=broken))
    with pytest.raises(InputError, match="its validation split has 1 of its labels"):
        baseline_inputs(
            make_store(
                tmp_path / "one",
                label=lambda split, random: (
                    0 if split == "validation" else int(torch.randint(len(LABELS), (1,), generator=random))
                ),
            )
        )
