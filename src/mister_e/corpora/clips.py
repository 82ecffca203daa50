"""Labelled clips: recordings of one turn each, and a `manifest.csv` that says what they express.

`prepare` makes a corpus of them; `mister_e.evaluation.labelled` scores a model on the folder as it lies. Both
read the manifest with `read_manifest`, and split by the same whole voices.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from mister_e.audio.sandbox import probe
from mister_e.corpora import build
from mister_e.corpora.base import SPLITS, Protocol, Row
from mister_e.corpora.reading.cells import (
    check_name,
    file_inside,
    is_empty,
    listed,
    refuse_cell,
    seconds_or_number,
    unify_classes,
)
from mister_e.corpora.reading.delimited import read_delimited
from mister_e.corpora.store import Corpus
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, LabelSet, match_names

MANIFEST = "manifest.csv"

_REQUIRED = ("file", "emotion")
_COLUMNS = (*_REQUIRED, "text", "speaker", "seconds")
#: Fraction of the voices that validation, and test, each get.
_HELD_OUT = 0.15

# One turn is never longer (s); more is another unit, or a damaged header.
_LONGEST_SECONDS = 86_400.0
# Shorter pieces (s) say nothing, and the ids of two could be one.
_SHORTEST_PIECE = 0.1
# Lengths are rounded: a piece may run this much (s), and half its length, beyond the end of its file.
_SLACK_SECONDS = 0.5
# A header that leaves the length open is guessed by, and the guess may be far off. No sound takes fewer bytes
# a second; silence as AAC takes about 100.
_LEAST_BYTES = 50

#: Number of clips that cannot be read that are noted one by one.
_NAMED = 5


@dataclass(frozen=True)
class LabelledClip:
    """A clip of a manifest, or a piece of one.

    :param line: of the manifest, 1-based.
    :param file: path inside the folder.
    :param emotion: as the manifest has it; None = unlabelled.
    :param text: what is said; None = not told.
    :param voice: who is heard, to split and to draw by whole voices alone; None = not told.
    :param seconds: length of the file; None = not told.
    :param stretch: first and last second of a piece; None = all of the file.
    """

    line: int
    file: str
    emotion: str | None
    text: str | None = None
    voice: str | None = None
    seconds: float | None = None
    stretch: tuple[float, float] | None = None

    @property
    def id(self) -> str:
        """Its file, and where a piece begins."""
        return self.file if self.stretch is None else f"{self.file}#{self.stretch[0]:g}"


def cut(
    clips: Sequence[LabelledClip],
    folder: Path,
    piece_seconds: float | None,
    max_pieces: int | None = None,
    notes: list[str] | None = None,
) -> list[LabelledClip]:
    """Cut clips to whole pieces of one length, whose words are not known; what is over is left out.

    :param clips: of a manifest.
    :param folder: holds the files; no more is cut than their headers state.
    :param piece_seconds: length of a piece, from 0.1 on; None = leave them whole, no clip is opened.
    :param max_pieces: of one clip; None = as many as it has.
    :param notes: told of clips that cannot be read, which are left out, and of those that are shorter than
        the manifest says.
    :raises InputError: a number is out of range, no clip can be read, or none is as long as a piece.
    """
    if piece_seconds is None:
        return list(clips)
    _check_pieces(piece_seconds, max_pieces)
    pieces: list[LabelledClip] = []
    failed: list[str] = []
    shorter: list[str] = []
    for clip in clips:
        where = f"{folder / MANIFEST}, line {clip.line}"
        try:
            seconds = _most_seconds(folder / clip.file, told=clip.seconds is not None)
        except InputError as error:
            failed.append(f"{where}: {error}")
            continue
        count = int(seconds / piece_seconds)
        if clip.seconds is not None:
            told = int(clip.seconds / piece_seconds)
            count = int((seconds + min(_SLACK_SECONDS, piece_seconds / 2)) / piece_seconds)
            if told > count:
                shorter.append(f"{where}: seconds is {clip.seconds:g}, the file has at most {seconds:.2f} s")
            count = min(told, count)
        for number in range(count if max_pieces is None else min(count, max_pieces)):
            start = piece_seconds * number
            pieces.append(replace(clip, text=None, stretch=(start, start + piece_seconds)))
    if failed and len(failed) == len(clips):
        raise none_read(failed)
    if not pieces:
        raise InputError(f"{folder / MANIFEST}: no clip is {piece_seconds:g} s long; take a shorter piece")
    if notes is not None:
        notes += failure_notes(failed)
        notes += shorter[:_NAMED]
        if len(shorter) > _NAMED:
            notes.append(f"{len(shorter) - _NAMED:,} more clips are shorter than their seconds")
    return pieces


def _check_pieces(piece_seconds: float, max_pieces: int | None) -> None:
    """Raise InputError for pieces of no length, and for none of them."""
    if not _SHORTEST_PIECE <= piece_seconds <= _LONGEST_SECONDS:
        raise InputError(
            f"pieces of {piece_seconds:g} s: expected {_SHORTEST_PIECE:g} to {_LONGEST_SECONDS:g} s"
        )
    if max_pieces is not None and max_pieces < 1:
        raise InputError(f"{max_pieces} pieces of a clip at most: expected 1 or more")


def _most_seconds(file: Path, *, told: bool) -> float:
    """Length of a file by its header.

    :param told: whether the manifest tells it too: what a header leaves open is then at its longest.
    :raises InputError: it cannot be read, or has no length that a clip has.
    """
    header = probe(file)
    seconds = header.duration or 0.0
    if told and not header.exact:
        return max(seconds, file.stat().st_size / _LEAST_BYTES)
    if header.duration is None:
        raise InputError(f"{file}: its header tells no length; give it in the column seconds")
    if seconds > _LONGEST_SECONDS:
        raise InputError(
            f"{file}: its header tells {seconds:g} s, a clip has at most {_LONGEST_SECONDS:g}, a day"
        )
    return seconds


def failure_notes(failed: Sequence[str]) -> list[str]:
    """Notes on clips that could not be read and are left out, the first of them by name.

    :param failed: which clip, and why, of each.
    """
    notes = [f"left out: {failure}" for failure in failed[:_NAMED]]
    if len(failed) > _NAMED:
        notes.append(f"{len(failed) - _NAMED:,} more clips could not be read")
    return notes


def none_read(failed: Sequence[str]) -> InputError:
    """Make the error for clips none of which could be read."""
    return InputError(f"none of {len(failed):,} clips could be read; the first: {failed[0]}")


def split_by_voice(clips: Sequence[LabelledClip], seed: int = 0) -> dict[str, str]:
    """Split clips 70 : 15 : 15 by whole voices.

    :param clips: all of a manifest, after `cut` and whatever their emotion: the split is by the voices that
        are there. Where no voices are told, each file is a voice of its own.
    :param seed: which voices go where.
    :return: file to one of `SPLITS`.
    :raises InputError: there are fewer than three voices.
    """
    voices: list[str] = sorted({clip.voice or clip.file for clip in clips})
    if len(voices) < len(SPLITS):
        raise InputError(f"{len(voices)} voices cannot be split in three: add clips of other speakers")
    np.random.default_rng(seed).shuffle(voices)
    held = max(1, round(_HELD_OUT * len(voices)))
    place = dict.fromkeys(voices, "train")
    place |= dict.fromkeys(voices[:held], "test") | dict.fromkeys(voices[held : 2 * held], "validation")
    return {clip.file: place[clip.voice or clip.file] for clip in clips}


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    labels: Sequence[str] = (),
    label_names: Mapping[str, str] | None = None,
    piece_seconds: float | None = None,
    max_pieces: int | None = None,
    seed: int = 0,
    name: str | None = None,
    **options: Any,
) -> Corpus:
    """Prepare a folder of labelled clips: each is a conversation of one turn, split by whole voices.

    Emotions are matched to labels by name (`happy` is `joy`); clips of other emotions are left out. Who is
    heard decides the split and is dropped: the corpus does not hold it.

    :param src: holds `manifest.csv` with the columns `file` and `emotion`, and if known `text`, `speaker` and
        `seconds`.
    :param out: the corpus folder to write.
    :param labels: in their order; none = those of MELD.
    :param label_names: emotion of the manifest to label, where the name does not tell it.
    :param piece_seconds: cut clips to pieces of this length, whose words are not known; None = whole clips.
        For long clips beside short ones, so that length does not tell the corpus.
    :param max_pieces: of one clip; None = as many as it has whole ones.
    :param seed: which voices go into which split.
    :param name: name of the protocol; default: that of the folder.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: the manifest is not as expected; the message names the line.
    """
    src = Path(src)
    label_set = LabelSet(tuple(labels)) if labels else MELD_EMOTIONS
    title = name or src.resolve().name
    what = f"The emotions of {MANIFEST} as {', '.join(label_set)}, split 70 : 15 : 15 by voice (seed {seed})"
    pieces = "" if piece_seconds is None else f", in pieces of {piece_seconds:g} s"
    protocol = Protocol(title, "clips", label_set, f"{what}{pieces}.")

    def read(
        src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]
    ) -> list[Row]:
        if validate_on is not None:
            raise InputError("clips are validated on voices of their own; leave out validate_on")
        whole = read_manifest(src, repairs)
        clips = cut(whole, src, piece_seconds, max_pieces, repairs)
        if piece_seconds is not None:
            repairs.append(
                f"{len(whole):,} clips cut to {len(clips):,} pieces of {piece_seconds:g} s, the rest left out"
            )
        if all(clip.voice is None for clip in clips):
            repairs.append(f"{MANIFEST} has no column speaker: split by clip, one voice may be in two splits")
        splits = split_by_voice(clips, seed)
        return [
            Row(
                clip.id,
                0,
                clip.id,
                clip.text,
                None,
                None,
                label,
                splits[clip.file],
                clip.file,
                stretch=clip.stretch,
            )
            for clip, label in _labels_of(clips, protocol.labels, label_names or {}, src, repairs)
        ]

    return build.prepare(src, out, read, protocol, sources=(MANIFEST,), **options)


def _labels_of(
    clips: Sequence[LabelledClip],
    labels: LabelSet,
    given: Mapping[str, str],
    src: Path,
    repairs: list[str],
) -> list[tuple[LabelledClip, str]]:
    """Give the clips whose emotion is a label; note the others."""
    counts = Counter(clip.emotion for clip in clips if clip.emotion is not None)
    names = match_names(counts, labels, given, f"{src / MANIFEST}")
    if not names:
        raise InputError(
            f"{src / MANIFEST}: none of its emotions is a label; it has {', '.join(counts) or 'none'},"
            f" the labels are {', '.join(labels)} (say which one it is: --label EMOTION=LABEL)"
        )
    left = {name: count for name, count in counts.most_common() if name not in names}
    if left:
        listed = ", ".join(f"{name} ({count:,})" for name, count in left.items())
        repairs.append(f"no label stands for {listed}: these clips are left out")
    unlabelled = sum(clip.emotion is None for clip in clips)
    if unlabelled:
        repairs.append(f"{unlabelled:,} clips without an emotion are left out")
    return [
        (clip, names[clip.emotion]) for clip in clips if clip.emotion is not None and clip.emotion in names
    ]


def read_manifest(folder: Path, notes: list[str] | None = None) -> list[LabelledClip]:
    """Read and check the manifest of a folder; no clip is opened.

    Upper and lower case tell no emotions apart, and `nan`, `None` and the like are none.

    :param folder: holds `manifest.csv`, see `prepare`.
    :param notes: sentences on what was read otherwise than written are appended here.
    :return: its rows, in their order.
    :raises InputError: names file, line and field of what is wrong.
    """
    path = folder / MANIFEST
    notes = [] if notes is None else notes
    if not path.is_file():
        raise InputError(f"{path}: missing; expected a folder of clips with a manifest (file, emotion)")
    columns, records = read_delimited(path, notes)
    names = _column_names(columns)
    for name in _REQUIRED:
        if name not in names.values():
            raise InputError(f"{path}, line 1: no column {name!r}; it has {listed(columns) or 'no columns'}")
    rows = [
        _row({names[name]: cell for name, cell in record.cells.items()}, record.line, folder)
        for record in records
    ]
    if not rows:
        raise InputError(f"{path}: has no rows below its columns: no clip")
    _check(rows, path)
    emotions = unify_classes([row.emotion for row in rows], notes, what=f"{MANIFEST}: emotion")
    return [replace(row, emotion=emotion) for row, emotion in zip(rows, emotions, strict=True)]


def _column_names(columns: Sequence[str]) -> dict[str, str]:
    """Column to what it is called here: `File` is `file`, where no other column is."""
    lower = Counter(name.lower() for name in columns)
    return {
        name: name.lower() if name.lower() in _COLUMNS and lower[name.lower()] == 1 else name
        for name in columns
    }


def _row(cells: Mapping[str, str], line: int, folder: Path) -> LabelledClip:
    """Check the cells of one clip; the emotion stays as it is written."""
    where = f"{folder / MANIFEST}, line {line}"
    own = {name: cells.get(name, "") for name in _COLUMNS}
    for name, cell in own.items():
        if name != "text":
            check_name(cell, where, name)
    emotion, text = own.pop("emotion") or None, own.pop("text") or None
    own = {name: "" if is_empty(cell) else cell for name, cell in own.items()}
    file = own["file"]
    if not file:
        raise InputError(f"{where}: file is empty; fill it, or take the row out")
    parts = re.split(r"[/\\]", file)
    if Path(file).is_absolute() or not parts[0] or ".." in parts or PureWindowsPath(file).drive:
        raise InputError(f"{where}: file {file!r} leaves the folder; give a path inside {folder}")
    there = file_inside(folder, file)
    if there is None:
        raise InputError(f"{where}: file {file!r} is not there; expected {folder / file}")
    seconds = None
    if own["seconds"]:
        try:
            seconds = seconds_or_number(own["seconds"])
        except ValueError as error:
            raise refuse_cell(where, "seconds", own["seconds"], error) from None
        if not 0 < seconds <= _LONGEST_SECONDS:
            expected = f"a number above 0 and at most {_LONGEST_SECONDS:g}, a day"
            raise refuse_cell(where, "seconds", own["seconds"], expected)
    return LabelledClip(line, there, emotion, text, own["speaker"] or None, seconds)


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
