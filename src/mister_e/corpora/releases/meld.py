"""MELD as it is downloaded: three csv files, and the clips beside or below them or in archives."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mister_e.corpora import build
from mister_e.corpora.base import Protocol, Row
from mister_e.corpora.releases.layout import check_rows_whole, check_whole
from mister_e.corpora.releases.meld_clips import Clips, find_clips, read_member
from mister_e.corpora.store import Corpus
from mister_e.corpora.text import decode, mend
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, LabelSet

_SENTIMENTS = LabelSet(("neutral", "positive", "negative"))

_EXPECTED = {"train": 9989, "validation": 1109, "test": 2610}
_DIALOGUES = {"train": 1038, "validation": 114, "test": 280}

#: Protocols by name; the first is the default.
PROTOCOLS: Mapping[str, Protocol] = {
    "MELD-7": Protocol(
        "MELD-7",
        "meld",
        MELD_EMOTIONS,
        "Seven emotions, the official splits.",
        _EXPECTED,
        {
            "train": dict(zip(MELD_EMOTIONS, (4710, 1743, 683, 1109, 1205, 268, 271), strict=True)),
            "validation": dict(zip(MELD_EMOTIONS, (470, 163, 111, 153, 150, 40, 22), strict=True)),
            "test": dict(zip(MELD_EMOTIONS, (1256, 402, 208, 345, 281, 50, 68), strict=True)),
        },
        _DIALOGUES,
    ),
    "MELD-3": Protocol(
        "MELD-3",
        "meld",
        _SENTIMENTS,
        "Three sentiments, the official splits.",
        _EXPECTED,
        {
            "train": {"neutral": 4710, "positive": 2334, "negative": 2945},
            "validation": {"neutral": 470, "positive": 233, "negative": 406},
            "test": {"neutral": 1256, "positive": 521, "negative": 833},
        },
        _DIALOGUES,
    ),
}

#: The release's name of each split.
SPLIT_NAMES = {"train": "train", "dev": "validation", "test": "test"}

_COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")

_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")

#: Clips of the release that must not be used; their files look intact, so they are known by name.
BAD_CLIPS: Mapping[str, str] = {
    "train_dia125_utt3": "its clip cannot be decoded",
    "train_dia309_utt0": "its clip is wrongly cut (41 s)",
    "train_dia338_utt3": "its clip is wrongly cut (6 ms in the csv)",
    "dev_dia110_utt7": "the release has no clip of it",
    "test_dia38_utt4": "its clip is wrongly cut (305 s)",
    "test_dia220_utt0": "its clip is wrongly cut (235 s)",
}


@dataclass(frozen=True)
class _Line:
    """One line of a csv file, without its speaker."""

    split: str
    dialogue: int
    utterance: int
    text: str
    labels: tuple[str, str]
    start: float
    end: float

    @property
    def conversation_id(self) -> str:
        """Id over all splits: dialogue numbers start anew in each split."""
        return f"{self.split}_dia{self.dialogue}"

    @property
    def id(self) -> str:
        """Id over all splits: split, dialogue and utterance."""
        return f"{self.conversation_id}_utt{self.utterance}"

    @property
    def clip(self) -> tuple[int, int]:
        """Dialogue and utterance, as in the names of clips."""
        return self.dialogue, self.utterance


def prepare(src: str | Path, out: str | Path, *, protocol: str = "MELD-7", **options: Any) -> Corpus:
    """Prepare MELD.

    :param src: `MELD.Raw`, or a folder that holds it.
    :param out: the corpus folder to write.
    :param protocol: a name of `PROTOCOLS`.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: the folder is not MELD, or not whole.
    """
    options.setdefault("sources", ("**/*_sent_emo.csv",))
    return build.prepare(src, out, read, build.named(PROTOCOLS, protocol), **options)


def read(src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]) -> list[Row]:
    """Read every utterance of MELD (see `mister_e.corpora.base.Reader`)."""
    if validate_on is not None:
        raise InputError(f"MELD comes with a validation split: leave out validate_on ({validate_on!r})")
    clips = find_clips(src)
    rows: list[Row] = []
    for split in SPLIT_NAMES:
        lines = sorted(_lines(src, split, clips), key=lambda line: line.clip)
        audio = clips.choose(split, {line.clip: line.end - line.start for line in lines}, repairs)
        if clips:
            lost = [line.id for line in lines if line.clip not in audio and line.id not in BAD_CLIPS]
            check_whole(src, f"clips of {split}", lost, len(lines))
        rows += [_row(line, audio.get(line.clip), protocol, repairs) for line in lines]
    check_rows_whole(src, rows, repairs, BAD_CLIPS)
    return rows


def _lines(src: Path, split: str, clips: Clips) -> Iterator[_Line]:
    """Read the csv file of a split, from the folder or out of its archive."""
    name = f"{split}_sent_emo.csv"
    place = clips.annotations.get(name)
    if place is None:
        raise InputError(
            f"{src}: has no {name}; expected MELD.Raw with train_sent_emo.csv, dev_sent_emo.csv,"
            f" test_sent_emo.csv and the clips, found {clips.found}"
        )
    reader = csv.DictReader(io.StringIO(decode(read_member(src, place)), newline=""), strict=True)
    columns = reader.fieldnames or ()
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise InputError(
            f"{src / place}, line 1: has no column {', '.join(missing)}; its columns are {', '.join(columns)}"
        )
    try:
        for fields in reader:
            yield _line(fields, split, f"{src / place}, line {reader.line_num}")
    except csv.Error as error:
        raise InputError(
            f"{src / place}, line {reader.line_num}: not csv ({error}); download it again"
        ) from error


def _line(fields: Mapping[str, str | None], split: str, where: str) -> _Line:
    """Parse one line of the csv file."""
    text, emotion, sentiment, dialogue, utterance, start, end = (fields[name] or "" for name in _COLUMNS)
    if not (dialogue.isdecimal() and utterance.isdecimal()):
        raise InputError(
            f"{where}: Dialogue_ID and Utterance_ID are {dialogue!r} and {utterance!r}, expected numbers;"
            " the file may be cut off, download it again"
        )
    labels = (
        _label(emotion, "Emotion", MELD_EMOTIONS, where),
        _label(sentiment, "Sentiment", _SENTIMENTS, where),
    )
    times = (_seconds(start, where), _seconds(end, where))
    return _Line(split, int(dialogue), int(utterance), mend(text), labels, *times)


def _label(cell: str, column: str, known: LabelSet, where: str) -> str:
    """Parse an emotion or a sentiment; both are kept, whichever is the label."""
    label = cell.strip().lower()
    if label not in known:
        raise InputError(
            f"{where}: label {label!r} is not one of {', '.join(known)} ({column}); download the file again"
        )
    return label


def _seconds(time: str, where: str) -> float:
    """Read `HH:MM:SS,mmm`."""
    match = _TIME.fullmatch(time.strip())
    if match is None:
        raise InputError(f"{where}: time {time!r}, expected HH:MM:SS,mmm")
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _row(line: _Line, audio: str | None, protocol: Protocol, repairs: list[str]) -> Row:
    """Make the row of a line and its clip."""
    emotion, sentiment = line.labels
    label, custom = (sentiment, {"emotion": emotion})
    if protocol.name == "MELD-7":
        label, custom = (emotion, {"sentiment": sentiment})
    end: float | None = line.end
    if line.end <= line.start:
        repairs.append(f"{line.id}: ends when it starts according to the csv; its end is left open")
        end = None
    missing = BAD_CLIPS.get(line.id)
    if missing is None and audio is None:
        missing = "there is no clip of it"
    return Row(
        line.conversation_id,
        line.utterance,
        line.id,
        line.text or None,
        line.start,
        end,
        label,
        SPLIT_NAMES[line.split],
        audio,
        missing,
        custom=custom,
    )
