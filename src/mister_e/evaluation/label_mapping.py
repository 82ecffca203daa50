"""Map the classes of data to the labels of a model, and tell what cannot be scored because they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mister_e.errors import InputError
from mister_e.inference.predictions import Predictions
from mister_e.labels import LabelSet, match_label, match_names
from mister_e.metrics.classification import confusion_matrix, overall_scores


@dataclass(frozen=True)
class LabelMap:
    """Names of classes in data as labels of a model.

    :param labels: labels of the model.
    :param names: class of the data to label of the model.
    :param left_out: class without such a label to its number of turns.
    :param unasked: class with one that is not to be scored to its number of turns.
    """

    labels: LabelSet
    names: Mapping[str, str]
    left_out: Mapping[str, int]
    unasked: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        counts: Mapping[str, int],
        labels: LabelSet,
        source: str,
        given: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
    ) -> LabelMap:
        """Match classes by name, see `mister_e.labels.match_names`.

        :param counts: class to number of turns.
        :param labels: labels of the model.
        :param source: name of the data, for an error.
        :param given: class to label, where its name does not tell it.
        :param only: labels or classes to score, none = all; two classes of one label are scored together.
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
        if not only:
            return cls(labels, names, left_out)
        wanted = {_wanted(name, names, labels, source) for name in only}
        chosen = {name: label for name, label in names.items() if label in wanted}
        return cls(labels, chosen, left_out, {n: counts[n] for n in names if n not in chosen})

    def position(self, name: str | None) -> int:
        """Position of a class among the model's labels; -1 = it has none."""
        label = None if name is None else self.names.get(name)
        return -1 if label is None else self.labels.index(label)


def _wanted(name: str, names: Mapping[str, str], labels: LabelSet, source: str) -> str:
    """Label that a name stands for: of a label, or of a class of the data.

    :raises InputError: it is none, or no turn has it.
    """
    folded = {other.strip().lower(): label for other, label in names.items()}
    label = names.get(name) or folded.get(name.strip().lower()) or match_label(name, labels)
    if label not in names.values():
        raise InputError(
            f"{source}: --only {name}: no turn of it; choose among {', '.join(dict.fromkeys(names.values()))}"
        )
    assert label is not None
    return label


@dataclass(frozen=True)
class Choice:
    """Which classes predictions were restricted to, and what they would be without the restriction.

    :param names: class of the data to label of the model.
    :param left_out: class without such a label to its number of turns; they are not scored.
    :param absent: labels of the model that no scored turn has; they cannot be predicted.
    :param absent_percent: percent of the scored turns whose unrestricted prediction is an absent label.
    :param free_weighted_f1: weighted F1 of the unrestricted predictions, 0 to 100.
    :param only: the one class of all scored turns, for which nothing is restricted; None = there are more.
    :param unasked: class that was not to be scored to its number of turns.
    """

    names: Mapping[str, str]
    left_out: Mapping[str, int]
    absent: Sequence[str]
    absent_percent: float
    free_weighted_f1: float
    only: str | None = None
    unasked: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "names": dict(self.names),
            "left_out": dict(self.left_out),
            "absent": list(self.absent),
            "absent_share": round(self.absent_percent, 4),
            "free_weighted_f1": round(self.free_weighted_f1, 4),
            "only": self.only,
            "unasked": dict(self.unasked),
        }

    def lines(self) -> list[str]:
        """The same as text; no line where the classes and the labels are the same."""
        lines = []
        if self.left_out:
            listed = ", ".join(f"{name} ({count:,})" for name, count in self.left_out.items())
            lines.append(f"not scored, for the model has no such label: {listed} turns")
        if self.unasked:
            listed = ", ".join(f"{name} ({count:,})" for name, count in self.unasked.items())
            lines.append(f"not scored, for --only does not name it: {listed} turns")
        if self.absent:
            listed = ", ".join(self.absent)
            lines.append(
                f"not to be predicted, for no scored turn has it: {listed}; without this restriction"
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
        choice = Choice(mapped.names, mapped.left_out, [], 0.0, free_f1, only, mapped.unasked)
        return predictions, mapped.labels, choice
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
        unasked=mapped.unasked,
    )
    return result, LabelSet(tuple(names[number] for number in present)), choice
