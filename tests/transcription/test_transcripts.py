"""Transcripts as people have them: read right, or refused with the place and the way out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.analysis.subtitles import to_srt, to_vtt
from mister_e.conversation import Conversation, Utterance, has_words
from mister_e.errors import InputError
from mister_e.transcription import read_transcript

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\nHi!\n"


def read(tmp_path, name, content, *, strict=False, notes=None):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    turns = read_transcript(path, strict=strict, notes=notes)
    return [(turn.text, turn.start, turn.end) for turn in turns]


def test_subrip(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(SRT)
    first, second = read_transcript(path)
    assert first == Utterance("t0001", "Hello there.", 1.0, 2.5)
    assert second == Utterance("t0002", "Hi!", 3.0, 4.0)


@pytest.mark.parametrize(
    "content",
    [
        SRT.replace("1\n00", "7\n00").replace("2\n00", "7\n00"),
        SRT.replace("1\n00:00:01", "00:00:01").replace("\n2\n", "\n"),
        SRT.replace("\n", "\r\n"),
        SRT.replace(",", ".").replace(".\n", ".\n"),
        SRT.replace("00:00:", "00:").replace("Hello. ", "Hello, "),
        SRT.replace("00:00:04,000", "00:00:04,000  X1:100 X2:200"),
        SRT.replace("\n\n2", "\n2"),
        SRT.replace("\n\n", "\n \n\n\n"),
        SRT.replace("Hello there.", "<i>Hello</i>\n{\\an8}<font color='red'>there.</font>"),
        SRT + "\n3\n00:00:05,000 --> 00:00:06,000\n\n",
        "\ufeff" + SRT,
        b"\xff\xfe" + SRT.encode("utf-16-le"),
        b"\xfe\xff" + SRT.encode("utf-16-be"),
    ],
    ids=[
        "doubled numbers",
        "no numbers",
        "CRLF",
        "points",
        "no hours",
        "positions",
        "no blank line",
        "many blank lines",
        "markup",
        "a cue without words",
        "UTF-8 mark",
        "UTF-16 LE",
        "UTF-16 BE",
    ],
)
def test_subrip_with_the_faults_of_real_files(tmp_path, content):
    assert read(tmp_path, "a.srt", content) == [("Hello there.", 1.0, 2.5), ("Hi!", 3.0, 4.0)]


def test_subrip_keeps_numbers_and_signs_that_are_words(tmp_path):
    content = SRT.replace("Hello there.", "I have\n3").replace("Hi!", "2 < 3 and 5 > 4")
    assert [text for text, *_ in read(tmp_path, "a.srt", content)] == ["I have 3", "2 < 3 and 5 > 4"]


def test_windows_text_keeps_its_curly_quotes(tmp_path):
    content = "1\n00:00:01,000 --> 00:00:02,000\n\u201cIt\u2019s fine\u201d \u2013 caf\u00e9\u2026\n".encode(
        "cp1252"
    )
    notes = []
    ((text, *_),) = read(tmp_path, "a.srt", content, notes=notes)
    assert text == "\u201cIt\u2019s fine\u201d \u2013 caf\u00e9\u2026"
    assert notes == ["has bytes that are not UTF-8, read as Windows-1252; save it as UTF-8 if that is wrong"]


def test_webvtt_drops_names_settings_and_comments(tmp_path):
    content = (
        "WEBVTT - a call\nKind: captions\n\nNOTE made by hand\nthe day after\n\n"
        "STYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.500 align:start position:0%\n"
        "<v.loud Mary Smith>Hello <b>there</b>.</v>\n\n"
        "01:00:03.000 --> 01:00:04.000\nfish &amp; chips &lt;now&gt;\n"
    )
    assert read(tmp_path, "a.vtt", content) == [
        ("Hello there.", 1.0, 2.5),
        ("fish & chips <now>", 3603.0, 3604.0),
    ]


def test_overlapping_turns_are_kept_and_sorted(tmp_path):
    content = "2\n00:00:02,000 --> 00:00:05,000\nB\n\n1\n00:00:01,000 --> 00:00:04,000\nA\n"
    assert read(tmp_path, "a.srt", content) == [("A", 1.0, 4.0), ("B", 2.0, 5.0)]


def test_whisper_segments_and_bare_lists(tmp_path):
    segments = [
        {"id": 0, "seek": 0, "start": 0.5, "end": 1.5, "text": " Yes. ", "avg_logprob": -0.2, "speaker": "A"},
        {"id": 1, "seek": 0, "start": "00:00:02,000", "end": 3, "text": "No.", "tokens": [1, 2]},
    ]
    expected = [("Yes.", 0.5, 1.5), ("No.", 2.0, 3.0)]
    whole = json.dumps({"text": "Yes. No.", "language": "en", "segments": segments})
    assert read(tmp_path, "a.json", whole) == expected
    assert read(tmp_path, "b.json", json.dumps(segments)) == expected


def test_our_own_json_is_read_back_without_speakers(tmp_path):
    turns = (Utterance("a", "One.", 0.0, 1.0, 1), Utterance("b", "Two."), Utterance("c", None, 3.0, 4.0))
    data = Conversation("call", turns).to_json()
    data["utterances"][0]["speaker"] = "Mary"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    assert read_transcript(path) == (Utterance("a", "One.", 0.0, 1.0, 1), Utterance("b", "Two."))


def test_words_that_were_uncertain_stay_so(tmp_path):
    turns = (
        Utterance("a", "One.", 0.0, 1.0, asr_confidence=0.9),
        Utterance("b", "Two.", 1.0, 2.0, asr_confidence=0.2, text_uncertain=True),
    )
    path = tmp_path / "a.json"
    path.write_text(json.dumps(Conversation("call", turns).to_json()))
    assert read_transcript(path) == turns
    (tmp_path / "a.csv").write_text(
        "id,text,start,end,asr_confidence,text_uncertain\na,One.,0,1,0.9,false\nb,Two.,1,2,0.2,true\n"
    )
    assert read_transcript(tmp_path / "a.csv") == turns
    cues = [(0.0, 1.0, "[sad 71%] One (NO) [x]."), (1.0, 2.0, "[joy ? 30%] Two. (?)"), (2.0, 3.0, "[joy 9%]")]
    for name, content in (("a.srt", to_srt(cues)), ("a.vtt", to_vtt(cues))):
        (tmp_path / name).write_text(content)
        found = [(turn.text, turn.text_uncertain) for turn in read_transcript(tmp_path / name)]
        assert found == [("One (NO) [x].", False), ("Two.", True)]


def test_a_question_mark_of_others_is_no_mark_of_uncertain_words(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(SRT.replace("Hi!", "Who is Tom (?)"))
    assert [turn.text_uncertain for turn in read_transcript(path)] == [False, False]
    assert read_transcript(path)[1].text == "Who is Tom (?)"


@pytest.mark.parametrize(
    ("field", "value"),
    [("asr_confidence", 2), ("asr_confidence", "high"), ("asr_confidence", True), ("text_uncertain", 1)],
)
def test_what_is_said_of_recognised_words_is_checked(tmp_path, field, value):
    content = json.dumps({"id": "c", "utterances": [{"text": "A", field: value}, {"text": "B"}]})
    with pytest.raises(InputError, match=f"utterance 1: {field} is n"):
        read(tmp_path, "a.json", content, strict=True)
    assert read(tmp_path, "a.json", content) == [("B", None, None)]


def test_an_analysis_is_a_transcript_too(tmp_path):
    turn = {"id": "t1", "start": 0.0, "end": 1.0, "text": "One.", "emotion": "joy", "scores": {}, "gate": {}}
    data = {
        "mister_e": "0.1",
        "model": {},
        "conversations": [{"id": "c", "utterances": [turn]}],
        "errors": [],
    }
    assert read(tmp_path, "a.json", json.dumps(data)) == [("One.", 0.0, 1.0)]
    data["conversations"] *= 2
    with pytest.raises(InputError, match="this analysis has 2"):
        read(tmp_path, "a.json", json.dumps(data))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables(tmp_path, delimiter):
    rows = [["start", "End", "speaker", "Text"], ["0.5", "00:00:01.500", "Mary", '"One, two; ""three"""']]
    content = "\r\n".join(delimiter.join(row) for row in rows) + "\r\n"
    assert read(tmp_path, "a.csv", content) == [('One, two; "three"', 0.5, 1.5)]


def test_a_table_may_have_text_alone_or_ids_and_channels(tmp_path):
    assert read(tmp_path, "a.csv", "text\nOne\n\n  \nTwo\n") == [("One", None, None), ("Two", None, None)]
    path = tmp_path / "b.csv"
    path.write_text("id,channel,text,start,end\nx,1,One,,\ny,,Two,1,2\n")
    assert read_transcript(path) == (Utterance("x", "One", channel=1), Utterance("y", "Two", 1.0, 2.0))


def test_plain_text_is_one_turn_a_line(tmp_path):
    assert read(tmp_path, "a.txt", "One.\n\n Two  three. \n") == [
        ("One.", None, None),
        ("Two three.", None, None),
    ]


VTT = "WEBVTT\n\n00:01.000 --> 00:02.500\nHello there.\n\n00:03.000 --> 00:04.000\nHi!\n"


@pytest.mark.parametrize(
    "broken",
    [
        "00:00:03,000 -> 00:00:04,000",
        "00:00:03,000 ---> 00:00:04,000",
        "00:00:03,000 -->",
        "--> 00:00:04,000",
        "00:00:03,000",
        "00:00:03,000 00:00:04,000",
        "00:00:03,000 --> soon",
        "00:61:03,000 --> 00:61:04,000",
        "00:00:61,000 --> 00:01:02,000",
        "00:00:03,000 --> 00:00:64,000",
        "0O:00:03,000 --> 0O:00:04,000",
        "00.00.03,000 --> 00.00.04,000",
    ],
)
def test_a_broken_timing_is_never_taken_as_words(tmp_path, broken):
    reason = f"not a timing: {broken!r}; write its times as 00:00:01,000 --> 00:00:02,500"
    for name, content, times, line in (
        ("last.srt", SRT, "00:00:03,000 --> 00:00:04,000", 6),
        ("first.srt", SRT, "00:00:01,000 --> 00:00:02,500", 2),
        ("bare.srt", SRT.replace("2\n00", "00"), "00:00:03,000 --> 00:00:04,000", 5),
        ("last.vtt", VTT, "00:03.000 --> 00:04.000", 6),
        ("first.vtt", VTT, "00:01.000 --> 00:02.500", 3),
        ("known.txt", SRT, "00:00:03,000 --> 00:00:04,000", 6),
    ):
        assert times in content
        with pytest.raises(InputError) as caught:
            read(tmp_path, name, content.replace(times, broken), strict=True)
        assert str(caught.value) == f"{tmp_path / name}: line {line}: {reason}"
        notes = []
        left = read(tmp_path, name, content.replace(times, broken), notes=notes)
        assert [text for text, *_ in left] == ["Hello there." if line > 3 else "Hi!"]
        assert notes == [f"line {line}: {reason}; it was left out"]


def test_a_text_whose_timings_are_all_broken_is_not_plain_text(tmp_path):
    with pytest.raises(InputError, match="line 2: not a timing"):
        read(tmp_path, "a.txt", SRT.replace("-->", "->"))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.srt", "\nHello.\n\n" + SRT, 2),
        ("a.srt", "intro\n" + SRT, 1),
        ("a.srt", "1\nHello.\n2\n" + SRT[2:], 2),
        ("a.vtt", VTT.replace("WEBVTT\n\n", "WEBVTT\n\nHello.\nYou.\n\n"), 3),
        ("a.vtt", VTT.replace("WEBVTT", "Hello."), 1),
    ],
)
def test_words_before_the_first_timing_cost_themselves(tmp_path, name, content, line):
    with pytest.raises(InputError, match=rf"{name}: line {line}: words before the first timing; write"):
        read(tmp_path, name, content, strict=True)
    notes = []
    assert read(tmp_path, name, content, notes=notes) == [("Hello there.", 1.0, 2.5), ("Hi!", 3.0, 4.0)]
    assert notes[0].startswith(f"line {line}: words before the first timing; write")


def test_arrows_and_times_that_are_words_stay(tmp_path):
    texts = ["left -> right", "a --> b", "at 10:30 or 11:00"]
    for text in texts:
        assert read(tmp_path, "a.srt", SRT.replace("Hi!", text))[1] == (text, 3.0, 4.0)
    assert read(tmp_path, "a.txt", "from 10:30 -> 11:00\n") == [("from 10:30 -> 11:00", None, None)]


@pytest.mark.parametrize(
    "content",
    [
        VTT.replace("WEBVTT\n\n", "WEBVTT\n"),
        VTT.replace("WEBVTT\n\n", ""),
        VTT.replace("\n\n00:03", "\n00:03"),
        VTT.replace("\n\n00:03", "\n2\n00:03"),
        VTT.replace("\n\n00:03", "\n\nintro\n00:03"),
        VTT.replace("500\nHello there.", "500\n \nHello<00:01.200><c> there.</c>"),
        VTT.replace("Hello there.", "Hello\n\nthere."),
        VTT.replace("\n\n00:03", "\n\nNOTE 00:02 -> 00:05\n00:02.000\n\n00:03"),
    ],
    ids=[
        "header without blank line",
        "no header",
        "no blank line",
        "number without blank line",
        "name",
        "words after a line of blanks",
        "blank line in the words",
        "comment with times",
    ],
)
def test_webvtt_with_the_faults_of_real_files(tmp_path, content):
    expected = [("Hello there.", 1.0, 2.5), ("Hi!", 3.0, 4.0)]
    assert read(tmp_path, "a.vtt", content) == expected
    if content.startswith("WEBVTT"):
        assert read(tmp_path, "a.srt", content) == expected


def test_turns_without_an_id_pass_over_names_that_are_taken(tmp_path):
    path = tmp_path / "a.json"
    rows = [{"text": "A"}, {"text": "B", "id": "t0002"}, {"text": "C"}, {"text": "D", "id": "t0001"}]
    path.write_text(json.dumps(rows))
    assert [turn.id for turn in read_transcript(path)] == ["t0003", "t0002", "t0004", "t0001"]


@pytest.mark.parametrize("content", ["[" * 100_000, '{"segments": ' * 50_000 + "1" + "}" * 50_000])
def test_deeply_nested_json_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"a\.json: is nested too deeply; expected a list"):
        read(tmp_path, "a.json", content)


def test_cells_beyond_the_columns_cost_their_row_unless_blank(tmp_path):
    content = "start,end,text\n0,1,hello\n1,2,hello, you\n"
    fault = "line 3: has 4 cells, the header names 3; put text that holds ',' in quotes (\"…\")"
    with pytest.raises(InputError) as caught:
        read(tmp_path, "a.csv", content, strict=True)
    assert str(caught.value) == f"{tmp_path / 'a.csv'}: {fault}"
    notes = []
    assert read(tmp_path, "a.csv", content, notes=notes) == [("hello", 0.0, 1.0)]
    assert notes == [f"{fault}; it was left out"]
    expected = [("hello, you", 0.0, 1.0)]
    assert read(tmp_path, "a.csv", 'start,end,text\n0,1,"hello, you",, \n') == expected


@pytest.mark.parametrize("content", [SRT, "WEBVTT\n\n" + SRT, '{"segments": [{"text": "Hello there."}]}'])
def test_an_unknown_extension_is_told_by_content(tmp_path, content):
    assert read(tmp_path, "transcript.out", content)[0][0] == "Hello there."


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.srt", SRT.replace("00:00:04", "00:00:02"), r"line 6: ends \(2 s\) before it starts \(3 s\)"),
        ("a.vtt", "WEBVTT\n\n00:05.000 --> 00:04.000\nA\n", "line 3: ends"),
        ("a.srt", "", "no words"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n\n", "no words"),
        ("a.srt", "Just words.\n", "no line with times"),
        ("a.txt", " \n\n", "no words"),
        ("a.csv", "", "no words"),
        ("a.csv", "start,end,words\n1,2,Hi\n", "line 1: has no column 'text'"),
        ("a.csv", "text,start\nA,1\nB,soon\n", "line 3: start: 'soon' is not a time"),
        ("a.csv", "text,start,end\nA,1,inf\n", "line 2: end is inf"),
        ("a.csv", "text,start\nA,-1\n", r"line 2: start is -1\.0"),
        ("a.csv", "text,channel\nA,left\n", "line 2: channel is 'left'"),
        ("a.csv", "id,text\nx,A\nx,B\n", "line 3: the id 'x' is that of line 2"),
        ("a.json", "{", "line 1: not JSON"),
        ("a.json", "[]", "no words"),
        ("a.json", '{"results": []}', '"utterances", "segments"'),
        ("a.json", '[{"start": 1}]', "segment 1: has no field 'text'"),
        ("a.json", '[{"text": 5}]', "segment 1: text is 5"),
        ("a.json", '["words"]', "expected a list of objects"),
        ("a.json", '[{"text": "A", "start": NaN}]', "segment 1: start is nan"),
        (
            "a.json",
            '{"id": "c", "utterances": [{"text": "A", "strat": 1}]}',
            "utterance 1: unknown field 'strat'",
        ),
        ("a.json", '{"id": "c", "mood": 1, "utterances": []}', "the conversation: unknown field 'mood'"),
        ("a.json", '{"conversations": [], "more": 1}', "the analysis: unknown field 'more'"),
        ("a.csv", "text,start\nA,0:61:00\n", "line 2: start: '0:61:00' is not a time"),
        ("a.csv", "text,start\nA,1:60\n", "line 2: start: '1:60' is not a time"),
        ("a.csv", "text,start\nA,1:-5\n", "line 2: start: '1:-5' is not a time"),
        ("a.json", '[{"text": "A", "start": 1' + "0" * 400 + "}]", "segment 1: start is inf"),
        ("a.json", '[{"text": "A", "start": 1' + "0" * 5_000 + "}]", "not JSON that can be read"),
        ("a.txt", b"PK\x03\x04\x00\x00", "not text"),
        ("a.docx", b"PK\x03\x04\x00\x00", r"a format that is not read; save its text as \.txt"),
        ("a.rttm", "SPEAKER a 1 0 1 <NA> <NA> b <NA> <NA>\n", "not read; export it as .TextGrid"),
        ("a.txt", "word " * 300_000, "line 1: has more than 1000000 characters; give each turn"),
        ("a.txt", "word\n" * 100_001, "more than 100000 turns; cut it into conversations"),
        ("a.srt", "\n" * 1_000_001, "more than 1000000 lines; cut it into conversations"),
        ("a.json", json.dumps([{"text": "word " * 300_000}]), "segment 1: has 1500000 characters"),
        ("a.log", "words alone", "not a transcript format"),
    ],
)
def test_faults_are_refused_with_their_place(tmp_path, name, content, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path, name, content, strict=True)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_transcript(tmp_path / "none.srt")
    with pytest.raises(InputError, match="is a folder"):
        read_transcript(tmp_path)


# marks may be those of names, sounds and music, which are no words
words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="[](){}*:-–—•♩♪♫♬♭♮♯🎵🎶🎼【】>"), max_size=40
)
cues = st.lists(st.tuples(st.floats(0, 36_000), st.floats(0, 40), words), min_size=1, max_size=6)


def spoken(text):
    """The words of a text, as a file without control characters can hold them."""
    return " ".join("".join(c if c.isprintable() or ord(c) > 159 else " " for c in text).split())


def round_trip(tmp_path_factory, name, write, rows):
    path = tmp_path_factory.mktemp("trip") / name
    path.write_text(write([(start, start + length, text) for start, length, text in rows]), encoding="utf-8")
    expected = sorted(
        [(round(start, 3), spoken(text)) for start, _, text in rows if has_words(spoken(text))],
        key=lambda row: row[0],
    )
    if not expected:
        with pytest.raises(InputError, match="no words"):
            read_transcript(path)
        return
    turns = read_transcript(path)
    assert sorted(turn.text for turn in turns) == sorted(text for _, text in expected)
    assert [turn.start for turn in turns] == pytest.approx([start for start, _ in expected], abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(cues)
def test_any_words_survive_webvtt(tmp_path_factory, rows):
    round_trip(tmp_path_factory, "a.vtt", to_vtt, rows)


@settings(max_examples=50, deadline=None)
@given(cues)
def test_words_survive_subrip(tmp_path_factory, rows):
    # SubRip cannot escape its markup
    rows = [(start, length, text.translate(dict.fromkeys(map(ord, "<>{}")))) for start, length, text in rows]
    round_trip(tmp_path_factory, "a.srt", to_srt, rows)


def test_texts_cannot_break_the_file(tmp_path):
    evil = "00:00:08,000\n\n\n2\n00:00:09,000 --> 00:00:10,000\n00:11 -> 00:12\nWEBVTT <script>&amp;"
    for name, write in (("a.srt", to_srt), ("a.vtt", to_vtt)):
        turns = read(tmp_path, name, write([(1.0, 2.0, evil), (3.0, 4.0, "b")]))
        assert [(start, end) for _, start, end in turns] == [(1.0, 2.0), (3.0, 4.0)]
    assert "<script>" not in to_vtt([(1.0, 2.0, evil)])


def test_written_subtitles_look_as_players_expect():
    rows = [(0.0, 1.9996, "One\ntwo"), (3_661.5, 3_662.0, "a --> b & c")]
    assert to_srt(rows) == (
        "1\n00:00:00,000 --> 00:00:02,000\nOne\ntwo\n\n2\n01:01:01,500 --> 01:01:02,000\na → b & c\n"
    )
    assert to_vtt(rows) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nOne\ntwo\n\n"
        "01:01:01.500 --> 01:01:02.000\na --&gt; b &amp; c\n"
    )
