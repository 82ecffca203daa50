"""Reader of SubStation Alpha: ASS and SSA, whose events are lines of `Dialogue:`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row, seconds

_FIELDS = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
_OVERRIDE = re.compile(r"\{[^{}]*\}")
_DRAWING = re.compile(r"\\p[1-9]")


def looks_like_substation(text: str) -> bool:
    """Tell whether a text is a SubStation script."""
    return text.lstrip()[:20].lower().startswith("[script info]")


def read_substation(text: str, faults: Faults) -> Iterator[Row]:
    """Read the events that are dialogue, without drawings, override tags and the names of actors.

    :param text: the file, lines ending in a newline.
    :param faults: told of events that cannot be read.
    :raises InputError: there is no event.
    """
    fields, events, found = _FIELDS, False, False
    for number, line in enumerate(text.split("\n"), start=1):
        kind, _, rest = line.partition(":")
        match kind.strip().lower():
            case "[events]":
                events = True
            case "format" if events:
                fields = [field.strip().lower() for field in rest[:1000].split(",")]
            case "dialogue":
                found = True
                row = _event(f"line {number}", rest, fields, faults)
                if row is not None:
                    yield row
    if not found:
        raise InputError("has no line 'Dialogue: …'; expected the events of a SubStation script")


def _event(where: str, line: str, fields: list[str], faults: Faults) -> Row | None:
    """One event; the text, which stands last, may hold commas."""
    event = dict(zip(fields, line.split(",", len(fields) - 1), strict=False))
    if not {"start", "end", "text"} <= event.keys():
        faults.leave_out(where, f"has {len(event)} fields, expected {', '.join(fields)}")
        return None
    try:
        start, end = seconds(event["start"].strip()), seconds(event["end"].strip())
    except InputError as error:
        faults.leave_out(where, str(error))
        return None
    marks = _OVERRIDE.findall(event["text"])
    if any(_DRAWING.search(mark) for mark in marks):
        return None
    words = _OVERRIDE.sub("", event["text"]).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return Row(where, words, start, end)
