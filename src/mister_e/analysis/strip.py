"""A whole conversation along one line: where its turns lie, and which emotion has most of each piece."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mister_e.analysis.summary import is_timed, weight
from mister_e.analysis.turns import ConversationAnalysis


@dataclass(frozen=True)
class Layout:
    """Where the turns of a conversation lie on a line.

    :param timed: True along the recording's seconds, False along the numbers of the turns.
    :param length: of the line, in seconds or turns.
    :param spans: first and last point of each turn, as a fraction of the line.
    """

    timed: bool
    length: float
    spans: tuple[tuple[float, float], ...]


@dataclass
class Cell:
    """One of the equal pieces of the line.

    :param share: per emotion, how much of the piece turns of it fill, crosstalk counted by its weight;
        above 1 where they overlap.
    :param turns: per emotion, the positions of those turns, from 0.
    """

    share: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    turns: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def emotion(self) -> str | None:
        """The emotion with the largest share; None where nobody speaks."""
        return max(self.share, key=self.share.__getitem__) if self.share else None


def layout(conversation: ConversationAnalysis) -> Layout:
    """Lay out a conversation: along time if every turn has times, else turn by turn."""
    turns = conversation.utterances
    times = [(turn.start, turn.end) for turn in turns if turn.start is not None and turn.end is not None]
    length = max([conversation.duration or 0.0, *(end for _, end in times)])
    if is_timed(conversation) and length > 0:
        return Layout(True, length, tuple((start / length, end / length) for start, end in times))
    count = len(turns)
    return Layout(False, float(count), tuple((i / count, (i + 1) / count) for i in range(count)))


def cells(conversation: ConversationAnalysis, spans: Sequence[tuple[float, float]], count: int) -> list[Cell]:
    """Divide the line into equal pieces, and each among the emotions that are heard there.

    :param spans: of each turn, as in `Layout`.
    :param count: how many pieces.
    """
    pieces = [Cell() for _ in range(count)]
    for position, (turn, (first, last)) in enumerate(zip(conversation, spans, strict=True)):
        start = min(max(first, 0.0), 1.0) * count
        end = min(max(last, 0.0), 1.0) * count
        lowest = min(int(start), count - 1)
        # a turn that ends where a piece begins is not in it
        highest = max(lowest, min(-int(-end // 1) - 1, count - 1))
        for k in range(lowest, highest + 1):
            covered = min(end, k + 1) - max(start, k)
            pieces[k].share[turn.emotion] += weight(turn) * covered
            pieces[k].turns[turn.emotion].append(position)
    return pieces
