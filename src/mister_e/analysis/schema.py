"""The layout of an analysis in JSON, checked field by field where it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mister_e.errors import InputError

_Scores = dict[str, float]

#: What pydantic calls a mistake, in words of ours.
_PROBLEMS = {"missing": "is missing", "extra_forbidden": "is not a field of this layout"}


class _Part(BaseModel):
    """An object of the layout: no other field, no number as text, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Experts(_Part):
    speech: _Scores | None
    text: _Scores | None
    fusion: _Scores | None


class _Gate(_Part):
    speech: float
    text: float
    fusion: float


class _Turn(_Part):
    id: str
    start: float | None
    end: float | None
    channel: int | None
    text: str | None
    emotion: str
    confidence: float
    scores: _Scores
    experts: _Experts
    gate: _Gate
    missing: list[str] = []
    uncertain: bool = False


class _Conversation(_Part):
    id: str
    source: str | None
    duration: float | None
    utterances: list[_Turn]
    notes: list[str] = []


class _Failed(_Part):
    source: str
    error: str


class _Analysis(_Part):
    mister_e: str
    model: dict[str, Any]
    labels: list[str]
    conversations: list[_Conversation]
    errors: list[_Failed]


def check(data: Any) -> None:
    """Check that JSON is an analysis in the documented layout.

    :param data: the parsed JSON.
    :raises InputError: a field is unknown, missing or of the wrong type; the message names it.
    """
    try:
        analysis = _Analysis.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        problem = _PROBLEMS.get(first["type"], first["msg"])
        raise _wrong(_path(first["loc"]), problem) from None
    for where, scores in _all_scores(analysis):
        if set(scores) != set(analysis.labels):
            raise _wrong(where, f"has not one score for each of the labels {', '.join(analysis.labels)}")


def _all_scores(analysis: _Analysis) -> Iterator[tuple[str, _Scores]]:
    """Yield where scores stand, and the scores."""
    for i, conversation in enumerate(analysis.conversations):
        for k, turn in enumerate(conversation.utterances):
            where = f"conversations[{i}].utterances[{k}]"
            yield f"{where}.scores", turn.scores
            for name, expert in turn.experts:
                if expert is not None:
                    yield f"{where}.experts.{name}", expert


def _path(parts: tuple[int | str, ...]) -> str:
    """Write a location as in JavaScript: `conversations[0].utterances[3].start`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".") or "the whole"


def _wrong(where: str, problem: str) -> InputError:
    return InputError(f"not an analysis as this version of mister-e writes it: {where}: {problem}")
