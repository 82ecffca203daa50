import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from mister_e.evaluation.metrics import class_f1, expected_calibration_error, weighted_f1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_weighted_f1_is_the_mean_of_class_f1_by_support(pairs):
    labels, predictions = zip(*pairs, strict=True)
    each = class_f1(labels, predictions, 4)
    expected = sum(each[label] for label in labels) / len(labels)
    assert weighted_f1(labels, predictions) == pytest.approx(expected)
    report = classification_report(labels, predictions, output_dict=True, zero_division=0)
    assert weighted_f1(labels, predictions) == pytest.approx(100 * report["weighted avg"]["f1-score"])


def test_calibration_error_by_hand():
    sure = np.array([[0.9, 0.1]] * 10)
    assert expected_calibration_error(sure, [0] * 9 + [1]) == pytest.approx(0.0)
    assert expected_calibration_error(sure, [1] * 10) == pytest.approx(0.9)
    half = np.array([[1.0, 0.0]] * 5 + [[0.4, 0.6]] * 5)
    assert expected_calibration_error(half, [0] * 5 + [0] * 5) == pytest.approx(0.5 * 0.6)
