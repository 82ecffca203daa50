"""Cells: what stands for nothing, numbers as people write them, and spellings of one class."""

from __future__ import annotations

import pytest

from mister_e.corpora.reading.cells import (
    NotANumberError,
    file_inside,
    is_empty,
    numbers,
    seconds_or_number,
    unify_classes,
)


@pytest.mark.parametrize("cell", ["", " ", "\u200b", "nan", "NaN", " None ", "N/A", "null", "#N/A", "<NA>"])
def test_cells_that_stand_for_nothing(cell):
    assert is_empty(cell)


@pytest.mark.parametrize("cell", ["0", "no", "-", "nano", "none of it", "neutral"])
def test_cells_that_stand_for_something(cell):
    assert not is_empty(cell)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "1.5", "-2e3", ".5", "3."], [1, 1.5, -2000, 0.5, 3]),
        (["0,5", None, "1,25"], [0.5, None, 1.25]),
        # the first tells that the comma of the second is a decimal one
        (["0,500", "1,250"], [0.5, 1.25]),
        (["1.234,5", "2,125"], [1234.5, 2.125]),
        (["1,234.5", "1,234,567"], [1234.5, 1234567]),
        (["1.250", "12.125"], [1.25, 12.125]),
        (["1,5e2", "-0,25"], [150, -0.25]),
    ],
)
def test_numbers(cells, values):
    assert numbers(cells) == values


@pytest.mark.parametrize(
    ("cells", "place", "expected"),
    [
        (["1", "x"], 1, "a number"),
        (["1", "1,250"], 1, "it may mean 1.250 or 1250"),
        (["0,5", "1.250"], 1, "it may mean 1.250 or 1250"),
        (["1 000"], 0, "a number"),
        (["1_000"], 0, "a number"),
        (["0x10"], 0, "a number"),
        (["1,2,3"], 0, "a number"),
        (["1:02"], 0, "a number"),
        (["٣"], 0, "a number"),
        (["5 s"], 0, "a number"),
    ],
)
def test_what_is_no_number(cells, place, expected):
    with pytest.raises(NotANumberError, match=expected) as caught:
        numbers(cells)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("0:01:02.5", 62.5),
        ("0:01:02,5", 62.5),
        ("1:02", 62),
        ("75:30", 4530),
        ("01:00:00", 3600),
        ("100:00:00.25", 360000.25),
        ("62,5", 62.5),
    ],
)
def test_clocks(cell, seconds):
    assert seconds_or_number(cell) == seconds


@pytest.mark.parametrize("cell", ["1:60", "1:99:00", "1:", ":30", "0:00:01:500", "1:2:3:4", "-1:02", "a:10"])
def test_what_is_no_clock(cell):
    with pytest.raises(ValueError, match="a clock's time"):
        seconds_or_number(cell)


def test_one_class_has_one_spelling():
    notes: list[str] = []
    names = [
        "joy",
        "JOY",
        " Joy ",
        "Anger",
        "ANGER",
        "Anger",
        "sad  ness",
        "Sad ness",
        "nan",
        None,
        "N/A",
        "nan",
    ]
    assert unify_classes(names, notes) == ["joy"] * 3 + ["Anger"] * 3 + ["sad  ness"] * 2 + [None] * 4
    assert notes == [
        "label nan (2), N/A (1): stands for no class, taken as empty",
        "label JOY (1), Joy (1): the same class as joy",
        "label ANGER (1): the same class as Anger",
        "label Sad ness (1): the same class as sad  ness",
    ]


def test_known_labels_keep_their_names():
    notes: list[str] = []
    names = ["none", "None", "JOY", "joy", "Mad"]
    assert unify_classes(names, notes, known=["None", "JOY", "mad"]) == ["None", "None", "JOY", "JOY", "mad"]
    # who names both means two
    assert unify_classes(["joy", "JOY"], [], known=["joy", "JOY"]) == ["joy", "JOY"]


def test_files_are_found_by_either_slash(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").touch()
    assert file_inside(tmp_path, "in\\a.wav") == file_inside(tmp_path, "in/a.wav") == "in/a.wav"
    for name in ("in", "b.wav", "a\0.wav", "x" * 5000):
        assert file_inside(tmp_path, name) is None
