"""What a person says: turns, and the conversation they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from mister_e.errors import InputError


@dataclass(frozen=True, eq=False)
class Clip:
    """Audio of a turn: samples at hand, or the file to take them from.

    :param source: path of a recording; None where only samples are at hand.
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
        from mister_e.audio.decode import read_clip

        assert self.source is not None
        return read_clip(self.source, self.start, self.end, self.channel)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready reference to the recording (samples stay behind)."""
        return {"source": self.source, "start": self.start, "end": self.end, "channel": self.channel}


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
    """

    id: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    audio: Clip | None = None
    label: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise InputError("an utterance needs an id")
        for name in ("start", "end"):
            time = getattr(self, name)
            if time is not None and not (np.isfinite(time) and time >= 0):
                raise InputError(f"utterance {self.id}: {name} is {time}, expected seconds >= 0")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InputError(f"utterance {self.id}: it ends ({self.end} s) before it starts ({self.start} s)")

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; audio as a reference, without samples."""
        data = {one.name: getattr(self, one.name) for one in fields(self)}
        data["audio"] = self.audio.to_json() if self.audio is not None and self.audio.source else None
        data["custom"] = dict(self.custom)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Utterance:
        """Read what `to_json` wrote.

        :raises InputError: a field is unknown, missing or of the wrong type.
        """
        checked = _checked(_UtteranceFields, data, "utterance")
        audio = None if checked.audio is None else Clip(**checked.audio.model_dump())
        return cls(**{**checked.model_dump(), "audio": audio})


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
        checked = _checked(_ConversationFields, data, "conversation")
        turns = tuple(Utterance.from_json(row) for row in checked.utterances)
        return cls(checked.id, turns, checked.source, checked.duration)


class _Fields(BaseModel):
    """JSON of a noun: no other field, and no number written as text."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _ClipFields(_Fields):
    source: str
    start: float = 0.0
    end: float | None = None
    channel: int | None = None


class _UtteranceFields(_Fields):
    id: str
    text: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    audio: _ClipFields | None = None
    label: str | None = None
    custom: dict[str, Any] = {}


class _ConversationFields(_Fields):
    id: str
    source: str | None = None
    duration: float | None = None
    utterances: list[dict[str, Any]]


_Checked = TypeVar("_Checked", bound=_Fields)


def _checked(kind: type[_Checked], data: Mapping[str, Any], noun: str) -> _Checked:
    """Check JSON of a noun.

    :raises InputError: a field is unknown, missing or of the wrong type.
    """
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        what = {"extra_forbidden": f"unknown field {name!r}", "missing": f"no field {name!r}"}
        problem = what.get(first["type"], f"field {name!r}: {first['msg']}")
        known = ", ".join(kind.model_fields)
        raise InputError(f"{noun} {data.get('id', '?')}: {problem}; the fields are {known}") from None
