"""What the test splits give: touched once, after everything has been chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mister_e.experts import EXPERTS
from mister_e.labels import LabelSet
from mister_e.metrics.bootstrap import intervals
from mister_e.metrics.classification import class_f1, expected_calibration_error, weighted_f1
from mister_e.model import MisterE
from mister_e.training.mixture import Embedded, judge


@dataclass(frozen=True)
class TestCondition:
    """Labelled conversations of a test split, shown in one way.

    :param conversations: what is shown.
    :param temperature: of its modalities.
    :param units: what each conversation is drawn again with for the interval, such as its voice; None = each
        by itself.
    :param present: whether the choice is among the classes that are there, as the corpus has no other.
    """

    conversations: Sequence[Embedded]
    temperature: float
    units: Sequence[str] | None = None
    present: bool = False


def test_scores(
    mixture: MisterE, situations: Mapping[str, TestCondition], labels: LabelSet
) -> dict[str, Any]:
    """Score a mixture.

    :param mixture: finished.
    :param situations: by name.
    :param labels: names of the classes.
    :return: for each situation: turns, weighted F1 with its 95 % interval, accuracy, macro F1 over the
        classes that are present, F1 of each, calibration error, mean confidence, the mean gate weights,
        and the weighted F1 of each expert.
    """
    return {name: _score(mixture, one, labels) for name, one in situations.items()}


def _score(mixture: MisterE, shown: TestCondition, labels: LabelSet) -> dict[str, Any]:
    judged = judge(mixture, shown.conversations)
    true = judged.labels.numpy()
    present = sorted(set(true.tolist()))
    logits, experts = judged.logits.clone(), judged.experts.clone()
    if shown.present:
        absent = [i for i in range(len(labels)) if i not in present]
        logits[:, absent], experts[:, :, absent] = -1e9, -1e9
    predicted = logits.argmax(-1).numpy()
    # whether it is sure is a matter of the free choice, which is what people are shown
    probabilities = (judged.logits / shown.temperature).softmax(-1).double().numpy()
    each = class_f1(true.tolist(), predicted.tolist(), len(labels))
    units = judged.conversations.numpy()
    if shown.units is not None:
        units = np.unique(np.array(shown.units)[units], return_inverse=True)[1]
    counts = np.zeros((units.max() + 1, len(labels), len(labels)), np.int64)
    np.add.at(counts, (units, true, predicted), 1)
    low, high = intervals(counts)[0]["weighted_f1"] if len(counts) > 1 else (float("nan"), float("nan"))
    heard = judged.gate.max(0).values > 0
    return {
        "turns": len(true),
        "weighted_f1": round(weighted_f1(true.tolist(), predicted.tolist()), 2),
        **({"interval": [round(low, 1), round(high, 1)]} if len(counts) > 1 else {}),
        "accuracy": round(100 * float(np.mean(predicted == true)), 2),
        "macro_f1": round(float(np.mean([each[i] for i in present])), 2),
        "f1": {labels.names[i]: round(each[i], 2) for i in present},
        "ece": round(expected_calibration_error(probabilities, true.tolist()), 4),
        "confidence": round(float(probabilities.max(-1).mean()), 3),
        "gate": [round(float(weight), 3) for weight in judged.gate.mean(0)],
        "experts": {
            name: round(weighted_f1(true.tolist(), experts[:, k].argmax(-1).tolist()), 2)
            for k, name in enumerate(EXPERTS)
            if heard[k]
        },
    }
