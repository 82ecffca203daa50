"""What readers of transcripts give: rows, their times in seconds, and the faults met on the way."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mister_e.conversation import CROSSTALK
from mister_e.errors import InputError

#: No recording is longer: a time beyond it, in seconds, is a mistake.
LONGEST_SECONDS = 10_000_000.0

#: Names that columns and fields of times have.
_STARTS = ("start", "start_time", "start time", "begin")
_ENDS = ("end", "end_time", "end time")

#: Nobody says more at a time; the model reads the first few hundred words.
MOST_CHARACTERS = 1_000_000

#: Faults named one by one; of more, only the number is told.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One turn as a file gives it.

    :param where: where it stands in its file, for errors, as "line 12".
    :param text: its words, in lines as the file has them; empty where it has none.
    :param start: seconds; None = not known.
    :param end: seconds; None = not known.
    :param id: its name in the file.
    :param channel: the channel of the recording that it was said on, 0-based.
    :param verbatim: the words were cleaned before, when this package wrote them.
    :param asr_confidence: 0 to 1, what a recogniser said of its words; None = not told.
    :param text_uncertain: the words were recognised so doubtfully that no model reads them.
    :param language: code of the language that was recognised.
    :param notes: of `mister_e.conversation.TURN_NOTES`.
    """

    where: str
    text: str
    start: float | None = None
    end: float | None = None
    id: str | None = None
    channel: int | None = None
    verbatim: bool = False
    asr_confidence: float | None = None
    text_uncertain: bool = False
    language: str | None = None
    notes: tuple[str, ...] = ()


class Faults:
    """What is wrong with a file: each fault costs a turn, or the file where faults are refused."""

    def __init__(self, *, strict: bool = False) -> None:
        """Collect faults.

        :param strict: refuse the file at the first.
        """
        self.strict = strict
        self.first: str | None = None
        self._named: list[str] = []
        self._count = 0
        self._remarks: list[str] = []

    def leave_out(self, where: str, reason: str) -> None:
        """Leave one turn out.

        :raises InputError: faults are refused.
        """
        fault = f"{where}: {reason}"
        if self.strict:
            raise InputError(fault)
        self.first = self.first or fault
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(f"{fault}; it was left out")

    def remark(self, remark: str) -> None:
        """Tell what costs no turn."""
        self._remarks.append(remark)

    def notes(self) -> Iterator[str]:
        """All that is to be told, a line each."""
        yield from self._named
        if (more := self._count - len(self._named)) > 0:
            yield f"{more} more turns were left out for faults like these; --strict refuses at the first"
        yield from self._remarks


def checked(
    items: Any, noun: str, read: Callable[[dict[str, Any], str], Row | None], faults: Faults
) -> Iterator[Row]:
    """Read a list of objects; each that cannot be read costs itself.

    :param items: the list, of JSON.
    :param noun: what one is called in errors, as "segment".
    :param read: gives the row of an object and where it stands; None = it has no words.
    :raises InputError: it is not a list.
    """
    if not isinstance(items, list):
        raise InputError(f"{noun}s: expected a list of objects")
    for number, item in enumerate(items, start=1):
        where = f"{noun} {number}"
        if not isinstance(item, dict):
            faults.leave_out(where, "is not an object; expected a list of objects")
            continue
        try:
            row = read(item, where)
        except InputError as error:
            faults.leave_out(where, str(error))
            continue
        if row is not None:
            yield row


def seconds(time: str) -> float:
    """Read a time written as seconds, MM:SS or HH:MM:SS, with `.` or `,` before the fraction.

    :raises InputError: it is not a time.
    """
    parts = time.strip().replace(",", ".").split(":", 3)
    try:
        if len(parts) > 3 or not all(part.isdecimal() for part in parts[:-1]):
            raise ValueError
        total = float(parts[-1])
        for power, part in enumerate(reversed(parts[:-1]), start=1):
            total += int(part) * 60**power
        # in a clock's time, nothing but the first number counts beyond 59
        if len(parts) > 1 and not all(0 <= float(part) < 60 for part in parts[1:]):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{time[:80]!r} is not a time; write seconds (12.5) or HH:MM:SS.mmm") from None
    return total


def time_of(value: Any, name: str, *, unit: float = 1.0) -> float | None:
    """Seconds of a JSON number or of text.

    :param name: of the field, for errors.
    :param unit: seconds that 1 stands for.
    :raises InputError: it is no time of a recording.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = seconds(value)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} is {_short(value)}, expected seconds or HH:MM:SS.mmm")
    try:
        time = float(value) if unit == 1 else round(float(value) * unit, 7)
    except OverflowError:
        time = math.inf
    if not 0 <= time <= LONGEST_SECONDS:
        raise InputError(f"{name} is {time}, expected seconds from the start of the recording, 0 or more")
    return time


def text_of(data: Mapping[str, Any], field: str = "text") -> str:
    """Words of a field; empty where it is null.

    :raises InputError: there is no such field, or it holds no text.
    """
    if field not in data:
        raise InputError(f"has no field {field!r}")
    text = data[field]
    if not isinstance(text, str | None):
        raise InputError(f"{field} is {_short(text)}, expected a string")
    return text or ""


def row_of(data: Mapping[str, Any], where: str) -> Row:
    """Read an object or a table's row that has the fields of this package.

    :raises InputError: a field is missing or wrong.
    """
    text = text_of(data, "text" if "text" in data or "transcript" not in data else "transcript")
    given_id = data.get("id")
    if not isinstance(given_id, str | int | None):
        raise InputError(f"id is {_short(given_id)}, expected a string")
    start, end = times_in(data)
    name = str(given_id) if given_id not in (None, "") else None
    confidence, uncertain = _recognised(data)
    return Row(
        where,
        text,
        start,
        end,
        name,
        channel_of(data),
        asr_confidence=confidence,
        text_uncertain=uncertain,
        language=_language(data.get("language")),
        notes=_notes(data.get("notes")),
    )


def _language(told: Any) -> str | None:
    """Code of a language, without its region; None = there is none, or a name in words."""
    code = re.match(r"[A-Za-z]{2,3}(?![A-Za-z])", told) if isinstance(told, str) else None
    return code[0].lower() if code else None


def _notes(told: Any) -> tuple[str, ...]:
    """Notes on the sound of a turn that this package wrote: of its words, new ones are made."""
    names = told.split(", ") if isinstance(told, str) else told if isinstance(told, list) else ()
    return (CROSSTALK,) if CROSSTALK in names else ()


def _recognised(data: Mapping[str, Any]) -> tuple[float | None, bool]:
    """What this package wrote of recognised words: their confidence, and whether they are uncertain.

    :raises InputError: it is not of its kind.
    """
    confidence, uncertain = data.get("asr_confidence"), data.get("text_uncertain")
    if isinstance(confidence, str):  # of a table
        try:
            confidence = float(confidence) if confidence.strip() else None
        except ValueError:
            confidence = -1
    if isinstance(uncertain, str):
        uncertain = {"true": True, "false": False, "": None}.get(uncertain.strip().lower(), uncertain)
    number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
    if confidence is not None and not (number and 0 <= confidence <= 1):
        raise InputError("asr_confidence is no number from 0 to 1; correct it, or leave it out")
    if not isinstance(uncertain, bool | None):
        raise InputError("text_uncertain is neither true nor false; correct it, or leave it out")
    return confidence, bool(uncertain)


def times_in(data: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Start and end of an object or a table's row, in seconds; None = not told.

    :raises InputError: one is no time of a recording.
    """
    start, end = (
        time_of(data.get(name := next((name for name in names if name in data), names[0])), name)
        for names in (_STARTS, _ENDS)
    )
    return start, end


def channel_of(data: Mapping[str, Any]) -> int | None:
    """Channel of an object, 0-based.

    :raises InputError: it is no number of a channel.
    """
    channel = data.get("channel")
    if isinstance(channel, str):
        short = channel.strip()[:20]
        channel = int(short) if short.isdecimal() else (short or None)
    if channel is None or (isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0):
        return channel
    raise InputError(f"channel is {_short(channel)}, expected 0, 1, …")


def _short(value: Any) -> str:
    """A value in a few characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value[:80] if isinstance(value, str) else value)
