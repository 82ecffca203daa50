"""Readers of tables: CSV and TSV with a header, and the TSV that Whisper writes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import MOST_CHARACTERS, Faults, Row, row_of, time_of, times_in

_WHISPER_HEADER = "start\tend\ttext"
# Whole numbers are milliseconds if, as seconds, a word took longer than this; nobody speaks a
# hundred times as slowly or as fast.
_MOST_SECONDS_A_WORD = 10.0

_SEPARATORS = ",;\t|"
#: First line by which a spreadsheet is told the separator.
_SEP = re.compile(r'\s*"?sep=([^"\n])"?[^\w\n]*', re.IGNORECASE)
_CLOSE_QUOTES = 'close the quotes of its text, and double those inside ("He said ""no""")'


def read_table(text: str, faults: Faults) -> Iterator[Row]:
    """Read a table whose header names `text`; comma, semicolon, tab or `|`, or what a line `sep=;` says.

    A quote that is not closed costs its row, not those below it.

    :param text: the file, lines ending in a newline.
    :param faults: told of rows that cannot be read.
    :raises InputError: the header has no `text`.
    """
    lines = text.split("\n")
    first = _first_words(lines, 0)
    told = _SEP.fullmatch(lines[first]) if first < len(lines) else None
    if told:
        first = _first_words(lines, first + 1)
    if first == len(lines):
        return
    header = lines[first]
    if header.strip().lower() == _WHISPER_HEADER and _in_milliseconds(lines[first + 1 :]):
        faults.remark("its times are read as milliseconds, as Whisper writes them")
        yield from _whisper_rows(lines, first + 1, faults)
        return
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CHARACTERS))
    for separator in told[1] if told else _SEPARATORS:
        try:
            names = [name.strip().lower() for name in next(_reader([header], separator), [])]
        except csv.Error:
            continue  # a quote that does not end
        if "text" in names:
            break
    else:
        raise InputError(f"line {first + 1}: has no column 'text'; the header is {header[:80]!r}")
    for where, cells in _records(lines, first + 1, separator, names, faults):
        if any(cell.strip() for cell in cells[len(names) :]):
            faults.leave_out(
                where,
                f"has {len(cells)} cells, the header names {len(names)};"
                f' put text that holds {separator!r} in quotes ("…")',
            )
        elif cells:
            try:
                yield row_of(dict(zip(names, cells, strict=False)), where)
            except InputError as error:
                faults.leave_out(where, str(error))


def _first_words(lines: Sequence[str], first: int) -> int:
    """The first line, from one on, that is not blank; their number if there is none."""
    return next((number for number in range(first, len(lines)) if lines[number].strip()), len(lines))


def _reader(lines: Sequence[str] | Iterator[str], separator: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _records(
    lines: Sequence[str], first: int, separator: str, names: Sequence[str], faults: Faults
) -> Iterator[tuple[str, list[str]]]:
    """Cells of each record below the header, and where it begins.

    A record ends with its line, or where its quotes close. One whose quotes never close, or run over a line
    that is a row itself, is left out, and the lines that it ran over are read each by itself, so that
    each line is read twice at the most.
    """
    number, alone = first, first
    while number < len(lines):
        where, last = f"line {number + 1}", number

        def taken(begin: int = number, alone: int = alone) -> Iterator[str]:
            nonlocal last
            yield lines[begin] + "\n"
            for last in range(begin + 1, len(lines) if begin >= alone else 0):
                if _is_row(lines[last], separator, names):
                    raise csv.Error
                yield lines[last] + "\n"

        try:
            yield where, next(_reader(taken(), separator))
            number = last + 1
        except csv.Error as error:
            cells = lines[number].split("\t")
            if separator == "\t" and len(cells) == len(names):
                yield where, cells  # many programs quote nothing in a table with tabs
            else:
                reason = f"a quote in it is not closed, or not doubled; {_CLOSE_QUOTES}"
                if "limit" in str(error):
                    reason = f"a cell has more than {MOST_CHARACTERS} characters; cut it into turns"
                faults.leave_out(where, reason)
            number, alone = number + 1, max(alone, last)


def _is_row(line: str, separator: str, names: Sequence[str]) -> bool:
    """Whether a line is a row of a table with times, ids or channels, and not part of a text."""
    try:
        cells = next(_reader([line], separator), [])
    except csv.Error:
        return False
    if len(cells) != len(names):
        return False
    row = dict(zip(names, cells, strict=True))
    try:
        times = times_in(row)
    except InputError:
        return False
    named = [row[name].strip() for name in ("id", "channel") if name in row]
    if any(time is not None for time in times):
        return True
    return (
        bool(named) and all(name.isalnum() for name in named) and any(name[-1].isdecimal() for name in named)
    )


def _in_milliseconds(lines: Sequence[str]) -> bool:
    """Tell whether the times of a table with Whisper's header can only be milliseconds."""
    total = words = 0
    for line in lines:
        start, _, rest = line.partition("\t")
        end, _, said = rest.partition("\t")
        if not (len(start) < 12 and len(end) < 12 and start.isdecimal() and end.isdecimal()):
            if line.strip():
                continue  # whoever reads it says what is wrong
        else:
            total += max(0, int(end) - int(start))
            words += said.count(" ") + 1
    return words > 0 and total / words > _MOST_SECONDS_A_WORD


def _whisper_rows(lines: Sequence[str], first: int, faults: Faults) -> Iterator[Row]:
    """Rows of Whisper's TSV: nothing is quoted, and the text may hold tabs."""
    for number, line in enumerate(lines[first:], start=first + 1):
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
