"""Reader of Praat's TextGrid, long and short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row, time_of
from mister_e.transcription.readers.word_runs import Word, turns_of

# Praat reads the free-standing numbers, strings and flags in their order; all else is a comment.
_TOKEN = re.compile(
    r'"([^"]*(?:""[^"]*)*)"|(?<![^\s=])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![^\s])|(<exists>|<absent>)|(\n)|!.*'
)
# tiers of sounds, not of words
_SOUNDS = re.compile(r"phon|mau|segment|syll|pitch|tone|ipa|sound|noise", re.IGNORECASE)
_WORDS = re.compile(r"words?$|ort$|ort-mau$|tokens?$", re.IGNORECASE)


def looks_like_textgrid(text: str) -> bool:
    """Tell whether a text is a TextGrid."""
    return text.lstrip()[:40].startswith('File type = "ooTextFile') and '"TextGrid"' in text[:200]


@dataclass
class _Tokens:
    """Tokens of a TextGrid with their lines."""

    tokens: Iterator[re.Match[str]]
    line: int = 1

    def take(self) -> re.Match[str]:
        """The next token."""
        for token in self.tokens:
            self.line += token[0].count("\n")
            if token.lastindex and not token[4]:
                return token
        raise InputError(f"line {self.line}: ends within a tier; is the TextGrid whole?")

    def text(self) -> str:
        """The next token, a string."""
        token = self.take()
        if token[1] is None:
            raise InputError(f"line {self.line}: expected a text in quotes, found {token[0][:40]!r}")
        return token[1].replace('""', '"')

    def number(self) -> str:
        """The next token, a number."""
        token = self.take()
        if token[2] is None:
            # not which: it may be the name of a tier, and thereby of a person
            raise InputError(f"line {self.line}: expected a number, found a text or a flag")
        return token[2]

    def count(self) -> int:
        """The next token, a number of things."""
        return int(min(float(self.number()), 1e7))


def read_textgrid(text: str, faults: Faults) -> Iterator[Row]:
    """Read the tiers of intervals: each interval with words is a turn.

    Tiers of sounds (phones, syllables, tones) and of points are passed over; a tier of words is read only
    if there is no other, and its words are joined to turns at pauses. Names of tiers are dropped.

    :param text: the file, lines ending in a newline.
    :param faults: told of intervals that cannot be read.
    :raises InputError: it is no TextGrid, or is cut.
    """
    tiers = list(read_tiers(text, faults))
    spoken = [(name, rows) for name, rows, _ in tiers if rows and not is_tier_of_sounds(name)]
    whole = [rows for name, rows in spoken if not is_tier_of_words(name)]
    if whole:
        for rows in whole:
            yield from rows
        return
    for _, rows in spoken:
        yield from turns_of([Word(row.where, row.text, row.start, row.end) for row in rows])


def is_tier_of_sounds(name: str) -> bool:
    """Tell whether a tier has sounds by its name, or what is finer than words."""
    return _SOUNDS.search(name) is not None


def is_tier_of_words(name: str) -> bool:
    """Tell whether each interval of a tier is one word, by its name."""
    return _WORDS.search(name.strip()) is not None


def read_tiers(text: str, faults: Faults) -> Iterator[tuple[str, list[Row], bool]]:
    """Read every tier: its name, its intervals that are not empty, and whether it is of intervals at all.

    :param text: the file, lines ending in a newline.
    :param faults: told of intervals that cannot be read.
    :raises InputError: it is no TextGrid, or is cut.
    """
    if not looks_like_textgrid(text):
        raise InputError("is no TextGrid as Praat saves it as text or short text; save it so")
    tokens = _Tokens(_TOKEN.finditer(text))
    for _ in range(2):
        tokens.text()  # the kinds of file and of object
    for _ in range(2):
        tokens.number()
    if tokens.take()[3] != "<exists>":
        raise InputError(f"line {tokens.line}: has no tiers")
    for _ in range(tokens.count()):
        kind, name = tokens.text(), tokens.text()
        for _ in range(2):
            tokens.number()
        rows: list[Row] = []
        for _ in range(tokens.count()):
            times = [tokens.number() for _ in range(2 if kind == "IntervalTier" else 1)]
            label, where = tokens.text(), f"line {tokens.line}"
            if len(times) < 2 or not label.strip():
                continue
            try:
                start, end = (
                    time_of(float(time), side) for time, side in zip(times, ("xmin", "xmax"), strict=True)
                )
            except InputError as error:
                faults.leave_out(where, str(error))
            else:
                rows.append(Row(where, label, start, end))
        yield name, rows, kind == "IntervalTier"
