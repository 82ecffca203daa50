"""Preparation of a user's table: CSV, Parquet or JSONL with one row an utterance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from mister_e.corpora import build
from mister_e.corpora.base import Protocol, Row
from mister_e.corpora.reading.cells import file_inside, listed, unify_classes
from mister_e.corpora.reading.frames import KNOWN, ROW, read_frame, row_names, with_features
from mister_e.corpora.splits import make_splits, make_validation, split_name
from mister_e.corpora.store import Corpus
from mister_e.corpora.text import ZERO_WIDTH, mend
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, LabelSet

_REQUIRED = ("conversation_id", "label")

#: Reasons why a turn has no speech.
_NO_SPEECH = "the table has no audio and no features"
_NO_AUDIO = "the table names no audio of this turn"
_NO_FEATURE = "no feature of this turn is defined"
_GONE = "its audio file is not there"


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    labels: Sequence[str] = (),
    features: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    name: str | None = None,
    **options: Any,
) -> Corpus:
    """Prepare a user's table.

    :param src: `.csv`, `.tsv`, `.parquet` or `.jsonl` with the columns `conversation_id`, `label`, one of
        `text` and `audio` (unless there are features), and if need be `turn`, `utterance_id`, `start`,
        `end`, `split`. Without `turn`, turns stand in the order of `start` if all of a conversation have it,
        else as in the table. An audio file of several turns is a recording, cut by `start` and `end`.
        `speech_missing` (a reason), `has_audio` and `audio_suspect` tell of turns whose speech is not used.
    :param out: the corpus folder to write.
    :param labels: the labels in their order; none = those of the table, the most frequent first.
    :param features: patterns of numeric columns that are features of speech, such as "avg_*".
    :param columns: a column's name here to its name in the table, where they differ.
    :param seed: which conversations go into which split, where the table has no column `split`.
    :param name: name of the protocol; default: that of the file.
    :param options: those of `mister_e.corpora.build.prepare`.
    :raises InputError: the table is not as expected; the message names the row.
    """
    src = Path(src)
    noted: list[str] = []
    frame = read_frame(src, columns or {}, noted)
    frame, chosen = with_features(frame, features, src)
    left = [column for column in frame.columns if column not in (*KNOWN, ROW, *chosen)]
    if left:
        noted.append(f"column {', '.join(left)}: not asked for, left out")
    if "label" in frame.columns:
        names = unify_classes(frame["label"].to_list(), noted, known=labels)
        frame = frame.with_columns(pl.Series("label", names, pl.String))
    where = row_names(frame, src)
    rows = _split(_rows(frame, src, chosen, noted), where, seed, noted)
    protocol = Protocol(
        name or src.stem, "table", _label_set(rows, labels, src, where), f"The labels of {src.name}."
    )

    def read(
        src: Path, protocol: Protocol, *, validate_on: str | None = None, repairs: list[str]
    ) -> list[Row]:
        if validate_on is not None:
            raise InputError("a table validates on its split 'validation'; leave out validate_on")
        repairs.extend(noted)
        return rows

    return build.prepare(src, out, read, protocol, **options)


def _label_set(
    rows: Sequence[Row], labels: Sequence[str], src: Path, where: Callable[[int], str]
) -> LabelSet:
    """Make the label set: as given, or the labels that occur, the most frequent first."""
    counts = Counter(row.label for row in rows if row.label is not None)
    if labels:
        chosen = LabelSet(tuple(labels))
        for place, row in enumerate(rows):
            name = row.label
            if name is not None and name not in chosen:
                raise InputError(
                    f"{where(place)}: label {name!r} ({counts[name]} times) is not one of"
                    f" {', '.join(labels)}; add it, or empty it to keep those turns as context"
                )
        return chosen
    if set(counts) == set(MELD_EMOTIONS):
        return MELD_EMOTIONS  # the order of the bundled models
    if len(counts) < 2:
        raise InputError(f"{src}: has {len(counts)} labels, two are needed to tell anything apart")
    return LabelSet(tuple(sorted(counts, key=lambda name: (-counts[name], name))))


def _rows(frame: pl.DataFrame, src: Path, features: Sequence[str], repairs: list[str]) -> list[Row]:
    """Convert the lines of a table to rows; `split` is "" where the table has none."""
    there = [name for name in frame.columns if name != ROW]
    for column in _REQUIRED:
        if column not in there:
            raise InputError(
                f"{src}: has no column {column!r}; its columns are {listed(there)}"
                f" (say which one it is: --column {column}=NAME)"
            )
    if not features and not {"text", "audio"} & set(frame.columns):
        raise InputError(f"{src}: has neither text nor audio, and no --features were named")
    shared = _recordings(frame)
    where = row_names(frame, src)
    turns = _turns(frame, where, repairs)
    rows = []
    mended = 0
    for place, values in enumerate(frame.iter_rows(named=True)):
        row = _row(values, where(place), turns[place], features, shared)
        mended += row.text is not None and row.text != values["text"]
        rows.append(row)
    if mended:
        repairs.append(f"{mended:,} texts: characters of another encoding, or spaces around them, mended")
    return [_checked_audio(row, src.parent) for row in rows]


def _turns(frame: pl.DataFrame, where: Callable[[int], str], repairs: list[str]) -> list[int]:
    """Number each row within its conversation: as the table does, by `start`, or as the rows stand."""
    given, starts = (
        frame[name].to_list() if name in frame.columns else [None] * frame.height
        for name in ("turn", "start")
    )
    turns = list(given)
    conversations: dict[str, list[int]] = {}
    for place, name in enumerate(frame["conversation_id"]):
        if name is None:
            raise InputError(f"{where(place)}: conversation_id is empty; fill it, or take the row out")
        conversations.setdefault(name, []).append(place)
    moved = 0
    for name, places in conversations.items():
        if any(turns[place] is not None for place in places):
            _check_turns(name, places, turns, where)
            continue
        order = places
        begins = {place: start for place in places if (start := starts[place]) is not None}
        if len(begins) == len(places):
            order = sorted(places, key=begins.__getitem__)
            moved += order != places
        for number, place in enumerate(order):
            turns[place] = number
    if moved:
        repairs.append(f"{moved:,} conversations: no turn numbers, turns put in the order of start")
    return turns


def _check_turns(
    name: str, places: Sequence[int], turns: Sequence[int | None], where: Callable[[int], str]
) -> None:
    """Raise InputError unless every turn of a conversation has a number of its own."""
    before: dict[int, int] = {}
    for place in places:
        turn = turns[place]
        if turn is None:
            raise InputError(
                f"{where(place)}: turn is empty, other turns of {name} have a number;"
                " fill all of them, or none"
            )
        if turn in before:
            other = where(before[turn]).rpartition(", ")[2]
            raise InputError(
                f"{where(place)}: turn {turn} of {name} is {other} already; number each turn once"
            )
        before[turn] = place


def _told_missing(values: Mapping[str, Any]) -> str | None:
    """Reason in the table why a turn's speech must not be used; None = it may be."""
    reason: str | None = values.get("speech_missing")
    if reason is not None and reason.lower() != "false":  # some write a truth value
        return reason
    if values.get("has_audio") is False:
        return "the table says has_audio = false"
    if values.get("audio_suspect"):
        return "the table says audio_suspect = true"
    return None


def _recordings(frame: pl.DataFrame) -> set[str]:
    """Find the audio files from which several turns are cut."""
    if "audio" not in frame.columns:
        return set()
    counts = frame["audio"].drop_nulls().value_counts()
    return set(counts.filter(pl.col("count") > 1)["audio"])


def _row(
    values: Mapping[str, Any],
    where: str,
    turn: int,
    features: Sequence[str],
    recordings: set[str],
) -> Row:
    """Convert one line to a row."""
    conversation = values["conversation_id"]
    start, end, audio = values.get("start"), values.get("end"), values.get("audio")
    times = [time for time in (start, end) if time is not None]
    if times != sorted(times) or not all(0 <= time < float("inf") for time in times):
        raise InputError(f"{where}: from {start} to {end} s, expected 0 <= start <= end")
    stretch = None
    if audio in recordings:
        if start is None or end is None:
            raise InputError(f"{where}: {audio} is the audio of several turns, so each needs start and end")
        stretch = (start, end)
    text = values.get("text")
    missing = _told_missing(values)
    defined = {name: values[name] for name in features if values[name] is not None}
    if missing is None and audio is None and not defined:
        missing = _NO_FEATURE if features else _NO_AUDIO if "audio" in values else _NO_SPEECH
    return Row(
        conversation,
        turn,
        values.get("utterance_id") or f"{conversation}_{turn}",
        None if text is None else _words(text),
        start,
        end,
        values["label"],
        split_name(values.get("split"), where),
        audio,
        missing,
        features={} if missing else defined,
        stretch=stretch,
    )


def _words(text: str) -> str | None:
    """Mended words; None where nothing of them can be seen."""
    mended = mend(text)
    return mended if mended.strip(f"{ZERO_WIDTH} ") else None


def _checked_audio(row: Row, folder: Path) -> Row:
    """Mark speech as missing where the audio file is not there."""
    if row.audio is None:
        return row
    there = file_inside(folder, row.audio)
    if there is not None:
        return replace(row, audio=there)
    return replace(row, audio=None, stretch=None, speech_missing=row.speech_missing or _GONE)


def _split(rows: list[Row], where: Callable[[int], str], seed: int, repairs: list[str]) -> list[Row]:
    """Use the splits of the table, or make the missing ones by whole conversations."""
    given = {row.split for row in rows}
    if "" in given:
        if len(given) > 1:
            place = next(place for place, row in enumerate(rows) if not row.split)
            raise InputError(f"{where(place)}: split is empty; fill all of them, or remove the column")
        assigned = make_splits([row.conversation_id for row in rows], seed)
        repairs.append(f"splits made by conversation, 80 : 10 : 10, with seed {seed}")
    elif "train" in given and "validation" not in given:
        train = [row.conversation_id for row in rows if row.split == "train"]
        assigned = make_validation(train, seed)
        repairs.append(f"one in ten conversations of train made the validation split, with seed {seed}")
    else:
        return rows
    return [replace(row, split=assigned.get(row.conversation_id, row.split)) for row in rows]
