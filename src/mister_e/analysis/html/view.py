"""What the page shows of a conversation, ready for its templates."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mister_e.analysis.html.rows import (
    UNCERTAIN,
    WORDS_UNCERTAIN,
    Row,
    Turn,
    marks_of,
    percent,
    run_row,
    turn_row,
)
from mister_e.analysis.html.timeline import Bar, Timeline, timeline
from mister_e.analysis.runs import MANY_TURNS, runs
from mister_e.analysis.summary import Summary, summarize
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import MARK, NOTE_MEANINGS, WORDS_MARK, amount, clock, explain_uncertainty
from mister_e.conversation import CROSSTALK, NO_WORDS, OTHER_LANGUAGE, TURN_NOTES
from mister_e.errors import InputError

#: A page of more turns shows their scores as plain text: 45 cells a turn would take seconds to open.
PLAIN_SCORES = 1000

_MARK_ORDER = (UNCERTAIN, WORDS_UNCERTAIN, *TURN_NOTES)
_MARKED = {
    UNCERTAIN: "uncertain",
    WORDS_UNCERTAIN: "with uncertain words",
    CROSSTALK: "with crosstalk",
    NO_WORDS: "without words",
    OTHER_LANGUAGE: "in a language not read",
}


@dataclass(frozen=True)
class EmotionSummary:
    """One emotion in a conversation.

    :param label: its position among the page's labels.
    :param turns: how many turns have it.
    :param percent: of talk time, or of all turns without times; see `mister_e.analysis.summary`.
    :param talk_time: the seconds of its turns as a clock shows them; None without times.
    """

    label: int
    emotion: str
    turns: int
    percent: int
    talk_time: str | None


@dataclass(frozen=True)
class View:
    """One conversation as the page shows it.

    :param turns: its turns, in order.
    :param runs: neighbouring turns of one emotion as one row, by the number of its first turn, from 1.
    :param folded: whether runs are folded when the page opens.
    :param marks: what its turns are marked by, and how many of them.
    :param explanations: what the marks mean.
    :param crosstalk: how many turns count less in the summary; 0 if none.
    """

    number: int
    title: str
    metadata: tuple[str, ...]
    notes: tuple[str, ...]
    timeline: Timeline
    emotions: tuple[EmotionSummary, ...]
    timed: bool
    turns: tuple[Turn, ...]
    runs: Mapping[int, Row]
    folded: bool
    plain_scores: bool
    marks: tuple[tuple[str, int], ...]
    explanations: tuple[str, ...]
    crosstalk: int
    audio: str | None

    @property
    def weighed(self) -> bool:
        """Whether the model weighs its experts."""
        return any(turn.trusted for turn in self.turns)

    @property
    def lanes(self) -> dict[int, int]:
        """The row of the timeline in which each label that occurs is drawn."""
        return {emotion.label: lane for lane, emotion in enumerate(self.emotions)}

    @property
    def label_of(self) -> dict[str, int]:
        """Position of each emotion that occurs among the page's labels."""
        return {emotion.emotion: emotion.label for emotion in self.emotions}

    def unsure(self, bar: Bar) -> bool:
        """Whether all turns that a bar stands for are uncertain."""
        return all(self.turns[position].uncertain for position in bar.turns)

    def told(self, bar: Bar) -> str:
        """What a bar says of its turns."""
        turn, count = self.turns[bar.turns[0]], len(bar.turns)
        if count > 1:
            return f"{turn.time} {turn.emotion}, {count} turns"
        return ", ".join(
            [
                f"{turn.time} {turn.emotion} {turn.confidence}%",
                *(["uncertain"] if turn.uncertain else []),
                *turn.notes,
            ]
        )


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
    audio = _audio(conversation) if embed_audio else None
    no_player = (_no_player(conversation),) if embed_audio and audio is None else ()
    counts = Counter(mark for turn in conversation for mark in marks_of(turn))
    marks = [*(mark for mark in _MARK_ORDER if mark in counts), *sorted({*counts} - {*_MARK_ORDER})]
    summary = summarize(conversation)
    geometry = timeline(conversation)
    return View(
        number=number,
        title=conversation.id,
        metadata=_metadata(conversation),
        notes=(*conversation.notes, *no_player),
        timeline=geometry,
        emotions=_emotions(summary, labels),
        timed=summary.timed,
        turns=tuple(turn_row(turn, i, labels, marks) for i, turn in enumerate(conversation, start=1)),
        runs={run.first + 1: run_row(run, labels) for run in runs(conversation) if len(run.turns) > 1},
        folded=len(conversation) > MANY_TURNS,
        plain_scores=len(conversation) > PLAIN_SCORES,
        marks=tuple((mark, counts[mark]) for mark in marks),
        explanations=tuple(
            _explain(mark, counts[mark], conversation, uncertain_below, summed=geometry.summed)
            for mark in marks
            if mark in _MARK_ORDER
        ),
        crosstalk=summary.notes.get(CROSSTALK, 0),
        audio=audio,
    )


def _explain(
    mark: str, count: int, conversation: ConversationAnalysis, limit: float | None, *, summed: bool
) -> str:
    """Say how many turns have a mark, and what it means."""
    told = f"{count:,} of {len(conversation):,} turns {_MARKED[mark]}"
    if mark == UNCERTAIN:
        how = f"marked {MARK} here and {'pale' if summed else 'dashed'} on the timeline"
        return f"{told}, {how}: {explain_uncertainty(limit)}."
    if mark == WORDS_UNCERTAIN:
        return f"{told}, marked {WORDS_MARK}: recognised, and not read by the model."
    return f"{told}: {NOTE_MEANINGS[mark]}."


def _emotions(summary: Summary, labels: tuple[str, ...]) -> tuple[EmotionSummary, ...]:
    """Return the emotions that occur, in the order of the labels."""
    shares = {each.emotion: each for each in summary.emotions}
    return tuple(
        EmotionSummary(
            label,
            emotion,
            shares[emotion].turns,
            percent(shares[emotion].share),
            None if shares[emotion].seconds is None else amount(shares[emotion].seconds or 0.0),
        )
        for label, emotion in enumerate(labels)
        if emotion in shares
    )


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
