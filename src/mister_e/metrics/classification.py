"""Classification scores: F1 weighted by class, accuracy, macro F1, and those of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mister_e.metrics.reliability import BINS, Reliability

#: Scores of a whole split in the order of reports, each 0 to 100; the field reports weighted F1.
OVERALL = ("weighted_f1", "accuracy", "macro_f1")

Floats = NDArray[np.float64]


def weighted_f1(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Mean of the classes' F1, weighted by how many turns each class truly has; 0 to 100.

    :param labels: true classes, N.
    :param predictions: predicted classes, N.
    """
    from sklearn.metrics import f1_score

    return 100 * float(f1_score(labels, predictions, average="weighted", zero_division=0))


def class_f1(labels: Sequence[int], predictions: Sequence[int], classes: int) -> list[float]:
    """F1 of each class, 0 to 100.

    :param classes: number of classes C; the result has C numbers.
    """
    from sklearn.metrics import f1_score

    scores = f1_score(labels, predictions, average=None, labels=range(classes), zero_division=0)
    return [100 * float(score) for score in scores]


def expected_calibration_error(probabilities: Floats, labels: Sequence[int], *, bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over bins of confidence, 0 to 1.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.

    :param probabilities: `[N, C]`.
    :param labels: true classes, N.
    :param bins: number of bins of equal width.
    """
    return Reliability.of(probabilities, np.asarray(labels), bins=bins).error


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count turns by true class (row) and predicted class (column), `[C, C]`.

    :param labels: true classes `[N]`.
    :param predictions: predicted classes `[N]`.
    :param classes: number of classes C.
    """
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predictions, np.int64)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_scores(confusion: ArrayLike) -> dict[str, Floats]:
    """Precision, recall and F1 of each class, 0 to 100; 0 where the divisor is 0.

    :param confusion: counts `[..., C, C]`, true by predicted.
    :return: `precision`, `recall` and `f1`, each `[..., C]`.
    """
    counts = np.asarray(confusion, np.float64)
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    return {
        "precision": 100 * _ratio(correct, predicted),
        "recall": 100 * _ratio(correct, true),
        "f1": 100 * _ratio(2 * correct, true + predicted),
    }


def overall_scores(confusion: ArrayLike) -> dict[str, Floats]:
    """Scores of a whole split, or of many at once.

    :param confusion: counts `[..., C, C]`, true by predicted.
    :return: the names of `OVERALL`, each `[...]`, 0 to 100; macro F1 is the mean over the classes that occur.
    """
    counts = np.asarray(confusion, np.float64)
    true = counts.sum(-1)
    f1 = class_scores(counts)["f1"]
    return {
        "weighted_f1": _ratio((f1 * true).sum(-1), true.sum(-1)),
        "accuracy": 100 * _ratio(np.trace(counts, axis1=-2, axis2=-1), true.sum(-1)),
        "macro_f1": _ratio((f1 * (true > 0)).sum(-1), (true > 0).sum(-1)),
    }


def _ratio(part: Floats, whole: ArrayLike) -> Floats:
    """Divide; 0 where the divisor is 0."""
    whole = np.asarray(whole, np.float64)
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
    return ratio
