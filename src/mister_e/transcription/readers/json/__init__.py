"""Reader of JSON: what this package writes, what recognisers write, and what call centres' services write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from mister_e.analysis.turns import ConversationAnalysis, TurnAnalysis
from mister_e.conversation import Conversation, Utterance
from mister_e.errors import InputError
from mister_e.transcription.readers.json import recognisers, services
from mister_e.transcription.readers.json.times import with_times
from mister_e.transcription.readers.rows import Faults, Row, checked, row_of

__all__ = ["load_json", "read_json"]

#: Fields that tell who speaks: dropped wherever they stand.
_SPEAKER_FIELDS = frozenset({"speaker", "speaker_id", "speaker_label", "speaker_name", "spk", "voice"})

#: Fields that this package writes of a turn, of a conversation and of an analysis.
_TURN_FIELDS = frozenset(field.name for field in (*fields(Utterance), *fields(TurnAnalysis)))
_CONVERSATION_FIELDS = frozenset(
    field.name for field in (*fields(Conversation), *fields(ConversationAnalysis)) if field.name != "waveform"
)
_ANALYSIS_FIELDS = frozenset({"mister_e", "model", "labels", "conversations", "errors"})

_EXPECTED = (
    'expected "utterances", "segments" or a list of {"start", "end", "text"}, or JSON of Whisper,'
    " whisper.cpp, Hugging Face, Amazon Transcribe, AssemblyAI, Deepgram or Rev; export it as .srt or .vtt"
)

#: What tells a layout, and its reader; the first that fits is taken.
_LAYOUTS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Faults], Iterator[Row]]], ...] = (
    *services.LAYOUTS,
    *recognisers.LAYOUTS,
)


def read_json(text: str, faults: Faults) -> Iterator[Row]:
    """Read JSON of any layout that is known.

    :param text: the file.
    :param faults: told of turns that cannot be read.
    :raises InputError: it is no JSON, or of no layout that is known.
    """
    data = load_json(text)
    if isinstance(data, dict) and "conversations" in data:
        _check_fields(data, _ANALYSIS_FIELDS, "the analysis")
        conversations = data["conversations"]
        if not isinstance(conversations, list) or not all(isinstance(one, dict) for one in conversations):
            raise InputError("conversations: expected a list of objects")
        if len(conversations) != 1:
            raise InputError(f"a transcript is one conversation, this analysis has {len(conversations)}")
        return _own(conversations[0], faults)
    for fits, read in _LAYOUTS:
        if fits(data):
            return with_times(list(read(data, faults)), faults)
    if isinstance(data, dict) and "utterances" in data:
        return _own(data, faults)
    raise InputError(_EXPECTED)


def load_json(text: str) -> Any:
    """Parse JSON.

    :param text: the file.
    :return: what it holds.
    :raises InputError: it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"line {error.lineno}: not JSON ({error.msg}); check the file") from error
    except RecursionError:
        raise InputError('is nested too deeply; expected a list of {"start", "end", "text"}') from None
    except ValueError as error:
        raise InputError(f"not JSON that can be read ({error}); check its numbers") from error


def _own(data: Mapping[str, Any], faults: Faults) -> Iterator[Row]:
    """Rows of a conversation that this package wrote, or one written like it."""
    _check_fields(data, _CONVERSATION_FIELDS, "the conversation")

    def read(turn: dict[str, Any], where: str) -> Row:
        _check_fields(turn, _TURN_FIELDS, "")
        return replace(row_of(turn, where), verbatim=True)

    return checked(data.get("utterances"), "utterance", read, faults)


def _check_fields(data: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse a field that this package does not write: it may be a misspelt one."""
    unknown = sorted(set(data) - known - _SPEAKER_FIELDS)
    if unknown:
        place = f"{where}: " if where else ""
        raise InputError(
            f"{place}unknown field {unknown[0][:80]!r}; the fields are {', '.join(sorted(known))}"
        )
