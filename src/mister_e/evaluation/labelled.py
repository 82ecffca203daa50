"""Labelled data that a model folder is scored on: a prepared corpus, or a folder of labelled clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol as TypingProtocol

from mister_e.audio.format import LONGEST
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.corpora.base import SPLITS, Protocol
from mister_e.corpora.clips import (
    MANIFEST,
    LabelledClip,
    cut,
    failure_notes,
    none_read,
    read_manifest,
    split_by_voice,
)
from mister_e.corpora.store import METADATA, Corpus
from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.labels import LabelSet


class Labelled(TypingProtocol):
    """Conversations whose turns have labels."""

    @property
    def source(self) -> str:
        """Name of the data, for an error."""

    @property
    def protocol(self) -> Protocol:
        """Protocol of the data, with its own labels."""

    @property
    def split(self) -> str:
        """The split that is scored; "all" = the data has no splits."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the table."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Label of the data to its number of turns."""

    @property
    def voices(self) -> Mapping[str, str] | None:
        """Id of a conversation to its speaker, for the bootstrap alone; None = unknown."""

    @property
    def together(self) -> bool:
        """Whether all conversations count as cut from one recording, which sound is taken relative to."""

    @property
    def notes(self) -> list[str]:
        """What could not be read so far, as text."""

    def turns(self, labels: Collection[str]) -> int:
        """Number of turns that `conversations` will give."""

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read conversations one at a time.

        :param labels: labels of the data that will be scored; turns of other labels are given where they
            are context.
        :param sound: whether the sound is needed.
        :raises InputError: nothing can be read.
        """


@dataclass(frozen=True)
class CorpusSplit:
    """A split of a prepared corpus; turns of every label stay, as context."""

    corpus: Corpus
    split: str

    @property
    def source(self) -> str:
        """Folder and split, as text."""
        return f"{self.corpus.folder}, split {self.split}"

    @property
    def protocol(self) -> Protocol:
        """Protocol that the corpus was prepared by."""
        return self.corpus.protocol

    @property
    def sha256(self) -> str:
        """SHA-256 of `corpus.parquet`."""
        return str(self.corpus.metadata["table_sha256"])

    @property
    def counts(self) -> Mapping[str, int]:
        """Label to its number of turns, the most frequent first."""
        rows = self._rows()
        return dict(Counter(label for label in rows if label is not None).most_common())

    @property
    def voices(self) -> None:
        """None: a corpus does not tell who speaks; the bootstrap draws conversations."""
        return

    @property
    def together(self) -> bool:
        """Each conversation is a recording of its own."""
        return False

    @property
    def notes(self) -> list[str]:
        """No notes: `mister-e prepare` gave them."""
        return []

    def turns(self, labels: Collection[str]) -> int:
        """Number of turns of the split, whatever their labels."""
        return len(self._rows())

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read the split."""
        return self.corpus.conversations(self.split)

    def _rows(self) -> list[str | None]:
        table = self.corpus.table
        return table.filter(table["split"] == self.split)["label"].to_list()


@dataclass(frozen=True)
class Clips:
    """A folder of labelled clips that a model is scored on; each is a conversation of its own.

    :param folder: holds `manifest.csv`, see `mister_e.corpora.clips.prepare`.
    :param rows: rows of the manifest with an emotion, voice by voice.
    :param together: whether all clips count as cut from one recording: the voices, room and microphone of the
        folder are what sound is taken relative to. False = each is a recording of its own.
    :param split: which of its voices are scored, "train", "validation" or "test"; "all" = all of them.
    :param seed: of the split.
    :param unlabelled: number of clips without an emotion.
    :param failed: clips that could not be read so far, and why.
    :param read_as: what of the manifest was read otherwise than written.
    """

    folder: Path
    rows: Sequence[LabelledClip] = field(repr=False)
    together: bool = True
    split: str = "all"
    seed: int = 0
    unlabelled: int = 0
    failed: list[str] = field(default_factory=list, repr=False)
    read_as: Sequence[str] = field(default=(), repr=False)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        together: bool = True,
        split: str | None = None,
        seed: int = 0,
        piece_seconds: float | None = None,
        max_pieces: int | None = None,
    ) -> Clips:
        """Read and check the manifest; no clip is opened but to cut it.

        :param folder: holds the manifest.
        :param together: see the class.
        :param split: which voices; None = all.
        :param seed: which voices go where, see `mister_e.corpora.clips.split_by_voice`.
        :param piece_seconds: see `mister_e.corpora.clips.cut`, as well as `max_pieces`; it opens them.
        :raises InputError: names file, line and field of what is wrong.
        """
        read_as: list[str] = []
        every = cut(read_manifest(folder, read_as), folder, piece_seconds, max_pieces, read_as)
        clips = every
        if split is not None:
            if split not in SPLITS:
                raise InputError(f"there is no split {split!r}: the splits are {', '.join(SPLITS)}")
            try:
                splits = split_by_voice(every, seed)
            except InputError as error:
                raise InputError(f"{folder / MANIFEST}: {error}") from None
            clips = [clip for clip in every if splits[clip.file] == split]
        rows = [clip for clip in clips if clip.emotion is not None]
        if not rows:
            where = "" if split is None else f" of the split {split}"
            raise InputError(f"{folder / MANIFEST}: no clip{where} has an emotion: nothing to score")
        places: dict[str | None, int] = {}
        for row in rows:
            places.setdefault(row.voice, len(places))
        ordered = sorted(rows, key=lambda row: places[row.voice])
        unlabelled = len(clips) - len(rows)
        return cls(folder, ordered, together, split or "all", seed, unlabelled, read_as=read_as)

    @property
    def source(self) -> str:
        """Path of the manifest."""
        return str(self.folder / MANIFEST)

    @property
    def protocol(self) -> Protocol:
        """Protocol whose labels are the emotions of the manifest, the most frequent first."""
        name = self.folder.resolve().name
        spoken = sum(row.text is not None for row in self.rows)
        how = "as one recording" if self.together else "each a recording of its own"
        what = f"{len(self.rows):,} clips, {spoken:,} of them with words, {how}"
        if self.split != "all":
            what += f"; {self.split} of a split 70 : 15 : 15 by voice (seed {self.seed})"
        names = tuple(self.counts)
        if len(names) == 1:
            names = (*names, f"not {names[0]}")
        return Protocol(name, "clips", LabelSet(names), f"The emotions of {MANIFEST}: {what}.")

    @property
    def sha256(self) -> str:
        """SHA-256 of the manifest."""
        return sha256(self.folder / MANIFEST)

    @property
    def counts(self) -> Mapping[str, int]:
        """Emotion to its number of clips, the most frequent first."""
        return dict(Counter(row.emotion for row in self.rows if row.emotion is not None).most_common())

    @property
    def voices(self) -> Mapping[str, str] | None:
        """Id of a clip to its speaker; None = the manifest does not tell."""
        return {row.id: row.voice for row in self.rows if row.voice is not None} or None

    @property
    def notes(self) -> list[str]:
        """How the manifest was read, the clips that could not be so far, and those without an emotion."""
        notes = [*self.read_as, *failure_notes(self.failed)]
        if self.unlabelled:
            notes.append(f"{self.unlabelled:,} clips without an emotion are not scored")
        return notes

    def turns(self, labels: Collection[str]) -> int:
        """Number of clips of these emotions."""
        return sum(row.emotion in labels for row in self.rows)

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read the clips of some emotions one at a time; a clip that cannot be read is noted and left out.

        :raises InputError: none can be read.
        """
        self.failed.clear()
        given = 0
        for row in self.rows:
            if row.emotion not in labels:
                continue
            try:
                # twice what an encoder takes, for silence before the speech is cut off
                whole = Clip(str(self.folder / row.file), *(row.stretch or (0.0, 2 * LONGEST)))
                audio = Clip(whole.source, samples=whole.load()) if sound else None
            except InputError as error:
                self.failed.append(f"{self.source}, line {row.line}: {error}")
                continue
            given += 1
            turn = Utterance(row.id, row.text, audio=audio, label=row.emotion)
            yield Conversation(row.id, (turn,))
        if not given and self.failed:
            raise none_read(self.failed)


def read_labelled(
    folder: Path,
    split: str | None = None,
    *,
    alone: bool = False,
    seed: int = 0,
    piece_seconds: float | None = None,
    max_pieces: int | None = None,
) -> Labelled:
    """Open labelled data.

    :param folder: a prepared corpus (`corpus.json`), or clips with a `manifest.csv` (see `Clips`).
    :param split: None = "test" of a corpus, all of clips.
    :param alone: take each clip as a recording of its own, and not the folder as one.
    :param seed: which voices of clips go where.
    :param piece_seconds: cut clips, see `mister_e.corpora.clips.cut`, as well as `max_pieces`.
    :raises InputError: it is neither, is damaged, or the split is empty or unlabelled.
    """
    if (folder / METADATA).is_file():
        if alone:
            raise InputError(
                f"{folder}: a prepared corpus tells which turns are of one recording; leave --alone out"
            )
        if seed:
            raise InputError(f"{folder}: a prepared corpus is split already; leave --seed out")
        if piece_seconds is not None:
            raise InputError(f"{folder}: a prepared corpus is cut already; leave --piece-seconds out")
        return _split(Corpus.load(folder), split or "test")
    if (folder / MANIFEST).is_file():
        return Clips.load(
            folder,
            together=not alone,
            split=split,
            seed=seed,
            piece_seconds=piece_seconds,
            max_pieces=max_pieces,
        )
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
    """A split of a corpus that can be scored.

    :raises InputError: it is empty, or has no labels.
    """
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
            " mister-e analyze predicts without labels"
        )
    return chosen
