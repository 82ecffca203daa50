"""The layout of an analysis in JSON, checked field by field where it comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.errors import InputError
from mister_e.experts import EXPERTS

#: What pydantic calls a mistake, in words of ours.
_PROBLEMS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this layout",
    "unexpected_keyword_argument": "is not a field of this layout",
}


class Layout(BaseModel):
    """The outermost object; the parts below it are the dataclasses of a result, read as strictly.

    No other field, no number as text, no NaN.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    mister_e: str
    model: dict[str, Any]
    labels: list[str]
    conversations: tuple[ConversationAnalysis, ...]
    errors: tuple[FailedInput, ...]


def read(text: str) -> Layout:
    """Read an analysis in the documented layout.

    :param text: JSON.
    :raises InputError: it is not JSON, or a field is unknown, missing or of the wrong type; the message
        names the line or the field.
    """
    try:
        layout = Layout.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise InputError(f"not JSON ({first['ctx']['error']})") from None
        problem = _PROBLEMS.get(first["type"], first["msg"])
        raise _wrong(_path(first["loc"]), problem) from None
    for number, conversation in enumerate(layout.conversations):
        where = f"conversations[{number}]"
        if conversation.waveform:  # a field of the dataclass that JSON does not hold
            raise _wrong(f"{where}.waveform", _PROBLEMS["extra_forbidden"])
        for k, turn in enumerate(conversation):
            _check_names(turn, f"{where}.utterances[{k}]", layout.labels)
    return layout


def _check_names(turn: TurnAnalysis, where: str, labels: Sequence[str]) -> None:
    """Check that there is one number for each expert and for each label.

    :raises InputError: one is missing, or there is one more.
    """
    for field, numbers in (("experts", turn.experts), ("gate", turn.gate)):
        for expert in EXPERTS:
            if expert not in numbers:
                raise _wrong(f"{where}.{field}.{expert}", _PROBLEMS["missing"])
        for name in numbers:
            if name not in EXPERTS:
                raise _wrong(f"{where}.{field}.{name}", _PROBLEMS["extra_forbidden"])
    experts = {f"experts.{name}": scores for name, scores in turn.experts.items()}
    for field, scores in {"scores": turn.scores, **experts}.items():
        if scores is not None and set(scores) != set(labels):
            raise _wrong(f"{where}.{field}", f"has not one score for each of the labels {', '.join(labels)}")


def _path(parts: tuple[int | str, ...]) -> str:
    """Write a location as in JavaScript: `conversations[0].utterances[3].start`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".") or "the whole"


def _wrong(where: str, problem: str) -> InputError:
    return InputError(f"not an analysis as this version of mister-e writes it: {where}: {problem}")
