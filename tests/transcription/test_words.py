"""Words of turns: names of speakers and what no voice says are none of them."""

from __future__ import annotations

import pytest

from mister_e.transcription.readers.rows import Faults, Row
from mister_e.transcription.words import spoken


def said(*texts):
    return [row.text for row in spoken([Row(f"line {n}", text) for n, text in enumerate(texts, 1)], Faults())]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Mara Quill: I paid.", "Joy Anders: So sorry.", "Oh"], ["I paid.", "So sorry.", "Oh"]),
        (["spk_0: Hi: there", "spk_1: No"], ["Hi: there", "No"]),
        (["SPEAKER_00: Hi", "[SPEAKER_01]: No", "[SPEAKER_01] Yes"], ["Hi", "No", "Yes"]),
        (["Agent: Hi", "Well: no", "so it is"], ["Hi", "Well: no", "so it is"]),
        (["Agent: Hi", "Customer: No"], ["Hi", "No"]),
        (["Agent: Hi", "Well: no", "so", "it", "is"], ["Hi", "Well: no", "so", "it", "is"]),
        (["Mara: Hi", "Tom: No", "Mara: Bye"], ["Hi", "No", "Bye"]),
        (["MARA: Hi", "so", "it", "is", "TOM: No"], ["Hi", "so", "it", "is", "No"]),
        (["mara.q: hi", "tom_99: no", "mara.q: so", "tom_99: bye"], ["hi", "no", "so", "bye"]),
        ([">> MAN: I know.", "- I hate it.\n- So do I.", ">> So"], ["I know.", "I hate it. So do I.", "So"]),
        (
            ["Dr. Anna van Quill (00:03): Hi", "it is 10:30: late", "Tom Ray (00:05): So"],
            ["Hi", "it is 10:30: late", "So"],
        ),
        (["(sighs) Tom Ray: I know", "[Mara Quill]: hi", "so"], ["I know", "hi", "so"]),
    ],
)
def test_names_of_speakers_are_dropped(lines, expected):
    assert said(*lines) == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["Honestly: I hate you."],
        ["Mary: Hi"],
        ["Man: it is hot"],
        ["Mara Quill: I paid.", "Joy Anders: So sorry."],
        ["Note: go", "we", "are", "late", "Note: stay"],
        ["Note: go", "Note: stay", "Warning: no"],
        ["The Thing Is: we lost", "and", "so", "on"],
        ["TODO: call her", "and", "so", "on"],
    ],
)
def test_words_before_a_colon_stay_unless_several_lines_begin_so(lines):
    assert said(*lines) == lines


def test_names_that_were_taken_off_are_told():
    faults = Faults()
    rows = [Row(f"line {n}", text) for n, text in enumerate(["Mara: Hi", "Tom: No", "Mara: Bye"], 1)]
    spoken(rows, faults)
    assert list(faults.notes()) == ["words before a colon were taken for names and left out of 3 lines"]


@pytest.mark.parametrize(
    "line",
    [
        "(NO WAY)",
        "*NO WAY* he did",
        "(GET OUT OF HERE) now",
        "born (in March) and (in London)",
        "I said: no.",
        "The thing is: we lost, all of it.",
        "Remember: it is late",
        "at 10:30 we met",
        "half-baked - I know",
        "2 < 3 and 5 > 4",
        "I (kind of) like it",
        "42",
        "he left (phone me tomorrow) early",
        "at (NASA) and (a single time)",
        "(I was crying)",
        "hosts: all of them",
        "😂😂",
        "-5 degrees",
        "f(x) * g(x) * h",
    ],
)
def test_words_stay(line):
    assert said(line, "and so on, and so on", "I do not know", "we will see")[0] == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("♪ la la, so happy ♪", "la la, so happy"),
        ("[sadness 71%] I know.", "I know."),
        ("No (laughs) way *sobs* <unk>", "No way"),
        ("(upbeat music) Hi (speaking Spanish) you (clears throat) (Crying)", "Hi you"),
        ("(DOOR SLAMS) Who is it?", "Who is it?"),
        ("(DOG BARKING) (THUNDER) No (in Spanish) way (GUNSHOTS)", "No way"),
    ],
)
def test_sounds_are_no_words(text, expected):
    assert said(text) == [expected]


def test_turns_without_words_are_left_out_and_told():
    faults = Faults()
    texts = ["♪ ♪", "", "[applause]", "...", "\u200b\u200d", "Transcribed by https://otter.ai", "Hi"]
    rows = [Row(f"line {number}", text) for number, text in enumerate(texts, start=1)]
    assert [row.text for row in spoken(rows, faults)] == ["Hi"]
    assert list(faults.notes()) == [
        "5 turns without words were left out (marks, music, sounds, names):"
        " line 1, line 3, line 4, line 5, line 6"
    ]


def test_what_this_package_wrote_is_taken_as_it_is():
    (row,) = spoken([Row("utterance 1", "Mara Quill: [laughs] hi", verbatim=True)], Faults())
    assert row.text == "Mara Quill: [laughs] hi"
