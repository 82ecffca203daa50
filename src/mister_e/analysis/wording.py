"""Wording that every format for people shares: uncertain turns, without colours, and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mister_e.conversation import CROSSTALK, NO_WORDS, OTHER_LANGUAGE

#: What stands behind an emotion that is uncertain.
MARK = "?"

#: What stands behind words that are uncertain.
WORDS_MARK = "(?)"

#: How much of its time a turn with the note `CROSSTALK` counts in a summary.
CROSSTALK_WEIGHT = 0.5

#: What each note of a turn means.
NOTE_MEANINGS: Mapping[str, str] = {
    CROSSTALK: "much of it is several people at once; counts half in the shares",
    NO_WORDS: "none were recognised or written; judged by its sound",
    OTHER_LANGUAGE: "the model does not read it; judged by its sound",
}


def marked(emotion: str, *, uncertain: bool) -> str:
    """Emotion as people read it: `joy`, or `joy ?` if uncertain."""
    return f"{emotion} {MARK}" if uncertain else emotion


def marked_words(text: str, *, uncertain: bool) -> str:
    """Words as people read them: `I know.`, or `I know. (?)` if uncertain."""
    return f"{text} {WORDS_MARK}" if uncertain else text


def explain_uncertainty(limit: float | None) -> str:
    """Say in a few words, without a full stop, what uncertain means.

    :param limit: the confidence, 0 to 1, below which turns are uncertain; None = unknown.
    """
    if limit is None:
        return "low confidence"
    # confidence is calibrated: of turns with 0.4, 4 in 10 are right
    likely = ", wrong more often than right" if limit <= 0.5 else ""
    return f"confidence below {100 * limit:.3g}%{likely}"


def marked_notes(notes: Sequence[str], language: str | None = None) -> tuple[str, ...]:
    """Notes of a turn as people read them: `crosstalk`, or `fr not read` where the language is known.

    :param notes: of `mister_e.conversation.TURN_NOTES`.
    :param language: code of the turn's language; None = not known.
    """
    return tuple(f"{language} not read" if note == OTHER_LANGUAGE and language else note for note in notes)


#: No recording is as long (s), 31 years: beyond it, times are mistakes, and are written as powers of ten.
LONGEST_CLOCK = 1e9


def clock(seconds: float) -> str:
    """Time as m:ss, or h:mm:ss from an hour on; a begun second does not count, as in a player."""
    if seconds >= LONGEST_CLOCK:
        return f"{seconds:.0e} s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def amount(seconds: float) -> str:
    """Time in all as `clock` writes it, with tenths below a second, where a begun one would be 0:00."""
    return f"{seconds:.1f} s" if seconds < 1 else clock(seconds)
