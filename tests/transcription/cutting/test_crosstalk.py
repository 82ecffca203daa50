"""Turns in which several speak, and turns without words, say so."""

import numpy as np
import pytest

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import CROSSTALK, NO_WORDS, TURN_NOTES, Word
from mister_e.transcription.cutting.crosstalk import LEAST_OVERLAPPED, is_crosstalk, turn_notes
from mister_e.transcription.cutting.pieces import cut_stretch
from mister_e.transcription.cutting.vad import Speech
from mister_e.transcription.cutting.voices import OVERLAP_RATE, VoiceMarks


@pytest.mark.parametrize(
    ("overlapped", "expected"),
    [(None, False), (0.0, False), (LEAST_OVERLAPPED - 0.01, False), (LEAST_OVERLAPPED, True), (1.0, True)],
)
def test_much_overlap_is_crosstalk(overlapped, expected):
    assert is_crosstalk(overlapped) is expected


def test_notes_come_in_their_order():
    assert turn_notes(None, wordless=False) == ()
    assert turn_notes(None, wordless=True) == (NO_WORDS,)
    assert turn_notes(1.0, wordless=False) == (CROSSTALK,)
    both = turn_notes(1.0, wordless=True)
    assert both == tuple(note for note in TURN_NOTES if note in both)
    assert set(both) == {CROSSTALK, NO_WORDS}


def test_each_piece_has_its_own_share_of_the_overlap():
    speech = Speech(7.0, None, np.ones(4 * SAMPLE_RATE, np.float32), ())
    words = [Word(text, 0.5 * k, 0.5 * k + 0.4) for k, text in enumerate("abcdefgh")]
    overlap = np.zeros(4 * OVERLAP_RATE, np.float32)
    overlap[2 * OVERLAP_RATE :] = 0.9
    marks = VoiceMarks(np.float32([1.95]), np.float32([0.99]), overlap)
    first, second = cut_stretch(speech, words, marks)
    assert first.overlapped == pytest.approx(0.0, abs=0.1)
    assert second.overlapped == pytest.approx(0.9, abs=0.1)
    assert [piece.overlapped for piece in cut_stretch(speech, words)] == [None]
