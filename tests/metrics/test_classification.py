import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    f1_score,
    precision_recall_fscore_support,
)
from sklearn.metrics import (
    confusion_matrix as sklearn_confusion,
)

from mister_e.metrics.classification import (
    class_f1,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    overall_scores,
    weighted_f1,
)
from mister_e.metrics.reliability import Reliability

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_weighted_f1_is_the_mean_of_class_f1_by_support(pairs):
    labels, predictions = zip(*pairs, strict=True)
    each = class_f1(labels, predictions, 4)
    expected = sum(each[label] for label in labels) / len(labels)
    assert weighted_f1(labels, predictions) == pytest.approx(expected)
    report = classification_report(labels, predictions, output_dict=True, zero_division=0)
    assert weighted_f1(labels, predictions) == pytest.approx(100 * report["weighted avg"]["f1-score"])


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_scores_of_counts_are_those_of_scikit_learn(pairs):
    labels, predictions = zip(*pairs, strict=True)
    counts = confusion_matrix(labels, predictions, 4)
    assert counts.tolist() == sklearn_confusion(labels, predictions, labels=range(4)).tolist()
    each = class_scores(counts)
    oracle = precision_recall_fscore_support(labels, predictions, labels=range(4), zero_division=0)
    for name, expected in zip(("precision", "recall", "f1"), oracle, strict=False):
        assert each[name] == pytest.approx(100 * expected)
    overall = overall_scores(counts)
    assert overall["weighted_f1"] == pytest.approx(weighted_f1(labels, predictions))
    assert overall["accuracy"] == pytest.approx(100 * accuracy_score(labels, predictions))
    present = sorted(set(labels))
    macro = f1_score(labels, predictions, labels=present, average="macro", zero_division=0)
    assert overall["macro_f1"] == pytest.approx(100 * macro)


def test_many_splits_are_scored_at_once():
    random = np.random.default_rng(0)
    counts = random.integers(0, 9, (5, 2, 3, 3))
    together = overall_scores(counts)
    for place in np.ndindex(5, 2):
        for name, value in overall_scores(counts[place]).items():
            assert together[name][place] == pytest.approx(value)
    assert overall_scores(np.zeros((3, 3)))["weighted_f1"] == 0


def test_calibration_error_by_hand():
    sure = np.array([[0.9, 0.1]] * 10)
    assert expected_calibration_error(sure, [0] * 9 + [1]) == pytest.approx(0.0)
    assert expected_calibration_error(sure, [1] * 10) == pytest.approx(0.9)
    half = np.array([[1.0, 0.0]] * 5 + [[0.4, 0.6]] * 5)
    assert expected_calibration_error(half, [0] * 5 + [0] * 5) == pytest.approx(0.5 * 0.6)


def test_the_reliability_table_by_hand():
    # confidences 0.55 (correct), 0.55 (wrong), 0.9 (correct) and 1.0 (correct), in bins a quarter wide
    probabilities = np.array([[0.55, 0.45], [0.55, 0.45], [0.1, 0.9], [0.0, 1.0]])
    table = Reliability.of(probabilities, np.array([0, 1, 1, 1]), bins=4)

    empty = {"turns": 0, "confidence": None, "accuracy": None}
    assert table.to_json() == {
        "ece": pytest.approx((2 * 0.05 + 2 * 0.05) / 4),
        "bins": [
            {"from": 0.0, "to": 0.25, **empty},
            {"from": 0.25, "to": 0.5, **empty},
            {"from": 0.5, "to": 0.75, "turns": 2, "confidence": 0.55, "accuracy": 0.5},
            {"from": 0.75, "to": 1.0, "turns": 2, "confidence": 0.95, "accuracy": 1.0},
        ],
    }
    both = Reliability(table.sums + table.sums)
    assert both.error == pytest.approx(table.error)
    assert Reliability(np.zeros((3, 3))).error == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 20))
def test_calibration_error_is_what_a_loop_over_the_bins_gives(seed, turns, bins):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), turns)
    labels = random.integers(0, 3, turns)
    expected = 0.0
    for number in range(bins):
        inside = [
            (max(row), int(np.argmax(row)) == label)
            for row, label in zip(probabilities, labels, strict=True)
            if number == min(int(max(row) * bins), bins - 1)
        ]
        if inside:
            confidence, right = zip(*inside, strict=True)
            expected += len(inside) / turns * abs(np.mean(right) - np.mean(confidence))
    assert expected_calibration_error(probabilities, labels, bins=bins) == pytest.approx(expected)
