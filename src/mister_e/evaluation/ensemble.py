"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mister_e.errors import InputError
from mister_e.inference.calibration import Temperature, calibrated
from mister_e.inference.predictions import Predictions


def ensemble(predictions: Sequence[Predictions], temperatures: Sequence[Temperature]) -> Predictions:
    """Average the calibrated probabilities of models that judged the same turns.

    :param predictions: of each model, at least one.
    :param temperatures: of each model, see `calibrated`.
    :return: predictions whose logits are the logarithm of the mean; no experts, no gate. A turn is judged
        where every model judged it.
    :raises InputError: they are not of the same turns.
    """
    first = predictions[0]
    for other in predictions[1:]:
        same = list(other.ids) == list(first.ids) and np.array_equal(other.labels, first.labels)
        if not same or other.logits.shape != first.logits.shape:
            raise InputError("predictions of different turns or labels cannot be averaged; use one store")
    each = [
        calibrated(one, heat).probabilities() for one, heat in zip(predictions, temperatures, strict=True)
    ]
    mean = np.mean(each, axis=0)
    # an impossible class stays so, but finite: infinities would spoil what is computed from the logits
    logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
    judged = np.logical_and.reduce([one.judged for one in predictions])
    return Predictions(
        ids=first.ids,
        conversations=first.conversations,
        conversation_ids=first.conversation_ids,
        labels=first.labels,
        logits=logits,
        judged=judged,
    )
