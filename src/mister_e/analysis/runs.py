"""Neighbouring turns of one emotion as one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from mister_e.analysis.turns import TurnAnalysis
from mister_e.analysis.wording import marked_notes
from mister_e.experts import EXPERTS

#: A conversation of more turns than this, about three screens of a table, is folded until it is unfolded.
MANY_TURNS = 100


@dataclass(frozen=True)
class Run:
    """Neighbouring turns of one emotion, at least one.

    :param first: position of its first turn in the conversation, from 0.
    """

    first: int
    turns: tuple[TurnAnalysis, ...]

    @property
    def emotion(self) -> str:
        """The emotion of all its turns."""
        return self.turns[0].emotion

    @property
    def start(self) -> float | None:
        """Start of its first turn that has one, in seconds."""
        return next((turn.start for turn in self.turns if turn.start is not None), None)

    @property
    def end(self) -> float | None:
        """Latest end of its turns, in seconds."""
        return max((turn.end for turn in self.turns if turn.end is not None), default=None)

    @property
    def confidence(self) -> float:
        """Mean confidence of its turns, 0 to 1."""
        return sum(turn.confidence for turn in self.turns) / len(self.turns)

    @property
    def gate(self) -> dict[str, float]:
        """Mean weight of each expert."""
        return {name: sum(turn.gate[name] for turn in self.turns) / len(self.turns) for name in EXPERTS}

    @property
    def opening(self) -> TurnAnalysis:
        """The first of its turns that has words; its first turn where none has."""
        return next((turn for turn in self.turns if turn.text), self.turns[0])

    @property
    def uncertain(self) -> bool:
        """Whether all its turns are uncertain."""
        return all(turn.uncertain for turn in self.turns)

    @property
    def marks(self) -> tuple[str, ...]:
        """What is marked in it: `no words`, or `2 no words` of several turns, then how many are uncertain."""
        counts = Counter(note for turn in self.turns for note in marked_notes(turn.notes, turn.language))
        if len(self.turns) == 1:
            return tuple(counts)
        unsure = sum(turn.uncertain for turn in self.turns)
        counted = tuple(f"{count} {note}" for note, count in counts.items())
        return (*counted, f"{unsure} uncertain") if unsure and not self.uncertain else counted


def runs(turns: Iterable[TurnAnalysis], *, fold: bool = True) -> tuple[Run, ...]:
    """Put neighbouring turns of one emotion together.

    :param turns: in the order in which they were said.
    :param fold: False leaves every turn alone.
    :return: all of them, in that order.
    """
    if not fold:
        return tuple(Run(i, (turn,)) for i, turn in enumerate(turns))
    grouped = []
    first = 0
    for _, group in groupby(turns, key=lambda turn: turn.emotion):
        grouped.append(Run(first, tuple(group)))
        first += len(grouped[-1].turns)
    return tuple(grouped)
