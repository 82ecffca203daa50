"""JSON of transcription services: Amazon, AssemblyAI, Deepgram, Rev; roles and names are dropped.

Where a service gives words alone, they are joined to turns at pauses, and cut where it says that another
person speaks; who that is goes no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mister_e.errors import InputError
from mister_e.transcription.readers.rows import Faults, Row, channel_of, checked, text_of, time_of
from mister_e.transcription.readers.word_runs import Word, turns_of

#: Fields that AssemblyAI writes beside the turns.
_OF_ASSEMBLY = frozenset(
    {
        "audio_url",
        "audio_duration",
        "acoustic_model",
        "language_model",
        "speech_model",
        "sentences",
        "paragraphs",
    }
)


def _row(text: str, start: str, end: str, *, unit: float = 1.0) -> Callable[[dict[str, Any], str], Row]:
    """Make a reader of objects by the names of their fields."""

    def read(item: dict[str, Any], where: str) -> Row:
        begins, ends = (time_of(item.get(name), name, unit=unit) for name in (start, end))
        channel = channel_of(item) if isinstance(item.get("channel"), int) else None
        return Row(where, text_of(item, text), begins, ends, channel=channel)

    return read


def _amazon(data: Any, faults: Faults) -> Iterator[Row]:
    """Amazon Transcribe: audio segments, or in older files words by themselves."""
    results = data["results"]
    if results.get("audio_segments"):
        read = _row("transcript", "start_time", "end_time")
        yield from checked(results["audio_segments"], "audio segment", read, faults)
        return
    labels = results.get("channel_labels")
    channels = labels.get("channels") if isinstance(labels, dict) else None
    if isinstance(channels, list) and channels and all(isinstance(channel, dict) for channel in channels):
        for number, channel in enumerate(channels):
            yield from turns_of(_items(channel.get("items"), faults), channel=number)
    elif results.get("items"):
        yield from turns_of(_items(results["items"], faults))
    else:
        yield from checked(
            results.get("transcripts"), "transcript", _row("transcript", "start", "end"), faults
        )


def _items(items: Any, faults: Faults) -> list[Word]:
    """Words of Amazon and Speechmatics; a mark belongs to the word before it."""
    words: list[Word] = []

    def read(item: dict[str, Any], where: str) -> None:
        alternatives = item.get("alternatives")
        if not isinstance(alternatives, list) or not alternatives or not isinstance(alternatives[0], dict):
            raise InputError("has no alternatives")
        text = text_of(alternatives[0], "content")
        start, end = (time_of(item.get(name), name) for name in ("start_time", "end_time"))
        speaker = item.get("speaker_label", alternatives[0].get("speaker"))
        if item.get("type") == "punctuation" and words:
            before = words.pop()
            words.append(Word(before.where, before.text + text, before.start, before.end, before.run))
        else:
            words.append(Word(where, text, start, end, str(speaker)[:80]))

    for _ in checked(items if items is not None else [], "item", read, faults):
        pass
    return words


def _assembly(data: Any, faults: Faults) -> Iterator[Row]:
    """AssemblyAI: turns, sentences, paragraphs or words, all in milliseconds."""
    for field in ("utterances", "sentences", "paragraphs"):
        if data.get(field):
            return checked(data[field], field[:-1], _row("text", "start", "end", unit=0.001), faults)
    return turns_of(words_of(data.get("words"), "text", faults, unit=0.001))


def words_of(words: Any, text: str, faults: Faults, *, unit: float = 1.0) -> list[Word]:
    """Words with `start`, `end` and perhaps a speaker; what stands between them is passed over.

    :param text: the field of the word, unless it has one with its marks.
    :param unit: seconds that 1 stands for.
    """
    found: list[Word] = []

    def read(word: dict[str, Any], where: str) -> None:
        if word.get("type") == "spacing":
            return
        field = "punctuated_word" if "punctuated_word" in word else text
        start, end = (time_of(word.get(name), name, unit=unit) for name in ("start", "end"))
        found.append(
            Word(
                where, text_of(word, field), start, end, str(word.get("speaker", word.get("speaker_id")))[:80]
            )
        )

    for _ in checked(words, "word", read, faults):
        pass
    return found


def _deepgram(data: Any, faults: Faults) -> Iterator[Row]:
    """Deepgram: utterances where they were asked for, else the words of each channel."""
    results = data["results"]
    if results.get("utterances"):
        yield from checked(results["utterances"], "utterance", _row("transcript", "start", "end"), faults)
        return
    channels = results.get("channels", [])
    for number, channel in enumerate(channels):
        alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
        if isinstance(alternatives, list) and alternatives and isinstance(alternatives[0], dict):
            words = words_of(alternatives[0].get("words"), "word", faults)
            yield from turns_of(words, channel=number if len(channels) > 1 else None)
        else:
            faults.leave_out(f"channel {number}", "has no alternatives")


def _rev(data: Any, faults: Faults) -> Iterator[Row]:
    """Rev: a monologue is a turn."""

    def read(monologue: dict[str, Any], where: str) -> Row:
        elements = monologue.get("elements")
        if not isinstance(elements, list) or not all(isinstance(element, dict) for element in elements):
            raise InputError("elements: expected a list of objects")
        text = "".join(text_of(element, "value") for element in elements)
        starts = [time_of(element.get("ts", element.get("timestamp")), "ts") for element in elements]
        ends = [
            time_of(element.get("end_ts", element.get("end_timestamp")), "end_ts") for element in elements
        ]
        start = min((time for time in starts if time is not None), default=None)
        end = max((time for time in ends if time is not None), default=None)
        return Row(where, text, start, end)

    return checked(data["monologues"], "monologue", read, faults)


def _call_analytics(data: Any, faults: Faults) -> Iterator[Row]:
    """Amazon Transcribe Call Analytics: turns in milliseconds."""
    read = _row("Content", "BeginOffsetMillis", "EndOffsetMillis", unit=0.001)
    return checked(data["Transcript"], "turn", read, faults)


def _azure(data: Any, faults: Faults) -> Iterator[Row]:
    """Azure's batch transcription: phrases in ticks of 100 ns."""

    def read(phrase: dict[str, Any], where: str) -> Row:
        best = phrase.get("nBest")
        if not isinstance(best, list) or not best or not isinstance(best[0], dict):
            raise InputError("has no nBest")
        start, length = (
            time_of(phrase.get(name), name, unit=1e-7) for name in ("offsetInTicks", "durationInTicks")
        )
        end = None if start is None or length is None else start + length
        return Row(where, text_of(best[0], "display"), start, end)

    return checked(data["recognizedPhrases"], "phrase", read, faults)


def _google(data: Any, faults: Faults) -> Iterator[Row]:
    """Google's speech-to-text: a result is a turn; its times, as `1.300s`, stand with its words."""

    def time(words: Any, name: str) -> float | None:
        value = words.get(name) if isinstance(words, dict) else None
        return time_of(value.removesuffix("s") if isinstance(value, str) else value, name)

    def read(result: dict[str, Any], where: str) -> Row | None:
        alternatives = result.get("alternatives")
        best = alternatives[0] if isinstance(alternatives, list) and alternatives else None
        if not isinstance(best, dict) or "transcript" not in best:
            return None  # words of all, once more with their speakers
        words = best.get("words")
        first, last = (words[0], words[-1]) if isinstance(words, list) and words else (None, None)
        end = time(last, "endTime")
        return Row(
            where,
            text_of(best, "transcript"),
            time(first, "startTime"),
            time(result, "resultEndTime") if end is None else end,
        )

    return checked(data["results"], "result", read, faults)


def _results(data: Any) -> Any:
    """Field `results` of an object."""
    return data.get("results") if isinstance(data, dict) else None


def _is_assembly(data: Any) -> bool:
    """Tell AssemblyAI's JSON from conversations of this package, whose turns have `text_uncertain`."""
    if not isinstance(data, dict) or not data.keys() & {"utterances", "words", "sentences", "paragraphs"}:
        return False
    turns = data.get("utterances")
    if isinstance(turns, list) and any(
        isinstance(turn, dict) and "words" in turn and "text_uncertain" not in turn for turn in turns
    ):
        return True
    return bool(data.keys() & _OF_ASSEMBLY) or data.get("status") == "completed"


def _is_amazon(data: Any) -> bool:
    results = _results(data)
    return isinstance(results, dict) and bool(
        results.keys() & {"audio_segments", "items", "channel_labels", "transcripts"}
    )


def _is_deepgram(data: Any) -> bool:
    results = _results(data)
    if not isinstance(results, dict) or not isinstance(results.get("channels", []), list):
        return False
    return bool(results.keys() & {"channels", "utterances"})


def _is_speechmatics(data: Any) -> bool:
    results = _results(data)
    return isinstance(results, list) and any(
        isinstance(item, dict) and "start_time" in item for item in results
    )


def _is_google(data: Any) -> bool:
    results = _results(data)
    return isinstance(results, list) and any(
        isinstance(item, dict) and "alternatives" in item for item in results
    )


def _has(field: str) -> Callable[[Any], bool]:
    return lambda data: isinstance(data, dict) and isinstance(data.get(field), list)


#: What tells a layout, and its reader.
LAYOUTS = (
    (_has("monologues"), _rev),
    (_has("Transcript"), _call_analytics),
    (_has("recognizedPhrases"), _azure),
    (_is_deepgram, _deepgram),
    (_is_amazon, _amazon),
    (_is_speechmatics, lambda data, faults: turns_of(_items(data["results"], faults))),
    (_is_google, _google),
    (_is_assembly, _assembly),
)
