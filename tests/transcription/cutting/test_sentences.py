"""Where sentences end: at their marks, and not at abbreviations, initials, numbers and hesitation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mister_e.transcription.cutting.sentences import ends_sentence, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi, it's me. I'm here.", ["Hi, it's me.", "I'm here."]),
        ("What? No! Really?!", ["What?", "No!", "Really?!"]),
        ("Dr. Quill saw Mrs. Ode at 5 p.m. on Friday.", ["Dr. Quill saw Mrs. Ode at 5 p.m. on Friday."]),
        ("J. R. R. Tolkien wrote it. I read it.", ["J. R. R. Tolkien wrote it.", "I read it."]),
        ("It is I. You know me.", ["It is I.", "You know me."]),
        ("It costs 3.50 in total. Fine.", ["It costs 3.50 in total.", "Fine."]),
        ("Well... I don't know.", ["Well... I don't know."]),
        ("Well\u2026 yes.", ["Well\u2026 yes."]),
        ("She said \u201cno.\u201d Then she left.", ["She said \u201cno.\u201d", "Then she left."]),
        ("(I know.) So what", ["(I know.)", "So what"]),
        ("\u597d\u3002 \u8d70\u5427\uff01 \u4f60", ["\u597d\u3002", "\u8d70\u5427\uff01", "\u4f60"]),
        ("no marks at all", ["no marks at all"]),
        ("end of vs.", ["end of vs."]),
        ("ver. two goes on", ["ver. two goes on"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]):
    words = text.split()
    assert [" ".join(words[place] for place in own) for own in sentences(words)] == expected


@given(st.lists(st.text(min_size=1, max_size=8)))
def test_every_word_is_in_one_sentence(words: list[str]):
    assert [place for own in sentences(words) for place in own] == list(range(len(words)))
    assert all(len(own) for own in sentences(words))


def test_the_last_word_may_end_one():
    assert ends_sentence("etc.")
    assert not ends_sentence("etc.", "and")
    assert not ends_sentence("done,")
    assert not ends_sentence("")


@pytest.mark.parametrize(
    ("text", "least", "expected"),
    [
        ("Oh! No! That is my cat. Where?", 3, ["Oh! No! That is my cat. Where?"]),
        ("Oh! That is my cat. Where is it?", 3, ["Oh! That is my cat.", "Where is it?"]),
        ("That is my cat. Oh! Where is it?", 3, ["That is my cat.", "Oh! Where is it?"]),
        ("Oh! No!", 3, ["Oh! No!"]),
        ("", 3, []),
    ],
)
def test_short_sentences_stay_with_a_neighbour(text: str, least: int, expected: list[str]):
    words = text.split()
    assert [" ".join(words[place] for place in own) for own in sentences(words, least)] == expected


@given(st.lists(st.sampled_from(["No!", "and", "so.", "Yes"])), st.integers(1, 5))
def test_no_sentence_is_shorter_than_asked_for_where_there_are_enough_words(words: list[str], least: int):
    found = sentences(words, least)
    assert [place for own in found for place in own] == list(range(len(words)))
    assert all(len(own) >= min(least, len(words)) for own in found)
