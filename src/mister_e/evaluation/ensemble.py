"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mister_e.errors import InputError
from mister_e.inference.calibration import Temperature, calibrated
from mister_e.inference.predictions import Predictions


def ensemble(predictions: Sequence[Predictions], temperatures: Sequence[Temperature]) -> Predictions:
    """Average the calibrated probabilities of models for the same turns.

    :param predictions: of each model, at least one.
    :param temperatures: of each model, see `calibrated`.
    :return: predictions whose logits are the logarithm of the mean probabilities, without experts and gate. A
        turn has a prediction where it has one of every model.
    :raises InputError: the predictions are of different turns or labels.
    """
    first = predictions[0]
    for other in predictions[1:]:
        same = list(other.ids) == list(first.ids) and np.array_equal(other.labels, first.labels)
        if not same or other.logits.shape != first.logits.shape:
            raise InputError("predictions of different turns or labels cannot be averaged; use one store")
    probabilities = [
        calibrated(own, temperature).probabilities()
        for own, temperature in zip(predictions, temperatures, strict=True)
    ]
    mean = np.mean(probabilities, axis=0)
    # a probability of 0 becomes the least float and not -inf, which would make NaN of a loss or a temperature
    logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
    predicted = np.logical_and.reduce([own.predicted for own in predictions])
    return Predictions(
        ids=first.ids,
        conversations=first.conversations,
        conversation_ids=first.conversation_ids,
        labels=first.labels,
        logits=logits,
        predicted=predicted,
    )
