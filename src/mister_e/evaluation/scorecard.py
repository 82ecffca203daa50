"""The scorecard: everything that is said of one model's predictions for one split."""

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

#: What an interval draws again, whole.
Unit = Literal["conversation", "voice"]

#: Parts of a split that conversation ids tell, as IEMOCAP's do.
_PARTS = {"impro": "improvised", "script": "scripted"}
#: Ids of IEMOCAP's conversations say which they are.
_IEMOCAP = re.compile(r"Ses\d\d[FM]_(impro|script)")


@dataclass(frozen=True)
class Scorecard:
    """Scores of predictions; a turn counts where it is labelled and was judged.

    :param labels: the classes, C.
    :param conversations: how many hold a turn that counts; of another `unit`, how many of those.
    :param unjudged: labelled turns that nothing could judge; they do not count.
    :param temperatures: of the calibration, those that were used, rising.
    :param confusion: turns by true and predicted class `[C, C]`.
    :param before: reliability without the temperature.
    :param after: reliability with it.
    :param intervals: low and high of each of `OVERALL`; empty for a single conversation.
    :param class_intervals: low and high of each class's F1; likewise.
    :param experts: confusion of each expert, over the turns that it judged; empty = the model has none.
    :param gate: None = the model has none.
    :param parts: conversations and confusion of the parts that conversation ids tell; empty = they tell none.
    :param unit: what the intervals draw again: "conversation", or "voice" of clips that are one turn each.
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
        """How many count."""
        return int(self.confusion.sum())

    @property
    def size(self) -> str:
        """How much was scored, in words."""
        between = "in" if self.unit == "conversation" else "by"
        units = self.unit if self.conversations == 1 else f"{self.unit}s"
        return f"{self.turns:,} turns {between} {self.conversations:,} {units}"

    @property
    def scores(self) -> dict[str, float]:
        """The names of `OVERALL`, 0 to 100; `ece` and `ece_uncalibrated`, 0 to 1."""
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
            "bootstrap": bootstrap.facts(self.unit),
            "classes": self._classes(),
            "confusion": {"labels": self.labels.to_json(), "turns": self.confusion.tolist()},
            "calibration": {
                "temperatures": list(self.temperatures),
                "before": self.before.to_json(),
                "after": self.after.to_json(),
            },
            "experts": {name: _of_part(confusion, self.labels) for name, confusion in self.experts.items()},
            "gate": None if self.gate is None else self.gate.to_json(),
            "parts": {
                name: {"conversations": count, **_of_part(confusion, self.labels)}
                for name, (count, confusion) in self.parts.items()
            },
        }

    def _classes(self) -> list[dict[str, Any]]:
        """One row a class."""
        each = class_scores(self.confusion)
        rows = []
        for number, label in enumerate(self.labels):
            row: dict[str, Any] = {
                "label": label,
                **{name: round(float(values[number]), 4) for name, values in each.items()},
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
    :param unit: what the conversations of the predictions are.
    :raises InputError: no turn counts, a score is not a number, or the classes are not the model's.
    """
    chosen = predictions.scored
    _check(predictions, labels, chosen)
    classes = len(labels)
    truth = predictions.labels[chosen]
    predicted = predictions.logits[chosen].argmax(1)
    # conversations without a turn that counts are not drawn
    _, owners = np.unique(predictions.conversations[chosen], return_inverse=True)
    conversations = int(owners.max()) + 1
    confusions = _confusions(owners, truth, predicted, classes)
    overall, each = intervals(confusions) if conversations > 1 else ({}, [])
    gate = None
    if predictions.gate is not None and predictions.present is not None:
        gate = gate_statistics(
            predictions.gate[chosen], predictions.present[chosen], predicted == truth, truth, labels
        )
    return Scorecard(
        labels=labels,
        conversations=conversations,
        unjudged=int(((predictions.labels >= 0) & ~predictions.judged).sum()),
        temperatures=tuple(np.unique(np.broadcast_to(temperature, (len(chosen), 1))[chosen]).tolist()),
        confusion=confusions.sum(0),
        before=Reliability.of(predictions.probabilities()[chosen], truth),
        after=Reliability.of(calibrated(predictions, temperature).probabilities()[chosen], truth),
        intervals=overall,
        class_intervals=tuple(each),
        experts=_experts(predictions, chosen, classes),
        gate=gate,
        parts=_parts(predictions, chosen, owners, confusions),
        unit=unit,
    )


def _check(predictions: Predictions, labels: LabelSet, chosen: NDArray[np.bool_]) -> None:
    """Refuse what cannot be scored."""
    if predictions.logits.shape[1] != len(labels):
        raise InputError(
            f"the model tells {predictions.logits.shape[1]} classes, but the corpus has {len(labels)} labels"
            f" ({', '.join(labels)}); evaluate it on the corpus it was trained for"
        )
    if not chosen.any():
        raise InputError("no turn of this split has a label and was judged: nothing to score")
    if predictions.labels.max() >= len(labels):
        turn = predictions.ids[int(predictions.labels.argmax())]
        raise InputError(f"turn {turn}: its label is number {predictions.labels.max()} of {len(labels)}")
    odd = chosen & ~np.isfinite(predictions.logits).all(1)
    if odd.any():
        turn = predictions.ids[int(odd.argmax())]
        raise InputError(f"turn {turn}: its scores are not numbers; look for NaN in its embeddings")


def _confusions(
    owners: NDArray[np.int64], truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Confusion of each conversation `[K, C, C]`."""
    count = int(owners.max()) + 1
    cells = (owners * classes + truth) * classes + predicted
    return np.bincount(cells, minlength=count * classes**2).reshape(count, classes, classes)


def _experts(predictions: Predictions, chosen: NDArray[np.bool_], classes: int) -> dict[str, Any]:
    """Confusion of each expert over the turns that it judged; one that judged none is left out."""
    if predictions.experts is None or predictions.present is None:
        return {}
    result: dict[str, Any] = {}
    for number, name in enumerate(EXPERTS):
        judged = chosen & predictions.present[:, number]
        if judged.any():
            predicted = predictions.experts[judged, number].argmax(1)
            result[name] = confusion_matrix(predictions.labels[judged], predicted, classes)
    return result


def _parts(
    predictions: Predictions,
    chosen: NDArray[np.bool_],
    owners: NDArray[np.int64],
    confusions: NDArray[np.int64],
) -> dict[str, tuple[int, NDArray[np.int64]]]:
    """Split by what the ids of the conversations say, if all of them say it."""
    places = np.unique(predictions.conversations[chosen])
    said = [_IEMOCAP.match(predictions.conversation_ids[place]) for place in places]
    names = [_PARTS[match[1]] for match in said if match]
    if len(names) < len(places):
        return {}
    result = {}
    for name in _PARTS.values():
        own = np.array([one == name for one in names])
        if own.any():
            result[name] = (int(own.sum()), confusions[own].sum(0))
    return result


def _of_part(confusion: NDArray[np.int64], labels: LabelSet) -> dict[str, Any]:
    """Scores of some turns."""
    each = labels.scores([round(float(value), 4) for value in class_scores(confusion)["f1"]])
    overall = {name: float(value) for name, value in overall_scores(confusion).items()}
    return {"turns": int(confusion.sum()), **_rounded(overall), "class_f1": each}


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Round as far as it means something: shares of 100 to 4 places, shares of 1 to 6."""
    return {name: round(value, 6 if "ece" in name else 4) for name, value in scores.items()}
