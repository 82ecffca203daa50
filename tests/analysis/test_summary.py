from __future__ import annotations

from dataclasses import replace

import pytest
from analyses import judged, sample, text_only

from mister_e.analysis.summary import summarize
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import CROSSTALK_WEIGHT
from mister_e.conversation import CROSSTALK, NO_WORDS


def call(*turns) -> ConversationAnalysis:
    return ConversationAnalysis("call", "call.wav", 60.0, turns)


def shares(conversation: ConversationAnalysis) -> dict[str, float]:
    return {each.emotion: each.share for each in summarize(conversation).emotions}


def test_an_emotion_weighs_by_its_time_and_not_by_its_turns():
    short = [judged(i, "joy", "Yes.", 10.0 + i, 10.5 + i) for i in range(4)]
    summary = summarize(call(judged(9, "anger", "So I said no.", 0.0, 8.0), *short))
    assert [(each.emotion, each.turns, each.seconds) for each in summary.emotions] == [
        ("anger", 1, 8.0),
        ("joy", 4, 2.0),
    ]
    assert [each.share for each in summary.emotions] == pytest.approx([0.8, 0.2])


def test_crosstalk_counts_half_of_its_time_and_uncertain_turns_all_of_theirs():
    joy, anger = judged(1, "joy", "Yes.", 0.0, 4.0), judged(2, "anger", "No.", 4.0, 8.0)
    assert shares(call(joy, anger)) == pytest.approx({"joy": 0.5, "anger": 0.5})
    both = call(replace(joy, notes=(CROSSTALK,)), replace(anger, uncertain=True))
    share = CROSSTALK_WEIGHT / (1 + CROSSTALK_WEIGHT)
    assert shares(both) == pytest.approx({"joy": share, "anger": 1 - share})
    assert summarize(both).emotions[1].seconds == 4.0, "the talk time itself is what it is"
    assert summarize(both).uncertain == 1
    everywhere = call(*(replace(turn, notes=(CROSSTALK,)) for turn in (joy, anger)))
    assert shares(everywhere) == shares(call(joy, anger))


def test_shares_agree_with_a_count_over_moments():
    turns = sample().utterances
    moments = [turn.emotion for turn in turns for _ in range(round(100 * (turn.end - turn.start)))]
    for emotion, share in shares(sample()).items():
        assert share == pytest.approx(moments.count(emotion) / len(moments), abs=0.005)
    assert sum(shares(sample()).values()) == pytest.approx(1)


@pytest.mark.parametrize("times", [{"start": None, "end": None}, {"end": None}, {"start": 2.0, "end": 2.0}])
def test_without_times_turns_are_counted(times):
    turns = [judged(1, "joy", "Yes.", 2.0, 2.0), judged(2, "joy", "No.", 2.0, 2.0)]
    summary = summarize(call(*turns, replace(judged(3, "fear", "Who?", 2.0, 2.0), **times)))
    assert not summary.timed
    assert [each.share for each in summary.emotions] == pytest.approx([2 / 3, 1 / 3])
    assert {each.seconds for each in summary.emotions} == {None}


def test_times_that_cannot_be_leave_the_shares_finite():
    turns = [judged(1, "joy", "Yes.", 0.0, 1.7e308), judged(2, "fear", "No.", 0.0, 1.7e308)]
    assert shares(call(*turns)) == {"joy": 0.5, "fear": 0.5}


def test_notes_are_counted_and_a_turn_without_text_has_no_words():
    turns = [
        judged(1, "joy", None, 0.0, 1.0),
        replace(judged(2, "joy", None, 1.0, 2.0), notes=(NO_WORDS,)),
        replace(judged(3, "joy", "Yes.", 2.0, 3.0), notes=(CROSSTALK,)),
    ]
    assert summarize(call(*turns)).notes == {NO_WORDS: 2, CROSSTALK: 1}
    assert summarize(text_only(["Hi.", "Bye."])).notes == {}


def test_an_empty_conversation_has_no_shares():
    assert summarize(call()).emotions == ()
