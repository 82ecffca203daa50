from __future__ import annotations

from dataclasses import replace

import pytest
from analyses import judged, long, sample, text_only
from hypothesis import given
from hypothesis import strategies as st

from mister_e.analysis.strip import cells, layout
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.conversation import CROSSTALK

TIMES = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 30)), min_size=1, max_size=12)


@given(TIMES, st.integers(1, 25))
def test_pieces_agree_with_a_count_over_moments(times, count):
    turns = tuple(
        judged(i, ("joy", "anger", "fear")[i % 3], "Yes.", float(start), float(start + length))
        for i, (start, length) in enumerate(times)
    )
    conversation = ConversationAnalysis("call", None, 100.0, turns)
    place = layout(conversation)
    assert place.timed
    pieces = cells(conversation, place.spans, count)
    assert len(pieces) == count
    size = place.length / count
    for k, piece in enumerate(pieces):
        for emotion in ("joy", "anger", "fear"):
            covered = sum(
                max(0.0, min(turn.end, (k + 1) * size) - max(turn.start, k * size))
                for turn in turns
                if turn.emotion == emotion
            )
            assert piece.share.get(emotion, 0.0) * size == pytest.approx(covered, abs=1e-6)
    placed = {position for piece in pieces for found in piece.turns.values() for position in found}
    assert placed == set(range(len(turns))), "a turn of no length has a place too"


def test_a_piece_has_the_emotion_that_lasts_longest_in_it():
    turns = (judged(1, "joy", "Yes.", 0.0, 3.0), judged(2, "anger", "No.", 3.0, 5.0))
    conversation = ConversationAnalysis("call", None, 10.0, turns)
    place = layout(conversation)
    assert [piece.emotion for piece in cells(conversation, place.spans, 2)] == ["joy", None]
    assert [piece.emotion for piece in cells(conversation, place.spans, 5)] == [
        "joy", "joy", "anger", None, None,
    ]  # fmt: skip
    loud = replace(conversation, utterances=(replace(turns[0], notes=(CROSSTALK,)), turns[1]))
    assert cells(loud, place.spans, 2)[0].emotion == "anger", "crosstalk counts half"


def test_without_times_turns_take_equal_places():
    chat = text_only(["Hello.", "Who is it?", "Me.", "Ah."])
    place = layout(chat)
    assert not place.timed
    assert place.spans == ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
    assert [piece.emotion for piece in cells(chat, place.spans, 4)] == [turn.emotion for turn in chat]


@pytest.mark.parametrize("end", [1e9, 1e300, 1.7e308])
def test_times_that_cannot_be_stay_on_the_line(end):
    turns = (judged(1, "joy", "Yes.", 0.0, end), judged(2, "fear", "No.", end, end))
    conversation = ConversationAnalysis("call", None, 5.0, turns)
    pieces = cells(conversation, layout(conversation).spans, 50)
    assert [piece.emotion for piece in pieces[:49]] == ["joy"] * 49


def test_many_turns_fill_few_pieces():
    assert len(cells(long(600), layout(long(600)).spans, 100)) == 100
    assert {piece.emotion for piece in cells(sample(), layout(sample()).spans, 80)} > {"joy", "sadness"}
