"""A repaired copy of a corpus: what can be repaired without guessing, with a list of the changes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from mister_e.corpora.checks.findings import DecodedClip, Evidence
from mister_e.corpora.rows import counts
from mister_e.corpora.store import Corpus, root_from, write
from mister_e.corpora.text import mend
from mister_e.errors import InputError


def check_free(out: Path) -> None:
    """Refuse a folder that is there, or that cannot be made.

    :raises InputError: the folder exists, or the one above it does not.
    """
    if out.exists():
        raise InputError(
            f"{out}: is there already; remove it, or choose another folder for the repaired copy"
        )
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; make it first")


def repair(evidence: Evidence, out: Path) -> tuple[Corpus, list[str]]:
    """Write a repaired copy of a corpus, atomically.

    :param evidence: the corpus and the results of decoding its clips.
    :param out: folder of the copy.
    :return: the copy, and one sentence for each change.
    :raises InputError: the folder is there already, or cannot be written.
    """
    check_free(out)
    corpus = evidence.corpus
    table, changes = repaired(evidence)
    metadata = dict(corpus.metadata)
    metadata["counts"] = counts(table, corpus.protocol, metadata["features"])
    if metadata["audio"] == "none":
        metadata["audio_root"] = root_from(out, corpus.audio_root)
    metadata["repaired"] = [*metadata["repaired"], *changes]
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            copy = Path(temporary) / "corpus"
            copy.mkdir()
            if metadata["audio"] != "none":
                for clip in table["audio"].drop_nulls().unique():
                    _copy(corpus.folder / clip, copy / clip)
            write(copy, table, metadata)
            copy.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); make room, then run again") from error
    return Corpus.load(out), changes


def _copy(clip: Path, to: Path) -> None:
    """Copy a clip; one whose file is gone is marked in the table already."""
    if clip.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, to)


def repaired(evidence: Evidence) -> tuple[pl.DataFrame, list[str]]:
    """Repair the table.

    :return: the table, and one sentence for each change.
    """
    rows = list(evidence.table.iter_rows(named=True))
    changes: list[str] = []
    for number, row in enumerate(rows):
        changes += _mend_text(row)
        changes += _mend_times(row)
        changes += _mend_speech(row, evidence.clips.get(number))
    seen: set[tuple[str, str]] = set()
    kept = []
    for row in rows:
        if (row["conversation"], row["id"]) in seen:
            changes.append(f"{row['id']}: dropped, the conversation has a turn of this id")
            continue
        seen.add((row["conversation"], row["id"]))
        kept.append(row)
    return pl.DataFrame(kept, schema=evidence.table.schema), changes


def _mend_text(row: dict[str, Any]) -> Iterator[str]:
    """Undo a wrong encoding; an empty text becomes a missing one."""
    text = row["text"]
    if text is None:
        return
    better = mend(text) or None
    if better == text:
        return
    row["text"] = better
    yield f"{row['id']}: {'empty text taken as missing' if better is None else 'encoding of the text mended'}"


def _mend_times(row: dict[str, Any]) -> Iterator[str]:
    """Remove times that are impossible."""
    start, end = row["start"], row["end"]
    given = [time for time in (start, end) if time is not None]
    if given != sorted(given) or not all(math.isfinite(time) and time >= 0 for time in given):
        row["start"] = row["end"] = None
        yield f"{row['id']}: times from {start} to {end} s removed"


def _mend_speech(row: dict[str, Any], clip: DecodedClip | None) -> Iterator[str]:
    """Mark the speech of a clip that is silent or cannot be decoded as missing."""
    if clip is None:
        return
    reason = clip.fault or ("its clip is silent" if clip.silent else None)
    if reason is not None:
        row["speech_missing"] = reason
        yield f"{row['id']}: speech missing, {reason}"
