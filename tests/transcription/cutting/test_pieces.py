"""Turns within a stretch: cut where sentences end, at pauses and changes of voice; no crumbs, no loss."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Word
from mister_e.transcription.cutting.pieces import SHORTEST, Piece, cut_stretch, moments
from mister_e.transcription.cutting.vad import Speech
from mister_e.transcription.cutting.voices import VoiceMarks


def stretch(seconds: float, pauses: tuple[tuple[float, float], ...] = (), start: float = 100.0) -> Speech:
    """Noise that is silent in its pauses."""
    sound = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    for begin, end in pauses:
        sound[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 0
    return Speech(start, None, sound, pauses)


def said(text: str, step: float = 0.4) -> list[Word]:
    """Words at equal distances, a little apart."""
    return [Word(word, k * step, (k + 0.9) * step, 0.9) for k, word in enumerate(text.split())]


def changes(*moments: tuple[float, float], seconds: float = 6.0) -> VoiceMarks:
    times, likely = zip(*moments, strict=True) if moments else ((), ())
    return VoiceMarks(np.float32(times), np.float32(likely), np.zeros(round(10 * seconds), np.float32))


def texts(pieces: list[Piece]) -> list[str]:
    return [" ".join(word.text for word in piece.words) for piece in pieces]


def test_a_stretch_is_cut_where_sentences_end():
    words = said("I am just so tired. What is it that you want? Go on and tell me.")
    pieces = cut_stretch(stretch(6.4), words)
    assert texts(pieces) == ["I am just so tired.", "What is it that you want?", "Go on and tell me."]
    assert [piece.speech.start - 100 for piece in pieces] == pytest.approx([0, 2.0, 4.4], abs=0.15)
    # without a pause no sound is lost
    assert sum(len(piece.speech.samples) for piece in pieces) == round(6.4 * SAMPLE_RATE)
    for piece, following in pairwise(pieces):
        assert piece.speech.end == pytest.approx(following.speech.start)


def test_a_cut_lies_at_the_quietest_moment_between_the_words():
    words = said("I am just so tired. What is it that you want now?")
    sound = stretch(5.4)
    sound.samples[round(1.98 * SAMPLE_RATE) : round(2.03 * SAMPLE_RATE)] *= 0.01
    (first, _) = cut_stretch(sound, words)
    assert 1.98 <= first.speech.end - 100 <= 2.03


def test_a_short_sentence_stays_with_its_neighbour_unless_a_pause_or_a_voice_parts_them():
    words = said("No way! What is it that you want now?")
    assert texts(cut_stretch(stretch(3.6), words)) == ["No way! What is it that you want now?"]
    parted = ["No way!", "What is it that you want now?"]
    assert texts(cut_stretch(stretch(3.6), words, changes((0.78, 0.9), seconds=3.6))) == parted
    later = [*words[:2], *(Word(w.text, w.start + 0.4, w.end + 0.4, 0.9) for w in words[2:])]
    assert texts(cut_stretch(stretch(4.0, ((0.76, 1.2),)), later)) == parted


def test_a_short_pause_parts_turns_and_its_middle_is_left_out():
    words = [
        *said("I was going to"),
        *(Word(w, 2.4 + 0.4 * k, 2.7 + 0.4 * k) for k, w in enumerate(["say", "no."])),
    ]
    pieces = cut_stretch(stretch(3.4, ((1.6, 2.3),)), words)
    assert texts(pieces) == ["I was going to", "say no."]
    assert pieces[0].speech.end - 100 == pytest.approx(1.7)
    assert pieces[1].speech.start - 100 == pytest.approx(2.1)
    # no shorter ones
    assert len(cut_stretch(stretch(3.4, ((1.6, 1.8),)), words)) == 1
    # and without any words too
    assert len(cut_stretch(stretch(3.4, ((1.6, 2.3),)))) == 2


def test_a_word_that_seems_to_begin_before_a_pause_is_after_it():
    words = [*said("I was going to"), Word("say", 1.5, 2.75), Word("no.", 2.8, 3.1)]
    assert texts(cut_stretch(stretch(3.4, ((1.6, 2.3),)), words)) == ["I was going to", "say no."]


def test_a_crumb_joins_the_neighbour_that_is_nearer():
    words = said("Oh. I am so very tired of it.")
    assert texts(cut_stretch(stretch(3.4), words)) == ["Oh. I am so very tired of it."]
    words = [
        *said("I am here now."),
        Word("No.", 1.75, 1.95),
        *(Word(f"w{k}", 2.4 + 0.4 * k, 2.7 + 0.4 * k) for k in range(3)),
    ]
    assert texts(cut_stretch(stretch(3.6, ((1.95, 2.35),)), words)) == ["I am here now. No.", "w0 w1 w2"]


def test_a_change_of_voice_parts_also_a_crumb():
    after = [Word(text, 2.5 + 0.4 * k, 2.8 + 0.4 * k) for k, text in enumerate(["and", "you", "came"])]
    words = [*said("so we said"), Word("No.", 2.1, 2.38), *after]
    sound = stretch(4.2, ((1.2, 2.1),))
    assert texts(cut_stretch(sound, words)) == ["so we said", "No. and you came"]
    pieces = cut_stretch(sound, words, changes((1.65, 0.9), (2.42, 0.8)))
    assert texts(pieces) == ["so we said", "No.", "and you came"]
    assert pieces[1].speech.end - pieces[1].speech.start < SHORTEST
    # hardly an answer is so short
    assert len(cut_stretch(sound, words, changes((1.65, 0.9), (2.2, 0.8)))) == 2
    assert len(cut_stretch(sound, words, changes((1.65, 0.4), (2.42, 0.1)))) == 2


def test_a_change_that_is_told_of_two_moments_is_one_place():
    words = said("so we said that no and then you")
    assert len(cut_stretch(stretch(3.4), words, changes((1.55, 0.9), (1.75, 0.8)))) == 2
    assert len(cut_stretch(stretch(3.4), words, changes((0.9, 0.9), (2.2, 0.8)))) == 3


def test_one_voice_that_goes_on_is_one_turn_until_it_is_long():
    words = said("I am so very tired. It has been a long day for us all. Go on now then please.", 0.5)
    sound = stretch(9.0)
    assert len(cut_stretch(sound, words)) == 3
    ends = [(word.end + following.start) / 2 for word, following in pairwise(words)]
    surely_one = changes(*((end, 0.001) for end in ends), seconds=9)
    assert len(cut_stretch(sound, words, surely_one)) == 1
    maybe_another = changes(*((end, 0.2) for end in ends), seconds=9)
    assert len(cut_stretch(sound, words, maybe_another)) == 3
    slow = [replace(word, start=3 * word.start, end=3 * word.end) for word in words]
    seldom = changes(*((3 * end, 0.001) for end in ends), seconds=27)
    pieces = cut_stretch(stretch(27.0), slow, seldom)
    assert texts(pieces) == texts(cut_stretch(stretch(27.0), slow))


def test_changes_are_asked_for_between_words_and_in_pauses():
    sound = stretch(3.4, ((1.6, 2.3),))
    assert moments(said("one two three"), sound) == [0.38, 0.78, 1.95]
    assert moments([], stretch(1.0)) == []


def test_times_that_run_backwards_lose_no_word():
    words = [Word("a.", 2.0, 1.0), Word("b.", 0.5, 0.2), Word("c.", 9.0, 9.5), Word("d.", 0.0, 0.0)]
    pieces = cut_stretch(stretch(4.0, ((1.0, 1.5),)), words)
    assert " ".join(texts(pieces)).split() == ["a.", "b.", "c.", "d."]


spans = st.tuples(st.floats(0, 12), st.floats(0, 2))


@settings(deadline=None)
@given(
    st.floats(0.1, 12.0),
    st.lists(spans, max_size=5),
    st.lists(st.tuples(st.sampled_from(["so", "no.", "what?", "Dr.", "well..."]), spans), max_size=12),
    st.lists(st.tuples(st.floats(-1, 13), st.floats(0, 1)), max_size=6),
)
def test_nothing_is_lost_or_said_twice(seconds, pauses, words, told):
    ordered: list[tuple[float, float]] = []
    for begin, length in sorted(pauses):
        if (not ordered or begin > ordered[-1][1]) and begin > 0 and begin + length < seconds:
            ordered.append((begin, begin + length))
    sound = stretch(seconds, tuple(ordered))
    given_words = [Word(text, begin, begin + length) for text, (begin, length) in words]
    pieces = cut_stretch(sound, given_words, changes(*sorted(told), seconds=seconds))
    assert [word for piece in pieces for word in piece.words] == given_words
    assert all(a.speech.end <= b.speech.start + 1e-6 for a, b in pairwise(pieces))
    assert pieces[0].speech.start == 100.0
    assert pieces[-1].speech.end == pytest.approx(sound.end)
    kept = sum(len(piece.speech.samples) for piece in pieces) / SAMPLE_RATE
    assert kept >= seconds - sum(end - begin for begin, end in ordered) - 1e-3
    for piece in pieces:
        first = round((piece.speech.start - 100) * SAMPLE_RATE)
        np.testing.assert_array_equal(
            piece.speech.samples, sound.samples[first : first + len(piece.speech.samples)]
        )
    if not told:
        assert len(pieces) == 1 or all(
            len(piece.speech.samples) >= SHORTEST * SAMPLE_RATE - 1 for piece in pieces
        )
