"""What the test splits give: touched once, after everything has been chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mister_e.evaluation.metrics import class_f1, expected_calibration_error, weighted_f1
from mister_e.labels import LabelSet
from mister_e.model import MisterE
from mister_e.training.mixture import Embedded, judge


def test_scores(
    mixture: MisterE, situations: Mapping[str, tuple[Sequence[Embedded], float]], labels: LabelSet
) -> dict[str, Any]:
    """Score a mixture.

    :param mixture: finished.
    :param situations: name to (conversations of a test split, temperature).
    :param labels: names of the classes.
    :return: for each situation: turns, weighted F1, accuracy, macro F1 over the classes that are
        present, F1 of each, calibration error, and the mean gate weights.
    """
    return {
        name: _score(mixture, conversations, temperature, labels)
        for name, (conversations, temperature) in situations.items()
    }


def _score(
    mixture: MisterE, conversations: Sequence[Embedded], temperature: float, labels: LabelSet
) -> dict[str, Any]:
    logits, gate, true = judge(mixture, conversations)
    predicted = logits.argmax(-1).tolist()
    each = class_f1(true.tolist(), predicted, len(labels))
    present = sorted(set(true.tolist()))
    probabilities = (logits / temperature).softmax(-1).double().numpy()
    return {
        "turns": len(true),
        "weighted_f1": round(weighted_f1(true.tolist(), predicted), 2),
        "accuracy": round(100 * float(np.mean(np.array(predicted) == true.numpy())), 2),
        "macro_f1": round(float(np.mean([each[i] for i in present])), 2),
        "f1": {labels.names[i]: round(each[i], 2) for i in present},
        "ece": round(expected_calibration_error(probabilities, true.tolist()), 4),
        "gate": [round(float(weight), 3) for weight in gate.mean(0)],
    }
