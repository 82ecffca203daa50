"""Checks of a corpus' table: counts, labels, splits, ids and times."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mister_e.corpora.base import SPLITS
from mister_e.corpora.checks.findings import Check, Evidence, Finding, Level, several
from mister_e.corpora.reading.cells import class_key, is_empty
from mister_e.corpora.rows import counts

#: Overlap of two turns (s) that is reported, where it is also more than half of the shorter turn.
_LONG_OVERLAP = 5.0

#: A turn is reported that starts so much (s) before the one that it follows.
_STEP_BACK = 1.0

#: Turns longer than this (s) exceed the window of speech encoders.
_LONG_TURN = 30.0


def stored_counts(evidence: Evidence) -> Iterator[Finding]:
    """Compare the stored counts with the table."""
    corpus = evidence.corpus
    if counts(corpus.table, corpus.protocol, corpus.metadata["features"]) != corpus.counts:
        yield Finding("error", "counts-stored", "corpus.json counts other turns than the table holds")


def expected_counts(evidence: Evidence) -> Iterator[Finding]:
    """Compare the counts with those of the protocol."""
    protocol = evidence.corpus.protocol
    counted = counts(evidence.table, protocol, evidence.corpus.metadata["features"])
    for split, expected in protocol.expected_conversations.items():
        found = counted[split]["conversations"]
        if found != expected:
            message = f"{split} has {several(found, 'conversation')}, {protocol.name} has {expected:,}"
            yield Finding("error", "counts-conversations", message)
    for split, expected in protocol.expected.items():
        found = counted[split]["labelled"]
        if found != expected:
            message = f"{split} has {several(found, 'labelled turn')}, {protocol.name} has {expected:,}"
            yield Finding("error", "counts-split", message)
    for split, labels in protocol.expected_labels.items():
        differ = [
            f"{label} {counted[split]['labels'][label]:,} instead of {expected:,}"
            for label, expected in labels.items()
            if counted[split]["labels"][label] != expected
        ]
        if differ:
            message = f"{split} does not have the labels of {protocol.name}: {', '.join(differ)}"
            yield Finding("error", "counts-label", message)


def labels(evidence: Evidence) -> Iterator[Finding]:
    """Look for labels and splits that do not exist, and for splits that lack some."""
    protocol = evidence.corpus.protocol
    known = pl.col("label").is_null() | pl.col("label").is_in(protocol.labels.names)
    yield from _rows(evidence, ~known, "error", "label-unknown", "{} with a label that the protocol lacks")
    known = pl.col("split").is_in(SPLITS)
    yield from _rows(evidence, ~known, "error", "split-unknown", f"{{}} in none of {', '.join(SPLITS)}")
    for split in SPLITS:
        present = set(evidence.table.filter(pl.col("split") == split)["label"].drop_nulls())
        absent = [label for label in protocol.labels if label not in present]
        if not present:
            yield Finding("error", "split-empty", f"{split} has no labelled turn")
        elif len(present) == 1:
            message = f"{split} has one class only, {min(present)}: every score on it is meaningless"
            yield Finding("error", "split-one-class", message)
        elif absent:
            yield Finding("warning", "label-absent", f"{split} has no turn of {', '.join(absent)}")


def class_names(evidence: Evidence) -> Iterator[Finding]:
    """Look for labels that are empty cells by their names, and for one class under several names."""
    names = dict.fromkeys([*evidence.corpus.protocol.labels, *evidence.table["label"].drop_nulls()])
    kinds: tuple[tuple[Level, list[str]], ...] = (
        ("error", [name for name in names if is_empty(name) and class_key(name) != "none"]),
        # a class may be called so on purpose
        ("warning", [name for name in names if class_key(name) == "none"]),
    )
    for level, chosen in kinds:
        if chosen:
            code = "label-placeholder" if level == "error" else "label-none"
            listed = ", ".join(map(repr, chosen))
            message = f"{{}} of the class {listed}, which stands for an empty cell; prepare again"
            yield from _rows(evidence, pl.col("label").is_in(chosen), level, code, message)
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(class_key(name), []).append(name)
    double = [name for same in spellings.values() if len(same) > 1 for name in same]
    message = f"{{}} of classes that differ in case or spaces alone ({', '.join(double)}); prepare again"
    yield from _rows(evidence, pl.col("label").is_in(double), "error", "label-spelling", message)


def speech(evidence: Evidence) -> Iterator[Finding]:
    """Count the turns without speech in each split; a corpus prepared without audio may have none at all."""
    metadata = evidence.corpus.metadata
    counted = counts(evidence.table, evidence.corpus.protocol, metadata["features"])
    wanted = metadata["audio"] != "none"
    if not wanted and all(split["speech_missing"] == split["utterances"] for split in counted.values()):
        return
    for split, numbers in counted.items():
        missing, all_turns = numbers["speech_missing"], numbers["utterances"]
        if not missing:
            continue
        level: Level = "error" if wanted and missing == all_turns else "warning"
        message = f"{missing:,} of {all_turns:,} turns of {split} ({missing / all_turns:.0%}) without speech"
        yield Finding(level, "speech-missing", message)


def duplicates(evidence: Evidence) -> Iterator[Finding]:
    """Look for ids and turn numbers that a conversation has twice."""
    again = pl.struct("conversation", "id").is_duplicated()
    yield from _rows(
        evidence, again, "error", "id-twice", "{} of a conversation under the same id as another"
    )
    again = pl.struct("conversation", "turn").is_duplicated() & ~again
    yield from _rows(evidence, again, "error", "turn-twice", "{} with the number of another turn")


def split_conversations(evidence: Evidence) -> Iterator[Finding]:
    """Look for conversations that lie in more than one split."""
    across = evidence.table.group_by("conversation", maintain_order=True).agg(pl.col("split").n_unique())
    names = across.filter(pl.col("split") > 1)["conversation"].to_list()
    if names:
        message = f"{several(len(names), 'conversation')} in more than one split, such as {names[0]}"
        chosen = evidence.table.filter(pl.col("conversation").is_in(names))
        yield Finding("error", "conversation-across-splits", message, tuple(chosen["id"]))


def times(evidence: Evidence) -> Iterator[Finding]:
    """Look for times that are impossible or unlikely."""
    start, end = pl.col("start"), pl.col("end")
    impossible = (end < start) | (start < 0) | ~start.is_finite() | ~end.is_finite()
    yield from _rows(evidence, impossible, "error", "times-reversed", "{} with times that cannot be")
    yield from _rows(evidence, end == start, "warning", "times-zero", "{} without any length by their times")
    long = (end - start) > _LONG_TURN
    yield from _rows(evidence, long, "warning", "times-long", f"{{}} longer than {_LONG_TURN:g} s")


def order(evidence: Evidence) -> Iterator[Finding]:
    """Look for turns that overlap the one before for long, or come before it."""
    before = [pl.col(name).shift(1).over("conversation", order_by="turn") for name in ("start", "end")]
    back = pl.col("start") < before[0] - _STEP_BACK
    yield from _rows(evidence, back, "warning", "times-order", "{} that start before the turn they follow")
    overlap = pl.min_horizontal("end", before[1]) - pl.max_horizontal("start", before[0])
    shorter = pl.min_horizontal(pl.col("end") - pl.col("start"), before[1] - before[0])
    # the horizontal functions pass over what is undefined
    timed = pl.all_horizontal(time.is_not_null() for time in (pl.col("start"), pl.col("end"), *before))
    heavy = timed & (overlap > _LONG_OVERLAP) & (overlap > shorter / 2)
    message = f"{{}} that overlap the turn before for over {_LONG_OVERLAP:g} s"
    yield from _rows(evidence, heavy, "warning", "times-overlap", message)


CHECKS: tuple[Check, ...] = (
    stored_counts,
    expected_counts,
    labels,
    class_names,
    speech,
    duplicates,
    split_conversations,
    times,
    order,
)


def _rows(evidence: Evidence, which: pl.Expr, level: Level, code: str, message: str) -> Iterator[Finding]:
    """Report the rows for which an expression is true, neither false nor null."""
    ids = tuple(evidence.table.filter(which)["id"])
    if ids:
        yield Finding(level, code, message.replace("{}", several(len(ids), "turn"), 1), ids)
