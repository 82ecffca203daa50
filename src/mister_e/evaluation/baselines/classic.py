"""Baselines without a network: the most frequent label, and logistic regression of single turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.evaluation.baselines.inputs import BaselineInput, Fitted
from mister_e.metrics.classification import confusion_matrix, overall_scores

#: Inverse regularisation strengths (scikit-learn's C) that validation chooses from, strongest first.
INVERSE_STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def majority(
    train: Sequence[BaselineInput], validation: Sequence[BaselineInput], classes: int, seed: int
) -> Fitted:
    """Predict the label frequencies of train for every turn, so the most frequent label; a `Fit`."""
    _, labels = labelled_turns(train)
    frequencies = np.bincount(labels, minlength=classes) / len(labels)
    # a label that train does not have gets a small probability and not log(0)
    logits = np.log(np.maximum(frequencies, 1e-6)).astype(np.float32)
    return Fitted(lambda conversations: np.tile(logits, (sum(map(len, conversations)), 1)), {})


def logistic_regression(
    train: Sequence[BaselineInput], validation: Sequence[BaselineInput], classes: int, seed: int
) -> Fitted:
    """Multinomial logistic regression of single turns, its regularisation chosen on validation; a `Fit`."""
    from sklearn.linear_model import LogisticRegression

    features, labels = labelled_turns(train)
    held_out, truth = labelled_turns(validation)
    best: tuple[float, float, LogisticRegression] | None = None
    for inverse_strength in INVERSE_STRENGTHS:
        model = LogisticRegression(C=inverse_strength, max_iter=1000, tol=1e-3).fit(features, labels)
        score = weighted_f1_of(truth, model.predict(held_out), classes)
        if best is None or score > best[0]:
            best = (score, inverse_strength, model)
    assert best is not None
    _, inverse_strength, model = best

    def predict(conversations: Sequence[BaselineInput]) -> NDArray[np.float32]:
        features = torch.cat([conversation.features for conversation in conversations]).numpy()
        known = model.predict_log_proba(features)
        # a label that train does not have is never predicted: e^-20 of the least likely one
        logits = np.full((len(known), classes), known.min() - 20, np.float32)
        logits[:, model.classes_] = known
        return logits

    return Fitted(predict, {"C": inverse_strength})


def labelled_turns(
    conversations: Sequence[BaselineInput],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features `[N, F]` and labels `[N]` of the turns that have a label and a modality."""
    features = [conversation.features[conversation.scored] for conversation in conversations]
    labels = [conversation.labels[conversation.scored] for conversation in conversations]
    return torch.cat(features).numpy(), torch.cat(labels).numpy()


def weighted_f1_of(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> float:
    """Weighted F1, 0 to 100, from a confusion matrix: fast enough for every epoch."""
    return float(overall_scores(confusion_matrix(labels, predictions, classes))["weighted_f1"])
