from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from mister_e.cli.strip import letters, strip
from mister_e.labels import COLOURS, MELD_EMOTIONS

KEY = letters(MELD_EMOTIONS.names)


def console(width: int = 60, **settings) -> Console:
    return Console(file=io.StringIO(), width=width, **settings)


def test_every_emotion_has_a_letter_of_its_own():
    assert "".join(KEY.values()) == "NJSAUFD"
    assert letters(["a", "a b", "ab", "A"]) == {"a": "A", "a b": "B", "ab": "*", "A": "*"}
    assert letters(["радость", "快乐", "快 b"]) == {"радость": "Р", "快乐": "*", "快 b": "B"}


def test_the_line_fills_the_width_whatever_the_script_of_the_labels(analysis, turn):
    turns = [replace(turn(1, emotion="喜"), start=0.0, end=61.0)]
    line = strip(analysis(*turns).conversations[0], letters(["喜", "怒"]), console(40))
    assert line.plain.split("\n")[0] == "*" * 40
    assert max(map(cell_len, line.plain.split("\n"))) <= 40


@pytest.mark.parametrize("width", [10, 60, 200])
def test_one_letter_a_cell_and_points_where_nobody_speaks(analysis, turn, width):
    quarter = replace(turn(1, emotion="joy"), start=0.0, end=15.25)
    half = replace(turn(2, emotion="surprise"), start=30.5, end=61.0)
    line, *axis = strip(analysis(quarter, half).conversations[0], KEY, console(width)).plain.split("\n")
    assert len(line) == width
    assert line[0] == "J"
    assert line[-1] == "U"
    assert abs(line.count("J") - width / 4) <= 1
    assert abs(line.count("U") - width / 2) <= 1
    assert line.count("·") == width - line.count("J") - line.count("U")
    assert axis[0].startswith("0:00")
    assert len(axis[0]) <= width


def test_in_colour_a_letter_stands_where_an_emotion_begins(analysis, turn):
    turns = [
        replace(turn(i, emotion=e), start=30.0 * i, end=30.0 * (i + 1)) for i, e in enumerate(["joy", "fear"])
    ]
    coloured = strip(
        analysis(*turns).conversations[0], KEY, console(20, color_system="truecolor", force_terminal=True)
    )
    assert coloured.plain.split("\n")[0].split() == ["J", "F"]
    styles = {str(span.style) for span in coloured.spans}
    assert {f"black on {COLOURS['joy']}", f"black on {COLOURS['fear']}"} <= styles


def test_without_times_there_is_no_axis(analysis, turn):
    turns = [turn(i, start=None, emotion="joy") for i in range(3)]
    assert strip(analysis(*turns).conversations[0], KEY, console()).plain == "JJJ"
