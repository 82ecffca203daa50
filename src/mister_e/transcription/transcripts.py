"""Transcripts as turns: SubRip, WebVTT, JSON, CSV and plain text. Who speaks is never read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

from mister_e.analysis.subtitles import to_srt, to_vtt
from mister_e.analysis.turns import ConversationAnalysis, TurnAnalysis
from mister_e.conversation import Conversation, Utterance
from mister_e.errors import InputError
from mister_e.transcription.subtitles import looks_like_srt, read_srt, read_vtt, seconds

__all__ = ["FORMATS", "read_transcript", "to_srt", "to_vtt"]

#: Extensions that are understood.
FORMATS = (".srt", ".vtt", ".json", ".csv", ".tsv", ".txt")

#: Fields that tell who speaks: dropped wherever they stand.
_SPEAKER_FIELDS = frozenset({"speaker", "speaker_id", "speaker_label", "speaker_name", "spk", "voice"})

#: Fields that this package writes of a turn, of a conversation and of an analysis.
_TURN_FIELDS = frozenset(field.name for field in (*fields(Utterance), *fields(TurnAnalysis)))
_CONVERSATION_FIELDS = frozenset(
    field.name for field in (*fields(Conversation), *fields(ConversationAnalysis)) if field.name != "waveform"
)
_ANALYSIS_FIELDS = frozenset({"mister_e", "model", "labels", "conversations", "errors"})


@dataclass(frozen=True)
class _Row:
    """One turn as a file gives it, and where it stands there."""

    where: str
    text: str
    start: float | None = None
    end: float | None = None
    id: str | None = None
    channel: int | None = None


def read_transcript(path: str | Path) -> tuple[Utterance, ...]:
    """Read a transcript.

    The format follows from the extension (`FORMATS`), else from the content. JSON is one of:
    an analysis or a conversation of this package (`utterances`; a field that these do not have
    is an error), or a list of `{"start", "end", "text"}`, bare or under `segments` as speech
    recognisers write it (their other fields are ignored). CSV has a header with `text` and, if
    known, `start`, `end`, `id`, `channel`; other columns are ignored. Plain text is one turn a line.

    Names of speakers are dropped on purpose. Turns without words are left out. Turns are sorted
    by start where all have one; they may overlap. Turns without an id are called t0001, t0002, …,
    passing over names that other turns have.

    :param path: the file: UTF-8, UTF-16 with its mark, or else Windows-1252.
    :return: the turns, at least one.
    :raises InputError: the file cannot be read, holds no words, or a time, field or id is wrong.
    """
    text = _read_text(path)
    try:
        rows = [row for row in _rows(Path(path), text) if row.text]
        if not rows:
            raise InputError("holds no words; expected at least one turn with text")
        return tuple(_utterances(rows))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read_text(path: str | Path) -> str:
    """Text of a file, its lines ending in a newline."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path of the transcript") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a transcript") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise InputError(f"{path}: is not text; expected a transcript ({', '.join(FORMATS)})")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(path: Path, text: str) -> Iterator[_Row]:
    """Parse by extension, or by content where it tells nothing."""
    kind = path.suffix.lower()
    if text.startswith("WEBVTT"):
        kind = ".vtt"
    elif kind not in FORMATS or kind == ".txt":
        if looks_like_srt(text):
            kind = ".srt"
        elif kind != ".txt" and text.lstrip().startswith(("{", "[")):
            kind = ".json"
    match kind:
        case ".srt" | ".vtt":
            cues = list(read_srt(text) if kind == ".srt" else read_vtt(text))
            if text.strip() and not cues:
                raise InputError("has no line with times, as 00:00:01,000 --> 00:00:02,500")
            return (_Row(cue.where, cue.text, cue.start, cue.end) for cue in cues)
        case ".json":
            return _json_rows(text)
        case ".csv" | ".tsv":
            return _csv_rows(text)
        case ".txt":
            lines = enumerate(text.split("\n"), start=1)
            return (_Row(f"line {number}", " ".join(line.split())) for number, line in lines)
    raise InputError(f"is not a transcript format that is known; expected one of {', '.join(FORMATS)}")


def _json_rows(text: str) -> Iterator[_Row]:
    """Parse JSON of any of the layouts."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"line {error.lineno}: not JSON ({error.msg}); check the file") from error
    except RecursionError:
        raise InputError('is nested too deeply; expected a list of {"start", "end", "text"}') from None
    except ValueError as error:
        raise InputError(f"not JSON that can be read ({error}); check its numbers") from error
    if isinstance(data, dict) and "conversations" in data:
        _check_fields(data, _ANALYSIS_FIELDS, "the analysis")
        conversations = _objects(data["conversations"], "conversations")
        if len(conversations) != 1:
            raise InputError(f"a transcript is one conversation, this analysis has {len(conversations)}")
        data = conversations[0]
    if isinstance(data, dict) and "utterances" in data:
        _check_fields(data, _CONVERSATION_FIELDS, "the conversation")
        utterances = _objects(data["utterances"], "utterances")
        for number, utterance in enumerate(utterances, start=1):
            _check_fields(utterance, _TURN_FIELDS, f"utterance {number}")
        return (
            _row(utterance, f"utterance {number}") for number, utterance in enumerate(utterances, start=1)
        )
    if isinstance(data, dict) and "segments" in data:
        data = data["segments"]
    if not isinstance(data, list):
        raise InputError('expected "utterances", "segments" or a list of {"start", "end", "text"}')
    segments = _objects(data, "segments")
    return (_row(segment, f"segment {number}") for number, segment in enumerate(segments, start=1))


def _check_fields(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse a field that this package does not write: it may be a misspelt one."""
    unknown = sorted(set(data) - known - _SPEAKER_FIELDS)
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(sorted(known))}")


def _objects(data: Any, where: str) -> list[dict[str, Any]]:
    """Check that JSON is a list of objects."""
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise InputError(f"{where}: expected a list of objects")
    return data


def _csv_rows(text: str) -> Iterator[_Row]:
    """Parse a table whose header names `text`; comma, semicolon or tab."""
    header = text.lstrip("\n").split("\n", 1)[0]
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text.lstrip("\n"), newline=""), delimiter=delimiter)
        names = [name.strip().lower() for name in next(reader, [])]
        if "text" in names:
            break
    else:
        if not text.strip():
            return
        raise InputError(f"line 1: has no column 'text'; the header is {header[:80]!r}")
    try:
        for cells in reader:
            where = f"line {reader.line_num}"
            if any(cell.strip() for cell in cells[len(names) :]):
                raise InputError(
                    f"{where}: has {len(cells)} cells, the header names {len(names)};"
                    f' put text that holds {delimiter!r} in quotes ("…")'
                )
            if cells:
                yield _row(dict(zip(names, cells, strict=False)), where)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: not CSV ({error})") from error


def _row(data: Mapping[str, Any], where: str) -> _Row:
    """Check the fields of a JSON object or a table's row."""
    text = data.get("text")
    if text is None and "text" not in data:
        raise InputError(f"{where}: has no field 'text'")
    if not isinstance(text, str | None):
        raise InputError(f"{where}: text is {text!r}, expected a string")
    given_id = data.get("id")
    if not isinstance(given_id, str | int | None):
        raise InputError(f"{where}: id is {given_id!r}, expected a string")
    channel = data.get("channel")
    if isinstance(channel, str):
        channel = int(channel) if channel.strip().isdecimal() else (channel.strip() or None)
    if not (channel is None or (isinstance(channel, int) and channel >= 0)):
        raise InputError(f"{where}: channel is {channel!r}, expected 0, 1, …")
    start, end = (_time(data.get(name), f"{where}: {name}") for name in ("start", "end"))
    return _Row(
        where,
        " ".join((text or "").split()),
        start,
        end,
        str(given_id) if given_id not in (None, "") else None,
        channel,
    )


def _time(value: Any, where: str) -> float | None:
    """Seconds of a JSON number or of text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        try:
            value = seconds(value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{where} is {value!r}, expected seconds or HH:MM:SS.mmm")
    try:
        time = float(value)
    except OverflowError:
        time = math.inf
    if not math.isfinite(time) or time < 0:
        raise InputError(f"{where} is {time}, expected seconds from the start of the recording, 0 or more")
    return time


def _utterances(rows: Sequence[_Row]) -> Iterable[Utterance]:
    """Check times and ids across the rows, sort and name them."""
    for row in rows:
        if row.start is not None and row.end is not None and row.end < row.start:
            raise InputError(
                f"{row.where}: ends ({row.end:g} s) before it starts ({row.start:g} s); correct its times"
            )
    if all(row.start is not None for row in rows):
        rows = sorted(rows, key=lambda row: row.start or 0.0)
    given = {row.id for row in rows}
    free = (name for number in count(1) if (name := f"t{number:04}") not in given)
    seen: dict[str, str] = {}
    for row in rows:
        name = row.id or next(free)
        if name in seen:
            raise InputError(f"{row.where}: the id {name!r} is that of {seen[name]} too; make ids unique")
        seen[name] = row.where
        yield Utterance(name, row.text, row.start, row.end, row.channel)
