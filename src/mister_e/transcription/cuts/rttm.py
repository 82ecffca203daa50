"""Reader of RTTM (NIST), as diarisers write it: SPEAKER, file, channel, start, length, …, speaker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mister_e.errors import InputError
from mister_e.transcription.cuts.intervals import Interval, interval, time_in
from mister_e.transcription.readers.rows import Faults

#: Lines of other kinds say what was said, or who people are.
_KINDS = {"SPEAKER", "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER"}
_KINDS |= {"EDIT", "IP", "SU", "CB", "A/P", "SPKR-INFO"}
_EMPTY = "<NA>"
#: Fields of a line, the last of which (`slat`) not all write; more = a name in it has spaces.
_MOST_FIELDS = 10
#: Names of recordings that an error lists.
_MOST_NAMED = 5


def looks_like_rttm(text: str) -> bool:
    """Tell whether the first line of a text that is no comment is one of RTTM."""
    for line in text[:100_000].splitlines():
        if fields := _fields(line):
            return fields[0] in _KINDS
    return False


def read_rttm(text: str, faults: Faults, recording: str | Path | None) -> list[Interval]:
    """Read the SPEAKER lines of one recording.

    :param text: the file, lines ending in a newline.
    :param faults: told of lines that cannot be read.
    :param recording: its path; None = it has no name.
    :raises InputError: there is no line of the recording.
    """
    rows: dict[str, list[Interval]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        where, fields = f"line {number}", _fields(line)
        if not fields or (fields[0] in _KINDS and fields[0] != "SPEAKER"):
            continue
        try:
            name, found = _row(fields, where)
        except InputError as error:
            faults.leave_out(where, str(error))
        else:
            rows.setdefault(name, []).append(found)
    if not rows:
        raise InputError(faults.first or "has no SPEAKER line; expected SPEAKER FILE CHANNEL START LENGTH …")
    intervals = [found for name in _names_of(recording, rows, faults) for found in rows[name]]
    # a file of one channel calls it 1, whatever the recording has
    if len({found.channel for found in intervals}) < 2:
        intervals = [replace(found, channel=None) for found in intervals]
    return intervals


def _fields(line: str) -> list[str]:
    """Fields of a line; none of a comment."""
    fields = line.split()
    return [] if fields and fields[0].startswith((";", "#")) else fields


def _row(fields: Sequence[str], where: str) -> tuple[str, Interval]:
    """Name of the recording, and the interval, of a SPEAKER line.

    :raises InputError: it is no such line.
    """
    if fields[0] != "SPEAKER":
        raise InputError("is no line of RTTM; expected SPEAKER FILE CHANNEL START LENGTH …")
    # the two fields that are always empty follow the length, also where the name of the file has spaces
    length = 4
    if len(fields) > _MOST_FIELDS:
        empty = (n for n in range(5, len(fields) - 1) if fields[n] == fields[n + 1] == _EMPTY)
        length = next(empty, 5) - 1
    if len(fields) <= length:
        raise InputError(f"has {len(fields)} fields; expected SPEAKER FILE CHANNEL START LENGTH …")
    start, seconds = time_in(fields[length - 1], "start"), _length(fields[length])
    if start is None:
        raise InputError("has no start")
    voice = " ".join(fields[length + 3 :][: max(1, len(fields) - length - 5)])
    channel = fields[length - 2]
    found = interval(
        where,
        start,
        round(start + seconds, 6),  # 10.454 and 0.499 make 10.953
        voice or None,
        int(channel) - 1 if channel.isdecimal() and 0 < int(channel[:6]) < 1000 else None,
    )
    return " ".join(fields[1 : length - 2]), found


def _length(field: str) -> float:
    """Seconds that a line lasts.

    :raises InputError: it is no length.
    """
    try:
        length = float(field.replace(",", "."))
    except ValueError:
        raise InputError("length is no number of seconds") from None
    if not 0 <= length < float("inf"):
        raise InputError(f"length is {length:g}, expected seconds, 0 or more")
    return length


def _names_of(recording: str | Path | None, rows: dict[str, list[Interval]], faults: Faults) -> Iterator[str]:
    """Names in an RTTM that are those of a recording.

    :raises InputError: it is of several recordings, and not of this one.
    """
    names = list(rows)
    path = Path(recording) if recording is not None else None
    known = {name.casefold() for name in (path.stem, path.name)} if path else set()
    fitting = [name for name in names if name.casefold() in known]
    listed = ", ".join(name[:80] for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    if not fitting and len(names) > 1:
        of = f"none is {path.stem}" if path else "keep the lines of one"
        raise InputError(f"is of {len(names)} recordings, {of}: {listed}{more}")
    if not fitting and path:
        faults.remark(f"its lines name the recording {names[0][:80]!r}, not {path.stem!r}")
    if fitting and len(fitting) < len(names):
        lines = sum(len(rows[name]) for name in names if name not in fitting)
        faults.remark(f"lines of other recordings passed over: {lines}, of {len(names) - len(fitting)}")
    yield from fitting or names
