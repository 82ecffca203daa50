"""Tables and plain text that other programs write."""

from __future__ import annotations

import pytest

from mister_e.errors import InputError
from mister_e.transcription import read_transcript


def read(tmp_path, name, content, notes=None, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return [(turn.text, turn.start, turn.end) for turn in read_transcript(path, notes=notes)]


def test_whispers_table_has_milliseconds_and_no_quotes(tmp_path):
    content = 'start\tend\ttext\n0\t2900\t"Hi," she said,\t"no"\n3200\t5100\tI paid.\nsoon\t9\tlost\n'
    notes = []
    expected = [('"Hi," she said, "no"', 0.0, 2.9), ("I paid.", 3.2, 5.1)]
    assert read(tmp_path, "a.tsv", content, notes) == expected
    assert notes[0].startswith("line 4: start: 'soon' is not a time")
    assert notes[1] == "its times are read as milliseconds, as Whisper writes them"


def test_a_table_of_whole_seconds_has_seconds(tmp_path):
    assert read(tmp_path, "a.tsv", "start\tend\ttext\n0\t3\tHi there\n3\t9\tNo\n") == [
        ("Hi there", 0.0, 3.0),
        ("No", 3.0, 9.0),
    ]


def test_times_have_other_names_too(tmp_path):
    content = "Start Time,End Time,Speaker,Text\n00:00:01.000,00:00:02.000,Mara,Hi\n"
    assert read(tmp_path, "a.csv", content) == [("Hi", 1.0, 2.0)]


def test_a_row_that_cannot_be_read_costs_itself(tmp_path):
    notes = []
    assert read(tmp_path, "a.csv", "text,start\nA,1\nB,1e300\nC,2\n", notes) == [
        ("A", 1.0, None),
        ("C", 2.0, None),
    ]
    assert notes[0].startswith("line 3: start is 1e+300, expected seconds")


@pytest.mark.parametrize(
    ("row", "rest"),
    [
        ('1,2,"Oh no, I hate it', ["fine", "late"]),
        ('1,2,"Oh no, I hate it"so', ["fine", "late"]),
        ('1,2,"Oh"" no, I hate it', ["fine", "late"]),
        ('1,2,"Oh no\nI hate it"', ["Oh no I hate it", "fine", "late"]),
        ('1,2,"Oh no, you,\nI, hate, it"', ["Oh no, you, I, hate, it", "fine", "late"]),
        ('1,2, "Oh no, I"', ["Oh no, I", "fine", "late"]),
        ('1,2,He said "no"', ['He said "no"', "fine", "late"]),
    ],
)
def test_a_stray_quote_costs_its_row_and_not_the_rest(tmp_path, row, rest):
    notes = []
    content = f'start,end,text\n{row}\n3,4,fine\n5,6,"late"\n'
    assert [text for text, *_ in read(tmp_path, "a.csv", content, notes)] == rest
    faulty = len(rest) == 2
    assert [note.startswith("line 2: a quote in it is not closed") for note in notes] == [True] * faulty


@pytest.mark.parametrize("rows", ['1,"Oh no, I\n2,fine\n3,late\n', '1,"Oh no, I\n2,fine\n3,late"\n4,so\n'])
def test_a_stray_quote_costs_its_row_without_times_too(tmp_path, rows):
    notes = []
    texts = [text for text, *_ in read(tmp_path, "a.csv", "id,text\n" + rows, notes)]
    assert [text.strip('"') for text in texts] == [*["fine", "late", "so"]][: rows.count("\n") - 1]
    assert notes[0].startswith("line 2: a quote")


def test_a_table_of_text_alone_keeps_the_rows_below_a_stray_quote(tmp_path):
    notes = []
    content = 'text\n"Oh no\nfine\nlate\n'
    assert [text for text, *_ in read(tmp_path, "a.csv", content, notes)] == ["fine", "late"]
    assert notes[0].startswith("line 2: a quote")
    with pytest.raises(InputError, match="line 2: a quote in it is not closed"):
        read_transcript(tmp_path / "a.csv", strict=True)


def test_a_table_with_tabs_needs_no_quotes(tmp_path):
    content = 'start\tend\tspeaker\ttext\n1\t2\tA\t"Oh no, I\n3\t4\tA\tfine\n'
    assert [text for text, *_ in read(tmp_path, "a.tsv", content)] == ['"Oh no, I', "fine"]


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nstart;end;text\n1;2;Hi, you\n",
        '\n"sep=,"\n\nstart,end,text\n1,2,"Hi, you"\n',
        "sep=#\nstart#end#text\n1#2#Hi, you\n",
        "start|end|text\n1|2|Hi, you\n",
        "start;end;text\n1;2;Hi, you\n",
    ],
)
def test_separators(tmp_path, content):
    assert read(tmp_path, "a.csv", content) == [("Hi, you", 1.0, 2.0)]


def test_a_cell_may_be_as_long_as_a_turn(tmp_path):
    text = "word " * 190_000
    assert read(tmp_path, "a.csv", f'text,start\n"{text}",1\n') == [(text.strip(), 1.0, None)]


def test_lines_are_counted_from_the_first_of_the_file(tmp_path):
    notes = []
    read(tmp_path, "a.csv", "\n\nsep=;\ntext;start\nA;1\nB;soon\n", notes)
    assert notes[0].startswith("line 6: start: 'soon'")


@pytest.mark.parametrize(
    "content",
    [
        "Mara Quill  0:00\nI paid.\n\nJoy Ray  0:03\nNo.\n\nTranscribed by https://otter.ai\n",
        "[Mara Quill] 10:15:01\nI paid.\n\n[Joy Ray] 10:15:04\nNo.\n",
        "Speaker 1 (00:03):\nI paid.\nSpeaker 2 (00:09):\nNo.\n",
        "spk_0: I paid.\nspk_1: No.\n",
        "Mara Quill\n0:03\nI paid.\n\nJoy Ray\n0:09\nNo.\n",
        "Mara Quill  11:58 AM\nI paid.\n\nTom  1:03 PM\nNo.\n",
        "Mara 59:58\nI paid.\n\nTom 1:00:03\nNo.\n",
        "Host 00:00:05\nI paid.\nGuest 2 00:01:05\nNo.\n",
        "00:00:01\nMara: I paid.\n00:00:04\nMara: No.\n00:00:09\nTom: So.\n",
        "[00:00:01] Mara Quill: I paid.\n[00:00:04] Joy Ray: No.\nSo.\n",
        "10:15:01 From Mara Quill to Everyone:\n\tI paid.\n10:16:01\t From  Joy : No.\n",
        "[10/1/24, 10:15:01] Mara: I paid.\n[10/1/24, 10:15:09] Mara: No.\n[10/1/24, 10:16] Tom: So.\n",
    ],
)
def test_text_of_meetings_is_its_words(tmp_path, content):
    expected = ["I paid.", "No.", "So."][: 2 + content.count("So.")]
    assert [text for text, *_ in read(tmp_path, "a.txt", content)] == expected


@pytest.mark.parametrize(
    "content",
    [
        "When is it?\nMonday 10:30\nAnd then?\nTuesday 9:15\nFine.\n",
        "January 10:30\nsounds good\n",
        "Mara 10:30\nsounds good\n",
        "When?\n10:30\nWhen?\n9:15\nFine.\n",
        "When?\nLate, about  10:30\n",
        "1/2/2024 10:30 was when I left\nso it was\n",
        "Mara 10:30\nTom 11:30\n",
        "Tom Ray 11:30\nis late\nMara Quill 9:00\nis not\n",
    ],
)
def test_days_and_times_that_are_said_stay(tmp_path, content):
    notes = []
    assert [text for text, *_ in read(tmp_path, "a.txt", content, notes)] == [
        " ".join(line.split()) for line in content.splitlines()
    ]
    assert not notes


def test_lines_that_name_who_speaks_are_told(tmp_path):
    notes = []
    read(tmp_path, "a.txt", "Mara 0:03\nI paid.\nTom 0:09\nNo.\n", notes)
    assert notes == ["left out 2 lines that tell only who speaks, or when; the first is line 1"]


def test_times_that_are_words_stay(tmp_path):
    assert read(tmp_path, "a.txt", "Meet me at 10:30\n10:30 is late\nWe met (10:30)\n") == [
        (text, None, None) for text in ("Meet me at 10:30", "10:30 is late", "We met (10:30)")
    ]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-16"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path, "a.txt", "I paid – twice, and nobody noticed it at all.\n", encoding=encoding) == [
        ("I paid – twice, and nobody noticed it at all.", None, None)
    ]


def test_a_broken_byte_does_not_cost_the_other_characters(tmp_path):
    path, notes = tmp_path / "a.txt", []
    path.write_bytes("Grüße, schöne Größe: ".encode() + b"\xff" + " früh".encode())
    assert read_transcript(path, notes=notes)[0].text == "Grüße, schöne Größe: \ufffd früh"
    assert notes == ["bytes that are not UTF-8 were replaced by \ufffd in 1 places"]


def test_what_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as opened:
        opened.truncate(70 * 2**20)
    with pytest.raises(InputError, match="is larger than 64 MB; cut the transcript into parts"):
        read_transcript(path)
