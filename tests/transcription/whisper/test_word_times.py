"""Times of words: where they are said, alone as in company, never backwards."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.transcription import WhisperRecogniser
from mister_e.transcription.whisper import load_whisper
from mister_e.transcription.whisper.word_times import _words

SAMPLE = Path(__file__).parents[3] / "samples" / "conversation.flac"


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return WhisperRecogniser(whisper=load_whisper(threads=1))


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    return np.concatenate([block[0] for block in blocks(SAMPLE)])


def cut(talk: np.ndarray, start: float, end: float) -> np.ndarray:
    return talk[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def test_words_lie_where_they_are_said(recogniser, talk):
    (found,) = recogniser([cut(talk, 4.0, 7.1)])
    assert found.text == " ".join(word.text for word in found.words)
    assert [word.text for word in found.words][:5] == ["Oh,", "thank", "you", "so", "much."]
    gap = next(b.start - a.end for a, b in pairwise(found.words) if a.text == "much.")
    assert 0.1 < gap < 0.5  # a breath between the sentences, which punctuation does not fill
    for words in (found.words,):
        assert all(0 <= word.start <= word.end <= 3.1 and 0 < word.probability <= 1 for word in words)
        assert all(a.end <= b.start for a, b in pairwise(words))


def test_sound_before_a_turn_moves_its_words(recogniser, talk):
    sound = cut(talk, 4.0, 7.1)
    late = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), sound])
    early, moved = recogniser([sound, late])
    assert early.text == moved.text
    for a, b in zip(early.words[1:], moved.words[1:], strict=True):
        assert b.start - a.start == pytest.approx(2.0, abs=0.15)


def test_company_changes_no_time(recogniser, talk):
    turns = [cut(talk, *span) for span in [(0.4, 3.6), (4.0, 7.1), (7.5, 11.0), (15.8, 17.3), (5.0, 5.01)]]
    together = recogniser([*turns, np.zeros(SAMPLE_RATE, np.float32)])
    for turn, found in zip(turns, together, strict=False):
        (alone,) = recogniser([turn])
        assert (found and found.words) == (alone and alone.words)


@pytest.mark.parametrize("length", [1, 160, 400, 3200])
def test_hardly_any_sound_has_no_times_beyond_it(recogniser, talk, length):
    for decoded in recogniser.decode([talk[8000 : 8000 + length]]):
        assert all(word.end <= length / SAMPLE_RATE for word in decoded.words)


def test_a_loop_runs_never_backwards(recogniser, talk):
    (decoded,) = recogniser.decode([np.tile(cut(talk, 4.0, 4.6), 12)])
    assert all(a.end <= b.start and b.start <= b.end for a, b in pairwise(decoded.words))


def test_words_are_parted_at_spaces_alone(recogniser):
    text = " It's a well-known fact from the U.S. Army at 7:30 p.m. for 10,000 dollars -- so what?"
    tokens = recogniser._tokenizer("en").encode(text)
    aligned = SimpleNamespace(
        alignments=[(number, 5 * number) for number in range(len(tokens))],
        text_token_probs=[0.9] * len(tokens),
    )
    words = _words(recogniser._tokenizer("en"), tokens, aligned, 100.0)
    assert " ".join(word.text for word in words) == text.strip()
    assert {"well-known", "U.S.", "7:30", "p.m.", "10,000", "dollars --", "what?"} <= {w.text for w in words}
    assert all(a.end <= b.start for a, b in pairwise(words))
