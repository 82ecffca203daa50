"""What the page shows of an analysis: names, rounded numbers and fractions, ready for its templates."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mister_e.analysis.html.timeline import Span, Timeline, timeline
from mister_e.analysis.turns import ConversationAnalysis, TurnAnalysis
from mister_e.analysis.wording import LONGEST_CLOCK, MARK, clock, explain_uncertainty
from mister_e.errors import InputError
from mister_e.experts import EXPERTS

Percents = tuple[int | None, ...]


@dataclass(frozen=True)
class Turn:
    """One row of the list.

    :param label: position of its emotion among the page's labels.
    :param time: its time, or its number where there are no times.
    :param seconds: its start and end for the player; None without times.
    :param gate: the experts' weights in percent, in the order of `EXPERTS`.
    :param scores: per label its name and percents: all together, then each expert; None = no expert.
    :param highest: per column of `scores` the highest percent.
    """

    number: int
    label: int
    emotion: str
    confidence: int
    uncertain: bool
    time: str
    length: str
    seconds: tuple[str, str] | None
    text: str | None
    text_uncertain: bool
    trusted: str | None
    gate: tuple[int, ...]
    scores: tuple[tuple[str, Percents], ...]
    highest: Percents
    missing: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class EmotionSummary:
    """One emotion in a conversation.

    :param label: its position among the page's labels.
    :param turns: how many turns have it.
    :param percent: of all turns.
    :param talk_percent: of the seconds of all turns; None without times.
    :param talk_time: those seconds as a clock shows them; None without times.
    """

    label: int
    emotion: str
    turns: int
    percent: int
    talk_percent: int | None
    talk_time: str | None


@dataclass(frozen=True)
class View:
    """One conversation as the page shows it.

    :param uncertainty: how many turns are uncertain and what that means; None where none is.
    """

    number: int
    title: str
    metadata: tuple[str, ...]
    notes: tuple[str, ...]
    timeline: Timeline
    emotions: tuple[EmotionSummary, ...]
    turns: tuple[Turn, ...]
    uncertainty: str | None
    audio: str | None

    @property
    def weighed(self) -> bool:
        """Whether the model weighs its experts."""
        return any(turn.trusted for turn in self.turns)

    @property
    def lanes(self) -> dict[int, int]:
        """The row of the timeline in which each label that occurs is drawn."""
        return {emotion.label: lane for lane, emotion in enumerate(self.emotions)}


def label_order(labels: Sequence[str], conversations: Sequence[ConversationAnalysis]) -> tuple[str, ...]:
    """The model's labels, then any other that a turn carries."""
    return tuple(dict.fromkeys([*labels, *(turn.emotion for turns in conversations for turn in turns)]))


def about(model: Mapping[str, Any]) -> dict[str, str]:
    """The model's identity as text, its name first."""
    identity = {"name": model.get("name", "unnamed"), **model}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for key, value in identity.items()
    }


def view(
    conversation: ConversationAnalysis,
    number: int,
    labels: tuple[str, ...],
    *,
    uncertain_below: float | None,
    embed_audio: bool,
) -> View:
    """Prepare one conversation.

    :param number: its position on the page, from 1.
    :param labels: all labels of the page.
    :param uncertain_below: the confidence, 0 to 1, below which turns are uncertain; None = unknown.
    :param embed_audio: read the recording for the player.
    """
    geometry = timeline(conversation)
    audio = _audio(conversation) if embed_audio else None
    no_player = (_no_player(conversation),) if embed_audio and audio is None else ()
    turns = tuple(
        _turn(turn, i, span, labels)
        for i, (turn, span) in enumerate(zip(conversation, geometry.spans, strict=True), start=1)
    )
    return View(
        number,
        conversation.id,
        _metadata(conversation),
        (*conversation.notes, *no_player),
        geometry,
        _emotions(conversation, labels, timed=geometry.timed),
        turns,
        _uncertainty(conversation, uncertain_below),
        audio,
    )


def _turn(turn: TurnAnalysis, number: int, span: Span, labels: tuple[str, ...]) -> Turn:
    columns = (turn.scores, *(turn.experts.get(name) for name in EXPERTS))
    names = tuple(dict.fromkeys([*turn.scores, turn.emotion]))
    scores = tuple((name, tuple(_percent_of(column, name) for column in columns)) for name in names)
    timed = turn.start is not None and turn.end is not None
    return Turn(
        number=number,
        label=labels.index(turn.emotion),
        emotion=turn.emotion,
        confidence=_percent(turn.confidence),
        uncertain=turn.uncertain,
        time=f"#{number}" if turn.start is None else clock(turn.start),
        length=f"{_length(turn):.1f} s" if timed else "",
        seconds=(_player(turn.start), _player(turn.end)) if timed else None,
        text=turn.text,
        text_uncertain=turn.text_uncertain,
        trusted=turn.trusted,
        gate=tuple(_percent(turn.gate[name]) for name in EXPERTS),
        scores=scores,
        highest=tuple(
            max((row[i] or 0 for _, row in scores), default=0) if column else None
            for i, column in enumerate(columns)
        ),
        missing=turn.missing,
        span=span,
    )


def _player(seconds: float | None) -> str:
    """Seconds for the player."""
    assert seconds is not None
    return f"{min(seconds, LONGEST_CLOCK):.2f}"


def _uncertainty(conversation: ConversationAnalysis, limit: float | None) -> str | None:
    count = sum(turn.uncertain for turn in conversation)
    if not count:
        return None
    how = f"marked {MARK} here and dashed on the timeline"
    return f"{count:,} of {len(conversation):,} turns uncertain, {how}: {explain_uncertainty(limit)}."


def _emotions(
    conversation: ConversationAnalysis, labels: tuple[str, ...], *, timed: bool
) -> tuple[EmotionSummary, ...]:
    """Return the emotions that occur, in the order of the labels."""
    total_seconds = sum(map(_length, conversation))
    emotions = []
    for label, emotion in enumerate(labels):
        own = [turn for turn in conversation if turn.emotion == emotion]
        if own:
            talk = sum(map(_length, own)) if timed else None
            emotions.append(
                EmotionSummary(
                    label,
                    emotion,
                    len(own),
                    _percent(len(own) / len(conversation)),
                    None if talk is None else _percent(talk / total_seconds if total_seconds else 0.0),
                    None if talk is None else clock(talk),
                )
            )
    return tuple(emotions)


def _metadata(conversation: ConversationAnalysis) -> tuple[str, ...]:
    """Return the line below the title; a page is passed on, so of the source only the file's name."""
    count = len(conversation)
    metadata = [PurePath(conversation.source).name] if conversation.source else []
    if conversation.duration is not None:
        metadata.append(clock(conversation.duration))
    metadata.append("1 turn" if count == 1 else f"{count:,} turns")
    return tuple(metadata)


def _audio(conversation: ConversationAnalysis) -> str | None:
    """Return the recording as a data: URL, or None where there is none that can be read."""
    if conversation.source is None:
        return None
    from mister_e.audio.encode import MIME_TYPE, encode

    try:
        sound = encode(conversation.source)
    except InputError:
        return None
    return f"data:{MIME_TYPE};base64," + base64.b64encode(sound).decode()


def _no_player(conversation: ConversationAnalysis) -> str:
    """Say why nothing can be played; a page is passed on, so of the source only the file's name."""
    if conversation.source is None:
        return "No player: no recording of this conversation is known."
    return f"No player: {PurePath(conversation.source).name} is not a recording that could be read."


def _length(turn: TurnAnalysis) -> float:
    """Seconds of a turn, at most so many that their sum is finite."""
    if turn.start is None or turn.end is None:
        return 0.0
    return min(turn.end - turn.start, LONGEST_CLOCK)


def _percent(fraction: float) -> int:
    return round(100 * fraction)


def _percent_of(scores: Mapping[str, float] | None, name: str) -> int | None:
    return None if scores is None else _percent(scores.get(name, 0.0))
