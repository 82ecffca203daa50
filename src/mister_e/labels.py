"""The emotions a model can tell, in their fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mister_e.errors import InputError


@dataclass(frozen=True)
class LabelSet:
    """Label names in a fixed order; stored with every model and every result.

    Integers are positions in this order and never leave a module: results carry names.
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
        """Name a row of class probabilities.

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

#: Other names that corpora have for these emotions, in lower case.
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


def matching(name: str, labels: LabelSet) -> str | None:
    """Find the label that another label set's name stands for, in upper or lower case.

    The same name first, then a synonym: `happy` is `joy`, and `joy` is `happy` where a model says so.

    :param name: as a corpus has it.
    :param labels: to choose from.
    :return: None = none of them, or several alike.
    """
    wanted = name.strip().lower()
    for meaning in (str, lambda word: SYNONYMS.get(word, word)):
        found = [label for label in labels if meaning(label.lower()) == meaning(wanted)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


#: One colour per emotion for tables, reports and plots: readable on white and on black.
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
