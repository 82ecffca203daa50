"""JSON of Whisper and its kin: segments, Hugging Face's chunks, whisper.cpp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mister_e.errors import InputError
from mister_e.transcription.readers.json.services import words_of
from mister_e.transcription.readers.rows import Faults, Row, checked, row_of, text_of, time_of
from mister_e.transcription.readers.word_runs import Word, turns_of

#: Fields that recognisers write beside a text.
_OF_A_TEXT = frozenset(
    {"text", "language", "languages", "language_code", "duration", "task", "usage", "logprobs"}
)
_SIDES = ("start", "end")

#: Chunks are words, and not phrases, if they have so few words in the mean.
_MOST_WORDS_OF_A_WORD = 1.2


def _segments(data: Any, faults: Faults) -> Iterator[Row]:
    """Segments as Whisper, faster-whisper, WhisperX and OpenAI's service write them, or a bare list."""
    return checked(data if isinstance(data, list) else data["segments"], "segment", _segment, faults)


def _segment(segment: dict[str, Any], where: str) -> Row:
    """One segment; WhisperX may leave its times to its words."""
    row = row_of(segment, where)
    if row.start is not None and row.end is not None:
        return row
    words = segment.get("words")
    words = [word for word in words if isinstance(word, dict)] if isinstance(words, list) else []
    starts, ends = ([time for word in words if (time := _known(word, name)) is not None] for name in _SIDES)
    start = row.start if row.start is not None else min(starts, default=None)
    end = row.end if row.end is not None else max(ends, default=None)
    return Row(where, row.text, start, end, row.id, row.channel)


def _known(word: dict[str, Any], name: str) -> float | None:
    """Time of a word; None where it is none, for other words of its segment have one too."""
    try:
        return time_of(word.get(name), name)
    except InputError:
        return None


def _chunks(data: Any, faults: Faults) -> Iterator[Row]:
    """Chunks of Hugging Face's pipeline: phrases, or single words, which are joined at pauses."""
    rows = list(checked(data["chunks"], "chunk", _chunk, faults))
    words = sum(len(row.text.split(None, 10)) for row in rows)
    if len(rows) > 1 and words <= _MOST_WORDS_OF_A_WORD * len(rows):
        yield from turns_of([Word(row.where, row.text, row.start, row.end) for row in rows], space="")
    else:
        yield from rows


def _chunk(chunk: dict[str, Any], where: str) -> Row:
    times = chunk.get("timestamp", chunk.get("timestamps"))
    if times is None:
        times = (None, None)
    if not isinstance(times, list | tuple) or len(times) != 2:
        raise InputError("timestamp is not a start and an end")
    return Row(where, text_of(chunk), time_of(times[0], "start"), time_of(times[1], "end"))


def _whisper_cpp(data: Any, faults: Faults) -> Iterator[Row]:
    """What whisper.cpp writes: offsets in milliseconds."""

    def read(segment: dict[str, Any], where: str) -> Row:
        for field, unit in (("offsets", 0.001), ("timestamps", 1.0)):
            times = segment.get(field)
            if isinstance(times, dict):
                start, end = (time_of(times.get(side), side, unit=unit) for side in ("from", "to"))
                return Row(where, text_of(segment), start, end)
        return Row(where, text_of(segment))

    return checked(data["transcription"], "segment", read, faults)


def _youtube(data: Any, faults: Faults) -> Iterator[Row]:
    """YouTube's captions: events in milliseconds, each of pieces of text."""

    def read(event: dict[str, Any], where: str) -> Row | None:
        pieces = event.get("segs")
        if not isinstance(pieces, list):
            return None  # where a window of the player begins
        text = "".join(text_of(piece, "utf8") for piece in pieces if isinstance(piece, dict))
        start, length = (time_of(event.get(name), name, unit=0.001) for name in ("tStartMs", "dDurationMs"))
        return Row(where, text, start, None if start is None or length is None else start + length)

    return checked(data["events"], "event", read, faults)


def _words(data: Any, faults: Faults) -> Iterator[Row]:
    """Words alone, as of OpenAI's and ElevenLabs' services."""
    first = data["words"][0] if data["words"] else None
    field = "word" if isinstance(first, dict) and "word" in first else "text"
    return turns_of(words_of(data["words"], field, faults))


def _is_whole(data: Any) -> bool:
    """Tell words without any turns from other JSON, such as notes on a recording."""
    return isinstance(data, dict) and isinstance(data.get("text"), str) and data.keys() <= _OF_A_TEXT


def _whole(data: Any, faults: Faults) -> Iterator[Row]:
    """Words without any turns, OpenAI's shortest answer."""
    faults.remark("it holds a text without turns, which is taken as one; ask for segments to get times")
    yield Row("text", data["text"])


def _has(field: str) -> Callable[[Any], bool]:
    return lambda data: isinstance(data, dict) and isinstance(data.get(field), list)


#: What tells a layout, and its reader.
LAYOUTS = (
    (lambda data: isinstance(data, list) or (isinstance(data, dict) and "segments" in data), _segments),
    (_has("chunks"), _chunks),
    (_has("transcription"), _whisper_cpp),
    (_has("events"), _youtube),
    (_has("words"), _words),
    (_is_whole, _whole),
)
