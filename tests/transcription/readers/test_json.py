"""JSON of recognisers and of call centres' services: turns, without who says them."""

from __future__ import annotations

import json

import pytest

from mister_e.errors import InputError
from mister_e.transcription import read_transcript

TURNS = [("I paid twice.", 0.0, 2.9), ("So sorry.", 4.2, 6.1)]


def read(tmp_path, data, notes=None):
    path = tmp_path / "call.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return [(turn.text, turn.start, turn.end) for turn in read_transcript(path, notes=notes)]


def words(text, start, end, said, unit=1, **more):
    """Objects of the words of the turns, each with a part of its turn's time."""
    found = []
    for speaker, (turn, begin, stop) in enumerate(TURNS):
        parts = turn.split()
        length = (stop - begin) / len(parts)
        found += [
            {text: part, start: (begin + n * length) * unit, end: (begin + (n + 1) * length) * unit, **more}
            | {said: f"spk_{speaker}"}
            for n, part in enumerate(parts)
        ]
    return found


def amazon_items():
    return [
        {
            "type": "pronunciation",
            "start_time": str(word["start"]),
            "end_time": str(word["end"]),
            "speaker_label": word["speaker"],
            "alternatives": [{"content": word["word"].removesuffix(".")}],
        }
        for word in words("word", "start", "end", "speaker")
    ]


def with_stops(items):
    stop = {"type": "punctuation", "alternatives": [{"content": "."}]}
    return [*items[:3], stop, *items[3:], stop]


LAYOUTS = {
    "Amazon Transcribe": {
        "results": {
            "items": [],
            "audio_segments": [
                {"id": 0, "transcript": text, "start_time": str(s), "end_time": str(e), "speaker_label": "a"}
                for text, s, e in TURNS
            ],
        }
    },
    "Amazon Transcribe's words": {"results": {"items": with_stops(amazon_items())}},
    "Call Analytics": {
        "Participants": [{"ParticipantRole": "AGENT"}],
        "Transcript": [
            {"BeginOffsetMillis": s * 1000, "EndOffsetMillis": e * 1000, "Content": text}
            for text, s, e in TURNS
        ]
    },
    "AssemblyAI": {
        "id": "a",
        "status": "completed",
        "utterances": [
            {"speaker": "A", "start": s * 1000, "end": e * 1000, "text": text, "words": []}
            for text, s, e in TURNS
        ],
    },
    "AssemblyAI's words": {
        "status": "completed",
        "utterances": None,
        "words": words("text", "start", "end", "speaker", 1000),
    },
    "AssemblyAI's sentences": {
        "sentences": [{"text": text, "start": s * 1000, "end": e * 1000, "words": []} for text, s, e in TURNS]
    },
    "Deepgram": {
        "results": {
            "channels": [{"alternatives": [{"words": []}]}],
            "utterances": [
                {"start": s, "end": e, "transcript": text, "speaker": 0, "id": "u"} for text, s, e in TURNS
            ],
        }
    },
    "Deepgram's utterances": {
        "results": {"utterances": [{"start": s, "end": e, "transcript": text} for text, s, e in TURNS]}
    },
    "YouTube": {
        "events": [
            {"tStartMs": 0, "id": 1},
            *(
                {"tStartMs": s * 1000, "dDurationMs": (e - s) * 1000, "segs": [{"utf8": text}, {"utf8": " "}]}
                for text, s, e in TURNS
            ),
        ]
    },
    "other names of fields": [{"start_time": s, "end_time": e, "transcript": text} for text, s, e in TURNS],
    "Deepgram's words": {
        "results": {
            "channels": [{"alternatives": [{"words": words("punctuated_word", "start", "end", "speaker")}]}]
        }
    },
    "Rev": {
        "monologues": [
            {"speaker": 0, "elements": [{"value": text[:-1], "ts": s, "end_ts": e}, {"value": "."}]}
            for text, s, e in TURNS
        ]
    },
    "Azure": {
        "recognizedPhrases": [
            {"offsetInTicks": s * 1e7, "durationInTicks": (e - s) * 1e7, "nBest": [{"display": text}]}
            for text, s, e in TURNS
        ]
    },
    "Google": {
        "results": [
            {"alternatives": [{"transcript": text, "words": [{"startTime": f"{s}s", "endTime": f"{e}s"}]}]}
            for text, s, e in TURNS
        ]
    },
    "Speechmatics": {"results": with_stops(amazon_items())},
    "Hugging Face": {
        "text": "x", "chunks": [{"timestamp": [s, e], "text": f" {text}"} for text, s, e in TURNS]
    },
    "Hugging Face's words": {
        "chunks": [
            {"timestamp": [word["start"], word["end"]], "text": f" {word['word']}"}
            for word in words("word", "start", "end", "speaker")
        ]
    },
    "words alone": {"text": "x", "words": words("word", "start", "end", "speaker")},
    "ElevenLabs": {
        "text": "x",
        "words": [{"text": " ", "type": "spacing"}, *words("text", "start", "end", "speaker_id")],
    },
    "whisper.cpp": {
        "transcription": [
            {"offsets": {"from": round(s * 1000), "to": round(e * 1000)}, "text": f" {text}"}
            for text, s, e in TURNS
        ]
    },
    "WhisperX": {
        "segments": [{"text": TURNS[0][0], "start": 0.0, "end": 2.9, "speaker": "SPEAKER_00"},
                     {"text": TURNS[1][0], "words": [{"start": 4.2}, {"end": 6.1}]}]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_its_turns(tmp_path, name):
    found = read(tmp_path, LAYOUTS[name])
    assert [text for text, *_ in found] == [text for text, *_ in TURNS]
    times = [time for _, *times in found for time in times]
    assert times == pytest.approx([time for _, *times in TURNS for time in times], abs=1e-6)


def test_channels_stay_for_they_only_cut(tmp_path):
    path = tmp_path / "a.json"
    utterances = [{"start": 0, "end": 1, "channel": n, "transcript": f"turn {n}"} for n in (0, 1)]
    path.write_text(json.dumps({"results": {"channels": [], "utterances": utterances}}))
    assert [turn.channel for turn in read_transcript(path)] == [0, 1]
    channels = [{"channel_label": f"ch_{n}", "items": amazon_items()} for n in (0, 1)]
    path.write_text(json.dumps({"results": {"items": [], "channel_labels": {"channels": channels}}}))
    assert {turn.channel for turn in read_transcript(path)} == {0, 1}


def test_segments_without_times_stand_between_their_neighbours(tmp_path):
    notes = []
    segments = [
        {"text": "A", "start": 0.0, "end": 1.0},
        {"text": "two words"},
        {"text": "B", "start": 5, "end": 6},
    ]
    assert read(tmp_path, {"segments": [*segments, {"text": "C", "start": 7}]}, notes) == [
        ("A", 0.0, 1.0),
        ("two words", 1.0, 1.8),
        ("B", 5.0, 6.0),
        ("C", 7.0, 7.4),
    ]
    assert notes == ["2 turns without start or end (first: segment 2): placed between the neighbours"]


def test_a_bad_segment_costs_itself(tmp_path):
    notes = []
    segments = [{"text": "A"}, "B", {"text": 5}, {"start": 1}, {"text": "C", "start": -1}, {"text": "D"}]
    assert [text for text, *_ in read(tmp_path, segments, notes)] == ["A", "D"]
    assert [note.partition(": ")[0] for note in notes] == ["segment 2", "segment 3", "segment 4", "segment 5"]
    with pytest.raises(InputError, match="segment 2: is not an object"):
        read_transcript(tmp_path / "call.json", strict=True)


def test_ids_that_restart_are_numbered_anew(tmp_path):
    path, notes = tmp_path / "a.json", []
    path.write_text(json.dumps([{"id": number, "text": f"turn {number}"} for number in (0, 1, 0, 1)]))
    assert [turn.id for turn in read_transcript(path, notes=notes)] == ["t0001", "t0002", "t0003", "t0004"]
    assert notes == [
        "segment 3: the id '0' is that of segment 1 too (and 1 more); the turns were numbered anew"
    ]
    path.write_text(json.dumps([{"id": name, "text": "turn"} for name in "aba"]))
    assert [turn.id for turn in read_transcript(path)] == ["a", "b", "t0001"]
    with pytest.raises(InputError, match="segment 3: the id 'a' is that of segment 1 too; make ids unique"):
        read_transcript(path, strict=True)


def test_half_a_character_is_replaced_and_nothing_else_lost(tmp_path):
    notes = []
    data = '[{"text": "so \\ud83d\\ude00 happy \\ud83d", "start": 0, "end": 1}, {"text": "No"}]'
    assert [text for text, *_ in read(tmp_path, data, notes)] == ["so 😀 happy \ufffd", "No"]
    assert "half a character (a lone surrogate) was replaced by \ufffd in segment 1" in notes


def test_a_text_alone_is_one_turn(tmp_path):
    notes = []
    assert read(tmp_path, {"text": "I am sad."}, notes) == [("I am sad.", None, None)]
    assert notes == ["it holds a text without turns, which is taken as one; ask for segments to get times"]


@pytest.mark.parametrize(
    "data",
    [
        '{"a": 1}',
        "5",
        '"text"',
        "null",
        '{"results": 5}',
        '{"text": "a", "camera": 1}',
        '{"segments": {"a": 1}}',
    ],
)
def test_json_of_no_layout_is_refused_in_one_line(tmp_path, data):
    with pytest.raises(InputError) as caught:
        read(tmp_path, data)
    assert str(caught.value).startswith(f"{tmp_path / 'call.json'}: ")
    assert "\n" not in str(caught.value)
