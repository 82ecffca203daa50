"""A prepared corpus on disk: `corpus.parquet` with one row an utterance, `corpus.json` with its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.corpora.base import SPLITS, Protocol
from mister_e.errors import InputError
from mister_e.files import replacing, sha256, writable, write_text

#: The files of a corpus folder, besides its audio.
TABLE, METADATA = "corpus.parquet", "corpus.json"

#: Version of the layout.
FORMAT = 1

#: Columns that every corpus has; its features and its custom columns follow.
COLUMNS: Mapping[str, pl.DataType] = {
    "conversation": pl.String(),
    "turn": pl.Int64(),
    "id": pl.String(),
    "text": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "label": pl.String(),
    "split": pl.String(),
    "audio": pl.String(),
    "clip_start": pl.Float64(),
    "clip_end": pl.Float64(),
    "speech_missing": pl.String(),
}


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: its protocol, its counts, and its conversations.

    :param folder: the corpus folder.
    :param table: one row an utterance, `COLUMNS` first; ordered by split, conversation and turn.
    :param metadata: content of `corpus.json`.
    """

    folder: Path
    table: pl.DataFrame = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: str | Path) -> Corpus:
        """Read a corpus folder.

        :raises InputError: it is no corpus, incomplete, or of another format.
        """
        folder = Path(folder)
        if not (folder / METADATA).is_file():
            what = "is not there" if not folder.exists() else "has none"
            raise InputError(
                f"{folder}: a prepared corpus has a {METADATA}, this folder {what}; run mister-e prepare"
            )
        try:
            metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
            version, digest = metadata["format"], metadata["table_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{folder / METADATA}: not written by mister-e prepare; prepare again"
            ) from error
        if version != FORMAT:
            raise InputError(
                f"{folder / METADATA}: format {version}, this version reads {FORMAT}; prepare again"
            )
        if not (folder / TABLE).is_file() or sha256(folder / TABLE) != digest:
            raise InputError(f"{folder / TABLE}: is not the table that {METADATA} is about; prepare again")
        # opened here: polars takes no path that is not UTF-8
        with (folder / TABLE).open("rb") as file:
            return cls(folder, pl.read_parquet(file), metadata)

    def __len__(self) -> int:
        """Number of utterances in all splits."""
        return self.table.height

    @cached_property
    def protocol(self) -> Protocol:
        """Labels and split by which it was prepared."""
        return Protocol.from_json(self.metadata["protocol"])

    @cached_property
    def audio_root(self) -> Path:
        """Folder that the column `audio` is relative to."""
        root = Path(self.metadata["audio_root"])
        return self.folder if root == Path() else (self.folder / root).resolve()

    @property
    def counts(self) -> Mapping[str, Mapping[str, Any]]:
        """Per split: conversations, utterances, labelled, speech_missing, and labels (label to count)."""
        return dict(self.metadata["counts"])

    def conversations(self, split: str | None = None) -> Iterator[Conversation]:
        """Yield the conversations of a split, one at a time.

        Precomputed features of a turn are in its `custom["features"]`.

        :param split: "train", "validation" or "test"; None = all of them, in this order.
        :raises InputError: there is no such split.
        """
        if split is not None and split not in SPLITS:
            raise InputError(f"there is no split {split!r}: the splits are {', '.join(SPLITS)}")
        table = self.table if split is None else self.table.filter(pl.col("split") == split)
        return self._conversations(table)

    def _conversations(self, table: pl.DataFrame) -> Iterator[Conversation]:
        """Group the rows by conversation; they are in order."""
        rows = table.iter_rows(named=True)
        for name, turns in groupby(rows, key=lambda row: row["conversation"]):
            yield Conversation(name, tuple(self._utterance(row) for row in turns))

    def _utterance(self, row: Mapping[str, Any]) -> Utterance:
        """Make the utterance of a row."""
        custom = {name: row[name] for name in self.metadata["custom"] if row[name] is not None}
        features = {name: row[name] for name in self.metadata["features"] if row[name] is not None}
        if features:
            custom["features"] = features
        audio = None
        if row["audio"] is not None and row["speech_missing"] is None:
            path = self.audio_root / row["audio"]
            audio = Clip(str(path), row["clip_start"] or 0.0, row["clip_end"])
        return Utterance(row["id"], row["text"], row["start"], row["end"], None, audio, row["label"], custom)


def find_corpus(name: str, folders: Sequence[Path]) -> Corpus:
    """Load a corpus by its name.

    :param name: of its folder.
    :param folders: each is the corpus itself, or holds it in a folder of that name.
    :raises InputError: it is in none of them, or in several.
    """
    places = [folder / name for folder in folders if (folder / name / METADATA).is_file()]
    places += [f for f in folders if f.resolve().name == name and (f / METADATA).is_file()]
    found = list({place.resolve(): place for place in places}.values())
    if not found:
        raise InputError(
            f"there is no prepared corpus {name!r} in {', '.join(map(str, folders))}: make it with mister-e"
            " prepare in a folder of that name, and give the folder around it with --data"
        )
    if len(found) > 1:
        raise InputError(f"the corpus {name!r} is there twice: {found[0]} and {found[1]}; leave one of them")
    return Corpus.load(found[0])


def write(folder: Path, table: pl.DataFrame, metadata: Mapping[str, Any]) -> Corpus:
    """Write a corpus folder: the table, then `corpus.json`, without which it counts as incomplete.

    :param folder: created where missing; its audio is in it already.
    :param table: as in `Corpus.table`.
    :param metadata: content of `corpus.json`; the format and the table's hash are added.
    :raises InputError: it cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / TABLE) as temporary, temporary.open("wb") as file:
            table.write_parquet(file)
        metadata = {**metadata, "format": FORMAT, "table_sha256": sha256(folder / TABLE)}
        text = json.dumps(metadata, ensure_ascii=False, indent=1)
        if writable(text) != text:  # a path that is not UTF-8, which only escapes can hold
            text = json.dumps(metadata, indent=1)
        write_text(folder / METADATA, text + "\n")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"{folder}: cannot write the corpus there ({error}); make room, then run again"
        ) from error
    return Corpus.load(folder)


def root_from(folder: Path, root: Path) -> str:
    """Path of the original audio relative to a corpus folder, so that both can be moved together."""
    try:
        return Path(os.path.relpath(root.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return root.resolve().as_posix()
