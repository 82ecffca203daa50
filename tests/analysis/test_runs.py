from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from analyses import judged, long, sample

from mister_e.analysis.runs import runs
from mister_e.conversation import CROSSTALK, NO_WORDS, OTHER_LANGUAGE
from mister_e.experts import EXPERTS


def test_a_run_is_neighbours_of_one_emotion_and_no_turn_is_lost():
    grouped = runs(sample())
    assert [turn for run in grouped for turn in run.turns] == list(sample())
    assert all({turn.emotion for turn in run.turns} == {run.emotion} for run in grouped)
    assert all(one.emotion != other.emotion for one, other in pairwise(grouped))
    assert [sample().utterances[run.first] for run in grouped] == [run.turns[0] for run in grouped]
    assert [len(run.turns) for run in grouped] == [1, 1, 1, 1, 1, 1, 2, 1, 1, 2, 1, 1]
    assert runs(()) == ()


def test_unfolded_every_turn_is_alone():
    assert [run.turns for run in runs(long(7), fold=False)] == [(turn,) for turn in long(7)]
    assert [run.first for run in runs(long(7), fold=False)] == list(range(7))


def test_a_run_has_its_span_its_means_and_its_first_words():
    first, second = judged(1, "joy", None, 1.0, 9.0), judged(2, "joy", "Yes.", 4.0, 6.0)
    (run,) = runs([first, second])
    assert (run.start, run.end) == (1.0, 9.0)
    assert run.confidence == pytest.approx((first.confidence + second.confidence) / 2)
    assert run.gate == pytest.approx({name: (first.gate[name] + second.gate[name]) / 2 for name in EXPERTS})
    assert run.opening is second
    (silent,) = runs([judged(1, "joy", None), judged(2, "joy", None)])
    assert silent.opening is silent.turns[0]
    assert silent.start is silent.end is None


def test_a_run_says_how_many_of_its_turns_are_marked():
    plain = judged(1, "joy", "Yes.")
    odd = [
        replace(plain, notes=(CROSSTALK,)),
        replace(plain, text=None, uncertain=True, notes=(NO_WORDS,)),
        replace(plain, notes=(CROSSTALK, OTHER_LANGUAGE), language="fr"),
    ]
    assert [runs([turn])[0].marks for turn in [plain, *odd]] == [
        (),
        ("crosstalk",),
        ("no words",),
        ("crosstalk", "fr not read"),
    ]
    (run,) = runs([plain, *odd])
    assert run.marks == ("2 crosstalk", "1 no words", "1 fr not read", "1 uncertain")
    assert not run.uncertain
    (unsure,) = runs([replace(plain, uncertain=True)] * 2)
    assert unsure.uncertain
    assert unsure.marks == ()
