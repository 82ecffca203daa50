"""Validation of a reader's rows, and their layout as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from mister_e.corpora.base import SPLITS, Protocol, Row
from mister_e.corpora.store import COLUMNS
from mister_e.errors import InputError


def check_rows(rows: Sequence[Row], protocol: Protocol) -> None:
    """Check that rows make valid conversations: splits, labels, times and ids.

    :raises InputError: names the first row that does not.
    """
    if not rows:
        raise InputError(f"{protocol.corpus}: not one utterance was found; check the folder")
    splits: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for row in rows:
        name = f"{row.conversation_id}, utterance {row.utterance_id}"
        if row.split not in SPLITS:
            raise InputError(f"{name}: split {row.split!r}, expected one of {', '.join(SPLITS)}")
        if row.label is not None and row.label not in protocol.labels:
            raise InputError(
                f"{name}: label {row.label!r} is not one of {', '.join(protocol.labels)} ({protocol.name})"
            )
        times = [time for time in (row.start, row.end) if time is not None]
        if times != sorted(times) or not all(0 <= time < float("inf") for time in times):
            raise InputError(
                f"{name}: from {row.start} to {row.end} s, expected seconds with 0 <= start <= end"
            )
        if (row.conversation_id, row.utterance_id) in seen:
            raise InputError(f"{name}: is there twice; ids are unique within a conversation")
        seen.add((row.conversation_id, row.utterance_id))
        if splits.setdefault(row.conversation_id, row.split) != row.split:
            raise InputError(
                f"{name}: in {row.split}, other turns of this conversation in {splits[row.conversation_id]};"
                " a conversation belongs to one split"
            )


def names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the keys of all mappings, in the order of first occurrence.

    :raises InputError: a key is the name of a column that every corpus has.
    """
    found = list(dict.fromkeys(name for mapping in mappings for name in mapping))
    for name in found:
        if name in COLUMNS:
            raise InputError(f"column {name!r} has this name in every corpus; give it another")
    return found


def to_table(rows: Sequence[Row], features: Sequence[str], custom: Sequence[str]) -> pl.DataFrame:
    """Make the table of a corpus, ordered by split, conversation (in the order of the rows) and turn.

    :param features: names of the feature columns.
    :param custom: names of the custom columns.
    """
    place = {name: number for number, name in enumerate(dict.fromkeys(row.conversation_id for row in rows))}
    rows = sorted(rows, key=lambda row: (SPLITS.index(row.split), place[row.conversation_id], row.turn))
    columns: dict[str, list[Any]] = {
        "conversation": [row.conversation_id for row in rows],
        "id": [row.utterance_id for row in rows],
        "clip_start": [row.stretch and row.stretch[0] for row in rows],
        "clip_end": [row.stretch and row.stretch[1] for row in rows],
    }
    for name in ("turn", "text", "start", "end", "label", "split", "audio", "speech_missing"):
        columns[name] = [getattr(row, name) for row in rows]
    series = [pl.Series(name, columns[name], dtype) for name, dtype in COLUMNS.items()]
    series += [pl.Series(name, [row.features.get(name) for row in rows], pl.Float64) for name in features]
    series += [pl.Series(name, [row.custom.get(name) for row in rows]) for name in custom]
    return pl.DataFrame(series)


def counts(table: pl.DataFrame, protocol: Protocol, features: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count per split: conversations, utterances, labelled, speech_missing, and each label.

    :param table: one row an utterance.
    :param features: the columns that hold speech features.
    """
    has_speech = pl.any_horizontal(
        pl.col("audio").is_not_null(), *(pl.col(name).is_not_null() for name in features)
    )
    lacks_speech = pl.col("speech_missing").is_not_null() | ~has_speech
    result: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        rows = table.filter(pl.col("split") == split)
        labels = dict(rows.group_by("label").len().iter_rows())
        result[split] = {
            "conversations": rows["conversation"].n_unique(),
            "utterances": rows.height,
            "labelled": rows["label"].count(),
            "speech_missing": rows.filter(lacks_speech).height,
            "labels": {label: labels.get(label, 0) for label in protocol.labels},
        }
    return result
