from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mister_e.errors import InputError
from mister_e.evaluation.label_mapping import LabelMap, restrict_to_present
from mister_e.evaluation.scorecard import score
from mister_e.labels import MELD_EMOTIONS


def mapped(**counts):
    return LabelMap.of(counts, MELD_EMOTIONS, "data")


def test_classes_are_matched_and_the_others_counted():
    classes = mapped(happy=3, Calm=2, boredom=7, neutral=1)
    assert classes.names == {"happy": "joy", "Calm": "neutral", "neutral": "neutral"}
    assert classes.left_out == {"boredom": 7}
    assert [classes.position(name) for name in ("Calm", "happy", "boredom", None)] == [0, 1, -1, -1]


def test_data_that_shares_no_class_is_refused_by_both_lists():
    with pytest.raises(
        InputError, match=r"data: none .* positive \(9\), negative \(1,200\), .* neutral, joy"
    ):
        mapped(positive=9, negative=1200)


def only(predictions, *classes):
    """The same predictions, other labels unlabelled."""
    predictions.labels[~np.isin(predictions.labels, classes)] = -1
    return predictions


def test_the_choice_is_among_the_classes_that_are_there(made):
    predictions = only(made(skill=0.5), 1, 3, 6)
    scored = predictions.scored
    truth = predictions.labels[scored]
    # the oracle: the same model with a wall before the absent classes
    walled = predictions.logits[scored].copy()
    absent = [0, 2, 4, 5]
    walled[:, absent] = -np.inf
    expected = 100 * f1_score(truth, walled.argmax(1), average="weighted")
    free = predictions.logits[scored].argmax(1)

    result, labels, choice = restrict_to_present(predictions, mapped(joy=9), "data")
    assert labels.names == ("joy", "anger", "disgust")
    card = score(result, labels, temperature=0.7)
    assert card.scores["weighted_f1"] == pytest.approx(expected)
    assert card.turns == scored.sum()
    confidence = np.exp(walled / 0.7) / np.exp(walled / 0.7).sum(1, keepdims=True)
    assert result.probabilities(0.7)[scored] == pytest.approx(confidence[:, [1, 3, 6]], abs=1e-6)
    opinions = predictions.experts[:, 0][scored & predictions.present[:, 0]].copy()
    opinions[:, absent] = -np.inf
    right = opinions.argmax(1) == predictions.labels[scored & predictions.present[:, 0]]
    assert np.trace(card.experts["speech"]) == right.sum()

    assert choice.absent == ["neutral", "sadness", "surprise", "fear"]
    assert choice.absent_percent == pytest.approx(100 * np.isin(free, absent).mean())
    freely = 100 * f1_score(truth, free, average="weighted", zero_division=0)
    assert choice.free_weighted_f1 == pytest.approx(freely)
    assert choice.free_weighted_f1 < expected
    (line,) = choice.lines()
    assert f"{choice.absent_percent:.1f} %" in line
    assert "surprise" in line


def test_where_all_classes_are_there_nothing_changes(made):
    predictions = made()
    result, labels, choice = restrict_to_present(predictions, mapped(joy=1, boredom=4), "data")
    assert labels == MELD_EMOTIONS
    assert (result.logits == predictions.logits).all()
    assert (result.labels == predictions.labels).all()
    assert (choice.absent, choice.absent_percent) == ([], 0)
    assert choice.lines() == ["not scored, for the model has no such label: boredom (4) turns"]


def test_of_one_class_the_free_predictions_are_scored(made):
    predictions = only(made(skill=0.5), 1)
    right = 100 * (predictions.logits[predictions.scored].argmax(1) == 1).mean()
    result, labels, choice = restrict_to_present(predictions, mapped(joy=9, boredom=2), "data")
    assert (labels, choice.only, choice.absent) == (MELD_EMOTIONS, "joy", [])
    assert (result.logits == predictions.logits).all()
    accuracy = score(result, labels).scores["accuracy"]
    assert accuracy == pytest.approx(right)
    assert 0 < accuracy < 100
    assert choice.to_json()["only"] == "joy"
    assert any("every scored turn is joy: predictions are free" in line for line in choice.lines())


def test_a_class_can_be_given_its_label():
    given = {"plain": "neutral", "happy": "surprise"}
    classes = LabelMap.of({"plain": 3, "happy": 2, "Sad": 1, "odd": 4}, MELD_EMOTIONS, "data", given)
    assert classes.names == {"plain": "neutral", "happy": "surprise", "Sad": "sadness"}
    assert classes.left_out == {"odd": 4}
    with pytest.raises(InputError, match="data: has no class 'grief'; it has joy"):
        LabelMap.of({"joy": 3}, MELD_EMOTIONS, "data", {"grief": "sadness"})
    with pytest.raises(InputError, match="'calm' is no label; the labels are neutral, joy"):
        LabelMap.of({"plain": 3}, MELD_EMOTIONS, "data", {"plain": "calm"})


def test_classes_are_named_in_upper_or_lower_case():
    classes = LabelMap.of({"Glee": 3, "sad": 1}, MELD_EMOTIONS, "data", {"glee": "Joy"})
    assert classes.names == {"Glee": "joy", "sad": "sadness"}


def test_only_some_classes_are_scored(made):
    counts = {"happy": 3, "glee": 2, "Sad": 1, "calm": 5, "odd": 4}

    def names(*only):
        return LabelMap.of(counts, MELD_EMOTIONS, "data", {"glee": "joy"}, only)

    # by the name of a label, of a class, or of a synonym
    for asked in (("joy", "sadness"), ("Happy", "SAD"), ("glee", "sad", "joyful")):
        classes = names(*asked)
        assert classes.names == {"happy": "joy", "glee": "joy", "Sad": "sadness"}
        assert classes.left_out == {"odd": 4}
        assert classes.unasked == {"calm": 5}
    with pytest.raises(
        InputError, match="data: --only fear: no turn of it; choose among joy, sadness, neutral"
    ):
        names("joy", "fear")
    with pytest.raises(InputError, match="--only odd: no turn of it"):
        names("odd")
    _, labels, choice = restrict_to_present(only(made(), 1, 2), names("joy", "sad"), "data")
    assert labels.names == ("joy", "sadness")
    assert choice.to_json()["unasked"] == {"calm": 5}
    assert "not scored, for --only does not name it: calm (5) turns" in choice.lines()
    _, labels, choice = restrict_to_present(only(made(), 0), names("neutral"), "data")
    assert (labels, choice.only) == (MELD_EMOTIONS, "neutral")
    assert choice.unasked == {"happy": 3, "glee": 2, "Sad": 1}


def test_where_nothing_is_scored_that_is_told(made):
    with pytest.raises(
        InputError, match="data: no labelled turn has the text or speech that this mode needs"
    ):
        restrict_to_present(only(made()), mapped(joy=1), "data")


def test_intervals_draw_voices_where_those_are_told(made):
    card = score(made(), MELD_EMOTIONS, unit="voice")
    data = card.to_json()
    assert data["voices"] == card.conversations
    assert "conversations" not in data
    assert data["bootstrap"]["unit"] == "voice"
    assert card.size == f"{card.turns} turns by {card.conversations} voices"
    assert score(made(), MELD_EMOTIONS).size.endswith(" conversations")
