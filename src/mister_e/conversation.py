"""Clips, utterances (turns) and conversations: what is analysed, embedded and trained on."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mister_e.errors import InputError

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter

#: How JSON is read as the dataclasses below: no other field, no number written as text. Samples are a
#: type that pydantic does not know.
_STRICT: ConfigDict = {"extra": "forbid", "strict": True, "arbitrary_types_allowed": True}


#: Symbols and letters that say nothing, or that nobody sees: fillers of Hangul, blank Braille, notes of
#: music, what stands for a broken byte.
_SILENT = frozenset("\u115f\u1160\u3164\uffa0\u2800♩♪♫♬♭♮♯🎵🎶🎼\ufffc\ufffd")


def has_words(text: str | None) -> bool:
    """Tell whether a text says anything: a letter, a digit, or a symbol as an emoji is.

    Punctuation alone, as "?!", "..." or "—", says nothing, nor do notes of music, lines and boxes.
    """
    return any(
        (category := unicodedata.category(character))[0] in "LN"
        or (category == "So" and not ("\u2400" <= character <= "\u25ff" or character in "©®"))
        for character in text or ""
        if character not in _SILENT
    )


#: Much of the sound of a turn is talk of several people at once.
CROSSTALK = "crosstalk"
#: No words were recognised in a turn, or written for it.
NO_WORDS = "no words"
#: The words of a turn are of a language that the model does not read.
OTHER_LANGUAGE = "language not read"
#: What may be particular about a turn.
TURN_NOTES = (CROSSTALK, NO_WORDS, OTHER_LANGUAGE)


@dataclass(frozen=True, eq=False)
class Clip:
    """Audio of a turn: its samples, or where they are in a recording.

    :param source: path of a recording; None where only samples are known.
    :param start: first second inside the recording.
    :param end: last second inside the recording; None = to its end.
    :param channel: channel of the recording, 0-based; None = the mean of all.
    :param samples: float32 `[N]` at `SAMPLE_RATE`; never written to JSON.
    """

    source: str | None = None
    start: float = 0.0
    end: float | None = None
    channel: int | None = None
    samples: NDArray[np.float32] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.source is None and self.samples is None:
            raise InputError("a clip needs the path of a recording or samples")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clip):
            return NotImplemented
        if self.to_json() != other.to_json() or (self.samples is None) != (other.samples is None):
            return False
        return self.samples is None or other.samples is None or np.array_equal(self.samples, other.samples)

    def __hash__(self) -> int:
        return hash((self.source, self.start, self.end, self.channel))

    def load(self) -> NDArray[np.float32]:
        """Samples of this clip.

        :return: float32 `[N]` at `SAMPLE_RATE`.
        :raises InputError: the recording cannot be read.
        """
        if self.samples is not None:
            return self.samples
        from mister_e.audio.sandbox import read_clip

        assert self.source is not None
        return read_clip(self.source, self.start, self.end, self.channel)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready reference to the recording (samples stay behind)."""
        return {"source": self.source, "start": self.start, "end": self.end, "channel": self.channel}


@dataclass(frozen=True)
class Word:
    """A word with its times.

    :param text: as it is written, with its punctuation, without spaces.
    :param start: first second, from where its sound begins: the recording, or the turn alone.
    :param end: last second.
    :param probability: 0 to 1, that the recogniser gives it; None = it does not say.
    """

    text: str
    start: float
    end: float
    probability: float | None = None

    __pydantic_config__ = _STRICT

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {member.name: getattr(self, member.name) for member in fields(self)}


@dataclass(frozen=True)
class Utterance:
    """One turn. Text and audio may each be missing; who speaks is never known.

    :param id: unique within its conversation.
    :param text: the words; None = no transcript for this turn.
    :param start: seconds from the start of the recording; None = no times.
    :param end: seconds, not before `start`.
    :param channel: the channel the turn was cut from, 0-based; only a way to cut, never a feature.
    :param audio: the sound of the turn; None = speech missing.
    :param label: the emotion an annotator gave; None = unlabelled.
    :param custom: anything else a corpus says about the turn (JSON values).
    :param asr_confidence: 0 to 1, what the recogniser says of its words; None = it does not say, or the words
        are not recognised.
    :param text_uncertain: the words were recognised so doubtfully that no model reads them.
    :param language: code of the language that was recognised; None = not known.
    :param notes: what is particular about the turn, of `TURN_NOTES`.
    :param words: its words with their times in the recording, where they are known.
    """

    id: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    audio: Clip | None = None
    label: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    asr_confidence: float | None = None
    text_uncertain: bool = False
    language: str | None = None
    notes: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError("an utterance needs an id")
        for name in ("start", "end"):
            time = getattr(self, name)
            if time is not None and not (np.isfinite(time) and time >= 0):
                raise InputError(f"utterance {self.id}: {name} is {time}, expected seconds >= 0")
        if self.asr_confidence is not None and not 0 <= self.asr_confidence <= 1:
            raise InputError(f"utterance {self.id}: asr_confidence is {self.asr_confidence}, expected 0 to 1")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InputError(f"utterance {self.id}: it ends ({self.end} s) before it starts ({self.start} s)")

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; audio as a reference, without samples."""
        data = {member.name: getattr(self, member.name) for member in fields(self)}
        data["audio"] = self.audio.to_json() if self.audio is not None and self.audio.source else None
        data["custom"] = dict(self.custom)
        data["notes"] = list(self.notes)
        data["words"] = [word.to_json() for word in self.words]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Utterance:
        """Read what `to_json` wrote.

        :raises InputError: a field is unknown, missing or of the wrong type.
        """
        utterance: Utterance = _read("utterance", data)
        return utterance


@dataclass(frozen=True)
class Conversation:
    """Ordered turns of one conversation.

    :param id: name of the conversation.
    :param utterances: the turns, in the order in which they were said.
    :param source: path of the recording or transcript they came from.
    :param duration: length of the recording in seconds; None without a recording.
    """

    id: str
    utterances: tuple[Utterance, ...]
    source: str | None = None
    duration: float | None = None

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for utterance in self.utterances:
            if utterance.id in seen:
                raise InputError(f"conversation {self.id}: two utterances are called {utterance.id!r}")
            seen.add(utterance.id)

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "id": self.id,
            "source": self.source,
            "duration": self.duration,
            "utterances": [utterance.to_json() for utterance in self.utterances],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conversation:
        """Read what `to_json` wrote.

        :raises InputError: a field is unknown, missing or of the wrong type.
        """
        conversation: Conversation = _read("conversation", data)
        return conversation


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    """Make the readers of the dataclasses; pydantic takes its time to import."""
    from pydantic import TypeAdapter

    return {"utterance": TypeAdapter(Utterance), "conversation": TypeAdapter(Conversation)}


def _read(noun: str, data: Mapping[str, Any]) -> Any:
    """Read JSON as a dataclass.

    :param noun: "utterance" or "conversation".
    :raises InputError: a field is unknown, missing or of the wrong type; the message names it.
    """
    from pydantic import ValidationError

    name = f"{noun} {data.get('id', '?')}"
    try:
        # as text: only JSON may give a list for a tuple, or an object for a dataclass
        return _adapters()[noun].validate_json(json.dumps(dict(data)))
    except TypeError as error:
        raise InputError(f"{name}: holds a value that JSON cannot hold ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
    if isinstance(cause := first.get("ctx", {}).get("error"), InputError):
        raise cause  # what a `__post_init__` says
    if first["loc"][:1] == ("utterances",) and len(first["loc"]) > 2:
        _read("utterance", data["utterances"][first["loc"][1]])  # names the turn
    path = ".".join(str(part) for part in first["loc"])
    problems = {
        "missing": f"no field {path!r}",
        "unexpected_keyword_argument": f"unknown field {path!r}",
        "needs_python_object": f"unknown field {path!r}",  # samples, which JSON never holds
    }
    problem = problems.get(first["type"], f"field {path!r}: {first['msg']}")
    known = ", ".join(member.name for member in fields(Utterance if noun == "utterance" else Conversation))
    raise InputError(f"{name}: {problem}; the fields are {known}")
