"""SubRip, WebVTT, SBV, LRC and SubStation with the faults and the marks that real files have."""

from __future__ import annotations

import pytest

from mister_e.errors import InputError
from mister_e.transcription import read_transcript


def read(tmp_path, name, content, notes=None):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return [(turn.text, turn.start, turn.end) for turn in read_transcript(path, notes=notes)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ("00:00:01.000 --> 00:00:02:900", (1.0, 2.9)),
        ("0:0:1.0000000 --> 0:0:2.9000000", (1.0, 2.9)),
        ("00:01:000 --> 00:02:900", (1.0, 2.9)),
        ("100:00:01,5 --> 100:00:02", (360_001.5, 360_002.0)),
        ("00:01.000-->00:02.900 align:start", (1.0, 2.9)),
    ],
)
def test_times_of_every_writer(tmp_path, times, expected):
    content = f"WEBVTT\n\n8f0\n{times}\nI paid.\n"
    assert read(tmp_path, "a.vtt", content) == [("I paid.", *expected)]


def test_names_ids_and_marks_of_meetings_are_no_words(tmp_path):
    content = (
        "WEBVTT\n\nNOTE Confidence: 0.9\n\n0a1b-00/10-0\n00:01.000 --> 00:02.000\n"
        "<v Mara Quill>2 < 3, I <i>mean</i> it</v> &lt;3 &#9999999;\n\n1\n00:03.000 --> 00:04.000\n"
        "Tom Ray: No.\n\n2\n00:05.000 --> 00:06.000\n<v Unclosed\n\n"
        "00:07.000 --> 00:08.000\nTom Ray: Yes.\n"
    )
    assert read(tmp_path, "a.vtt", content) == [
        ("2 < 3, I mean it <3 \ufffd", 1.0, 2.0),
        ("No.", 3.0, 4.0),
        ("Yes.", 7.0, 8.0),
    ]


def test_marks_of_substation_in_subrip_are_no_words(tmp_path):
    content = '1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<font color="red">I</font> paid\\Nand <unk> {so}\n'
    assert read(tmp_path, "a.srt", content) == [("I paid and {so}", 1.0, 2.0)]


def test_a_cue_that_ends_before_it_starts_costs_itself(tmp_path):
    content = "".join(
        f"{n}\n00:00:{s:02},000 --> 00:00:{e:02},000\nturn {n}\n\n"
        for n, (s, e) in enumerate([(1, 2), (5, 3), (6, 7)])
    )
    notes = []
    assert read(tmp_path, "a.srt", content, notes) == [("turn 0", 1.0, 2.0), ("turn 2", 6.0, 7.0)]
    assert notes == ["line 6: ends (3 s) before it starts (5 s); correct its times; it was left out"]
    with pytest.raises(InputError, match=r"a\.srt: line 6: ends \(3 s\) before"):
        read_transcript(tmp_path / "a.srt", strict=True)


def test_of_many_faults_the_first_are_named(tmp_path):
    content = "".join("00:00:09,000 --> 00:00:01,000\nno\n\n" for _ in range(9))
    notes = []
    read(tmp_path, "a.srt", "00:00:01,000 --> 00:00:02,000\nHi\n\n" + content, notes)
    assert len(notes) == 6
    assert notes[5] == "4 more turns were left out for faults like these; --strict refuses at the first"


ROLLING = [
    ("00:00.000", "00:02.000", " \nI<00:00:00.500><c> paid</c>"),
    ("00:02.000", "00:02.010", "I paid\n "),
    ("00:02.300", "00:03.000", "I paid\nand<00:00:02.500><c> so</c>"),
    ("00:03.000", "00:03.010", "and so\n "),
    ("00:03.010", "00:04.000", "and so\nand<00:00:03.500><c> so</c>"),
]


def test_rolling_captions_give_each_line_once(tmp_path):
    expected = [("I paid", 0.0, 2.0), ("and so", 2.3, 3.0), ("and so", 3.01, 4.0)]
    content = "WEBVTT\n\n" + "\n\n".join(f"{s} --> {e} align:start\n{text}" for s, e, text in ROLLING)
    assert read(tmp_path, "a.vtt", content) == expected
    # converted, they have no times of words any more
    plain = content.replace("<00:00:00.500><c>", "").replace("<00:00:02.500><c>", "").replace("</c>", "")
    assert read(tmp_path, "a.srt", plain.replace("<00:00:03.500><c>", "")) == expected


def test_words_said_again_stay(tmp_path):
    content = "".join(f"00:00:0{n},000 --> 00:00:0{n + 1},000\nNo.\n\n" for n in range(4))
    assert [text for text, *_ in read(tmp_path, "a.srt", content)] == ["No."] * 4


def test_sbv(tmp_path):
    content = "0:00:00.000,0:00:02.900\nI paid, twice.\n\n0:00:03.200,0:00:05.100\n>> MAN: No.\n"
    expected = [("I paid, twice.", 0.0, 2.9), ("No.", 3.2, 5.1)]
    for name in ("a.sbv", "a.srt", "a.txt"):
        assert read(tmp_path, name, content) == expected
    srt = "1\n00:00:01,000 --> 00:00:02,000\nHi\n"
    assert read(tmp_path, "b.sbv", "\ufeff\ufeff" + srt) == [("Hi", 1.0, 2.0)]


def test_lrc_ends_a_line_where_the_next_begins(tmp_path):
    content = "[ar: Mara Quill]\n[offset: 500]\n[00:01.50]One <00:02.00>two\n"
    content += "[00:04.5][00:09.00]Again\n[00:06.00]\nlost\n"
    notes = []
    expected = [("One two", 1.0, 4.0), ("Again", 4.0, 5.5), ("Again", 8.5, 13.5)]
    assert read(tmp_path, "a.lrc", content, notes) == expected
    assert notes == ["line 6: has no time before its words; write it as [00:12.50]; it was left out"]


def test_substation(tmp_path):
    content = (
        "[Script Info]\nTitle: x\n\n[V4+ Styles]\nFormat: Name, Fontname\n\n[Events]\n"
        "Format: Start, End, Name, Text\n"
        "Dialogue: 0:00:01.00,0:00:02.50,Mara Quill,I {\\i1}paid{\\i0}, twice\\Nand\\hso\n"
        "Comment: 0:00:01.00,0:00:02.50,,not said\n"
        "Dialogue: 0:00:01.00,0:00:02.50,,{\\p1}m 0 0 l 9 9{\\p0}\n"
        "Dialogue: soon,0:00:02.50,,lost\n"
    )
    notes = []
    for name in ("a.ass", "a.ssa", "a.srt"):
        assert read(tmp_path, name, content, notes := []) == [("I paid, twice and so", 1.0, 2.5)]
    assert notes == ["line 12: 'soon' is not a time; write seconds (12.5) or HH:MM:SS.mmm; it was left out"]
    with pytest.raises(InputError, match="has no line 'Dialogue: "):
        read(tmp_path, "b.ass", "[Script Info]\n")
