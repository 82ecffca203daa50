from __future__ import annotations

import json

import pytest

from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS, SYNONYMS, LabelSet, match_label


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
    assert match_label(name, MELD_EMOTIONS) == label


def test_a_model_may_use_the_other_name():
    labels = LabelSet(("Happy", "sad", "excited"))
    assert match_label("joy", labels) == "Happy"
    assert match_label("sadness", labels) == "sad"
    assert match_label("excited", labels) == "excited"


def test_the_same_name_comes_before_a_synonym_and_doubt_is_no_answer():
    labels = LabelSet(("calm", "neutral", "angry", "mad"))
    assert match_label("Calm", labels) == "calm"
    assert match_label("neutral", labels) == "neutral"
    assert match_label("anger", labels) is None


def test_every_synonym_stands_for_a_label_and_none_is_one():
    assert set(SYNONYMS.values()) <= set(MELD_EMOTIONS)
    assert not set(SYNONYMS) & set(MELD_EMOTIONS)


def test_the_emotions_have_their_published_order_and_numbers():
    order = ["neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust"]
    assert list(MELD_EMOTIONS) == MELD_EMOTIONS.to_json() == order
    assert [MELD_EMOTIONS.index(name) for name in order] == list(range(7))
    assert len(MELD_EMOTIONS) == 7


def test_labels_that_are_not_alphabetical_keep_their_numbers():
    names = ["sad", "Glad", "mad", "afraid"]
    labels = LabelSet.from_json(json.loads(json.dumps(LabelSet(tuple(names)).to_json())))

    assert labels == LabelSet(tuple(names))
    assert labels != LabelSet(tuple(sorted(names)))
    assert [labels.index(name) for name in names] == [0, 1, 2, 3]
    assert labels.scores([0.4, 0.3, 0.2, 0.1]) == {"sad": 0.4, "Glad": 0.3, "mad": 0.2, "afraid": 0.1}
    assert list(labels.scores([0.4, 0.3, 0.2, 0.1])) == names
    assert "mad" in labels
    assert "glad" not in labels
    with pytest.raises(InputError, match="unknown label 'glad': this label set has sad, Glad, mad, afraid"):
        labels.index("glad")
    with pytest.raises(ValueError, match="zip"):
        labels.scores([0.5, 0.5])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("one",), "at least two"),
        (("a", "b", "a"), "each label once"),
        (("a", ""), "non-empty strings"),
        (("a", 3), "non-empty strings"),
    ],
)
def test_label_sets_that_mean_nothing_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        LabelSet(names)
