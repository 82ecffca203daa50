from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mister_e.analysis.runs import MANY_TURNS
from mister_e.analysis.turns import ConversationAnalysis
from mister_e.analysis.wording import NOTE_MEANINGS
from mister_e.cli.table import CELLS, gate_cells, render
from mister_e.conversation import CROSSTALK, OTHER_LANGUAGE
from mister_e.experts import EXPERTS


def plain_console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 1e-6))
def test_the_bar_has_ten_cells_and_is_never_a_cell_off(weights):
    gate = {name: weight / sum(weights) for name, weight in zip(EXPERTS, weights, strict=True)}
    cells = gate_cells(gate)
    assert len(cells) == CELLS
    for name in EXPERTS:
        assert abs(cells.count(name) - gate[name] * CELLS) < 1 + 1e-9


def test_a_model_that_weighs_no_experts_shows_no_trust(analysis, turn):
    unweighed = turn(gate=(0.0, 0.0, 0.0))
    assert unweighed.trusted is None
    text = render(analysis(unweighed), plain_console())
    assert "I know." in text
    assert "sadness" in text
    assert "trust" not in text
    # one conversation of a result may have been made by another model
    assert render(analysis(unweighed, turn()), plain_console()).count("SSSSSSTFFF") == 1


def test_an_absent_expert_has_no_cell():
    assert set(gate_cells({"speech": 0.0, "text": 1.0, "fusion": 0.0})) == {"text"}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_row_tells_everything_within_the_width(analysis, turn, width):
    table = render(analysis(turn(start=3598.0, channel=1)), plain_console(width))
    row = next(line for line in table.splitlines() if "I know." in line)
    assert row.split() == ["59:58-1:00:01", "1", "I", "know.", "sadness", "64%", "SSSSSSTFFF"]
    assert max(map(len, table.splitlines())) <= width


def test_without_colours_there_is_no_escape_code(analysis, turn):
    assert "\x1b" not in render(analysis(turn()), plain_console())


def test_with_colours_each_emotion_has_its_own(analysis, turn):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    table = render(analysis(turn(1, emotion="sadness"), turn(2, emotion="anger")), console)
    colours = [re.search(rf"(\x1b\[[\d;]+m){label}", table).group(1) for label in ("sadness", "anger")]
    assert len(set(colours)) == 2


def test_long_words_are_cut_after_three_lines(analysis, turn):
    table = render(analysis(turn(text="tell me " * 80)), plain_console())
    rows = [line for line in table.splitlines() if "tell" in line]
    assert len(rows) == 3
    assert rows[-1].endswith("…")


def test_a_transcript_cannot_steer_the_terminal(analysis, turn):
    table = render(analysis(turn(text="\x1b[2Jgone [red]mark[/red]\x07")), plain_console())
    assert "\x1b" not in table
    assert "\x07" not in table
    assert "[red]mark[/red]" in table


def test_turns_without_times_are_numbered(analysis, turn):
    table = render(analysis(turn(1, start=None), turn(2, start=None)), plain_console())
    assert table.splitlines()[2].split()[0] == "turn"
    assert [line.split()[0] for line in table.splitlines() if "I know." in line] == ["1", "2"]


def test_the_heading_and_the_summary_count(analysis, turn):
    turns = [turn(1, emotion="joy"), turn(2, emotion="anger"), turn(3, emotion="joy")]
    lines = render(analysis(*turns), plain_console()).splitlines()
    assert lines[0] == "call.wav · 1:01 · 3 turns · model mini"
    assert "talk time: J joy 67% (0:06, 2 turns) · A anger 33% (0:03, 1 turn)" in lines
    untimed = [replace(turn, start=None, end=None) for turn in turns]
    assert "turns: J joy 67% (2 turns) · A anger 33% (1 turn)" in render(analysis(*untimed), plain_console())


def test_a_conversation_without_turns_is_still_named(analysis):
    silence = ConversationAnalysis("silence", "silence.wav", 3600.0, ())
    assert (
        render(replace(analysis(), conversations=(silence,)), plain_console()).strip()
        == "silence.wav · 1:00:00 · 0 turns · model mini"
    )


def test_notes_stand_before_the_words_and_are_counted_and_explained(analysis, turn):
    both = replace(turn(2, "Je ne sais pas."), notes=(CROSSTALK, OTHER_LANGUAGE), language="fr")
    table = render(analysis(turn(1, text=None), both), plain_console())
    rows = [line.split("  ")[1].strip() for line in table.splitlines() if "SSSSSSTFFF" in line]
    assert rows == ["(no words)", "(crosstalk, fr not read) Je ne sais pas."]
    assert "1 no words · 1 crosstalk · 1 language not read" in table.splitlines()
    for note, meaning in NOTE_MEANINGS.items():
        assert f"{note}: {meaning}." in " ".join(table.split())
    assert not any(note in render(analysis(turn()), plain_console()) for note in NOTE_MEANINGS)


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self) -> bool:
        return True


def test_many_turns_are_folded_on_a_terminal_and_whole_in_a_file(analysis, turn):
    turns = [turn(i, f"Word{i}.", "joy" if i % 10 else "fear") for i in range(MANY_TURNS + 1)]
    for file, rows in ((Terminal(), 21), (io.StringIO(), len(turns))):
        table = render(analysis(*turns), Console(file=file, width=80))
        assert len(re.findall(r"Word\d+", table)) == rows
        assert ("--no-fold shows all" in table) == (rows < len(turns))
    few = render(analysis(*turns[:-1]), Console(file=Terminal(), width=80))
    assert len(re.findall(r"Word\d+", few)) == MANY_TURNS


def test_fold_and_no_fold_decide_whoever_reads(analysis, turn):
    many = [turn(i, f"Word{i}.") for i in range(MANY_TURNS + 1)]
    whole = render(analysis(*many), Console(file=Terminal(), width=80), fold=False)
    assert len(re.findall(r"Word\d+", whole)) == len(many)
    folded = render(analysis(*many), plain_console(), fold=True)
    assert "101 turns in 1 row ·" in folded
    assert len(re.findall(r"Word\d+", folded)) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_folded_row_has_its_span_its_count_its_mean_and_its_first_words(analysis, turn, width):
    first = replace(turn(1, text=None), start=1.0, end=2.0, channel=0)
    second = replace(
        turn(2, "But why? " * 30), start=3.0, end=7.0, channel=1, confidence=0.34, uncertain=True
    )
    table = render(analysis(first, second, turn(3, emotion="joy")), plain_console(width), fold=True)
    (row,) = [line for line in table.splitlines() if "0:01-0:07" in line]
    assert row.split()[1] == "2"
    assert "(1 no" in row
    assert width == 60 or "(1 no words, 1 uncertain) But" in " ".join(table.split())
    assert row.split()[-3:] == ["sadness", "49%", "SSSSSSTFFF"]
    assert "3 turns in 2 rows" in table
    assert table.count("…") == 1
    assert max(map(len, table.splitlines())) <= width


def test_folded_turns_without_times_are_numbered(analysis, turn):
    turns = [turn(i, start=None, emotion="joy" if i < 3 else "fear") for i in range(4)]
    table = render(analysis(*turns), plain_console(), fold=True)
    assert [line.split()[0] for line in table.splitlines() if "I know." in line] == ["1-3", "4"]


@pytest.mark.parametrize("width", [60, 80])
def test_an_uncertain_emotion_is_marked_without_colours_and_explained(analysis, turn, width):
    unsure = replace(turn(2, "Who knows?", "surprise"), uncertain=True)
    result = replace(analysis(turn(1), unsure), model={"name": "mini", "uncertain_below": 0.4})
    table = render(result, plain_console(width))
    row = next(line for line in table.splitlines() if "Who" in line)
    assert "surprise ?" in row
    assert "sadness ?" not in table
    assert "? uncertain: confidence below 40%, wrong more often than right." in " ".join(table.split())
    assert "surprise 50% (0:03, 1 turn)" in " ".join(table.split()), "it counts like any other"
    assert "1 uncertain" in table.splitlines()
    assert max(map(len, table.splitlines())) <= width


@pytest.mark.parametrize("text", ["Aah!", "Aah, " * 200])
def test_uncertain_words_are_marked_and_explained(analysis, turn, text):
    doubted = replace(turn(2, text), text_uncertain=True, missing=("text",))
    table = render(analysis(turn(1), doubted), plain_console(60))
    lines = table.splitlines()
    assert sum("(?)" in line for line in lines) == 2
    assert "(?) uncertain words: recognised, and not read by the model." in " ".join(table.split())
    assert max(map(len, lines)) <= 60
    assert "(?)" not in render(analysis(turn(1)), plain_console(60))


def test_without_uncertain_turns_there_is_nothing_to_explain(analysis, turn):
    assert "uncertain" not in render(analysis(turn()), plain_console())
