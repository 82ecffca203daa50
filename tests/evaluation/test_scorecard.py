import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mister_e.errors import InputError
from mister_e.evaluation.ensemble import ensemble
from mister_e.evaluation.scorecard import score
from mister_e.experts import EXPERTS
from mister_e.inference.calibration import calibrated
from mister_e.labels import MELD_EMOTIONS, LabelSet
from mister_e.metrics.bootstrap import draws
from mister_e.metrics.classification import expected_calibration_error


def f1(labels, predictions):
    return 100 * f1_score(labels, predictions, average="weighted", zero_division=0)


def test_every_number_follows_from_the_turns_that_count(made):
    predictions = made()
    counts = (predictions.labels >= 0) & predictions.predicted
    truth, predicted = predictions.labels[counts], predictions.logits[counts].argmax(1)
    card = score(predictions, MELD_EMOTIONS, temperature=0.5)
    data = json.loads(json.dumps(card.to_json()))
    assert data["turns"] == counts.sum() < len(predictions)
    assert data["unjudged"] == ((predictions.labels >= 0) & ~predictions.predicted).sum() > 0
    assert data["scores"]["weighted_f1"] == pytest.approx(f1(truth, predicted), abs=1e-3)
    low, high = data["intervals"]["weighted_f1"]
    assert low < data["scores"]["weighted_f1"] < high
    assert np.array(data["confusion"]["turns"]).sum() == counts.sum()
    assert [row["label"] for row in data["classes"]] == list(MELD_EMOTIONS)
    assert [row["support"] for row in data["classes"]] == np.bincount(truth, minlength=7).tolist()
    for state, temperature in (("before", 1.0), ("after", 0.5)):
        error = expected_calibration_error(predictions.probabilities(temperature)[counts], truth)
        assert data["calibration"][state]["ece"] == pytest.approx(error, abs=1e-5)
        assert sum(row["turns"] for row in data["calibration"][state]["bins"]) == counts.sum()
    assert data["calibration"]["temperatures"] == [0.5]


def test_intervals_are_the_bootstrap_of_whole_conversations(made):
    predictions = made(unlabelled=0.3)
    # one conversation that no turn of is scored: it is not drawn
    predictions.labels[predictions.conversations == 4] = -1
    scored = predictions.scored
    truth, predicted, owner = (
        predictions.labels[scored],
        predictions.logits[scored].argmax(1),
        predictions.conversations[scored],
    )
    turns_of = [np.flatnonzero(owner == conversation) for conversation in np.unique(owner)]
    assert len(turns_of) < 30
    # independent of the code: draw conversations, put their turns together, and count by hand
    weighted, accuracy, macro, each = [], [], [], []
    for drawn in np.concatenate(list(draws(len(turns_of)))):
        turns = np.repeat(np.concatenate(turns_of), np.repeat(drawn, list(map(len, turns_of))))
        labels, answers = truth[turns], predicted[turns]
        support = np.bincount(labels, minlength=7)
        hits = np.bincount(labels[labels == answers], minlength=7)
        either = support + np.bincount(answers, minlength=7)
        own = np.array([200 * hit / total if total else 0.0 for hit, total in zip(hits, either, strict=True)])
        weighted.append((own * support).sum() / len(labels))
        accuracy.append(100 * np.mean(labels == answers))
        macro.append(own[support > 0].mean())
        each.append(own)
    card = score(predictions, MELD_EMOTIONS)
    assert card.conversations == len(turns_of)
    for name, values in (("weighted_f1", weighted), ("accuracy", accuracy), ("macro_f1", macro)):
        assert len(values) == 2000
        assert card.intervals[name] == pytest.approx(np.percentile(values, [2.5, 97.5]))
    assert np.array(card.class_intervals) == pytest.approx(np.percentile(each, [2.5, 97.5], axis=0).T)


def test_an_expert_is_scored_where_it_has_a_prediction(made):
    predictions = made()
    data = score(predictions, MELD_EMOTIONS).to_json()
    for number, name in enumerate(EXPERTS):
        own = predictions.scored & predictions.present[:, number]
        expected = f1(predictions.labels[own], predictions.experts[own, number].argmax(1))
        assert data["experts"][name]["turns"] == own.sum()
        assert data["experts"][name]["weighted_f1"] == pytest.approx(expected, abs=1e-3)
    silent = replace(
        predictions, present=predictions.present & [False, True, False], gate=predictions.gate * [0, 1, 0]
    )
    assert list(score(silent, MELD_EMOTIONS).experts) == ["text"]


def test_the_gate_is_told_for_right_and_wrong_turns_and_by_class(made):
    predictions = made()
    gate = score(predictions, MELD_EMOTIONS).to_json()["gate"]
    right = predictions.logits.argmax(1) == predictions.labels
    groups = {
        "all": predictions.scored,
        "right": predictions.scored & right,
        "wrong": predictions.scored & ~right,
    }
    groups["complete"] = predictions.scored & predictions.present.all(1)
    for name, chosen in groups.items():
        assert gate[name]["turns"] == chosen.sum()
        for number, expert in enumerate(EXPERTS):
            weights = predictions.gate[chosen, number]
            assert gate[name][expert]["mean"] == pytest.approx(weights.mean(), abs=1e-3)
            assert gate[name][expert]["sd"] == pytest.approx(weights.std(), abs=1e-3)
            leads = np.mean([row.argmax() == number for row in predictions.gate[chosen]])
            assert gate[name][expert]["leads"] == pytest.approx(leads, abs=1e-3)
    joyful = predictions.scored & (predictions.labels == 1)
    assert gate["classes"]["joy"]["turns"] == joyful.sum()
    assert gate["classes"]["joy"]["text"]["mean"] == pytest.approx(
        predictions.gate[joyful, 1].mean(), abs=1e-3
    )


def test_improvised_and_scripted_are_told_apart_where_every_id_does(made):
    predictions = made()
    assert score(predictions, MELD_EMOTIONS).parts == {}
    names = [f"Ses05F_{'impro' if i % 3 else 'script'}{i}" for i in range(30)]
    parts = score(replace(predictions, conversation_ids=names), MELD_EMOTIONS).to_json()["parts"]
    played = np.array([i % 3 == 0 for i in range(30)])[predictions.conversations]
    for name, own in (("scripted", played), ("improvised", ~played)):
        chosen = predictions.scored & own
        assert parts[name]["turns"] == chosen.sum()
        expected = f1(predictions.labels[chosen], predictions.logits[chosen].argmax(1))
        assert parts[name]["weighted_f1"] == pytest.approx(expected, abs=1e-3)
    assert parts["scripted"]["conversations"] == 10
    assert score(replace(predictions, conversation_ids=[*names[:-1], "other"]), MELD_EMOTIONS).parts == {}
    names = [f"transcript_{i}" for i in range(30)]
    assert score(replace(predictions, conversation_ids=names), MELD_EMOTIONS).parts == {}


def test_a_temperature_for_each_turn(made):
    predictions = made()
    heat = np.where(predictions.present[:, 2:], 2.0, 0.5)
    card = score(predictions, MELD_EMOTIONS, temperature=heat)
    assert card.temperatures == (0.5, 2.0)
    rows = [predictions.probabilities(float(temperature))[i] for i, temperature in enumerate(heat[:, 0])]
    assert calibrated(predictions, heat).probabilities() == pytest.approx(np.array(rows), abs=1e-6)
    truth = predictions.labels[predictions.scored]
    expected = expected_calibration_error(np.array(rows)[predictions.scored], truth)
    assert card.after.error == pytest.approx(expected, abs=1e-6)


def test_an_ensemble_is_the_mean_of_calibrated_probabilities(made):
    models, heats = [made(seed=seed) for seed in range(3)], [0.5, 1.0, 2.0]
    mean_model = ensemble(models, heats)
    mean = np.mean([own.probabilities(heat) for own, heat in zip(models, heats, strict=True)], axis=0)
    assert mean_model.probabilities() == pytest.approx(mean, abs=1e-6)
    assert mean_model.gate is None
    single = [score(own, MELD_EMOTIONS).scores["weighted_f1"] for own in models]
    assert score(mean_model, MELD_EMOTIONS).scores["weighted_f1"] > max(single)
    with pytest.raises(InputError, match="different turns"):
        ensemble([models[0], made(conversations=29)], [1.0, 1.0])


def test_a_certain_model_leaves_no_infinity_behind(made):
    predictions = made()
    certain = replace(predictions, logits=1e4 * predictions.logits)
    assert np.isfinite(ensemble([certain, certain], [1.0, 1.0]).logits).all()


def test_a_model_without_experts_and_a_single_conversation(made):
    data = score(made(conversations=1, turns=20, experts=False), MELD_EMOTIONS).to_json()
    assert data["experts"] == {}
    assert data["gate"] is None
    assert data["intervals"] == {}
    assert "f1_interval" not in data["classes"][0]


def test_what_cannot_be_scored_is_told(made):
    predictions = made()
    with pytest.raises(InputError, match="7 classes, but the corpus has 2 labels"):
        score(predictions, LabelSet(("yes", "no")))
    with pytest.raises(InputError, match="nothing to score"):
        score(replace(predictions, predicted=np.zeros_like(predictions.predicted)), MELD_EMOTIONS)
    first = int(predictions.scored.argmax())
    broken = predictions.logits.copy()
    broken[first] = np.nan
    with pytest.raises(InputError, match=rf"turn u{first}: its scores are not numbers"):
        score(replace(predictions, logits=broken), MELD_EMOTIONS)
    odd = predictions.labels.copy()
    odd[3] = 9
    with pytest.raises(InputError, match="turn u3: its label is number 9 of 7"):
        score(replace(predictions, labels=odd), MELD_EMOTIONS)


def test_the_layout_stays(made):
    data = score(made(), MELD_EMOTIONS).to_json()
    assert list(data) == [
        "turns",
        "conversations",
        "unjudged",
        "scores",
        "intervals",
        "bootstrap",
        "classes",
        "confusion",
        "calibration",
        "experts",
        "gate",
        "parts",
    ]
    assert list(data["scores"]) == ["weighted_f1", "accuracy", "macro_f1", "ece", "ece_uncalibrated"]
    assert list(data["classes"][0]) == [
        "label",
        "precision",
        "recall",
        "f1",
        "support",
        "predicted",
        "f1_interval",
    ]
    assert list(data["gate"]) == ["all", "right", "wrong", "complete", "classes"]
