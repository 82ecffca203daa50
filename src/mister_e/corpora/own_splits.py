"""User-defined splits in place of the protocol's, by whole conversations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mister_e.corpora.base import SPLITS, Protocol, Row
from mister_e.corpora.reading.cells import check_name
from mister_e.corpora.reading.delimited import read_delimited, read_text
from mister_e.corpora.splits import split_name
from mister_e.errors import InputError

_EXPECTED = (
    "expected csv with the columns conversation_id,split, or a .json object of conversation id to split"
)

#: Conversations named in an error at most.
_NAMED = 5


def read_splits(path: str | Path) -> dict[str, str]:
    """Read a user-defined split.

    :param path: `.json`, an object of conversation id to split; or csv with the columns
        `conversation_id` and `split`.
    :return: conversation id to one of `SPLITS`.
    :raises InputError: it is neither, or has a conversation twice.
    """
    path = Path(path)
    pairs = _from_json(path) if path.suffix.lower() == ".json" else _from_csv(path)
    splits: dict[str, str] = {}
    for name, split in pairs:
        for cell in (name, split):
            check_name(cell, str(path), "a cell")
        if name in splits:
            raise InputError(f"{path}: conversation {name} is there twice; leave one line of it")
        splits[name] = split_name(split, f"{path}, conversation {name}")
    return splits


def apply_splits(rows: Sequence[Row], splits: Mapping[str, str]) -> list[Row]:
    """Assign every conversation to its user-defined split.

    :param splits: conversation id to one of `SPLITS`.
    :raises InputError: a conversation is unknown or missing, or a split is not one of them.
    """
    there = dict.fromkeys(row.conversation_id for row in rows)
    for what, names in (
        ("does not have", [name for name in splits if name not in there]),
        ("has, but the split lacks,", [name for name in there if name not in splits]),
    ):
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            raise InputError(
                f"the release {what} {', '.join(names[:_NAMED])}{more}: a split of one's own names every"
                " conversation once"
            )
    for name, split in splits.items():
        if split not in SPLITS:
            raise InputError(f"{name}: split {split!r}, expected one of {', '.join(SPLITS)}")
    return [replace(row, split=splits[row.conversation_id]) for row in rows]


def with_own_split(protocol: Protocol) -> Protocol:
    """Copy of a protocol that names the split as the user's, without expected counts."""
    return Protocol(
        f"{protocol.name}, own split",
        protocol.corpus,
        protocol.labels,
        f"{protocol.description} Not its split: one given by the user.",
    )


def _from_json(path: Path) -> list[tuple[str, str]]:
    """Read a JSON object."""
    try:
        data = json.loads(read_text(path, []))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{path}: {_EXPECTED}")
    return [(name, str(split)) for name, split in data.items()]


def _from_csv(path: Path) -> list[tuple[str, str]]:
    """Read the two columns of a csv file."""
    columns, records = read_delimited(path, [])
    if not {"conversation_id", "split"} <= set(columns):
        raise InputError(f"{path}: {_EXPECTED}")
    return [(record.cells["conversation_id"], record.cells["split"]) for record in records]
