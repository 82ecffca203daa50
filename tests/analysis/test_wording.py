import pytest

from mister_e.analysis.wording import (
    NOTE_MEANINGS,
    explain_uncertainty,
    marked,
    marked_notes,
    marked_words,
)
from mister_e.conversation import TURN_NOTES


def test_the_emotion_stays_and_the_mark_is_a_letter():
    assert marked("joy", uncertain=True) == "joy ?"
    assert marked("joy", uncertain=False) == "joy"
    assert marked_words("I know.", uncertain=True) == "I know. (?)"
    assert marked_words("I know.", uncertain=False) == "I know."


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (0.4, "confidence below 40%, wrong more often than right"),
        (0.125, "confidence below 12.5%, wrong more often than right"),
        (0.6, "confidence below 60%"),
        (1.0, "confidence below 100%"),
        (None, "low confidence"),
    ],
)
def test_the_meaning_promises_no_more_than_calibration_does(limit, words):
    assert explain_uncertainty(limit) == words


def test_every_note_has_a_meaning_and_a_language_is_named():
    assert set(NOTE_MEANINGS) == set(TURN_NOTES)
    assert marked_notes(TURN_NOTES) == TURN_NOTES
    assert marked_notes(TURN_NOTES, "fr") == ("crosstalk", "no words", "fr not read")
    assert marked_notes((), "fr") == ()
