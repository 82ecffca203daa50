"""Places to cut at, as diarisers and annotators write them: times only, never who speaks."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from mister_e.audio import blocks, probe
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import CROSSTALK, NO_WORDS, Word
from mister_e.errors import InputError
from mister_e.transcription.asr import Recognised
from mister_e.transcription.cuts import read_cuts
from mister_e.transcription.cuts.turns import transcribe_cuts

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"

NAMES = ("Mara", "Quill")


def write(tmp_path, content, name="cuts.rttm", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    return path


def line(start, length, voice="Mara", file="call", channel=1):
    return f"SPEAKER {file} {channel} {start} {length} <NA> <NA> {voice} <NA> <NA>\n"


def read(
    tmp_path, content, name="cuts.rttm", *, recording="call.wav", notes=None, strict=False, encoding="utf-8"
):
    """Times of what is read; no name of a voice may be in it, nor in what is told."""
    told = [] if notes is None else notes
    path = write(tmp_path, content, name, encoding)
    turns = read_cuts(path, recording=recording, notes=told, strict=strict)
    assert [turn.id for turn in turns] == [f"t{number:04}" for number in range(1, len(turns) + 1)]
    assert not any(person in f"{turns}{told}" for person in NAMES)
    return [(turn.start, turn.end) for turn in turns]


def refused(tmp_path, content, message, name="cuts.rttm", **options):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content, name, **options)
    shown = str(caught.value)
    assert shown.startswith(f"{tmp_path / name}: ")
    assert "\n" not in shown
    assert not any(person in shown for person in NAMES)


def test_rttm_as_diarisers_write_it(tmp_path):
    content = ";; made by hand\nSPKR-INFO call 1 <NA> <NA> <NA> unknown Mara <NA> <NA>\n\n"
    content += (
        line("5.0", "1.5") + line("0.25", "2", "Quill") + "NON-SPEECH call 1 3 1 <NA> noise <NA> <NA>\n"
    )
    content += "SPEAKER call 1 8 1 <NA> <NA> Mara <NA>\nSPEAKER call 1 9,5 0,5\n"
    notes = []
    assert read(tmp_path, content, notes=notes) == [(0.25, 2.25), (5.0, 6.5), (8.0, 9.0), (9.5, 10.0)]
    assert notes == []


def test_ends_are_as_exact_as_what_is_written(tmp_path):
    assert read(tmp_path, line("10.454", "0.499")) == [(10.454, 10.953)]
    assert read(tmp_path, '[{"offset": 10.454, "duration": 0.499}]', "a.json") == [(10.454, 10.953)]


def test_content_tells_the_format_whatever_the_file_is_called(tmp_path):
    assert read(tmp_path, line(1, 2), "cuts.txt") == [(1.0, 3.0)]
    assert read(tmp_path, '[{"start": 1, "end": 3}]', "cuts.rttm") == [(1.0, 3.0)]
    refused(tmp_path, "1.0 3.0 Mara\n", "is neither RTTM, nor a TextGrid saved as text, nor JSON", "cuts.txt")


@pytest.mark.parametrize("name", ["my call", "call 1 2"])
def test_names_with_spaces_shift_no_field(tmp_path, name):
    content = line(1, 2, "Mara Quill", name) + line(3.1, 2, "Mara Quill", name) + line(6, 1, "Quill", name)
    assert read(tmp_path, content, recording=f"{name}.wav") == [(1.0, 5.1), (6.0, 7.0)]


def test_windows_and_its_encodings(tmp_path):
    content = (line(1, 2, "Müller") + line(4, 2, "Quill")).replace("\n", "\r\n")
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        notes = []
        assert read(tmp_path, content, encoding=encoding, notes=notes) == [(1.0, 3.0), (4.0, 6.0)]
        assert ["Windows-1252" in note for note in notes] == [True] * (encoding == "cp1252")


def test_of_several_recordings_the_own_lines_are_taken(tmp_path):
    content = line(1, 2, file="other") + line(4, 2, file="Call") + line(7, 2, file="call.wav")
    notes = []
    assert read(tmp_path, content, notes=notes) == [(4.0, 6.0), (7.0, 9.0)]
    assert notes == ["lines of other recordings passed over: 1, of 1"]
    refused(
        tmp_path, content, "is of 3 recordings, none is talk: other, Call, call.wav$", recording="talk.wav"
    )
    refused(tmp_path, content, "is of 3 recordings, keep the lines of one: other, Call", recording=None)
    many = "".join(line(n, 1, file=f"r{n}") for n in range(9))
    refused(tmp_path, many, "r0, r1, r2, r3, r4 and 4 more$")


def test_a_single_other_name_is_told(tmp_path):
    notes = []
    assert read(tmp_path, line(1, 2, file="rec_01"), notes=notes) == [(1.0, 3.0)]
    assert notes == ["its lines name the recording 'rec_01', not 'call'"]
    notes = []
    assert read(tmp_path, line(1, 2, file="rec_01"), recording=None, notes=notes) == [(1.0, 3.0)]
    assert notes == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (line(3, -0.5), "length is -0.5, expected seconds, 0 or more"),
        (line(3, "nan"), "length is nan"),
        (line(3, "inf"), "length is inf"),
        (line(3, "Mara"), "length is no number of seconds"),
        (line(-3, 1), "start is -3, expected seconds from the start"),
        (line("nan", 1), "start is nan, expected seconds from the start"),
        (line("Mara", 1), "start is no time, expected seconds from the start"),
        (line("<NA>", 1), "start is no time"),
        (line(1e9, 1), r"start is 1e\+09"),
        (line(3, 1e9), r"ends at 1e\+09 s; no recording is so long"),
        ("SPEAKER call 1 3.0\n", "has 4 fields; expected SPEAKER FILE CHANNEL START LENGTH"),
        ("SPEAKER call 3.0 1.0 Mara\n", "length is no number of seconds"),
        ("Mara 3.0 1.0\n", "is no line of RTTM"),
    ],
)
def test_a_bad_line_costs_itself_or_the_file(tmp_path, bad, why):
    content = line(1, 1) + bad + line(8, 1)
    notes = []
    assert read(tmp_path, content, notes=notes) == [(1.0, 2.0), (8.0, 9.0)]
    assert len(notes) == 1
    assert notes[0].startswith("line 2: ")
    assert notes[0].endswith("; it was left out")
    refused(tmp_path, content, f"line 2: {why}", strict=True)
    refused(tmp_path, bad, f"line 1: {why}")


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_an_empty_file(tmp_path, content):
    refused(tmp_path, content, "is empty; expected RTTM, a TextGrid or JSON of a diarisation")


def test_files_that_are_none(tmp_path):
    refused(tmp_path, ";; nothing\n", "has no SPEAKER line")
    refused(tmp_path, "LEXEME call 1 3 1 hello <NA> Mara <NA> <NA>\n", "has no SPEAKER line")
    with pytest.raises(InputError, match="no such file; check the path of the file of cuts"):
        read_cuts(tmp_path / "none.rttm")
    with pytest.raises(InputError, match="is a folder, expected a file of cuts"):
        read_cuts(tmp_path)


def test_one_voice_is_joined_over_short_gaps_and_two_are_not(tmp_path):
    content = line(0, 1) + line(1.2, 1) + line(2.2, 1) + line(3.5, 1) + line(4.5, 1, "Quill") + line(4.6, 2)
    assert read(tmp_path, content) == [(0.0, 3.2), (3.5, 4.5), (4.5, 5.5), (4.6, 6.6)]
    third = line(0, 1) + line(0.5, 0.2, "x") + line(0.9, 0.3, "Quill") + line(1.1, 1) + line(2, 1, "Quill")
    assert read(tmp_path, third) == [(0.0, 1.0), (0.5, 0.7), (0.9, 1.2), (1.1, 2.1), (2.0, 3.0)]
    nested = line(0, 9) + line(1, 1) + line(1, 1) + line(9.1, 1)
    assert read(tmp_path, nested) == [(0.0, 10.1)]


def test_tiny_intervals_are_left_out_with_a_note(tmp_path):
    notes = []
    content = line(1, 1) + line(3, 0) + line(5, 0.04) + line(7, 0.05)
    assert read(tmp_path, content, notes=notes) == [(1.0, 2.0), (7.0, 7.05)]
    assert notes == ["2 intervals shorter than 0.05 s left out (first: line 2)"]
    refused(tmp_path, line(1, 0), "holds no interval of at least 0.05 s")


def test_channels_are_told_only_where_there_are_several(tmp_path):
    turns = read_cuts(write(tmp_path, line(1, 1) + line(3, 1, "Quill")))
    assert [turn.channel for turn in turns] == [None, None]
    turns = read_cuts(write(tmp_path, line(1, 1) + line(1.5, 1, channel=2) + line(3, 1, channel="A")))
    assert [turn.channel for turn in turns] == [0, 1, None]


def test_crosstalk_is_of_one_channel(tmp_path):
    path = write(tmp_path, line(0, 5) + line(1, 4, "Quill", channel=2) + line(1.5, 3, "x", channel=2))
    assert [turn.notes for turn in read_cuts(path)] == [(), (CROSSTALK,), (CROSSTALK,)]
    mixed = read_cuts(path, split=False)
    assert [(turn.channel, turn.notes) for turn in mixed] == [(None, (CROSSTALK,))] * 3


def test_channels_count_where_the_sound_has_them(tmp_path):
    path = write(tmp_path, line(0, 5) + line(1, 4, "Quill", channel=2))
    mono = list(transcribe_cuts([RAMP], path, recogniser=None))
    assert [(turn.channel, turn.notes) for turn in mono] == [(None, (CROSSTALK,))] * 2
    split = list(transcribe_cuts([np.concatenate([RAMP, -RAMP])], path, recogniser=None))
    assert [(turn.channel, turn.notes) for turn in split] == [(0, ()), (1, ())]
    assert split[1].audio.samples[-1] < 0 < split[0].audio.samples[-1]


def brute_force(spans):
    """Share of each span that others cover, in steps of 10 ms."""
    cover = [set(range(round(100 * start), round(100 * end))) for start, end in spans]
    return [
        len(own & set().union(*(other for m, other in enumerate(cover) if m != n))) / len(own)
        for n, own in enumerate(cover)
    ]


def test_what_others_cover_for_more_than_half_is_crosstalk(tmp_path):
    spans = [(0, 10), (1, 2), (2, 3.5), (4, 5), (4.5, 11), (10.5, 14), (12, 13.76), (20, 21), (21, 22)]
    content = "".join(line(start, end - start, f"v{n}") for n, (start, end) in enumerate(spans))
    turns = read_cuts(write(tmp_path, content))
    shares = brute_force(spans)
    assert [CROSSTALK in turn.notes for turn in turns] == [share > 0.5 for share in shares]
    assert [turn.notes for turn in turns][-2:] == [(), ()]
    assert any(share > 0.5 for share in shares)


GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n9\n<exists>\n{}\n'


def tier(name, *intervals, kind="IntervalTier"):
    body = "\n".join(f'{start}\n{end}\n"{label}"' for start, end, label in intervals)
    return f'"{kind}"\n"{name}"\n0\n9\n{len(intervals)}\n{body}\n'


def grid(*tiers):
    return GRID.format(len(tiers)) + "".join(tiers)


def test_textgrids_give_each_interval_that_is_not_empty(tmp_path):
    content = grid(
        tier("Mara", (0, 1, "hello"), (1, 2, ""), (2, 3, "so"), (3, 4, "it goes")),
        tier("Quill", (0, 0.5, " "), (1.0, 1.5, "x"), (1.6, 2, "x")),
        tier("phones", (0, 0.1, "h"), (0.1, 0.2, "e")),
    )
    notes = []
    assert read(tmp_path, content, "a.TextGrid", notes=notes) == [
        (0.0, 1.0),
        (1.0, 2.0),
        (2.0, 3.0),
        (3.0, 4.0),
    ]
    assert notes == ["tiers of words or sounds, which cut finer than turns, passed over: 1"]


def test_textgrids_of_words_or_of_silences_alone(tmp_path):
    words = tier("words", (0, 0.3, "well"), (0.3, 0.6, "then"), (1.5, 2, "yes"))
    assert read(tmp_path, grid(words), "a.TextGrid") == [(0.0, 0.6), (1.5, 2.0)]
    notes = []
    pauses = tier("silences", (0, 1, "silent"), (1, 4, "sounding"), (4, 5, "silent"), (5, 9, "sounding"))
    assert read(tmp_path, grid(pauses), "a.TextGrid", notes=notes) == [(1.0, 4.0), (5.0, 9.0)]
    assert notes == ["2 intervals that are marked as silent were left out"]
    assert read(tmp_path, grid(tier("Maureen", (1, 2, "a"))), "a.TextGrid") == [(1.0, 2.0)]


def test_textgrids_that_hold_no_cuts(tmp_path):
    points = '"TextTier"\n"Mara"\n0\n9\n1\n2\n"x"\n'
    refused(tmp_path, grid(points), "has no tier of intervals, only of points", "a.TextGrid")
    refused(tmp_path, grid(tier("Mara", (0, 1, ""))), "holds no interval", "a.TextGrid")
    refused(
        tmp_path,
        GRID.format('1\n"IntervalTier"\n"Mara"\n0\n9\n"Quill"'),
        "line 12: expected a number",
        "a.TextGrid",
    )
    refused(tmp_path, grid(tier("Mara", (3, 2, "x"))), "line 15: ends .2 s. before it starts", "a.TextGrid")


SEGMENTS = [
    {"start": 1.0, "end": 2.5, "speaker": "Mara"},
    {"start": 4, "end": 6, "speaker": "Quill"},
]


@pytest.mark.parametrize(
    "data",
    [
        SEGMENTS,
        {"segments": SEGMENTS, "language": "en"},
        {"diarization": SEGMENTS},
        {"jobId": "1", "status": "succeeded", "output": {"diarization": SEGMENTS}},
        {
            "pyannote": "Annotation",
            "content": [
                {"segment": {"start": s["start"], "end": s["end"]}, "track": "A", "label": s["speaker"]}
                for s in SEGMENTS
            ],
        },
        [{"offset": s["start"], "duration": s["end"] - s["start"], "label": s["speaker"]} for s in SEGMENTS],
        {
            "sentences": [
                {
                    "sentence": "Hm.",
                    "start_time": str(s["start"]),
                    "end_time": s["end"],
                    "speaker": s["speaker"],
                }
                for s in SEGMENTS
            ]
        },
    ],
)
def test_json_of_diarisers(tmp_path, data):
    assert read(tmp_path, json.dumps(data), "a.json") == [(1.0, 2.5), (4.0, 6.0)]


def test_objects_a_line(tmp_path):
    lines = "\n".join(json.dumps({"audio_filepath": "a", "offset": n, "duration": 1}) for n in (1, 4))
    assert read(tmp_path, lines, "a.json") == [(1.0, 2.0), (4.0, 5.0)]


def test_a_single_object_on_its_line(tmp_path):
    assert read(tmp_path, '{"offset": 1, "duration": 2, "label": "Mara"}\n', "a.json") == [(1.0, 3.0)]
    around = {"start": 0, "end": 9, "diarization": {"segments": SEGMENTS}}
    assert read(tmp_path, json.dumps(around), "a.json") == [(1.0, 2.5), (4.0, 6.0)]


def word(start, end, voice, **more):
    return {"word": "w", "start": start, "end": end, "speaker": voice, **more}


def test_segments_with_words_end_where_the_voice_changes(tmp_path):
    words = [
        word(1, 2, "Mara"),
        {"word": "7"},
        word(2, 3, "Mara"),
        word(3.5, 4, "Quill"),
        word(4, 5, "Quill"),
    ]
    data = {
        "segments": [
            {"start": 0.9, "end": 5.1, "text": "w", "words": words},
            {"start": 5.1, "end": 6, "text": "Yes.", "speaker": "Mara"},
            {"start": 6.1, "end": 7, "text": "No.", "speaker": "Mara"},
            {"text": "w", "words": [word(8, 9, "Mara")]},
        ],
    }
    expected = [(0.9, 3.0), (3.5, 5.1), (5.1, 6.0), (6.1, 7.0), (8.0, 9.0)]
    assert read(tmp_path, json.dumps(data), "a.json") == expected


@pytest.mark.parametrize("untimed", [{"word": "7"}, {"word": "7", "start": "Mara", "end": 3}])
def test_no_sound_is_lost_where_words_have_no_times(tmp_path, untimed):
    words = [untimed, word(1, 2, "Mara"), untimed, untimed, word(6, 7, "Quill"), word(9, 10, "Mara"), untimed]
    content = json.dumps({"segments": [{"start": 0.5, "end": 12, "text": "w", "words": words}]})
    assert read(tmp_path, content, "a.json") == [(0.5, 6.0), (6.0, 7.0), (9.0, 12.0)]


def test_words_alone_are_joined(tmp_path):
    words = [word(1, 2, "Mara"), word(2.1, 3, "Mara"), word(3, 4, "Quill"), word(4.5, 5, "Quill")]
    assert read(tmp_path, json.dumps({"words": words}), "a.json") == [(1.0, 3.0), (3.0, 4.0), (4.5, 5.0)]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"start": 3, "end": 2}, r"ends \(2 s\) before it starts \(3 s\)"),
        ({"start": float("nan"), "end": 2}, "start is nan"),
        ({"start": -1, "end": 2}, "start is -1, expected seconds"),
        ({"start": "Mara", "end": 2}, "start is no time"),
        ({"start": [1], "end": 2}, "start is no time"),
        ({"start": 3, "speaker": "Mara"}, "has no start and end"),
        ({"start": 10**400, "end": 2}, "start is no time"),
        ("Mara", "is not an object"),
    ],
)
def test_a_bad_object_costs_itself_or_the_file(tmp_path, bad, why):
    content = json.dumps([SEGMENTS[0], bad, SEGMENTS[1]])
    notes = []
    assert read(tmp_path, content, "a.json", notes=notes) == [(1.0, 2.5), (4.0, 6.0)]
    assert notes[0].startswith("segment 2: ")
    refused(tmp_path, content, f"segment 2: {why}", "a.json", strict=True)


@pytest.mark.parametrize(
    "data", [{}, {"Mara": [[1, 2]]}, {"output": {"status": "Mara"}}, {"segments": "Mara"}]
)
def test_json_of_another_layout(tmp_path, data):
    refused(
        tmp_path, json.dumps(data), "is JSON of no diarisation that is known; .* export it as RTTM", "a.json"
    )


def test_json_that_is_none(tmp_path):
    refused(tmp_path, '{"segments": [', "line 1: not JSON", "a.json")
    refused(tmp_path, '{"start": 1}\n{"Mara"\n', "not JSON", "a.json")
    refused(tmp_path, "[" * 100_000, "nested too deeply", "a.json")
    refused(tmp_path, "[]", "holds no interval", "a.json")


def test_many_rows_take_linear_time(tmp_path):
    def seconds(count):
        content = "".join(line(n * 0.1, 0.3, f"v{n % 7}") for n in range(count))
        path = write(tmp_path, content)
        began = time.process_time()
        turns = read_cuts(path)
        assert len(turns) == count
        return time.process_time() - began

    few = seconds(10_000)
    assert seconds(100_000) < 40 * few
    refused(tmp_path, "".join(line(n, 1) for n in range(100_001)), "has more than 100000 intervals")


# A ramp tells where each sample comes from.
RAMP = np.linspace(0, 1, 60 * SAMPLE_RATE, dtype=np.float32)[None]


def first_sample(sounds):
    """A recogniser whose words tell where in the ramp a turn begins; it finds none in the first second."""
    for sound in sounds:
        assert len(sound) <= LONGEST * SAMPLE_RATE
        begin = round(60 * float(sound[0]))
        words = (Word("from", 0.0, 0.1), Word(f"{begin}", 0.1, 0.2))
        yield Recognised(f"from {begin}", 0.9, words=words, language="en") if begin else None


def recognised(turns):
    return list(first_sample(turns))


@pytest.mark.parametrize("seconds", [0.5, 60])
def test_the_words_of_each_cut_are_recognised(tmp_path, seconds):
    size = round(seconds * SAMPLE_RATE)
    pieces = [RAMP[:, begin : begin + size] for begin in range(0, RAMP.shape[1], size)]
    content = line(0.2, 1) + line(5, 3, "Quill") + line(6, 1, "x") + line(12, 40)
    turns = list(transcribe_cuts(pieces, write(tmp_path, content), recogniser=recognised))
    assert [turn.id for turn in turns] == ["t0001", "t0002", "t0003", "t0004.1", "t0004.2"]
    assert [turn.text for turn in turns] == [None, "from 5", "from 6", "from 12", turns[-1].text]
    assert [turn.notes for turn in turns] == [(NO_WORDS,), (), (CROSSTALK,), (), ()]
    assert [(word.start, word.end) for word in turns[1].words] == [(5.0, 5.1), (5.1, 5.2)]
    assert turns[1].language == "en"
    assert turns[3].end == turns[4].start
    assert turns[4].end == 52.0
    silent = list(transcribe_cuts(pieces, write(tmp_path, content), recogniser=None))
    assert [(turn.text, turn.notes) for turn in silent[:2]] == [(None, ()), (None, ())]


def test_cuts_of_another_recording_are_refused(tmp_path):
    content = line(1, 2) + line(80, 2) + line(90, 2)
    with pytest.raises(
        InputError, match=r"t0002 starts at 80\.00 s, but .* is this the file of cuts of another"
    ):
        list(
            transcribe_cuts(
                blocks(SAMPLE), write(tmp_path, content), recogniser=None, recording=probe(SAMPLE)
            )
        )
    notes = []
    content = line(1, 2) + line(5, 2) + line(50, 12) + line(90, 2, "Quill")
    turns = list(transcribe_cuts([RAMP], write(tmp_path, content), recogniser=None, notes=notes))
    assert [(turn.start, turn.end) for turn in turns] == [(1.0, 3.0), (5.0, 7.0), (50.0, 60.0)]
    assert [note.split()[:4] for note in notes] == [
        ["beyond", "the", "end", "of"],
        ["t0003", "runs", "to", "62.00"],
    ]


def test_cuts_that_overlap_without_measure_are_refused(tmp_path):
    content = "".join(line(0, 59, f"v{n}") for n in range(60))
    with pytest.raises(InputError, match="more than 50 times"):
        list(transcribe_cuts([RAMP], write(tmp_path, content), recogniser=None))
