"""Scores of predictions; weighted F1 first, as the field reports it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def weighted_f1(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Mean of the classes' F1, weighted by how often each class is true; 0 to 100.

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

    each = f1_score(labels, predictions, average=None, labels=range(classes), zero_division=0)
    return [100 * float(score) for score in each]


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: Sequence[int], *, bins: int = 15
) -> float:
    """How far confidence is from accuracy, over bins of equal width (Guo et al. 2017); 0 to 1.

    :param probabilities: `[N, C]`.
    :param labels: true classes, N.
    """
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == np.asarray(labels)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for one in range(bins):
        inside = which == one
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)
