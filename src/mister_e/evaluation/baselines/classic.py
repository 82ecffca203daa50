"""Baselines without a network: the most frequent label, and logistic regression of single turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.evaluation.baselines.inputs import BaselineInput, Fitted
from mister_e.metrics.classification import confusion_matrix, overall_scores

#: Strengths of the regularisation that validation chooses from, weakest last.
STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def majority(
    train: Sequence[BaselineInput], validation: Sequence[BaselineInput], classes: int, seed: int
) -> Fitted:
    """Say the most frequent label of train, as sure as it is frequent; a `Fit`."""
    _, labels = taught(train)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    row = np.log(np.maximum(shares, 1e-6)).astype(np.float32)
    return Fitted(lambda several: np.tile(row, (sum(map(len, several)), 1)), {})


def logistic_regression(
    train: Sequence[BaselineInput], validation: Sequence[BaselineInput], classes: int, seed: int
) -> Fitted:
    """Classify each turn by itself, linearly; a `Fit`."""
    from sklearn.linear_model import LogisticRegression

    features, labels = taught(train)
    held_out, truth = taught(validation)
    best: tuple[float, float, LogisticRegression] | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3).fit(features, labels)
        score = weighted_f1_of(truth, model.predict(held_out), classes)
        if best is None or score > best[0]:
            best = (score, strength, model)
    assert best is not None
    _, strength, model = best

    def say(several: Sequence[BaselineInput]) -> NDArray[np.float32]:
        known = model.predict_log_proba(torch.cat([one.features for one in several]).numpy())
        # a label that train does not have is never said
        logits = np.full((len(known), classes), known.min() - 20, np.float32)
        logits[:, model.classes_] = known
        return logits

    return Fitted(say, {"C": strength})


def taught(several: Sequence[BaselineInput]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features `[N, F]` and labels `[N]` of the turns that have a label and a modality."""
    features = torch.cat([one.features[one.taught] for one in several]).numpy()
    return features, torch.cat([one.labels[one.taught] for one in several]).numpy()


def weighted_f1_of(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> float:
    """Weighted F1, 0 to 100, fast enough for every epoch."""
    return float(overall_scores(confusion_matrix(labels, predictions, classes))["weighted_f1"])
