"""TextGrid, TTML and EAF: times and words as other programs write them, without names and without danger."""

from __future__ import annotations

import pytest

from mister_e.errors import InputError
from mister_e.transcription import read_transcript


def read(tmp_path, name, content, notes=None):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return [(turn.text, turn.start, turn.end) for turn in read_transcript(path, notes=notes)]


@pytest.mark.parametrize("form", ["text", "short text"])
def test_textgrids_that_praat_writes(tmp_path, form):
    call = pytest.importorskip("parselmouth.praat").call
    grid = call("Create TextGrid", 0, 10, "Mara phones words points", "points")
    for tier, boundaries, texts in (
        (1, (2.5, 4.0), ['I "paid" twice', "", "No"]),
        (2, (1.0,), ["AA", "B"]),
        (3, (1.0,), ["I", "paid"]),
    ):
        for boundary in boundaries:
            call(grid, "Insert boundary", tier, boundary)
        for number, text in enumerate(texts, start=1):
            call(grid, "Set interval text", tier, number, text)
    call(grid, "Insert point", 4, 2, "x")
    path = tmp_path / "a.TextGrid"
    call(grid, f"Save as {form} file", str(path))
    found = [(turn.text, turn.start, turn.end) for turn in read_transcript(path)]
    assert found == [('I "paid" twice', 0.0, 2.5), ("No", 4.0, 10.0)]
    for tier in (4, 2, 1):
        call(grid, "Remove tier", tier)
    call(grid, f"Save as {form} file", str(path))
    assert [turn.text for turn in read_transcript(path)] == ["I paid"]
    call(grid, "Save as binary file", str(path))
    with pytest.raises(InputError, match="is a binary file of Praat; save it as text"):
        read_transcript(path)


GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n9\n<exists>\n1\n'
    '"IntervalTier"\n"A"\n0\n9\n{}\n'
)


def test_a_textgrid_that_is_cut_says_where(tmp_path):
    with pytest.raises(InputError, match="line 15: ends within a tier; is the TextGrid whole"):
        read(tmp_path, "a.TextGrid", GRID.format('2\n0\n1 "One"'))
    with pytest.raises(InputError, match="line 12: expected a number, found a text"):
        read(tmp_path, "a.TextGrid", GRID.format('"x"'))
    notes = []
    content = GRID.format('2\n0\n1\n"One"\n-5\n1\n"lost"')
    assert read(tmp_path, "a.TextGrid", content, notes) == [("One", 0.0, 1.0)]
    assert notes[0].startswith("line 18: xmin is -5.0, expected seconds")


TTML = (
    '<?xml version="1.0" encoding="UTF-16"?>\n<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="urn:p"'
    ' ttp:frameRate="25" ttp:tickRate="10000000"><head><metadata/></head><body begin="10s"><div>\n'
    '<p begin="00:00:01:05" dur="2s">I <span>paid</span><br/>twice</p>\n'
    '<p begin="30000000t" end="40000000t"><span begin="0s" end="500ms">a b</span>'
    '<span begin="12.5f">c</span></p>\n'
    '<p begin="soon">lost</p></div></body></tt>'
)


def test_ttml(tmp_path):
    for name in ("a.ttml", "a.dfxp", "a.xml"):
        notes = []
        expected = [("I paid twice", 11.2, 13.2), ("a b", 13.0, 13.5), ("c", 13.5, 14.0)]
        assert read(tmp_path, name, TTML, notes) == expected
        assert notes == ["line 5: begin is 'soon'; write 00:00:01.500 or 1.5s; it was left out"]


EAF = """<?xml version="1.0"?>
<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="b"/>
<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="3000"/></TIME_ORDER>
<TIER TIER_ID="Mara" PARTICIPANT="Mara">
<ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE>I &amp; you</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="b" TIME_SLOT_REF2="c">
<ANNOTATION_VALUE>No</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION TIME_SLOT_REF1="b" TIME_SLOT_REF2="z">
<ANNOTATION_VALUE>lost</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="Mara-de" PARENT_REF="Mara"><ANNOTATION>
<ALIGNABLE_ANNOTATION TIME_SLOT_REF1="a" TIME_SLOT_REF2="c">
<ANNOTATION_VALUE>Ich</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def test_elan(tmp_path):
    notes = []
    assert read(tmp_path, "a.eaf", EAF, notes) == [("I & you", 0.0, 1.5), ("No", 1.5, 3.0)]
    assert notes == ["line 9: names no TIME_SLOT that has a time; it was left out"]


BOMB = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("head", "body", "reason"),
    [
        (f'<!DOCTYPE tt [<!ENTITY a "ha">{BOMB}]>', "&i;", "line 1: declares entities, which are not read"),
        ('<!DOCTYPE tt [<!ENTITY a SYSTEM "/etc/passwd">]>', "&a;", "line 1: declares entities"),
        ('<!DOCTYPE tt [<!ENTITY % a SYSTEM "http://localhost/a"> %a;]>', "", "line 1: declares entities"),
        ("", "&a;", "line 1: not XML"),
        ("", "<span>" * 200, "nested too deeply"),
        ("", "</p>", "line 1: not XML"),
    ],
)
def test_xml_is_data(tmp_path, head, body, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path, "a.ttml", f'{head}<tt><body><p begin="1s" end="2s">{body}</p></body></tt>')
    assert "\n" not in str(caught.value)
