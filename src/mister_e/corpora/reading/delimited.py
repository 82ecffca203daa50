"""Delimited text as programs save it: its encoding, separator and line ends are recognised."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mister_e.corpora.reading.cells import check_name
from mister_e.corpora.text import ZERO_WIDTH, decode
from mister_e.errors import InputError

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

#: First line by which a spreadsheet is told the separator.
_SEP = re.compile(r'\s*"?sep=([^\r\n"])[^\w\r\n]*(?:\r\n?|\n|$)', re.IGNORECASE)

#: UTF-32 comes first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

#: How files begin that are no text, whatever their name ends in.
_BINARY = {b"PK\x03\x04": "a workbook or zip", b"\xd0\xcf\x11\xe0": "an old workbook", b"PAR1": "Parquet"}


@dataclass(frozen=True)
class Record:
    """One row.

    :param row: its number below the header, 1-based; blank rows count.
    :param line: of the file, 1-based, in which it begins.
    :param cells: column to text, without spaces around it.
    """

    row: int
    line: int
    cells: Mapping[str, str]


def read_bytes(path: Path) -> bytes:
    """Read a file.

    :raises InputError: it is not there, or may not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def read_text(path: Path, notes: list[str]) -> str:
    """Decode a file: UTF-16 and UTF-32 by their mark or their zero bytes, else UTF-8 or Windows-1252.

    :param notes: a sentence is appended where it is not Unicode.
    :raises InputError: it is no text.
    """
    data = read_bytes(path)
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise InputError(f"{path}: is {what}, not text; save it as CSV in UTF-8")
    encoding, mark = next(
        ((name, mark) for mark, name in _MARKS if data.startswith(mark)), (_by_zeros(data), b"")
    )
    if encoding is None:
        text = decode(data)
        if text.encode() != data.removeprefix(codecs.BOM_UTF8):
            notes.append(f"{path.name}: has lines that are not UTF-8, read as Windows-1252")
    else:
        try:
            text = data.removeprefix(mark).decode(encoding)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: is damaged {encoding.upper()} ({error.reason}); save it as UTF-8"
            ) from None
    if "\0" in text:
        line = len(re.findall(r"\r\n?|\n", text[: text.index("\0")])) + 1
        raise InputError(f"{path}, line {line}: holds a zero byte, so it is no text; save it as CSV in UTF-8")
    return text


def read_delimited(path: Path, notes: list[str]) -> tuple[list[str], list[Record]]:
    """Read CSV, TSV and the like; rows without any content are passed over.

    :param path: the separator is that of a first line `sep=;`, else the one that the header has most of.
    :param notes: sentences on what was read otherwise than written are appended here.
    :return: the columns that have a name; none if the file is empty. And the rows.
    :raises InputError: it is no text, a column is there twice, or a row has not one cell for each column.
    """
    text = read_text(path, notes)
    told = _SEP.match(text)
    first_line = 1
    if told:
        text, first_line = text[told.end() :], 2
    blank = re.match(r"(?:[^\S\r\n]*(?:\r\n?|\n))*", text)
    assert blank is not None
    first_line += len(re.findall(r"\r\n?|\n", blank[0]))
    text = text[blank.end() :]
    separator = told[1] if told else _separator(text)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    records: list[Record] = []
    columns: list[str] = []
    row = 0
    line = first_line
    nameless = False
    try:
        columns = [_bare(name) for name in next(reader, [])]
        _check_columns(columns, f"{path}, line {first_line}")
        while True:
            line = first_line + reader.line_num
            cells = next(reader, None)
            if cells is None:
                break
            row += 1
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if len(cells) != len(columns):
                cells = _fitted(cells, columns, f"{path}, row {row}, line {line}", separator)
            named = dict(zip(columns, cells, strict=True))
            if "" in named:
                nameless = nameless or any(c for name, c in zip(columns, cells, strict=True) if not name)
                del named[""]
            records.append(Record(row, line, named))
    except csv.Error as error:
        where = f"row {row + 1}, line {line}" if columns else f"line {line}"
        raise InputError(
            f"{path}, {where}: not CSV ({error}); close the quotes, and double those inside a text"
        ) from None
    if nameless:
        notes.append(f"{path.name}: a column without a name, left out")
    return [name for name in columns if name], records


def _by_zeros(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of the first ones is zero."""
    start = data[:200]
    zeros = [start[offset::2].count(0) for offset in (0, 1)]
    for name, here, other in (("utf-16-be", zeros[0], zeros[1]), ("utf-16-le", zeros[1], zeros[0])):
        if here > len(start) / 4 and not other:
            return name
    return None


def _separator(text: str) -> str:
    """The separator that the header has most of, outside of quotes."""
    header = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", text), maxsplit=1)[0]
    return max(_SEPARATORS, key=header.count)


def _bare(name: str) -> str:
    """Name of a column without spaces and what cannot be seen around it."""
    return name.strip().strip(ZERO_WIDTH).strip()


def _check_columns(columns: Sequence[str], where: str) -> None:
    """Refuse a column that is there twice, or no name."""
    for name in columns:
        check_name(name, where, "a column")
    twice = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if twice:
        raise InputError(f"{where}: column {twice[0]!r} is there twice; take one of them out")


def _fitted(cells: list[str], columns: Sequence[str], where: str, separator: str) -> list[str]:
    """Leave empty cells beyond the columns out.

    :raises InputError: others are too many, or there are too few.
    """
    if len(cells) > len(columns) and not any(cells[len(columns) :]):
        return cells[: len(columns)]
    how = "more" if len(cells) > len(columns) else "fewer"
    name = _SEPARATORS.get(separator, repr(separator))
    raise InputError(
        f"{where}: {how} cells than columns ({len(cells)} for {len(columns)});"
        f' put text with {name} or line ends in quotes ("..."), and leave no cell out'
    )
