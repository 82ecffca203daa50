from __future__ import annotations

from dataclasses import replace

import pytest
from analyses import analysis, judged, long
from parsed_page import Page

from mister_e.analysis.html.timeline import (
    BAR_HEIGHT,
    MOST_BARS,
    OUTLINE_POINTS,
    PIECES,
    outline,
    timeline,
)
from mister_e.analysis.turns import ConversationAnalysis


def test_bars_of_many_turns_sum_up_pieces_and_lead_to_every_turn() -> None:
    few, many = timeline(long(MOST_BARS)), timeline(long(MOST_BARS + 400))
    assert [bar.turns for bar in few.bars] == [(i,) for i in range(MOST_BARS)]
    assert many.summed
    assert not few.summed
    assert {position for bar in many.bars for position in bar.turns} == set(range(MOST_BARS + 400))
    turns = long(MOST_BARS + 400).utterances
    assert all(turns[position].emotion == bar.emotion for bar in many.bars for position in bar.turns)
    assert all(3 <= bar.height <= BAR_HEIGHT for bar in many.bars)
    assert all(float(bar.span.width) >= 100 / PIECES - 0.01 for bar in many.bars)
    assert len(timeline(long(4000)).bars) <= 7 * PIECES
    assert len(many.strip) <= PIECES
    starts = [float(bar.span.x) for bar in many.bars]
    assert starts == sorted(starts)
    parsed = Page(analysis(long(MOST_BARS + 400)).to_html())
    ids = {attrs["id"] for attrs in parsed.of_class("turn")}
    bars = [attrs for attrs in parsed.tags("a") if attrs.get("class") != "at"]
    assert {bar["href"][1:] for bar in bars} <= ids
    told = {f"c1t{number}" for bar in bars for number in (bar.get("data-turns") or bar["href"][4:]).split()}
    assert told == ids


def test_turns_beyond_the_recording_stay_on_the_timeline() -> None:
    late = judged(1, "joy", "Late.", 9.0, 30.0)
    where = timeline(ConversationAnalysis("late", None, 10.0, (late, replace(late, id="2", start=30.0))))
    assert all(float(bar.span.x) + float(bar.span.width) <= 100 for bar in where.bars)
    assert all(float(bar.span.width) > 0 for bar in where.bars)


def test_ticks_are_few_and_round() -> None:
    turn = judged(1, "joy", "Hm.", 0.0, 1.0)
    for duration in (3.0, 58.0, 600.0, 7000.0, 90_000.0, 2_000_000.0):
        ticks = timeline(ConversationAnalysis("x", None, duration, (turn,))).ticks
        assert 2 <= len(ticks) <= 30
        assert ticks[0] == ("0.00", "0:00")
    assert [label for _, label in timeline(ConversationAnalysis("x", None, 58.0, (turn,))).ticks] == [
        "0:00", "0:10", "0:20", "0:30", "0:40", "0:50",
    ]  # fmt: skip


@pytest.mark.parametrize("end", [1e8, 1e9, 1e15, 1e300, 1.7e308])
def test_times_that_cannot_be_stay_bounded(end: float) -> None:
    turns = tuple(replace(judged(1, "joy", "Hm.", 0.0, end), id=str(number)) for number in range(4))
    conversation = ConversationAnalysis("x", None, None, turns)
    where = timeline(conversation)
    assert 1 <= len(where.ticks) <= 7
    page = analysis(conversation).to_html()
    assert len(page) < 60_000
    assert not any(word in " ".join(Page(page).texts) for word in ("inf s", "nan ", "nan%"))


def test_outline_keeps_peaks_and_stays_small() -> None:
    loudness = [0.1] * 100_000
    loudness[50_000] = 0.8
    path = outline(loudness)
    points = [tuple(map(float, point.split())) for point in path[1:-1].split("L")]
    assert len(points) == 2 * OUTLINE_POINTS
    assert min(y for _, y in points) == pytest.approx(0.02)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in points)
    assert outline([]) == outline([0.5]) == ""
    assert "nan" not in outline([0.0, 0.0, 0.0])


def test_the_more_of_a_piece_an_emotion_fills_the_higher_its_bar() -> None:
    turns = [judged(i, "joy", "Yes.", 10.0 * i, 10.0 * i + (1.0 if i % 2 else 9.0)) for i in range(PIECES)]
    turns += [judged(i, "fear", "No.", 0.0, 1.0) for i in range(MOST_BARS)]
    bars = timeline(ConversationAnalysis("x", None, 10.0 * PIECES, tuple(turns))).bars
    heights = [bar.height for bar in bars if bar.emotion == "joy"]
    assert len(heights) == PIECES
    assert {*heights[::2]} == {14}
    assert {*heights[1::2]} == {5}
