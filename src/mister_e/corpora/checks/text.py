"""Checks of a corpus' text: missing, damaged, or the same in train and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from mister_e.corpora.checks.findings import Check, Evidence, Finding, Level, several
from mister_e.corpora.reading.cells import EMPTY
from mister_e.corpora.text import unscrambled

#: Sentences of so many words are not the same by chance.
_SENTENCE = 5


def empty(evidence: Evidence) -> Iterator[Finding]:
    """Look for turns without words, and for those without words and speech."""
    table = evidence.table
    blank = pl.col("text").str.strip_chars() == ""
    if ids := tuple(table.filter(blank)["id"]):
        yield Finding("warning", "text-empty", f"{several(len(ids), 'turn')} with an empty text", ids)
    if ids := tuple(table.filter(pl.col("text").is_null())["id"]):
        yield Finding("warning", "text-missing", f"{several(len(ids), 'turn')} without words", ids)
    features = [pl.col(name).is_not_null() for name in evidence.corpus.metadata["features"]]
    usable = pl.col("audio").is_not_null() & pl.col("speech_missing").is_null()
    has_speech = pl.any_horizontal(usable, *features)
    if ids := tuple(table.filter((pl.col("text").is_null() | blank) & ~has_speech)["id"]):
        yield Finding(
            "warning", "turn-empty", f"{several(len(ids), 'turn')} with neither words nor speech", ids
        )


def placeholders(evidence: Evidence) -> Iterator[Finding]:
    """Look for texts such as "nan", which a program writes where there are no words; "none" may be a word."""
    words = EMPTY - {"", "none", "nil"}
    yield from _texts(
        evidence,
        lambda text: text.strip().lower() in words,
        "warning",
        "text-placeholder",
        "whose text is what programs write into an empty cell, such as nan; empty them if nobody said so",
    )


def encoding(evidence: Evidence) -> Iterator[Finding]:
    """Look for the traces of a wrong encoding."""
    yield from _texts(
        evidence,
        lambda text: any("\x80" <= letter <= "\x9f" for letter in text),
        "error",
        "encoding-windows",
        "with Windows-1252 code points where quotes and dashes should be; --fix maps them",
    )
    yield from _texts(
        evidence,
        lambda text: unscrambled(text) != text,
        "error",
        "encoding-scrambled",
        "with UTF-8 read as Windows-1252 (such as Ã© for é); --fix undoes it",
    )
    yield from _texts(
        evidence,
        lambda text: "\ufffd" in text,
        "warning",
        "encoding-lost",
        "with letters that were lost for good (U+FFFD)",
    )


def repeated(evidence: Evidence) -> Iterator[Finding]:
    """Count the turns of validation and test that are word for word in train, or in the other."""
    words = pl.col("text").str.to_lowercase().str.replace_all(r"[^\pL\pN]+", " ").str.strip_chars()
    table = evidence.table.with_columns(words=words).filter(pl.col("words") != "")
    for split, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        known = table.filter(pl.col("split") == other)["words"].unique().implode()
        some = table.filter(pl.col("split") == split)
        again = some.filter(pl.col("words").is_in(known))
        if not again.height:
            continue
        long = again.filter(pl.col("words").str.split(" ").list.len() >= _SENTENCE).height
        message = (
            f"{again.height:,} of {some.height:,} turns of {split} ({again.height / some.height:.0%}) are"
            f" word for word in {other}, {long:,} of them of {_SENTENCE} words or more"
        )
        yield Finding("warning", "text-repeated", message, tuple(again["id"]))


CHECKS: tuple[Check, ...] = (empty, placeholders, encoding, repeated)


def _texts(
    evidence: Evidence, damaged: Callable[[str], bool], level: Level, code: str, message: str
) -> Iterator[Finding]:
    """Report the turns whose text is damaged."""
    pairs = evidence.table.select("id", "text").iter_rows()
    ids = tuple(name for name, text in pairs if text is not None and damaged(text))
    if ids:
        yield Finding(level, code, f"{several(len(ids), 'turn')} {message}", ids)
