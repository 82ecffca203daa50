"""Delimited text as programs save it: encodings, separators, line ends, and rows that do not fit."""

from __future__ import annotations

import pytest

from mister_e.corpora.reading.delimited import read_delimited
from mister_e.errors import InputError

ROWS = 'id;words;label\n1;"One; ""two""\nthree";joy\n2;Café;\n'
CELLS = [("1", 'One; "two"\nthree', "joy"), ("2", "Café", "")]


@pytest.fixture
def read(tmp_path):
    """Write a file and read it: columns, cells of each row, notes."""

    def go(data: str | bytes, name: str = "t.csv"):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        notes: list[str] = []
        columns, records = read_delimited(tmp_path / name, notes)
        return columns, [tuple(" ".join(c.split(" ")) for c in r.cells.values()) for r in records], notes

    return go


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_encodings(read, encoding, mark):
    columns, cells, notes = read((mark + ROWS).encode(encoding))
    assert (columns, cells, notes) == (["id", "words", "label"], CELLS, [])


def test_windows_1252_is_noted(read):
    _, cells, notes = read(ROWS.encode("cp1252"))
    assert cells == CELLS
    assert notes == ["t.csv: has lines that are not UTF-8, read as Windows-1252"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_line_ends(read, end):
    columns, cells, _ = read(end.join(["a,b", "1,2", "", "3,4", ""]))
    assert (columns, cells) == (["a", "b"], [("1", "2"), ("3", "4")])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("told", ["", "sep={}\n", '"sep={}"\r\n', "SEP={}\r", "\n\n"])
def test_separators(read, separator, told):
    head = '"a,;|\t,,,;;;|||";b;c'.replace('";b;c', f'"{separator}b{separator}c')
    columns, cells, _ = read(told.format(separator) + f"{head}\n1{separator} 2{separator}3\n")
    assert columns[1:] == ["b", "c"]
    assert cells == [("1", "2", "3")]


def test_a_separator_that_only_the_first_line_tells(read):
    assert read("sep=^\na^b\n1,1^2\n")[:2] == (["a", "b"], [("1,1", "2")])


def test_blank_rows_and_cells_are_passed_over_and_counted(read, tmp_path):
    columns, cells, notes = read("a,b,,\n\n1,2,,\n,,,\n3,4,,,,\n")
    assert (columns, cells, notes) == (["a", "b"], [("1", "2"), ("3", "4")], [])
    _, records = read_delimited(tmp_path / "t.csv", [])
    assert [(record.row, record.line) for record in records] == [(2, 3), (4, 5)]


def test_a_nameless_column_is_left_out_and_noted(read):
    columns, cells, notes = read(",a\n0,x\n1,y\n")
    assert (columns, cells) == (["a"], [("x",), ("y",)])
    assert notes == ["t.csv: a column without a name, left out"]


def test_lines_are_those_of_the_file(read, tmp_path):
    with pytest.raises(InputError, match=r"t\.csv, row 2, line 6: fewer cells than columns \(1 for 2\)"):
        read('sep=,\n\na,b\n"1\n2",3\n4\n')


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", r"row 2, line 3: more cells than columns \(3 for 2\); put text with commas"),
        ("a;b\n1;2\n3\n", r"row 2, line 3: fewer cells than columns \(1 for 2\); put text with semicolons"),
        ('a,b\n1,2\n3,"4\n5,6\n', "row 2, line 3: not CSV"),
        ('a,b\n1,2\n3,"4"5\n', "row 2, line 3: not CSV"),
        ('a,"b\n', "line 1: not CSV"),
        ("a,b,a\n1,2,3\n", "line 1: column 'a' is there twice"),
        (b"a,b\n1,2\n3,\x004\n", "line 3: holds a zero byte"),
        (b"a,b\r1,2\r3,\x004\r", "line 3: holds a zero byte"),
        (b"\xff\xfea\x00,\x00b", "damaged UTF-16-LE"),
        (b"\xff\xfea\x00\x00\xd8\n\x00", "damaged UTF-16-LE"),
        ("a," + "b" * 1001 + "\n", r"line 1: a column has 1,001 characters \('bbb"),
        (b"PK\x03\x04 and more", "is a workbook or zip, not text; save it as CSV"),
        (b"PAR1", "is Parquet, not text"),
    ],
)
def test_what_cannot_be_read_is_named(read, data, message):
    with pytest.raises(InputError, match=message):
        read(data)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file_has_no_columns(read, data):
    assert read(data) == ([], [], [])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read \(No such file"):
        read_delimited(tmp_path / "none.csv", [])
