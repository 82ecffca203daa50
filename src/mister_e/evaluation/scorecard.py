"""The scorecard: all scores of one model's predictions for one split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mister_e.errors import InputError
from mister_e.evaluation.gate_statistics import GateStatistics, gate_statistics
from mister_e.experts import EXPERTS
from mister_e.inference.calibration import Temperature, calibrated
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet
from mister_e.metrics import bootstrap
from mister_e.metrics.bootstrap import Interval, intervals
from mister_e.metrics.classification import class_scores, confusion_matrix, overall_scores
from mister_e.metrics.reliability import Reliability

#: What the bootstrap draws: whole conversations, or all clips of a voice.
Unit = Literal["conversation", "voice"]

#: Parts of a split: IEMOCAP's conversations are improvised or scripted.
_PARTS = {"impro": "improvised", "script": "scripted"}
#: Ids of IEMOCAP's conversations say which part they belong to.
_IEMOCAP = re.compile(r"Ses\d\d[FM]_(impro|script)")


@dataclass(frozen=True)
class Scorecard:
    """Scores of predictions; a turn is scored if it has a label and a prediction.

    :param labels: the classes, C.
    :param conversations: number of units (see `unit`) with a scored turn.
    :param unjudged: number of labelled turns without a prediction (neither text nor speech was there); they
        are not scored.
    :param temperatures: temperatures of the calibration that were used, rising.
    :param confusion: turns by true and predicted class `[C, C]`.
    :param before: reliability without the temperature.
    :param after: reliability with the temperature.
    :param intervals: low and high of each score of `OVERALL`; empty for a single conversation.
    :param class_intervals: low and high of each class's F1; empty for a single conversation.
    :param experts: confusion of each expert, over the turns that it has a prediction for; empty = it has no
        experts.
    :param gate: statistics of the gate; None = the model has no gate.
    :param parts: conversations and confusion of each part, see `_PARTS`; empty = there are no such parts.
    :param unit: what the bootstrap draws: "conversation", or "voice" of clips that are one turn each.
    """

    labels: LabelSet
    conversations: int
    unjudged: int
    temperatures: tuple[float, ...]
    confusion: NDArray[np.int64]
    before: Reliability
    after: Reliability
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    class_intervals: tuple[Interval, ...] = ()
    experts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    gate: GateStatistics | None = None
    parts: Mapping[str, tuple[int, NDArray[np.int64]]] = field(default_factory=dict)
    unit: Unit = "conversation"

    @property
    def turns(self) -> int:
        """Number of scored turns."""
        return int(self.confusion.sum())

    @property
    def size(self) -> str:
        """How much was scored, as text."""
        preposition = "in" if self.unit == "conversation" else "by"
        units = self.unit if self.conversations == 1 else f"{self.unit}s"
        return f"{self.turns:,} turns {preposition} {self.conversations:,} {units}"

    @property
    def scores(self) -> dict[str, float]:
        """Scores of `OVERALL`, 0 to 100, and `ece` and `ece_uncalibrated`, 0 to 1, by name."""
        overall = {name: float(value) for name, value in overall_scores(self.confusion).items()}
        return {**overall, "ece": self.after.error, "ece_uncalibrated": self.before.error}

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; its layout is that of `mister-e evaluate`'s files."""
        return {
            "turns": self.turns,
            f"{self.unit}s": self.conversations,
            "unjudged": self.unjudged,
            "scores": _rounded(self.scores),
            "intervals": {name: [round(edge, 4) for edge in pair] for name, pair in self.intervals.items()},
            "bootstrap": bootstrap.metadata(self.unit),
            "classes": self._classes(),
            "confusion": {"labels": self.labels.to_json(), "turns": self.confusion.tolist()},
            "calibration": {
                "temperatures": list(self.temperatures),
                "before": self.before.to_json(),
                "after": self.after.to_json(),
            },
            "experts": {
                name: _confusion_scores(confusion, self.labels) for name, confusion in self.experts.items()
            },
            "gate": None if self.gate is None else self.gate.to_json(),
            "parts": {
                name: {"conversations": count, **_confusion_scores(confusion, self.labels)}
                for name, (count, confusion) in self.parts.items()
            },
        }

    def _classes(self) -> list[dict[str, Any]]:
        """One JSON-ready row a class."""
        scores = class_scores(self.confusion)
        rows = []
        for number, label in enumerate(self.labels):
            row: dict[str, Any] = {
                "label": label,
                **{name: round(float(values[number]), 4) for name, values in scores.items()},
                "support": int(self.confusion[number].sum()),
                "predicted": int(self.confusion[:, number].sum()),
            }
            if self.class_intervals:
                row["f1_interval"] = [round(edge, 4) for edge in self.class_intervals[number]]
            rows.append(row)
        return rows


def score(
    predictions: Predictions,
    labels: LabelSet,
    *,
    temperature: Temperature = 1.0,
    unit: Unit = "conversation",
) -> Scorecard:
    """Score predictions.

    :param predictions: of one split.
    :param labels: the classes, in the order of the logits.
    :param temperature: what the logits are divided by for calibrated probabilities, see `calibrated`.
    :param unit: what the conversations of the predictions stand for.
    :raises InputError: no turn can be scored, a logit is not a number, or the classes are not the model's.
    """
    scored = predictions.scored
    _check(predictions, labels, scored)
    classes = len(labels)
    truth = predictions.labels[scored]
    predicted = predictions.logits[scored].argmax(1)
    # conversations without a scored turn are not drawn by the bootstrap
    _, owners = np.unique(predictions.conversations[scored], return_inverse=True)
    conversations = int(owners.max()) + 1
    confusions = _confusions(owners, truth, predicted, classes)
    overall, class_intervals = intervals(confusions) if conversations > 1 else ({}, [])
    gate = None
    if predictions.gate is not None and predictions.present is not None:
        gate = gate_statistics(
            predictions.gate[scored], predictions.present[scored], predicted == truth, truth, labels
        )
    return Scorecard(
        labels=labels,
        conversations=conversations,
        unjudged=int(((predictions.labels >= 0) & ~predictions.predicted).sum()),
        temperatures=tuple(np.unique(np.broadcast_to(temperature, (len(scored), 1))[scored]).tolist()),
        confusion=confusions.sum(0),
        before=Reliability.of(predictions.probabilities()[scored], truth),
        after=Reliability.of(calibrated(predictions, temperature).probabilities()[scored], truth),
        intervals=overall,
        class_intervals=tuple(class_intervals),
        experts=_experts(predictions, scored, classes),
        gate=gate,
        parts=_parts(predictions, scored, owners, confusions),
        unit=unit,
    )


def _check(predictions: Predictions, labels: LabelSet, scored: NDArray[np.bool_]) -> None:
    """Refuse predictions that cannot be scored."""
    if predictions.logits.shape[1] != len(labels):
        raise InputError(
            f"the model tells {predictions.logits.shape[1]} classes, but the corpus has {len(labels)} labels"
            f" ({', '.join(labels)}); evaluate it on the corpus it was trained for"
        )
    if not scored.any():
        raise InputError("no turn of this split has a label and a prediction: nothing to score")
    if predictions.labels.max() >= len(labels):
        turn = predictions.ids[int(predictions.labels.argmax())]
        raise InputError(f"turn {turn}: its label is number {predictions.labels.max()} of {len(labels)}")
    broken = scored & ~np.isfinite(predictions.logits).all(1)
    if broken.any():
        turn = predictions.ids[int(broken.argmax())]
        raise InputError(f"turn {turn}: its scores are not numbers; look for NaN in its embeddings")


def _confusions(
    owners: NDArray[np.int64], truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Confusion of each of K conversations `[K, C, C]`.

    :param owners: conversation of each turn `[N]`, 0 to K - 1.
    """
    count = int(owners.max()) + 1
    cells = (owners * classes + truth) * classes + predicted
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


def _experts(predictions: Predictions, scored: NDArray[np.bool_], classes: int) -> dict[str, Any]:
    """Confusion of each expert over the turns it has a prediction for; one without any is left out."""
    if predictions.experts is None or predictions.present is None:
        return {}
    result: dict[str, Any] = {}
    for number, name in enumerate(EXPERTS):
        own = scored & predictions.present[:, number]
        if own.any():
            predicted = predictions.experts[own, number].argmax(1)
            result[name] = confusion_matrix(predictions.labels[own], predicted, classes)
    return result


def _parts(
    predictions: Predictions,
    scored: NDArray[np.bool_],
    owners: NDArray[np.int64],
    confusions: NDArray[np.int64],
) -> dict[str, tuple[int, NDArray[np.int64]]]:
    """Conversations and confusion of each part, if every conversation id tells its part."""
    places = np.unique(predictions.conversations[scored])
    matches = [_IEMOCAP.match(predictions.conversation_ids[place]) for place in places]
    names = [_PARTS[match[1]] for match in matches if match]
    if len(names) < len(places):
        return {}
    result = {}
    for name in _PARTS.values():
        own = np.array([part == name for part in names])
        if own.any():
            result[name] = (int(own.sum()), confusions[own].sum(0))
    return result


def _confusion_scores(confusion: NDArray[np.int64], labels: LabelSet) -> dict[str, Any]:
    """Scores of a confusion matrix, JSON-ready."""
    class_f1 = labels.scores([round(float(value), 4) for value in class_scores(confusion)["f1"]])
    overall = {name: float(value) for name, value in overall_scores(confusion).items()}
    return {"turns": int(confusion.sum()), **_rounded(overall), "class_f1": class_f1}


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Round as far as it means something: scores of 0 to 100 to 4 places, those of 0 to 1 to 6."""
    return {name: round(value, 6 if "ece" in name else 4) for name, value in scores.items()}
