"""Reading of a table file into a typed polars frame; columns that tell the speaker are dropped."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from mister_e.corpora.text import decode
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

#: Cells that count as empty.
_EMPTY = ("", "nan", "null", "none", "na", "n/a")

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

#: Description of a type, for the error about a cell of another type.
_EXPECTED = {pl.Int64: "a whole number", pl.Float64: "a number", pl.Boolean: "true or false"}


def read_frame(path: Path, columns: Mapping[str, str], repairs: list[str]) -> pl.DataFrame:
    """Read a table; the columns of `KNOWN` get their types, empty cells are null.

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
    for name, kind in KNOWN.items():
        if name in frame.columns:
            frame = frame.with_columns(typed(frame[name], kind, path))
    return frame


def with_features(frame: pl.DataFrame, patterns: Sequence[str], path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Select the columns that match patterns, and convert them to numbers.

    :return: the frame, undefined numbers null; the names of the columns.
    :raises InputError: a pattern matches none, or a cell is not a number.
    """
    chosen: dict[str, pl.Series] = {}
    for pattern in patterns:
        names = [name for name in frame.columns if fnmatchcase(name, pattern) and name not in KNOWN]
        if not names:
            raise InputError(
                f"{path}: no column is called {pattern!r}; its columns are {', '.join(frame.columns)}"
            )
        for name in names:
            numbers = typed(frame[name], pl.Float64, path)
            chosen[name] = numbers.set(numbers.is_infinite().fill_null(False), None)
    return frame.with_columns(chosen.values()), list(chosen)


def typed(column: pl.Series, kind: type[pl.DataType], path: Path) -> pl.Series:
    """Convert a column to a type; empty cells become null.

    :raises InputError: a cell is of another type; the message names the row.
    """
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        # in a text, "none" or "null" may be what was said
        empty = ("",) if kind == pl.String else _EMPTY
        column = column.set(column.str.to_lowercase().is_in(empty).fill_null(False), None)
    elif column.dtype.is_float():
        column = column.fill_nan(None)
    try:
        if kind == pl.Boolean and column.dtype == pl.String:
            cast = column.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
        else:
            cast = column.cast(kind, strict=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: column {column.name!r} is {column.dtype}, expected {kind()}") from error
    row = (column.is_not_null() & cast.is_null()).arg_max()
    if row is not None and cast[row] is None and column[row] is not None:
        what = _EXPECTED.get(kind, "text")
        raise InputError(f"{path}, row {row + 1}: {column.name} is {column[row]!r}, expected {what}")
    return cast


def _read(path: Path, repairs: list[str]) -> pl.DataFrame:
    """Read a file by its extension."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .csv, .tsv, .parquet or .jsonl")
    try:
        match path.suffix.lower():
            case ".csv" | ".tsv":
                return _read_csv(path, repairs)
            case ".parquet":
                return pl.read_parquet(path)
            case ".jsonl" | ".ndjson":
                return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as {path.suffix.removeprefix('.')} ({reason})") from error
    raise InputError(f"{path}: expected a table that ends in .csv, .tsv, .parquet or .jsonl")


def _read_csv(path: Path, repairs: list[str]) -> pl.DataFrame:
    """Read delimited text, every cell as a string."""
    data = path.read_bytes()
    text = decode(data)
    if not text.strip():
        raise InputError(f"{path}: is empty; expected a header and one row an utterance")
    if text.encode() != data.removeprefix(b"\xef\xbb\xbf"):
        repairs.append(f"{path.name}: has lines that are not UTF-8, read as Windows-1252")
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    return pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False)


def _renamed(frame: pl.DataFrame, columns: Mapping[str, str], path: Path) -> pl.DataFrame:
    """Rename columns to their known names; a column whose name another one takes is dropped."""
    names = {old: new for old, new in _ALIASES.items() if old in frame.columns and new not in frame.columns}
    for new, old in columns.items():
        if new not in KNOWN:
            raise InputError(f"there is no column {new!r} to name: choose {', '.join(KNOWN)}")
        if old not in frame.columns:
            raise InputError(f"{path}: has no column {old!r}; its columns are {', '.join(frame.columns)}")
        names[old] = new
    given_away = [new for old, new in names.items() if new in frame.columns and new != old]
    return frame.drop(given_away).rename(names)
