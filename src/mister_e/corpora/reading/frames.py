"""Reading of a table file into a typed polars frame; columns that tell the speaker are dropped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from mister_e.corpora.reading.cells import (
    EMPTY,
    LONGEST_NAME,
    NotANumberError,
    check_name,
    listed,
    numbers,
    refuse_cell,
)
from mister_e.corpora.reading.delimited import Record, read_bytes, read_delimited
from mister_e.corpora.reading.json_lines import read_json_lines
from mister_e.errors import InputError

#: Columns that a user's table may have, besides features, with their types.
KNOWN: Mapping[str, type[pl.DataType]] = {
    "conversation_id": pl.String,
    "turn": pl.Int64,
    "utterance_id": pl.String,
    "text": pl.String,
    "audio": pl.String,
    "start": pl.Float64,
    "end": pl.Float64,
    "label": pl.String,
    "split": pl.String,
    "speech_missing": pl.String,
    "has_audio": pl.Boolean,
    "audio_suspect": pl.Boolean,
}

#: Other names of these columns, as `corpus.parquet` has them.
_ALIASES = {"conversation": "conversation_id", "id": "utterance_id"}

#: Names of columns that tell the speaker; they are dropped before anything else is read.
_SPEAKER = re.compile(r"speaker|(?:^|[_\s-])(?:spk|actor|gender|sex)(?:[_\s-]|\d|$)", re.IGNORECASE)

#: Hidden column: number of a row in the file, which differs from its place where rows are blank.
ROW = "\0row"

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

#: A number as programs write it, which polars reads.
_PLAIN = r"^[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?$"

#: Columns in which a time may be written as on a clock.
_TIMES = ("start", "end")

#: Description of a type, for the error about a cell of another type.
_EXPECTED: Mapping[type[pl.DataType], str] = {pl.Boolean: "true or false"}


def read_frame(path: Path, columns: Mapping[str, str], repairs: list[str]) -> pl.DataFrame:
    """Read a table; the columns of `KNOWN` get their types, empty cells are null, and `ROW` numbers the rows.

    Labels are left as they are written, but for spaces; see `mister_e.corpora.reading.cells.unify_classes`.

    :param path: `.csv`, `.tsv`, `.parquet` or `.jsonl`.
    :param columns: a known column to its name in the table.
    :param repairs: sentences on dropped columns and repairs are appended here.
    :raises InputError: it cannot be read, or a cell is not of its column's type.
    """
    frame = _read(path, repairs)
    speakers = [name for name in frame.columns if _SPEAKER.search(name)]
    if speakers:
        frame = frame.drop(speakers)
        repairs.append(f"column {', '.join(speakers)}: says who speaks, dropped")
    frame = _renamed(frame, columns, path)
    where = row_names(frame, path)
    for name, kind in KNOWN.items():
        if name in frame.columns:
            frame = frame.with_columns(typed(frame[name], kind, where))
    return frame


def row_names(frame: pl.DataFrame, path: Path) -> Callable[[int], str]:
    """Give the function from a place in the frame, 0-based, to "FILE, row NUMBER"."""
    rows = frame[ROW]
    return lambda place: f"{path}, row {rows[place]}"


def with_features(frame: pl.DataFrame, patterns: Sequence[str], path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Select the columns that match patterns, and convert them to numbers.

    :return: the frame, undefined numbers null; the names of the columns.
    :raises InputError: a pattern matches none, or a cell is not a number.
    """
    chosen: dict[str, pl.Series] = {}
    others = [name for name in frame.columns if name not in KNOWN and name != ROW]
    for pattern in patterns:
        names = [name for name in others if fnmatchcase(name, pattern)]
        if not names:
            there = [name for name in frame.columns if name != ROW]
            raise InputError(f"{path}: no column is called {pattern!r}; its columns are {listed(there)}")
        for name in names:
            column = typed(frame[name], pl.Float64, row_names(frame, path))
            chosen[name] = column.set(column.is_infinite().fill_null(False), None)
    return frame.with_columns(chosen.values()), list(chosen)


def typed(column: pl.Series, kind: type[pl.DataType], where: Callable[[int], str]) -> pl.Series:
    """Convert a column to a type; empty cells become null.

    :param where: of a place in the column, what an error begins with.
    :raises InputError: a cell is of another type; the message names the row.
    """
    column = _flat(column, where)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        # in a text, "none" or "null" may be what was said; a label may be called so
        blank = [""] if column.name in ("text", "label") else list(EMPTY)
        column = column.set(column.str.to_lowercase().is_in(blank).fill_null(False), None)
        if column.name in KNOWN and column.name != "text":
            for place in (column.str.len_chars() > LONGEST_NAME).arg_true():
                check_name(column[place], where(place), column.name)
    elif column.dtype.is_float():
        column = column.fill_nan(None)
    if kind in (pl.Float64, pl.Int64):
        return _numeric(column, kind, where)
    if kind == pl.Boolean and column.dtype == pl.String:
        cast = column.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    else:
        cast = column.cast(kind, strict=False)
    wrong = (column.is_not_null() & cast.is_null()).arg_max()
    if wrong is not None and cast[wrong] is None and column[wrong] is not None:
        raise refuse_cell(where(wrong), column.name, column[wrong], _EXPECTED.get(kind, "text"))
    return cast


def _flat(column: pl.Series, where: Callable[[int], str]) -> pl.Series:
    """Series of text, numbers or truth values: of other types, what says the same in one of these.

    :raises InputError: there is none, as of a list.
    """
    kind = column.dtype
    if kind in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if kind == pl.Duration:
        return column.dt.total_microseconds() / 1e6
    if kind == pl.Null:
        return column.cast(pl.String)
    if kind.is_decimal():
        return column.cast(pl.Float64)
    if kind in (pl.String, pl.Boolean) or kind.is_numeric():
        return column
    first = column.is_not_null().arg_max() or 0
    raise InputError(f"{where(first)}: {column.name} is of type {kind}, expected text or a number")


def _numeric(column: pl.Series, kind: type[pl.DataType], where: Callable[[int], str]) -> pl.Series:
    """Convert a column to numbers, whole ones where that is asked for.

    :raises InputError: a cell is no such number.
    """
    if column.dtype == pl.String and column.str.contains(_PLAIN).all():
        column = column.cast(pl.Float64)
    elif column.dtype == pl.String:
        try:
            values = numbers(column.to_list(), clocks=column.name in _TIMES)
        except NotANumberError as error:
            expected = "a whole number" if kind == pl.Int64 and str(error) == "a number" else error
            raise refuse_cell(where(error.place), column.name, column[error.place], expected) from None
        column = pl.Series(column.name, values, pl.Float64)
    if column.dtype.is_float() and kind == pl.Int64:
        # not above 2 ** 53, beyond which numbers with a fraction have gaps
        wrong = [n for n, value in enumerate(column) if value is not None and not _is_whole(value)]
        if wrong:
            raise refuse_cell(where(wrong[0]), column.name, column[wrong[0]], "a whole number")
    return column.cast(kind)


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) <= 2**53


def _read(path: Path, repairs: list[str]) -> pl.DataFrame:
    """Read a file by its extension."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .csv, .tsv, .parquet or .jsonl")
    match path.suffix.lower():
        case ".csv" | ".tsv":
            columns, records = read_delimited(path, repairs)
        case ".jsonl" | ".ndjson":
            columns, records = read_json_lines(path, repairs)
        case ".parquet":
            return _read_parquet(path)
        case _:
            raise InputError(f"{path}: expected a table that ends in .csv, .tsv, .parquet or .jsonl")
    if not columns:
        raise InputError(f"{path}: is empty; expected a header and one row an utterance")
    return _from_records(columns, records)


def _from_records(columns: Sequence[str], records: Sequence[Record]) -> pl.DataFrame:
    """Make a frame of text."""
    rows = [record.cells for record in records]
    series = [pl.Series(name, [row.get(name) for row in rows], pl.String) for name in columns]
    return pl.DataFrame([*series, pl.Series(ROW, [record.row for record in records], pl.Int64)])


def _read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file."""
    data = read_bytes(path)
    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        raise InputError(f"{path}: cannot be read as parquet (it is none, or cut off); write it again")
    try:
        frame = pl.read_parquet(data)
        for name in frame.columns:
            check_name(name, str(path), "a column")
        return frame.with_columns(pl.Series(ROW, range(1, frame.height + 1), pl.Int64))
    # a panic of polars on a damaged file is no Exception
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise InputError(f"{path}: cannot be read as parquet ({reason}); write it again") from error


def _renamed(frame: pl.DataFrame, columns: Mapping[str, str], path: Path) -> pl.DataFrame:
    """Rename columns to their known names; a column whose name another one takes is dropped."""
    there = [name for name in frame.columns if name != ROW]
    names = {old: new for old, new in _ALIASES.items() if old in there and new not in there}
    for new, old in columns.items():
        if new not in KNOWN:
            raise InputError(f"there is no column {new!r} to name: choose {', '.join(KNOWN)}")
        if old not in there:
            raise InputError(f"{path}: has no column {old!r}; its columns are {listed(there)}")
        names[old] = new
    # Label or TEXT, where no other column is meant
    taken = {*there, *names.values()}
    for old in there:
        new = old.strip().lower()
        if new in KNOWN and new not in taken and old not in names:
            names[old] = new
            taken.add(new)
    given_away = [new for old, new in names.items() if new in frame.columns and new != old]
    return frame.drop(given_away).rename(names)
