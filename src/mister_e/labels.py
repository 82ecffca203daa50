"""Label sets: names of classes in a fixed order, their synonyms and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mister_e.errors import InputError


@dataclass(frozen=True)
class LabelSet:
    """Label names in a fixed order; stored with every model and every result.

    A class index is a position in this order, whatever the alphabet says. Results hold names, not indices.

    :param names: the labels; at least two, all different.
    :raises InputError: there are too few, one is empty, or one is there twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise InputError(f"a label set needs at least two labels, got {list(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"a label set names each label once, got {list(self.names)}")
        if not all(isinstance(name, str) and name for name in self.names):
            raise InputError(f"labels are non-empty strings, got {list(self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def index(self, name: str) -> int:
        """Position of a label.

        :param name: a label of this set.
        :return: its position, 0-based.
        :raises InputError: the label is not in the set.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(f"unknown label {name!r}: this label set has {', '.join(self.names)}") from None

    def scores(self, probabilities: Sequence[float]) -> dict[str, float]:
        """Map labels to a row of class probabilities.

        :param probabilities: one number per label, in this order.
        :return: label to probability.
        """
        return dict(zip(self.names, map(float, probabilities), strict=True))

    def to_json(self) -> list[str]:
        """Return the names as a JSON-ready list."""
        return list(self.names)

    @classmethod
    def from_json(cls, data: Sequence[str]) -> LabelSet:
        """Read what `to_json` wrote."""
        return cls(tuple(data))


#: Seven emotions of MELD, most frequent first: the label set of the bundled models.
MELD_EMOTIONS = LabelSet(("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"))

#: Other names of these emotions in corpora, in lower case.
SYNONYMS: Mapping[str, str] = {
    "afraid": "fear",
    "ang": "anger",
    "angry": "anger",
    "calm": "neutral",
    "dis": "disgust",
    "disgusted": "disgust",
    "fea": "fear",
    "fearful": "fear",
    "hap": "joy",
    "happiness": "joy",
    "happy": "joy",
    "joyful": "joy",
    "mad": "anger",
    "neu": "neutral",
    "pleasant surprise": "surprise",
    "pleasant_surprise": "surprise",
    "sad": "sadness",
    "scared": "fear",
    "sorrow": "sadness",
    "sur": "surprise",
    "surprised": "surprise",
}


def match_label(name: str, labels: LabelSet) -> str | None:
    """Find the label of a set that has the same meaning as a name; upper and lower case do not matter.

    The same name is preferred to a synonym: `happy` is found for `happy`, and `joy` only without it.

    :param name: label of another set, such as that of a corpus.
    :param labels: the labels to choose from.
    :return: the label; None where none has the meaning, or several do.
    """
    name = name.strip().lower()
    for meaning in (str, lambda word: SYNONYMS.get(word, word)):
        matches = [label for label in labels if meaning(label.lower()) == meaning(name)]
        if matches:
            return matches[0] if len(matches) == 1 else None
    return None


def match_names(
    names: Iterable[str], labels: LabelSet, given: Mapping[str, str], source: str
) -> dict[str, str]:
    """Match the classes of data to labels: those that are given first, the others by `match_label`.

    :param names: of the classes, as the data has them.
    :param labels: to choose from.
    :param given: class to label, where its name does not tell it; upper and lower case do not matter.
    :param source: what an error says that it is about.
    :return: class to label, without those that no label stands for.
    :raises InputError: a given class is not in the data, or its label not in the set.
    """
    names = list(names)
    told: dict[str, str] = {}
    for name, label in given.items():
        folded = name.strip().lower()
        meant = [name] if name in names else [other for other in names if other.strip().lower() == folded]
        if not meant:
            raise InputError(f"{source}: has no class {name!r}; it has {', '.join(names) or 'none'}")
        folded = label.strip().lower()
        known = [label] if label in labels else [other for other in labels if other.lower() == folded]
        if not known:
            raise InputError(f"{name}={label}: {label!r} is no label; the labels are {', '.join(labels)}")
        told |= dict.fromkeys(meant, known[0])
    matched = {name: told.get(name) or match_label(name, labels) for name in names}
    return {name: label for name, label in matched.items() if label is not None}


#: One colour per emotion for tables, reports and plots; each is readable on white and on black.
COLOURS: Mapping[str, str] = {
    "neutral": "#8a93a3",
    "joy": "#e0a100",
    "sadness": "#4a7fd6",
    "anger": "#d64545",
    "surprise": "#c062d6",
    "fear": "#2f9e8f",
    "disgust": "#7a9a2e",
}

#: The colour of a label that has none of its own.
OTHER_COLOUR = "#b07d4b"


def colour(label: str) -> str:
    """Colour of a label as `#rrggbb`."""
    return COLOURS.get(label, OTHER_COLOUR)
