"""Transcripts as turns, of whatever format. Who speaks is never read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from mister_e.analysis.subtitles import to_srt, to_vtt
from mister_e.conversation import Utterance
from mister_e.errors import InputError
from mister_e.transcription.encoding import read_text
from mister_e.transcription.readers.formats import FORMATS, check_format, is_transcript, read_rows
from mister_e.transcription.readers.rows import LONGEST_SECONDS, Faults, Row
from mister_e.transcription.words import spoken

__all__ = ["FORMATS", "is_transcript", "read_transcript", "to_srt", "to_vtt"]

#: Turns of one transcript; a day of speech has fewer.
MOST_TURNS = 100_000


def read_transcript(
    path: str | Path, *, strict: bool = False, notes: list[str] | None = None
) -> tuple[Utterance, ...]:
    """Read a transcript.

    The format follows from the extension (`FORMATS`), else from the content. JSON is one of: an
    analysis or a conversation of this package (`utterances`; a field that these do not have is an
    error); a list of `{"start", "end", "text"}`, bare or under `segments` as speech recognisers write
    it; or what whisper.cpp, Hugging Face, Amazon Transcribe, AssemblyAI, Deepgram, Rev, Azure,
    Google or Speechmatics write. CSV has a header with `text` and, if known, `start`, `end`, `id`, `channel`;
    other columns are ignored. Plain text is one turn a line.

    Names of speakers are dropped on purpose, as is what no voice says ("♪", "[applause]"). Turns
    without words are left out. Turns are sorted by start where all have one; they may overlap. Turns
    without an id are called t0001, t0002, …, passing over names that other turns have.

    :param path: the file: UTF-8, UTF-16 with its mark, or else Windows-1252.
    :param strict: refuse the file for a turn that cannot be read, which else costs that turn alone.
    :param notes: told what was left out or changed, with the line or the number of the turn.
    :return: the turns, at least one.
    :raises InputError: the file cannot be read, or holds no words.
    """
    path = Path(path)
    faults = Faults(strict=strict)
    try:
        check_format(path)
        rows = list(islice(read_rows(path, read_text(path, faults), faults), MOST_TURNS + 1))
        if len(rows) > MOST_TURNS:
            raise InputError(f"has more than {MOST_TURNS} turns; cut it into conversations")
        turns = tuple(_utterances(_in_order(spoken(rows, faults), faults), faults))
        if not turns:
            raise InputError(faults.first or "holds no words; expected at least one turn with text")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if notes is not None:
        notes += faults.notes()
    return turns


def _in_order(rows: Iterable[Row], faults: Faults) -> list[Row]:
    """Rows whose times can be, by their start where all have one."""
    kept = []
    for row in rows:
        times = [time for time in (row.start, row.end) if time is not None]
        if row.start is not None and row.end is not None and row.end < row.start:
            reason = f"ends ({row.end:g} s) before it starts ({row.start:g} s); correct its times"
            faults.leave_out(row.where, reason)
        elif any(time > LONGEST_SECONDS for time in times):
            faults.leave_out(row.where, f"has the time {max(times):g} s; no recording is so long")
        else:
            kept.append(row)
    if all(row.start is not None for row in kept):
        kept.sort(key=lambda row: row.start or 0.0)
    return kept


def _utterances(rows: Sequence[Row], faults: Faults) -> Iterable[Utterance]:
    """Name the rows."""
    rows = _with_own_ids(rows, faults)
    given = {row.id for row in rows}
    free = (name for number in count(1) if (name := f"t{number:04}") not in given)
    for row in rows:
        yield Utterance(
            row.id or next(free),
            row.text,
            row.start,
            row.end,
            row.channel,
            asr_confidence=row.asr_confidence,
            text_uncertain=row.text_uncertain,
            language=row.language,
            notes=row.notes,
        )


def _with_own_ids(rows: Sequence[Row], faults: Faults) -> list[Row]:
    """Rows whose ids differ: one that repeats is dropped, and all are if they are but numbers that restart.

    :raises InputError: faults are refused.
    """
    seen: dict[str, str] = {}
    repeated: list[str] = []
    named: list[Row] = []
    for row in rows:
        own = row
        if row.id is not None and row.id in seen:
            problem = f"{row.where}: the id {row.id[:80]!r} is that of {seen[row.id]} too"
            if faults.strict:
                raise InputError(f"{problem}; make ids unique")
            repeated.append(problem)
            own = replace(row, id=None)
        elif row.id is not None:
            seen[row.id] = row.where
        named.append(own)
    if not repeated:
        return named
    more = f" (and {len(repeated) - 1} more)" if len(repeated) > 1 else ""
    if all(row.id is None or row.id.isdecimal() for row in rows):
        faults.remark(f"{repeated[0]}{more}; the turns were numbered anew")
        return [replace(row, id=None) for row in rows]
    faults.remark(f"{repeated[0]}{more}; it was named anew")
    return named
