"""What readers of cuts give: intervals with a voice, which goes no further than joining them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import LONGEST_SECONDS, time_of


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in which somebody speaks.

    :param where: where it stands in its file, for errors, as "line 12".
    :param start: seconds.
    :param end: seconds, not before `start`.
    :param voice: whatever tells the voices of a file apart; None = not known, or of no use.
    :param channel: 0-based; None = not told.
    """

    where: str
    start: float
    end: float
    voice: object = None
    channel: int | None = None

    def until(self, end: float) -> Interval:
        """The same, going on until `end` if it ends before."""
        return replace(self, end=max(self.end, end))


def interval(
    where: str, start: float, end: float, voice: object = None, channel: int | None = None
) -> Interval:
    """Make an interval of times that are known.

    :raises InputError: it ends before it starts.
    """
    if end < start:
        raise InputError(f"ends ({end:g} s) before it starts ({start:g} s); correct its times")
    if end > LONGEST_SECONDS:
        raise InputError(f"ends at {end:g} s; no recording is so long")
    return Interval(where, start, end, voice, channel)


def time_in(value: Any, name: str) -> float | None:
    """Seconds of a field; None = it is empty.

    The error never repeats a text: where fields are missing, that may be a name.

    :param name: of the field, for errors.
    :raises InputError: it is no time of a recording.
    """
    try:
        return time_of(value, name)
    except InputError:
        pass
    try:
        shown = f"{float(value):g}"
    except (TypeError, ValueError, OverflowError):
        shown = "no time"
    raise InputError(f"{name} is {shown}, expected seconds from the start of the recording, 0 or more")
