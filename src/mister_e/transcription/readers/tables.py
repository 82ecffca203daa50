"""Readers of tables: CSV and TSV with a header, and the TSV that Whisper writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row, row_of, time_of

_WHISPER_HEADER = "start\tend\ttext"
# Whole numbers are milliseconds if, as seconds, a word took longer than this; nobody speaks a
# hundred times as slowly or as fast.
_MOST_SECONDS_A_WORD = 10.0


def read_table(text: str, faults: Faults) -> Iterator[Row]:
    """Read a table whose header names `text`; comma, semicolon or tab.

    :param text: the file, lines ending in a newline.
    :param faults: told of rows that cannot be read.
    :raises InputError: the header has no `text`, or it is no CSV.
    """
    text = text.lstrip("\n")
    header = text.split("\n", 1)[0]
    if header.strip().lower() == _WHISPER_HEADER and _in_milliseconds(text):
        faults.remark("its times are read as milliseconds, as Whisper writes them")
        yield from _whisper_rows(text, faults)
        return
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            names = [name.strip().lower() for name in next(reader, [])]
        except csv.Error:
            continue  # a cell that is too long, or a quote that does not end
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
                faults.leave_out(
                    where,
                    f"has {len(cells)} cells, the header names {len(names)};"
                    f' put text that holds {delimiter!r} in quotes ("…")',
                )
            elif cells:
                try:
                    yield row_of(dict(zip(names, cells, strict=False)), where)
                except InputError as error:
                    faults.leave_out(where, str(error))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: not CSV ({error}); check its quotes") from error


def _in_milliseconds(text: str) -> bool:
    """Tell whether the times of a table with Whisper's header can only be milliseconds."""
    total = words = 0
    for line in text.split("\n")[1:]:
        start, _, rest = line.partition("\t")
        end, _, said = rest.partition("\t")
        if not (len(start) < 12 and len(end) < 12 and start.isdecimal() and end.isdecimal()):
            if line.strip():
                continue  # whoever reads it says what is wrong
        else:
            total += max(0, int(end) - int(start))
            words += said.count(" ") + 1
    return words > 0 and total / words > _MOST_SECONDS_A_WORD


def _whisper_rows(text: str, faults: Faults) -> Iterator[Row]:
    """Rows of Whisper's TSV: nothing is quoted, and the text may hold tabs."""
    for number, line in enumerate(text.split("\n")[1:], start=2):
        cells = line.split("\t", 2)
        if not line.strip():
            continue
        try:
            if len(cells) < 3:
                raise InputError(f"has {len(cells)} cells, the header names 3")
            start, end = (
                time_of(cells[place], name, unit=0.001) for place, name in enumerate(("start", "end"))
            )
            yield Row(f"line {number}", cells[2], start, end)
        except InputError as error:
            faults.leave_out(f"line {number}", str(error))
