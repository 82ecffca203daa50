"""Reader of cuts in JSON, as diarisers and recognisers with diarisation write it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mister_e.errors import InputError
from mister_e.transcription.cuts.intervals import Interval, interval, time_in
from mister_e.transcription.readers.json import load_json
from mister_e.transcription.readers.rows import Faults

#: Fields under which intervals stand, the first that is there is taken; and fields around those.
_LISTS = ("segments", "diarization", "exclusiveDiarization", "turns", "content", "sentences", "words")
_AROUND = ("output", "result", "diarization", "annotation")

#: Names that fields have.
_STARTS = ("start", "start_time", "begin", "offset")
_ENDS = ("end", "end_time", "stop")
_LENGTHS = ("duration", "length")
_VOICES = ("speaker", "speaker_id", "speaker_label", "label")

_EXPECTED = (
    'is JSON of no diarisation that is known; expected a list of {"start", "end"}, bare or under "segments",'
    ' "diarization" or "content"; export it as RTTM'
)


def read_diarisation(text: str, faults: Faults) -> list[Interval]:
    """Read the intervals of a diarisation.

    :param text: the file.
    :param faults: told of intervals that cannot be read.
    :raises InputError: it is no JSON, or of no layout that is known.
    """
    items, noun = _items(_loaded(text))
    intervals: list[Interval] = []
    for number, item in enumerate(items, start=1):
        where = f"{noun} {number}"
        try:
            if not isinstance(item, dict):
                raise InputError('is not an object; expected {"start", "end"}')
            intervals += _intervals(item, where, of_words=noun == "word")
        except InputError as error:
            faults.leave_out(where, str(error))
    return intervals


def _loaded(text: str) -> Any:
    """JSON of a text, or objects, one a line.

    :raises InputError: it is neither.
    """
    try:
        return load_json(text)
    except InputError:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not all(line.strip().startswith("{") for line in lines):
            raise
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            pass
        raise


def _items(data: Any) -> tuple[list[Any], str]:
    """The list of intervals, and what one is called in errors.

    :raises InputError: there is none.
    """
    if isinstance(data, list):
        return data, "segment"
    while isinstance(data, dict):
        for name in _LISTS:
            if isinstance(data.get(name), list):
                return data[name], "word" if name == "words" else "segment"
        inner = next((data[name] for name in _AROUND if isinstance(data.get(name), dict)), None)
        if inner is None and data.keys() & {*_STARTS} and data.keys() & {*_ENDS, *_LENGTHS}:
            return [data], "segment"
        data = inner
    raise InputError(_EXPECTED)


def _intervals(item: Mapping[str, Any], where: str, *, of_words: bool) -> Iterator[Interval]:
    """Intervals of an object: one, or several where its words are of several voices.

    :param of_words: it is a word itself, and no sentence.
    :raises InputError: it has no times, or wrong ones.
    """
    place = item["segment"] if isinstance(item.get("segment"), dict) else item
    words = item.get("words")
    words = [word for word in words if isinstance(word, dict)] if isinstance(words, list) else []
    runs = _runs(words)
    start, end = _times(place)
    if start is None:
        start = min((run[0] for run in runs), default=None)
    if end is None:
        end = max((run[1] for run in runs), default=None)
    if start is None or end is None:
        raise InputError("has no start and end")
    if len(runs) < 2:
        # a sentence ends where it ends, whoever speaks on
        sentence = not of_words and any(isinstance(item.get(name), str) for name in ("text", "sentence"))
        voice = None if sentence else _voice(item)
        yield interval(where, start, end, voice)
        return
    for number, (begins, ends) in enumerate(runs):
        begins = start if number == 0 else max(start, begins)
        ends = end if number == len(runs) - 1 else min(end, ends)
        if ends > begins:
            yield interval(where, begins, ends)


def _runs(words: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """First and last second of words that follow each other in one voice.

    Words without times are spoken before the next that has them: what is said up to there belongs to a run.
    """
    runs: list[tuple[object, float, float]] = []
    untimed = False
    for word in words:
        try:
            start, end = _times(word)
        except InputError:
            start = end = None  # the segment has times of its own
        if start is None or end is None:
            untimed = True
            continue
        voice = _voice(word)
        if runs and untimed:
            runs[-1] = *runs[-1][:2], max(runs[-1][2], start)
        untimed = False
        if runs and voice in (runs[-1][0], None):
            runs[-1] = runs[-1][0], min(runs[-1][1], start), max(runs[-1][2], end)
        else:
            runs.append((voice, start, end))
    return [(start, end) for _, start, end in runs]


def _times(place: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Start and end of an object; None = not told.

    :raises InputError: one is no time.
    """
    start, end, length = (
        time_in(next((place[name] for name in names if name in place), None), names[0])
        for names in (_STARTS, _ENDS, _LENGTHS)
    )
    if end is None and start is not None and length is not None:
        end = round(start + length, 6)
    return start, end


def _voice(item: Mapping[str, Any]) -> object:
    """What tells the voice of an object from others; None = nothing."""
    voice = next((item[name] for name in _VOICES if item.get(name) is not None), None)
    return str(voice)[:200] if voice is not None else None
