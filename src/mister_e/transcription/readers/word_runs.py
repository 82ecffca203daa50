"""Words with times of their own, as recognisers give them, joined to turns at pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mister_e.transcription.readers.rows import Row

#: A turn ends where no word follows for so long, or where it has become so long; both in seconds.
_PAUSE_SECONDS, _LONGEST_SECONDS = 0.8, 30.0


@dataclass(frozen=True, slots=True)
class Word:
    """One word or mark.

    :param where: where it stands in its file.
    :param text: the word, with a mark that belongs to it.
    :param start: seconds; None = it has no time, and belongs to the turn before.
    :param end: seconds.
    :param run: words of one run may form one turn, words of two never do.
    """

    where: str
    text: str
    start: float | None
    end: float | None
    run: object = None


def turns_of(words: Sequence[Word], *, channel: int | None = None, space: str = " ") -> Iterator[Row]:
    """Join words to turns.

    :param words: in the order in which they were said.
    :param channel: of all of them.
    :param space: what stands between two.
    """
    turn: list[Word] = []
    for word in words:
        if turn and _ends(turn, word):
            yield _row(turn, channel, space)
            turn = []
        turn.append(word)
    if turn:
        yield _row(turn, channel, space)


def _ends(turn: Sequence[Word], word: Word) -> bool:
    """Whether a turn ends before a word."""
    if word.start is None:
        return False
    if word.run != turn[-1].run:
        return True
    ends = [said.end for said in turn[-4:] if said.end is not None]
    first = turn[0].start
    long = first is not None and word.start - first > _LONGEST_SECONDS
    return long or bool(ends and word.start - ends[-1] > _PAUSE_SECONDS)


def _row(turn: Sequence[Word], channel: int | None, space: str) -> Row:
    """One turn of words."""
    starts = [word.start for word in turn if word.start is not None]
    ends = [word.end for word in turn if word.end is not None]
    text = space.join(word.text for word in turn)
    return Row(turn[0].where, text, min(starts, default=None), max(ends, default=None), channel=channel)
