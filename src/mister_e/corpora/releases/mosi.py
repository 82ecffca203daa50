"""CMU-MOSI, read from its raw release: a video is a conversation, its segments are the turns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mister_e.corpora import build
from mister_e.corpora.base import SPLITS, Protocol, Row
from mister_e.corpora.releases.folds import folds
from mister_e.corpora.releases.layout import check_rows_whole, find, folder, locate
from mister_e.corpora.store import Corpus
from mister_e.corpora.text import lines
from mister_e.errors import InputError
from mister_e.labels import LabelSet

_COLUMNS = "start, end, video, segment, score"
_SEPARATOR = "_DELIM_"
_MAX_SCORE = 3.0


def _sign(score: float) -> str:
    """Negative, or zero and above."""
    return "negative" if score < 0 else "non-negative"


def _sign_without_zero(score: float) -> str | None:
    """Negative or positive; zero has no label."""
    return None if score == 0 else "negative" if score < 0 else "positive"


def _rounded(score: float) -> str:
    """Nearest of seven classes; halves go to the even one, as NumPy rounds and the literature does."""
    return _SEVEN[round(score) + 3]


_SEVEN = ("-3", "-2", "-1", "0", "+1", "+2", "+3")


@dataclass(frozen=True)
class _Task:
    """How a score becomes a class, and how often each does: train, validation, test."""

    description: str
    label: Callable[[float], str | None]
    counts: Mapping[str, tuple[int, int, int]]


_TASKS = {
    "MOSI-2": _Task(
        "negative (score < 0) against non-negative",
        _sign,
        {"negative": (552, 92, 379), "non-negative": (732, 137, 307)},
    ),
    "MOSI-2-nonzero": _Task(
        "negative against positive; a score of zero has no label",
        _sign_without_zero,
        {"negative": (552, 92, 379), "positive": (679, 124, 277)},
    ),
    "MOSI-7": _Task(
        "score rounded to -3 … +3, halves to the even one",
        _rounded,
        {
            "-3": (24, 10, 46),
            "-2": (199, 30, 156),
            "-1": (227, 32, 145),
            "0": (248, 49, 106),
            "+1": (227, 39, 113),
            "+2": (313, 50, 100),
            "+3": (46, 19, 20),
        },
    ),
}


def _protocol(name: str, task: _Task) -> Protocol:
    """Describe a task on the standard split."""
    counts = {
        split: {label: row[column] for label, row in task.counts.items()}
        for column, split in enumerate(SPLITS)
    }
    return Protocol(
        name=name,
        corpus="mosi",
        labels=LabelSet(tuple(task.counts)),
        description=f"{task.description}; standard split of 52 / 10 / 31 videos",
        expected={split: sum(row.values()) for split, row in counts.items()},
        expected_labels=counts,
        expected_conversations={split: len(videos) for split, videos in folds("mosi")["standard"].items()},
    )


#: Every named way to read the corpus.
PROTOCOLS: Mapping[str, Protocol] = {name: _protocol(name, task) for name, task in _TASKS.items()}


def prepare(src: str | Path, out: str | Path, *, protocol: str = "MOSI-2", **options: Any) -> Corpus:
    """Prepare CMU-MOSI.

    :param src: the raw release, or a folder that holds it.
    :param out: the corpus folder to write.
    :param protocol: a name of `PROTOCOLS`.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: the folder is not CMU-MOSI, or not whole.
    """
    options.setdefault("sources", ("**/OpinionLevelSentiment.csv", "**/Segmented/*.annotprocessed"))
    return build.prepare(src, out, read, build.named(PROTOCOLS, protocol), **options)


def read(src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]) -> list[Row]:
    """Read the raw release, each video's segments in their order.

    :param src: the release, or a folder that holds it.
    :param protocol: one of `PROTOCOLS`.
    :param validate_on: the split is fixed; anything but None or "standard" is an error.
    :param repairs: what was mended or is missing is appended here.
    :raises InputError: the release is not as expected.
    """
    if validate_on not in (None, "standard"):
        raise InputError(f"cannot validate on {validate_on!r}: CMU-MOSI has its standard split only")
    table = locate(src, "OpinionLevelSentiment.csv", "CMU-MOSI")
    clips = find(src, "Audio/WAV_16000/Segmented")
    transcripts = folder(locate(src, "Transcript/Segmented", "CMU-MOSI"), "CMU-MOSI")
    splits = {video: split for split, videos in folds("mosi")["standard"].items() for video in videos}
    words: dict[str, dict[int, str]] = {}
    rows: list[Row] = []
    for segment in _segments(table):
        video = segment.video
        if video not in splits:
            raise InputError(f"{table}: video {video!r} is not one of the 93 of CMU-MOSI")
        if video not in words:
            words[video] = _transcript(transcripts / f"{video}.annotprocessed")
        text = words[video].get(segment.number) or None
        if text is None:
            repairs.append(f"{segment.id}: has no words in its transcript; text is missing")
        if segment.end <= segment.start:
            repairs.append(f"{segment.id}: ends when it starts, or before; its end is left open")
        clip = clips / f"{segment.id}.wav" if clips is not None else None
        if clip is not None and not clip.is_file():
            clip = None
        rows.append(
            Row(
                conversation_id=video,
                turn=segment.number,
                utterance_id=segment.id,
                text=text,
                start=segment.start,
                end=segment.end if segment.end > segment.start else None,
                label=_TASKS[protocol.name].label(segment.score),
                split=splits[video],
                audio=clip.relative_to(src).as_posix() if clip else None,
                speech_missing=None if clip else "the release has no clip of it",
                custom={"score": segment.score},
            )
        )
    check_rows_whole(transcripts.parent.parent, rows, repairs)
    return rows


@dataclass(frozen=True, order=True)
class _Segment:
    """One line of the table of opinions; ordered by video, then number."""

    video: str
    number: int
    start: float
    end: float
    score: float

    @property
    def id(self) -> str:
        """Name of its clip."""
        return f"{self.video}_{self.number}"


def _segments(table: Path) -> list[_Segment]:
    """Read the table, which has no header."""
    segments = []
    for number, cells in enumerate(csv.reader(lines(table)), 1):
        if not cells:
            continue
        where = f"{table}, line {number}"
        try:
            start, end, video, segment, score = (cell.strip() for cell in cells)
            row = _Segment(video, int(segment), float(start), float(end), float(score))
        except ValueError:
            raise InputError(
                f"{where}: expected {_COLUMNS}, without a header; got {','.join(cells)!r}"
            ) from None
        if not abs(row.score) <= _MAX_SCORE:
            raise InputError(f"{where}: score {row.score} is not within [-3, 3]")
        segments.append(row)
    return sorted(segments)


def _transcript(path: Path) -> dict[int, str]:
    """Read a transcript: number of the segment to its text."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; the release of CMU-MOSI is half extracted, extract it again")
    words = {}
    for line in lines(path):
        number, separator, text = line.partition(_SEPARATOR)
        if separator and number.strip().isdigit():
            words[int(number)] = text.strip()
    return words
