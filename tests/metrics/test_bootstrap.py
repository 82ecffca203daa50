import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from mister_e.metrics.bootstrap import draws, intervals, metadata
from mister_e.metrics.classification import confusion_matrix

CLASSES = 3


def split(count, seed=0):
    """Labels and predictions of conversations of 1 to 9 turns, each with a tendency of its own."""
    random = np.random.default_rng(seed)
    conversations = []
    for _ in range(count):
        turns = int(random.integers(1, 10))
        labels = random.integers(0, CLASSES, turns)
        wrong = random.random(turns) < random.choice([0.1, 0.9])
        conversations.append((labels, np.where(wrong, random.integers(0, CLASSES, turns), labels)))
    return conversations


def counted(conversations):
    return np.stack([confusion_matrix(*conversation, CLASSES) for conversation in conversations])


def test_the_interval_is_what_whole_conversations_drawn_again_give():
    conversations = split(12)
    weighted, accuracy, each = [], [], []
    for drawn in np.concatenate(list(draws(12, resamples=60, seed=3))):
        chosen = [
            conversation
            for conversation, times in zip(conversations, drawn, strict=True)
            for _ in range(times)
        ]
        labels, predictions = (np.concatenate(part) for part in zip(*chosen, strict=True))
        options = {"labels": range(CLASSES), "zero_division": 0}
        weighted.append(100 * f1_score(labels, predictions, average="weighted", **options))
        accuracy.append(100 * accuracy_score(labels, predictions))
        each.append(100 * f1_score(labels, predictions, average=None, **options))
    overall, of_classes = intervals(counted(conversations), resamples=60, seed=3)
    assert overall["weighted_f1"] == pytest.approx(np.percentile(weighted, [2.5, 97.5]))
    assert overall["accuracy"] == pytest.approx(np.percentile(accuracy, [2.5, 97.5]))
    assert of_classes == pytest.approx(np.percentile(each, [2.5, 97.5], axis=0).T)


def test_a_lower_level_takes_the_percentiles_further_in_and_macro_f1_has_an_interval_too():
    conversations = split(12)
    macro = []
    for drawn in np.concatenate(list(draws(12, resamples=60, seed=4))):
        chosen = [pair for pair, times in zip(conversations, drawn, strict=True) for _ in range(times)]
        labels, predictions = (np.concatenate(part) for part in zip(*chosen, strict=True))
        options = {"labels": sorted(set(labels)), "zero_division": 0}
        macro.append(100 * f1_score(labels, predictions, average="macro", **options))

    overall, _ = intervals(counted(conversations), resamples=60, level=0.8, seed=4)

    assert overall["macro_f1"] == pytest.approx(np.percentile(macro, [10, 90]))


def test_conversations_are_drawn_alike_by_default_two_thousand_times_for_95_percent():
    assert metadata() == {"unit": "conversation", "resamples": 2000, "level": 0.95, "seed": 0}
    drawn = np.concatenate(list(draws(5)))
    assert drawn.shape == (2000, 5)
    assert drawn.mean(0) == pytest.approx([1] * 5, abs=0.1)
    assert (drawn == 0).mean() == pytest.approx(0.8**5, abs=0.02)


def test_as_many_conversations_are_drawn_as_there_are_whatever_the_chunks(monkeypatch):
    whole = np.concatenate(list(draws(7, resamples=50, seed=1)))
    assert whole.shape == (50, 7)
    assert (whole.sum(1) == 7).all()
    monkeypatch.setattr("mister_e.metrics.bootstrap._CHUNK", 20)
    chunks = list(draws(7, resamples=50, seed=1))
    assert len(chunks) == 25
    assert np.array_equal(np.concatenate(chunks), whole)


def test_turns_that_stand_and_fall_together_are_less_sure_than_turns_alone():
    conversations = split(60)
    alone = [
        (labels[i : i + 1], predicted[i : i + 1])
        for labels, predicted in conversations
        for i in range(len(labels))
    ]
    by_conversation, by_turn = (intervals(counted(group))[0]["accuracy"] for group in (conversations, alone))
    assert by_conversation[1] - by_conversation[0] > 1.3 * (by_turn[1] - by_turn[0])


def test_two_thousand_resamples_of_meld_take_less_than_a_second():
    conversations = counted(split(280))
    began = time.perf_counter()
    overall, _ = intervals(conversations)
    assert time.perf_counter() - began < 1
    low, high = overall["weighted_f1"]
    assert 0 < low < high < 100
