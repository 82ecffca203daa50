"""What a model folder is scored on: a prepared corpus, or a folder of labelled clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as TypingProtocol

from mister_e.conversation import Conversation
from mister_e.corpora.base import SPLITS, Protocol
from mister_e.corpora.clips import MANIFEST, Clips
from mister_e.corpora.store import METADATA, Corpus
from mister_e.errors import InputError


class Labelled(TypingProtocol):
    """Conversations whose turns have labels."""

    @property
    def source(self) -> str:
        """What an error says that it is about."""

    @property
    def protocol(self) -> Protocol:
        """The labels as the data has them."""

    @property
    def split(self) -> str:
        """The one that is scored; "all" = there are none."""

    @property
    def sha256(self) -> str:
        """Of the table."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Label, as the data has it, to how many turns have it."""

    @property
    def voices(self) -> Mapping[str, str] | None:
        """Conversation to who is heard in it, for the bootstrap alone; None = not told."""

    @property
    def together(self) -> bool:
        """Whether all of it counts as one recording, which sound is taken relative to."""

    @property
    def notes(self) -> list[str]:
        """What could not be read so far."""

    def turns(self, labels: Collection[str]) -> int:
        """How many `conversations` will give."""

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read them one at a time.

        :param labels: those that will be scored, as the data has them; other turns are given where
            they are context.
        :param sound: whether sound will be listened to.
        :raises InputError: nothing can be read.
        """


@dataclass(frozen=True)
class CorpusSplit:
    """A split of a prepared corpus; turns of every label stay, as context."""

    corpus: Corpus
    split: str

    @property
    def source(self) -> str:
        """Folder and split."""
        return f"{self.corpus.folder}, split {self.split}"

    @property
    def protocol(self) -> Protocol:
        """That it was prepared by."""
        return self.corpus.protocol

    @property
    def sha256(self) -> str:
        """Of `corpus.parquet`."""
        return str(self.corpus.metadata["table_sha256"])

    @property
    def counts(self) -> Mapping[str, int]:
        """Label to turns, the most frequent first."""
        rows = self._rows()
        return dict(Counter(label for label in rows if label is not None).most_common())

    @property
    def voices(self) -> None:
        """Nobody knows; conversations are drawn."""
        return

    @property
    def together(self) -> bool:
        """Each conversation is a recording of its own."""
        return False

    @property
    def notes(self) -> list[str]:
        """None: `mister-e prepare` told them."""
        return []

    def turns(self, labels: Collection[str]) -> int:
        """All of the split."""
        return len(self._rows())

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read the split."""
        return self.corpus.conversations(self.split)

    def _rows(self) -> list[str | None]:
        table = self.corpus.table
        return table.filter(table["split"] == self.split)["label"].to_list()


def read_labelled(folder: Path, split: str | None = None, *, alone: bool = False) -> Labelled:
    """Open labelled data.

    :param folder: a prepared corpus (`corpus.json`), or clips with a `manifest.csv` (see `Clips`).
    :param split: of a corpus, None = "test"; clips have none.
    :param alone: take each clip as a recording of its own, and not the folder as one.
    :raises InputError: it is neither, is damaged, or the split is empty or unlabelled.
    """
    if (folder / METADATA).is_file():
        if alone:
            raise InputError(
                f"{folder}: a prepared corpus says which turns are of one recording; leave --alone out"
            )
        return _split(Corpus.load(folder), split or "test")
    if (folder / MANIFEST).is_file():
        if split is not None:
            raise InputError(f"{folder}: clips have no splits; leave --split {split} out")
        return Clips.load(folder, together=not alone)
    if (folder / "store.json").is_file():
        raise InputError(
            f"{folder}: holds embeddings, which are for a RUN; a model is scored on the corpus itself"
        )
    what = "has neither" if folder.is_dir() else "is no folder"
    raise InputError(
        f"{folder}: expected a prepared corpus ({METADATA}) or labelled clips ({MANIFEST} with file and"
        f" emotion), this {what}"
    )


def _split(corpus: Corpus, split: str) -> CorpusSplit:
    """Choose a split that can be scored."""
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}: the splits are {', '.join(SPLITS)}")
    chosen = CorpusSplit(corpus, split)
    if not chosen.turns(()):
        sizes = Counter(corpus.table["split"].to_list())
        there = ", ".join(f"{name} ({sizes[name]:,} turns)" for name in SPLITS if sizes[name])
        raise InputError(f"{corpus.folder}: the split {split} is empty; there is {there or 'no other'}")
    if not chosen.counts:
        raise InputError(
            f"{corpus.folder}: no turn of the split {split} has a label: nothing to score;"
            " mister-e analyze judges what is not labelled"
        )
    return chosen
