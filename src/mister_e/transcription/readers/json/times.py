"""Times that recognisers leave out: a turn without them stands between its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mister_e.transcription.readers.rows import LONGEST_SECONDS, Faults, Row

#: How long a word takes, in seconds, where nothing follows that tells the end.
_SECONDS_A_WORD = 0.4


def with_times(rows: Sequence[Row], faults: Faults) -> Iterator[Row]:
    """Give rows without a start or an end those of their neighbours, and say so.

    :param rows: in their order. Where none has a start, or faults are refused, they stay as they are.
    """
    if faults.strict or all(row.start is None for row in rows):
        yield from rows
        return
    followers: list[float | None] = []
    follower: float | None = None
    for row in reversed(rows):
        followers.append(follower)
        follower = row.start if row.start is not None else follower
    before = 0.0
    count, first = 0, ""
    for row, after in zip(rows, reversed(followers), strict=True):
        start = row.start if row.start is not None else before
        end = row.end
        if end is None:
            spoken = start + _SECONDS_A_WORD * max(1, len(row.text.split(None, 100)))
            end = min(spoken, after) if after is not None and after > start else spoken
            end = min(max(end, start), LONGEST_SECONDS)
        if row.text.strip() and (row.start is None or row.end is None):
            count, first = count + 1, first or row.where
        yield replace(row, start=start, end=end)
        before = max(start, end)
    if count:
        turns = "1 turn" if count == 1 else f"{count} turns"
        faults.remark(f"{turns} without start or end (first: {first}): placed between the neighbours")
