"""Which format a transcript has: by its extension, and by its content where that tells more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mister_e.errors import InputError
from mister_e.transcription.readers.json import read_json
from mister_e.transcription.readers.lyrics import looks_like_lrc, read_lrc
from mister_e.transcription.readers.plain_text import read_plain_text
from mister_e.transcription.readers.rows import MOST_CHARACTERS, Faults, Row
from mister_e.transcription.readers.substation import looks_like_substation, read_substation
from mister_e.transcription.readers.subtitles import (
    looks_like_sbv,
    looks_like_srt,
    read_sbv,
    read_srt,
    read_vtt,
)
from mister_e.transcription.readers.tables import read_table
from mister_e.transcription.readers.textgrid import looks_like_textgrid, read_textgrid
from mister_e.transcription.readers.xml_files import looks_like_eaf, looks_like_ttml, read_eaf, read_ttml

Reader = Callable[[str, Faults], Iterator[Row]]

_READERS: dict[str, Reader] = {
    ".srt": read_srt,
    ".vtt": read_vtt,
    ".json": read_json,
    ".csv": read_table,
    ".tsv": read_table,
    ".txt": read_plain_text,
    ".ass": read_substation,
    ".ssa": read_substation,
    ".sbv": read_sbv,
    ".lrc": read_lrc,
    ".ttml": read_ttml,
    ".dfxp": read_ttml,
    ".textgrid": read_textgrid,
    ".eaf": read_eaf,
}

#: Formats in which lines mean nothing, or a program writes all in one.
_OF_ANY_LINES = frozenset({".json", ".ttml", ".dfxp", ".eaf"})
_MOST_LINES = 1_000_000

#: Extensions that are understood.
FORMATS = tuple(_READERS)

_UNMISTAKABLE = (
    (".ass", looks_like_substation),
    (".textgrid", looks_like_textgrid),
    (".eaf", looks_like_eaf),
    (".ttml", looks_like_ttml),
)
_LIKELY = ((".lrc", looks_like_lrc), (".srt", looks_like_srt), (".sbv", looks_like_sbv))

#: Transcripts that are not read, and what to do with them.
_NOT_READ = {
    **dict.fromkeys(
        (".docx", ".doc", ".odt", ".rtf", ".pdf"), "save its text as .txt, or export .vtt or .srt"
    ),
    **dict.fromkeys((".html", ".htm", ".md"), "save its text as .txt"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as .csv with a column 'text'"),
    **dict.fromkeys((".sub", ".smi", ".stl", ".scc", ".sup", ".idx"), "convert the subtitles to .srt"),
    **dict.fromkeys(
        (".cha", ".trs", ".antx", ".rttm", ".ctm", ".stm"), "export it as .TextGrid, .eaf or .csv"
    ),
}


def is_transcript(path: Path) -> bool:
    """Whether a file is a transcript by its extension, be it one that is read or one that is refused."""
    return path.suffix.lower() in _READERS or path.suffix.lower() in _NOT_READ


def check_format(path: Path) -> None:
    """Refuse a format that is known and not read.

    :raises InputError: with the way out.
    """
    if way_out := _NOT_READ.get(path.suffix.lower()):
        raise InputError(f"{path.suffix} is a format that is not read; {way_out}")


def read_rows(path: Path, text: str, faults: Faults) -> Iterator[Row]:
    """Parse a transcript by its extension, or by its content.

    :param path: of the file, for its extension.
    :param text: what it holds, lines ending in a newline.
    :param faults: told of what costs a turn.
    :raises InputError: the format is not known, or the text is not of it.
    """
    kind = _kind(path.suffix.lower(), text)
    if kind not in _READERS:
        raise InputError(f"is not a transcript format that is known; expected one of {', '.join(FORMATS)}")
    if kind not in _OF_ANY_LINES:
        _check_lines(text)
    if kind in (".srt", ".vtt", ".sbv"):
        rows = list(_READERS[kind](text, faults))
        if text.strip() and not rows and faults.first is None:
            raise InputError("has no line with times, as 00:00:01,000 --> 00:00:02,500")
        return iter(rows)
    return _READERS[kind](text, faults)


def _check_lines(text: str) -> None:
    """Refuse what no transcript has, before it takes the memory of many files.

    :raises InputError: a line is too long, or there are too many.
    """
    if text.count("\n") > _MOST_LINES:
        raise InputError(f"has more than {_MOST_LINES} lines; cut it into conversations")
    place = 0
    while len(text) - place > MOST_CHARACTERS:
        end = text.rfind("\n", place, place + MOST_CHARACTERS)
        if end < 0:
            number = text.count("\n", 0, place) + 1
            raise InputError(
                f"line {number}: has more than {MOST_CHARACTERS} characters; give each turn a line of its own"
            )
        place = end + 1


def _kind(extension: str, text: str) -> str:
    """The format's extension; content speaks where it cannot be mistaken, or the extension tells nothing."""
    if text.startswith("WEBVTT"):
        return ".vtt"
    if extension not in (".json", ".csv", ".tsv"):
        for kind, fits in _UNMISTAKABLE:
            if fits(text):
                return kind
    if extension in (".srt", ".vtt", ".sbv") and looks_like_sbv(text):
        return ".sbv"
    if extension == ".sbv" and looks_like_srt(text):
        return ".srt"
    if extension in _READERS and extension != ".txt":
        return extension
    for kind, fits in _LIKELY:
        if fits(text):
            return kind
    if extension != ".txt" and text.lstrip()[:1] in ("{", "["):
        return ".json"
    return extension
