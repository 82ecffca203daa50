"""Checks of a table or a folder of clips as it lies: it is prepared into a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mister_e.corpora import clips, table
from mister_e.corpora.checks.findings import Finding
from mister_e.corpora.store import METADATA, Corpus

_TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def is_unprepared(path: Path) -> bool:
    """Whether this is a table, or a folder of clips, that `mister-e prepare` would read."""
    if path.is_file():
        return path.suffix.lower() in _TABLES
    return (path / clips.MANIFEST).is_file() and not (path / METADATA).is_file()


@contextmanager
def prepared(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[Corpus, tuple[Finding, ...]]]:
    """Yield the corpus that a table or a folder of clips would give, and how it was read.

    :param path: see `is_unprepared`; left as it is.
    :param columns: of a table, a column's name here to its name there.
    :raises InputError: it cannot be read; the message names the row.
    """
    with tempfile.TemporaryDirectory(prefix="mister-e-check-") as temporary:
        out = Path(temporary) / "corpus"
        if path.is_file():
            corpus = table.prepare(path, out, columns=columns, counts=False)
        else:
            corpus = clips.prepare(path, out, counts=False)
        notes = corpus.metadata["repaired"]
        yield corpus, tuple(Finding("warning", "read-as", note) for note in notes)
