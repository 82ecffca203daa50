"""Results for turns, for conversations and for inputs that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mister_e.conversation import Word
from mister_e.experts import EXPERTS
from mister_e.files import readable

Scores = Mapping[str, float]


@dataclass(frozen=True)
class TurnAnalysis:
    """The result for one turn.

    :param id: the utterance's id.
    :param start: seconds from the start of the recording, or None.
    :param end: seconds, or None.
    :param channel: channel it was cut from, or None.
    :param text: the words, or None.
    :param emotion: the label with the highest score.
    :param confidence: the calibrated score of that label, 0 to 1.
    :param scores: calibrated probability of each label; they sum to 1.
    :param experts: probabilities of each expert; None for an expert without input.
    :param gate: weight of each expert; they sum to 1, exactly 0 for an expert that is None. All are 0 if the
        model weighs no experts.
    :param missing: the modalities that this turn lacks, of "speech" and "text".
    :param uncertain: the confidence is below the model's `uncertain_below`; the emotion is its best guess.
    :param asr_confidence: 0 to 1, what the recogniser says of the words; None = it does not say, or the words
        are not recognised.
    :param text_uncertain: the words were recognised so doubtfully that the text expert was not shown them.
    :param language: code of the language that was recognised; None = not known.
    :param notes: what is particular about the turn, of `mister_e.conversation.TURN_NOTES`.
    :param words: its words with their times in the recording, where they are known.
    """

    id: str
    start: float | None
    end: float | None
    channel: int | None
    text: str | None
    emotion: str
    confidence: float
    scores: Scores
    experts: Mapping[str, Scores | None]
    gate: Scores
    missing: tuple[str, ...] = ()
    uncertain: bool = False
    asr_confidence: float | None = None
    text_uncertain: bool = False
    language: str | None = None
    notes: tuple[str, ...] = ()
    words: tuple[Word, ...] = field(default=(), repr=False, compare=False)

    @property
    def trusted(self) -> str | None:
        """The expert with the largest gate weight; None if the model weighs no experts."""
        return max(EXPERTS, key=lambda name: self.gate[name]) if any(self.gate.values()) else None

    def to_json(self, *, words: bool = False) -> dict[str, Any]:
        """JSON-ready dict, fields in the documented order.

        :param words: with the times of its words.
        """
        row = {
            "id": self.id,
            "start": self.start,
            "end": self.end,
            "channel": self.channel,
            "text": self.text,
            "asr_confidence": self.asr_confidence,
            "text_uncertain": self.text_uncertain,
            "language": self.language,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "scores": dict(self.scores),
            "experts": {name: None if p is None else dict(p) for name, p in self.experts.items()},
            "gate": dict(self.gate),
            "missing": list(self.missing),
            "notes": list(self.notes),
        }
        return row | {"words": [word.to_json() for word in self.words]} if words else row


@dataclass(frozen=True)
class ConversationAnalysis:
    """The result for one conversation.

    :param id: name of the conversation, unique within an analysis.
    :param source: path of the recording or transcript, or None.
    :param duration: seconds, or None without a recording.
    :param utterances: one `TurnAnalysis` a turn, in order.
    :param notes: what a reader should know, for example that no speech was found.
    :param waveform: loudness over the recording for drawing, 0 to 1, evenly spaced; not in JSON.
    """

    id: str
    source: str | None
    duration: float | None
    utterances: tuple[TurnAnalysis, ...]
    notes: tuple[str, ...] = ()
    waveform: tuple[float, ...] = field(default=(), repr=False, compare=False)

    def __iter__(self) -> Iterator[TurnAnalysis]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def to_json(self, *, words: bool = False) -> dict[str, Any]:
        """JSON-ready dict.

        :param words: with the times of the words of every turn.
        """
        return {
            "id": readable(self.id),
            "source": None if self.source is None else readable(self.source),
            "duration": self.duration,
            "utterances": [turn.to_json(words=words) for turn in self.utterances],
            "notes": [readable(note) for note in self.notes],
        }


@dataclass(frozen=True)
class FailedInput:
    """An input that could not be analysed, and why."""

    source: str
    error: str

    def to_json(self) -> dict[str, str]:
        """JSON-ready dict."""
        return {"source": readable(self.source), "error": readable(self.error)}
