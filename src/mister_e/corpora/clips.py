"""Labelled clips: recordings of one turn each, and a `manifest.csv` that says what they express."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mister_e.audio.format import LONGEST
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.corpora.base import Protocol
from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.labels import LabelSet

MANIFEST = "manifest.csv"

_REQUIRED = ("file", "emotion")
#: Failures that a note names.
_NAMED = 5


@dataclass(frozen=True)
class LabelledClip:
    """A row of a manifest.

    :param line: of the manifest, 1-based.
    :param file: path inside the folder.
    :param emotion: as the manifest has it.
    :param text: what is said; None = not told.
    :param voice: who is heard, for the bootstrap alone; None = not told.
    """

    line: int
    file: str
    emotion: str
    text: str | None
    voice: str | None


@dataclass(frozen=True)
class Clips:
    """A folder of labelled clips; each is a conversation of its own.

    :param folder: holds `manifest.csv` with the columns `file` and `emotion`, and if need be `text` and
        `speaker`; other columns are not read.
    :param rows: of the manifest; the clips of one voice stand together.
    :param together: whether all clips count as cut from one recording: the voices, room and microphone of the
        folder are what sound is taken relative to. False = each is a recording of its own.
    :param failed: what could not be read so far.
    """

    folder: Path
    rows: Sequence[LabelledClip] = field(repr=False)
    together: bool = True
    failed: list[str] = field(default_factory=list, repr=False)

    @classmethod
    def load(cls, folder: Path, *, together: bool = True) -> Clips:
        """Read and check the manifest; no clip is opened.

        :raises InputError: names file, line and field of what is wrong.
        """
        rows = _rows(folder)
        places: dict[str | None, int] = {}
        for row in rows:
            places.setdefault(row.voice, len(places))
        return cls(folder, sorted(rows, key=lambda row: places[row.voice]), together)

    @property
    def source(self) -> str:
        """The manifest."""
        return str(self.folder / MANIFEST)

    @property
    def protocol(self) -> Protocol:
        """Names of the classes, the most frequent first."""
        name = self.folder.resolve().name
        spoken = sum(row.text is not None for row in self.rows)
        how = "heard relative to all of them" if self.together else "each heard as a recording of its own"
        what = f"{len(self.rows):,} clips, {spoken:,} of them with words, {how}"
        return Protocol(name, "clips", LabelSet(tuple(self.counts)), f"The emotions of {MANIFEST}: {what}.")

    @property
    def split(self) -> str:
        """All of them."""
        return "all"

    @property
    def sha256(self) -> str:
        """Of the manifest."""
        return sha256(self.folder / MANIFEST)

    @property
    def counts(self) -> Mapping[str, int]:
        """Emotion to clips, the most frequent first."""
        return dict(Counter(row.emotion for row in self.rows).most_common())

    @property
    def voices(self) -> Mapping[str, str] | None:
        """File to who is heard."""
        told = {row.file: row.voice for row in self.rows if row.voice is not None}
        return told or None

    @property
    def notes(self) -> list[str]:
        """The clips that could not be read so far."""
        if not self.failed:
            return []
        rest = len(self.failed) - _NAMED
        more = [f"{rest} more clips could not be read"] if rest > 0 else []
        return [*(f"left out: {failure}" for failure in self.failed[:_NAMED]), *more]

    def turns(self, labels: Collection[str]) -> int:
        """Clips of these emotions."""
        return sum(row.emotion in labels for row in self.rows)

    def conversations(self, labels: Collection[str], *, sound: bool = True) -> Iterator[Conversation]:
        """Read the clips of some emotions, one at a time; one that cannot be read is noted and left out.

        :raises InputError: none can be read.
        """
        self.failed.clear()
        given = 0
        for row in self.rows:
            if row.emotion not in labels:
                continue
            try:
                # silence before the speech is cut off, and then so much is heard
                whole = Clip(str(self.folder / row.file), 0.0, 2 * LONGEST)
                audio = Clip(whole.source, samples=whole.load()) if sound else None
            except InputError as error:
                self.failed.append(f"{self.source}, line {row.line}: {error}")
                continue
            given += 1
            turn = Utterance(row.file, row.text, audio=audio, label=row.emotion)
            yield Conversation(row.file, (turn,))
        if not given and self.failed:
            raise InputError(f"none of {len(self.failed):,} clips could be read; the first: {self.failed[0]}")


def _rows(folder: Path) -> list[LabelledClip]:
    """Read the rows of the manifest."""
    path = folder / MANIFEST
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8; save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    rows: list[LabelledClip] = []
    try:
        columns = reader.fieldnames or []
        for name in _REQUIRED:
            if name not in columns:
                raise InputError(
                    f"{path}, line 1: no column {name!r}; it has {', '.join(columns) or 'no columns'}"
                )
        twice = [name for name, count in Counter(columns).items() if count > 1]
        if twice:
            raise InputError(f"{path}, line 1: column {twice[0]!r} is there twice; take one of them out")
        for cells in reader:
            if None in cells:
                raise InputError(
                    f"{path}, line {reader.line_num}: more cells than columns;"
                    ' put text with commas in quotes ("...")'
                )
            rows.append(_row(cells, reader.line_num, folder))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
    if not rows:
        raise InputError(f"{path}: has no rows below its columns: no clip to score")
    _check(rows, path)
    emotions = {row.emotion for row in rows}
    if len(emotions) < 2:
        raise InputError(
            f"{path}: every clip is {rows[0].emotion}: nothing to tell apart; two classes are needed"
        )
    return rows


def _row(cells: Mapping[str, str], line: int, folder: Path) -> LabelledClip:
    """Check the cells of one clip."""
    where = f"{folder / MANIFEST}, line {line}"
    own = {name: cells.get(name, "").strip() for name in ("file", "emotion", "text", "speaker")}
    for name in _REQUIRED:
        if not own[name]:
            raise InputError(f"{where}: {name} is empty; fill it, or take the row out")
    file = own["file"]
    parts = re.split(r"[/\\]", file)
    if Path(file).is_absolute() or ".." in parts or ":" in parts[0] or "\0" in file:
        raise InputError(f"{where}: file {file!r} leaves the folder; give a path inside {folder}")
    if not (folder / file).is_file():
        raise InputError(f"{where}: file {file!r} is not there; expected {folder / file}")
    return LabelledClip(line, file, own["emotion"], own["text"] or None, own["speaker"] or None)


def _check(rows: Sequence[LabelledClip], path: Path) -> None:
    """Refuse clips that are there twice, and voices that are known of some clips alone."""
    lines: dict[str, int] = {}
    for row in rows:
        before = lines.setdefault(posixpath.normpath(row.file.replace("\\", "/")), row.line)
        if before != row.line:
            raise InputError(
                f"{path}, line {row.line}: file {row.file!r} is line {before} already; a clip is one row"
            )
    voiceless = [row.line for row in rows if row.voice is None]
    if 0 < len(voiceless) < len(rows):
        raise InputError(
            f"{path}, line {voiceless[0]}: speaker is empty, other rows have one; fill all of them, or none"
        )
