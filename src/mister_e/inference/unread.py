"""Notes on a conversation: which turns were left out, and whose words the model was not shown."""

from __future__ import annotations

from collections.abc import Sequence

from mister_e.conversation import OTHER_LANGUAGE, Utterance, has_words
from mister_e.inference.predictor import TurnPredictions


def unread_notes(found: TurnPredictions) -> list[str]:
    """Say which turns of a conversation were left out, and which have words that were not read.

    :param found: predictions of its turns.
    """
    judged = found.predictions.predicted.tolist()
    present = [turn for turn, there in zip(found.turns, judged, strict=True) if there]
    left_out = [turn for turn, there in zip(found.turns, judged, strict=True) if not there]
    notes = []
    if left_out:
        kinds = ["uncertain words"] * any(turn.text_uncertain for turn in left_out)
        kinds += ["words of another language"] * any(map(_is_foreign, left_out))
        doubted = f" ({' and '.join(kinds)} are not read)" if kinds else ""
        notes.append(
            f"{len(left_out)} turns without words or sound were left out{doubted}: {_shortened(left_out)}"
        )
    uncertain = [turn for turn in present if turn.text_uncertain and has_words(turn.text)]
    if uncertain:
        notes.append(
            f"{len(uncertain)} of {len(present)} turns {_have(uncertain)} words that were recognised"
            f" uncertainly, are marked and were not read by the model: {_shortened(uncertain)}"
        )
    foreign = [turn for turn in present if _is_foreign(turn)]
    if foreign:
        codes = ", ".join(sorted({str(turn.language) for turn in foreign}))
        notes.append(
            f"{len(foreign)} of {len(present)} turns {_have(foreign)} words of a language that the model does"
            f" not read ({codes}), are shown and were judged without them: {_shortened(foreign)}"
        )
    return notes


def _is_foreign(turn: Utterance) -> bool:
    """Whether the words of a turn are of a language that the model does not read."""
    return OTHER_LANGUAGE in turn.notes


def _have(turns: Sequence[Utterance]) -> str:
    return "has" if len(turns) == 1 else "have"


def _shortened(turns: Sequence[Utterance], most: int = 5) -> str:
    """List ids of turns, not too many."""
    more = f" and {len(turns) - most} more" if len(turns) > most else ""
    return ", ".join(turn.id for turn in turns[:most]) + more
