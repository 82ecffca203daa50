"""Text of mixed and mistaken encodings, read as it was meant."""

from __future__ import annotations

import pytest

from mister_e.corpora.text import decode, lines, mend, unscrambled


def test_lines_end_at_newlines_only(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"a\x85b\x0bc\x0cd\x1ce\r\nf\xe2\x80\xa8g\rh\n\ni")
    assert lines(path) == ["a\u2026b\x0bc\x0cd\x1ce", "f\u2028g", "h", "", "i"]


def test_one_line_of_another_encoding_leaves_the_others():
    data = b"\xef\xbb\xbfcaf\xc3\xa9\r\nIt\x92s\r\nna\xc3\xafve\n"
    assert [mend(line) for line in decode(data).split("\n")] == ["café", "It\u2019s", "naïve", ""]
    assert decode(data).count("\r\n") == 2


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("voilÃ\xa0", "voilà"),
        ("â€œyesâ€\x9d", "\u201cyes\u201d"),
        ("CafÃ© 😀", "Café 😀"),
        ("😀 Ã© \ufffd Ã©", "😀 é \ufffd é"),
        ("Ã\x80 la carte", "À la carte"),  # read as Latin-1
        ("plain\xa0space", "plain space"),
        ("It\x92s", "It\u2019s"),
    ],
)
def test_what_can_be_undone_is_undone_before_it_is_mended(text, meant):
    assert mend(text) == meant


@pytest.mark.parametrize("text", ["café", "“CAFÉ”", "It’s naïve – ok", "Ä", "Ã", "日本", "plain"])
def test_sound_text_is_left_alone(text):
    assert unscrambled(text) == text == mend(text)
