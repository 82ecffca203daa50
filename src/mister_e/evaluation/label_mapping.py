"""Map the classes of data to the labels of a model, and tell what cannot be scored because they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mister_e.errors import InputError
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet, match_names
from mister_e.metrics.classification import confusion_matrix, overall_scores


@dataclass(frozen=True)
class LabelMap:
    """Names of classes in data as labels of a model.

    :param labels: labels of the model.
    :param names: class of the data to label of the model.
    :param left_out: class without such a label to its number of turns.
    """

    labels: LabelSet
    names: Mapping[str, str]
    left_out: Mapping[str, int]

    @classmethod
    def of(
        cls,
        counts: Mapping[str, int],
        labels: LabelSet,
        source: str,
        given: Mapping[str, str] | None = None,
    ) -> LabelMap:
        """Match classes by name, see `mister_e.labels.match_names`.

        :param counts: class to number of turns.
        :param labels: labels of the model.
        :param source: name of the data, for an error.
        :param given: class to label, where its name does not tell it.
        :raises InputError: no class is one of the model's, or what is given is not there.
        """
        names = match_names(counts, labels, given or {}, source)
        if not names:
            found = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
            raise InputError(
                f"{source}: none of its classes is a label of the model; it has {found or 'none'},"
                f" the model tells {', '.join(labels)}"
            )
        left_out = {name: count for name, count in counts.items() if name not in names}
        return cls(labels, names, left_out)

    def position(self, name: str | None) -> int:
        """Position of a class among the model's labels; -1 = it has none."""
        label = None if name is None else self.names.get(name)
        return -1 if label is None else self.labels.index(label)


@dataclass(frozen=True)
class Choice:
    """Which classes predictions were restricted to, and what they would be without the restriction.

    :param names: class of the data to label of the model.
    :param left_out: class without such a label to its number of turns; they are not scored.
    :param absent: labels of the model that no scored turn has; they cannot be predicted.
    :param absent_percent: percent of the scored turns whose unrestricted prediction is an absent label.
    :param free_weighted_f1: weighted F1 of the unrestricted predictions, 0 to 100.
    :param only: the one class of all scored turns, for which nothing is restricted; None = there are more.
    """

    names: Mapping[str, str]
    left_out: Mapping[str, int]
    absent: Sequence[str]
    absent_percent: float
    free_weighted_f1: float
    only: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "names": dict(self.names),
            "left_out": dict(self.left_out),
            "absent": list(self.absent),
            "absent_share": round(self.absent_percent, 4),
            "free_weighted_f1": round(self.free_weighted_f1, 4),
            "only": self.only,
        }

    def lines(self) -> list[str]:
        """The same as text; no line where the classes and the labels are the same."""
        lines = []
        if self.left_out:
            listed = ", ".join(f"{name} ({count:,})" for name, count in self.left_out.items())
            lines.append(f"not scored, for the model has no such label: {listed} turns")
        if self.absent:
            listed = ", ".join(self.absent)
            lines.append(
                f"not to be predicted, for no turn has it: {listed}; without this restriction"
                f" {self.absent_percent:.1f} % of the turns would get one of them, with a weighted F1 of"
                f" {self.free_weighted_f1:.1f}"
            )
        if self.only is not None:
            lines.append(
                f"every scored turn is {self.only}: predictions are free among all labels, accuracy is the"
                " percentage that comes out so"
            )
        return lines


def restrict_to_present(
    predictions: Predictions, mapped: LabelMap, source: str
) -> tuple[Predictions, LabelSet, Choice]:
    """Restrict predictions to the classes that occur: the logits of the others are removed.

    Where all turns have one class, such as plain read speech, any restriction would make them right: the
    predictions stay free.

    :param predictions: of N turns, labelled by positions among the model's C labels.
    :param mapped: how the classes of the data map to them.
    :param source: name of the data, for an error.
    :return: predictions of the same turns for the K classes that scored turns have, the names of these
        classes, and what the restriction changed.
    :raises InputError: no turn can be scored.
    """
    scored = predictions.scored
    if not scored.any():
        raise InputError(
            f"{source}: no labelled turn has the text or speech that this mode needs: nothing to score"
        )
    truth = predictions.labels[scored]
    present = np.unique(truth)
    free = predictions.logits[scored].argmax(1)
    confusion = confusion_matrix(truth, free, len(mapped.labels))
    free_f1 = float(overall_scores(confusion)["weighted_f1"])
    if len(present) == 1:
        only = mapped.labels.names[present[0]]
        return predictions, mapped.labels, Choice(mapped.names, mapped.left_out, [], 0.0, free_f1, only)
    places = np.full(len(mapped.labels) + 1, -1)  # the last place is for label -1
    places[present] = np.arange(len(present))
    experts = predictions.experts
    result = replace(
        predictions,
        labels=places[predictions.labels],
        logits=predictions.logits[:, present],
        experts=None if experts is None else experts[..., present],
    )
    names = mapped.labels.names
    choice = Choice(
        mapped.names,
        mapped.left_out,
        [name for number, name in enumerate(names) if number not in present],
        100 * float(np.mean(~np.isin(free, present))),
        free_f1,
    )
    return result, LabelSet(tuple(names[number] for number in present)), choice
