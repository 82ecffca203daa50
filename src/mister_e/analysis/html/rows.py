"""What the page shows of a turn and of a run of turns: names and rounded numbers, ready for its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mister_e.analysis.runs import Run
from mister_e.analysis.summary import talk_seconds
from mister_e.analysis.turns import TurnAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK, clock, marked_notes
from mister_e.experts import EXPERTS

Percents = tuple[int | None, ...]

#: What a turn is marked by, besides its notes.
UNCERTAIN, WORDS_UNCERTAIN = "uncertain", "words uncertain"

#: Between two times, and where there is no number.
DASH = "\N{EN DASH}"

# The first words of a run: more would be cut off on a wide screen.
_OPENING = 90


@dataclass(frozen=True)
class Turn:
    """One row of the list.

    :param label: position of its emotion among the page's labels.
    :param time: its time, or its number where there are no times.
    :param seconds: its start and end for the player; None without times.
    :param gate: the experts' weights in percent, in the order of `EXPERTS`.
    :param scores: per label its name and percents: all together, then each expert; None = no expert.
    :param highest: per column of `scores` the highest percent.
    :param notes: as people read them.
    :param marks: positions among the page's marks, by which turns are filtered.
    """

    number: int
    label: int
    emotion: str
    confidence: int
    uncertain: bool
    time: str
    length: str
    seconds: tuple[str, str] | None
    text: str | None
    text_uncertain: bool
    trusted: str | None
    gate: tuple[int, ...]
    scores: tuple[tuple[str, Percents], ...]
    highest: Percents
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    marks: tuple[int, ...]

    @property
    def scores_as_text(self) -> str:
        """The scores as lines of plain text, for pages of so many turns that tables would be slow."""
        heads = ("together", *EXPERTS)
        rows = [
            ("%", heads),
            *((name, [DASH if p is None else str(p) for p in row]) for name, row in self.scores),
        ]
        if self.trusted:
            rows.append(("trust", ["", *map(str, self.gate)]))
        first = max(len(name) for name, _ in rows)
        widths = [len(head) + 2 for head in heads]
        return "\n".join(
            name.ljust(first) + "".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for name, row in rows
        )


@dataclass(frozen=True)
class Row:
    """Neighbouring turns of one emotion as one row, above its turns.

    :param number: of its first turn, from 1.
    :param count: how many turns it holds; 1 = it is not shown.
    :param marks: what is marked in it, with numbers.
    """

    number: int
    count: int
    label: int
    emotion: str
    confidence: int
    uncertain: bool
    time: str
    text: str | None
    marks: tuple[str, ...]


def marks_of(turn: TurnAnalysis) -> tuple[str, ...]:
    """All that a turn is marked by."""
    own = ((UNCERTAIN, turn.uncertain), (WORDS_UNCERTAIN, turn.text_uncertain))
    return (*(name for name, marked in own if marked), *turn.notes)


def turn_row(turn: TurnAnalysis, number: int, labels: tuple[str, ...], marks: Sequence[str]) -> Turn:
    """Prepare one turn.

    :param number: its position in the conversation, from 1.
    :param labels: all labels of the page.
    :param marks: all that turns of the conversation are marked by.
    """
    columns = (turn.scores, *(turn.experts.get(name) for name in EXPERTS))
    names = tuple(dict.fromkeys([*turn.scores, turn.emotion]))
    scores = tuple((name, tuple(_percent_of(column, name) for column in columns)) for name in names)
    timed = turn.start is not None and turn.end is not None
    return Turn(
        number=number,
        label=labels.index(turn.emotion),
        emotion=turn.emotion,
        confidence=percent(turn.confidence),
        uncertain=turn.uncertain,
        time=f"#{number}" if turn.start is None else clock(turn.start),
        length=f"{talk_seconds(turn):.1f} s" if timed else "",
        seconds=(_player(turn.start), _player(turn.end)) if timed else None,
        text=turn.text,
        text_uncertain=turn.text_uncertain,
        trusted=turn.trusted,
        gate=tuple(percent(turn.gate[name]) for name in EXPERTS),
        scores=scores,
        highest=tuple(
            max((row[i] or 0 for _, row in scores), default=0) if column else None
            for i, column in enumerate(columns)
        ),
        missing=turn.missing,
        notes=marked_notes(turn.notes, turn.language),
        marks=tuple(marks.index(mark) for mark in marks_of(turn)),
    )


def run_row(run: Run, labels: tuple[str, ...]) -> Row:
    """Prepare one run.

    :param labels: all labels of the page.
    """
    number, count = run.first + 1, len(run.turns)
    if run.start is None:
        time = f"#{number}{DASH}{number + count - 1}"
    else:
        time = clock(run.start) if run.end is None else f"{clock(run.start)}{DASH}{clock(run.end)}"
    text = run.opening.text
    return Row(
        number=number,
        count=count,
        label=labels.index(run.emotion),
        emotion=run.emotion,
        confidence=percent(run.confidence),
        uncertain=run.uncertain,
        time=time,
        text=text if text is None or len(text) <= _OPENING else f"{text[:_OPENING]}…",
        marks=run.marks,
    )


def percent(fraction: float) -> int:
    """Whole percents of a fraction."""
    return round(100 * fraction)


def _player(seconds: float | None) -> str:
    """Seconds for the player."""
    assert seconds is not None
    return f"{min(seconds, LONGEST_CLOCK):.2f}"


def _percent_of(scores: Mapping[str, float] | None, name: str) -> int | None:
    return None if scores is None else percent(scores.get(name, 0.0))
