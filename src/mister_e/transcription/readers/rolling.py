"""Rolling captions, which show a line again while the next appears: each line is kept once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mister_e.transcription.readers.rows import Row

#: Captions roll where at least so many cues, and such a part of all, begin with lines of the one before.
_MIN_CUES, _MIN_PART = 2, 0.25
#: A line is shown on, and not said again, if its cue follows within so many seconds.
_GAP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle.

    :param where: where it stands in its file, for errors, as "line 12".
    :param start: seconds.
    :param end: seconds.
    :param lines: the words, without markup and blank lines.
    :param moments: its words have times of their own, which recognised captions have.
    """

    where: str
    start: float
    end: float
    lines: tuple[str, ...]
    moments: bool = False


def unrolled(cues: Sequence[Cue]) -> Iterator[Row]:
    """Rows of cues; of rolling captions, each line once, in the cue that shows it first.

    :param cues: in the order of the file.
    """
    shown = [0, *(_shown_before(before, cue) for before, cue in pairwise(cues))]
    if not _roll(cues, shown):
        yield from (Row(cue.where, "\n".join(cue.lines), cue.start, cue.end) for cue in cues)
        return
    for cue, count in zip(cues, shown, strict=False):
        if len(cue.lines) > count:
            yield Row(cue.where, "\n".join(cue.lines[count:]), cue.start, cue.end)


def _shown_before(before: Cue, cue: Cue) -> int:
    """How many first lines of a cue were the last ones of the cue before."""
    if cue.start > before.end + _GAP_SECONDS or cue.start < before.start:
        return 0
    most = min(len(before.lines), len(cue.lines), 8)
    return next((n for n in range(most, 0, -1) if before.lines[-n:] == cue.lines[:n]), 0)


def _roll(cues: Sequence[Cue], shown: Sequence[int]) -> bool:
    """Tell rolling captions from words that are said twice: new lines stand below old ones."""
    if any(cue.moments for cue in cues):
        return True
    scrolled = sum(0 < count < len(cue.lines) for cue, count in zip(cues, shown, strict=False))
    return scrolled >= _MIN_CUES and scrolled >= _MIN_PART * len(cues)
