"""What a conversation holds in all: how much of its talk has which emotion, and what is marked in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mister_e.analysis.turns import ConversationAnalysis, TurnAnalysis
from mister_e.analysis.wording import CROSSTALK_WEIGHT, LONGEST_CLOCK
from mister_e.conversation import CROSSTALK


@dataclass(frozen=True)
class EmotionShare:
    """One emotion in a conversation.

    :param turns: how many turns have it.
    :param seconds: their talk time; None where the conversation is not timed.
    :param share: 0 to 1, of all talk time, or of all turns where it is not timed; crosstalk counts
        `CROSSTALK_WEIGHT` of what it lasts.
    """

    emotion: str
    turns: int
    seconds: float | None
    share: float


@dataclass(frozen=True)
class Summary:
    """A conversation in all.

    :param timed: whether the shares are of talk time: every turn has a start and an end, and they differ.
    :param emotions: those that occur, the largest share first.
    :param uncertain: how many turns are uncertain; they count like any other.
    :param notes: how many turns carry each note.
    """

    timed: bool
    emotions: tuple[EmotionShare, ...]
    uncertain: int
    notes: Mapping[str, int]


def summarize(conversation: ConversationAnalysis) -> Summary:
    """Sum up a conversation by time, or by turns where times are not known."""
    seconds = [talk_seconds(turn) for turn in conversation]
    timed = is_timed(conversation) and sum(seconds) > 0
    turns: Counter[str] = Counter()
    talk: dict[str, float] = defaultdict(float)
    weighed: dict[str, float] = defaultdict(float)
    for turn, length in zip(conversation, seconds, strict=True):
        turns[turn.emotion] += 1
        talk[turn.emotion] += length
        weighed[turn.emotion] += weight(turn) * (length if timed else 1.0)
    total = sum(weighed.values())
    emotions = (
        EmotionShare(emotion, turns[emotion], talk[emotion] if timed else None, share / total)
        for emotion, share in weighed.items()
    )
    return Summary(
        timed,
        tuple(sorted(emotions, key=lambda each: (-each.share, -each.turns))),
        sum(turn.uncertain for turn in conversation),
        Counter(note for turn in conversation for note in turn.notes),
    )


def is_timed(conversation: ConversationAnalysis) -> bool:
    """Whether every turn has a start and an end."""
    return all(turn.start is not None and turn.end is not None for turn in conversation)


def talk_seconds(turn: TurnAnalysis) -> float:
    """Seconds of a turn, 0 without times; at most so many that their sum is finite."""
    if turn.start is None or turn.end is None:
        return 0.0
    return min(turn.end - turn.start, LONGEST_CLOCK)


def weight(turn: TurnAnalysis) -> float:
    """How much a second of the turn counts in a summary, 0 to 1."""
    return CROSSTALK_WEIGHT if CROSSTALK in turn.notes else 1.0
