from __future__ import annotations

import pytest

from mister_e.labels import MELD_EMOTIONS, SYNONYMS, LabelSet, matching


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("joy", "joy"),
        ("Joy ", "joy"),
        ("HAPPY", "joy"),
        ("hap", "joy"),
        ("calm", "neutral"),
        ("Mad", "anger"),
        ("scared", "fear"),
        ("sorrow", "sadness"),
        ("boredom", None),
        ("", None),
    ],
)
def test_names_of_corpora_are_those_of_the_model(name, label):
    assert matching(name, MELD_EMOTIONS) == label


def test_a_model_may_use_the_other_name():
    labels = LabelSet(("Happy", "sad", "excited"))
    assert matching("joy", labels) == "Happy"
    assert matching("sadness", labels) == "sad"
    assert matching("excited", labels) == "excited"


def test_the_same_name_comes_before_a_synonym_and_doubt_is_no_answer():
    labels = LabelSet(("calm", "neutral", "angry", "mad"))
    assert matching("Calm", labels) == "calm"
    assert matching("neutral", labels) == "neutral"
    assert matching("anger", labels) is None


def test_every_synonym_stands_for_a_label_and_none_is_one():
    assert set(SYNONYMS.values()) <= set(MELD_EMOTIONS)
    assert not set(SYNONYMS) & set(MELD_EMOTIONS)
