"""Mutated transcripts give turns or an `InputError` in one line, whatever was done to them."""

from __future__ import annotations

import contextlib
import json
import random
import time

import pytest
from fuzzing import SEED, TIMES

from mister_e.errors import InputError
from mister_e.transcription import read_transcript

CUES = [
    (0.0, 2.9, "I paid the bill twice."),
    (3.2, 5.1, "Tom Ray: That's awful!"),
    (5.4, 7.0, "Mara Quill: no. 😀"),
]


NUMBERED = list(enumerate(CUES, start=1))


def clock(time, point=","):
    return f"00:00:{int(time):02}{point}{round(time % 1 * 1000):03}"


def words(text="word", unit=1):
    return [{text: "hi", "start": s * unit, "end": e * unit, "speaker": n} for n, (s, e, _) in NUMBERED]


def cues(between, point=","):
    return "\n".join(f"{n}\n{clock(s, point)}{between}{clock(e, point)}\n{t}\n" for n, (s, e, t) in NUMBERED)


def layouts():
    """JSON of every layout."""
    items = [
        {"type": "word", "start_time": str(s), "end_time": str(e), "alternatives": [{"content": "hi"}]}
        for s, e, _ in CUES
    ]
    channels = [{"items": items}, {"items": items}]
    return [
        {"utterances": [{"id": str(n), "start": s, "end": e, "text": t} for n, (s, e, t) in NUMBERED]},
        {"segments": [{"id": n, "start": s, "end": e, "text": t} for n, (s, e, t) in NUMBERED]},
        [{"text": t, "words": words()} for _, _, t in CUES],
        {"chunks": [{"timestamp": [s, e], "text": t} for s, e, t in CUES]},
        {"transcription": [{"offsets": {"from": 100, "to": 900}, "text": t} for _, _, t in CUES]},
        {"results": {"items": items, "audio_segments": []}},
        {"results": {"items": [], "channel_labels": {"channels": channels}}},
        {"results": items},
        {"Transcript": [{"BeginOffsetMillis": 1, "EndOffsetMillis": 900, "Content": t} for _, _, t in CUES]},
        {"status": "completed", "utterances": None, "words": words("text", 1000)},
        {"results": {"channels": [{"alternatives": [{"words": words()}]}]}},
        {"monologues": [{"elements": [{"value": t, "ts": s, "end_ts": e}]} for s, e, t in CUES]},
        {"recognizedPhrases": [{"offsetInTicks": 1e7, "durationInTicks": 9e6, "nBest": [{"display": "Hi"}]}]},
    ]


GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n7\n<exists>\n1\n"IntervalTier"\n"A"\n0\n7\n3\n'
)


def seeds():
    """A small file of every format and layout."""
    events = "\n".join(
        f"Dialogue: 0,0:00:{s:05.2f},0:00:{e:05.2f},A,M,0,0,0,,{{\\i1}}{t}" for s, e, t in CUES
    )
    intervals = "".join(f'{s}\n{e}\n"{t}"\n' for s, e, t in CUES)
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{n * 900}"/>' for n in range(8))
    notes = "".join(
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{2 * n}"'
        f' TIME_SLOT_REF2="ts{2 * n + 1}"><ANNOTATION_VALUE>{t}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION>"
        for n, (_, _, t) in NUMBERED
    )
    rolling = "WEBVTT\n\n00:00.000 --> 00:01.000\n \nI<00:00:00.400><c> paid</c>\n\n"
    rolling += "00:01.000 --> 00:01.010\nI paid\n \n\n"
    rolling += "00:01.010 --> 00:02.000\nI paid\nit<00:00:01.200><c> all</c>\n"
    texts = {
        "a.srt": cues(" --> "),
        "a.vtt": "WEBVTT\n\nNOTE x\n\n" + cues(" --> ", ".").replace("I paid", "<v Mara>I &amp; paid"),
        "rolling.vtt": rolling,
        "a.sbv": cues(",", "."),
        "a.lrc": "[ar: x]\n" + "".join(f"[00:{s:05.2f}]{t}\n" for s, _, t in CUES),
        "a.ass": "[Script Info]\n\n[Events]\n" + events,
        "a.csv": "start,end,text\n" + "".join(f'{s},{e},"{t}"\n' for s, e, t in CUES),
        "a.tsv": "start\tend\ttext\n" + "".join(f"{s * 1000:.0f}\t{e * 1000:.0f}\t{t}\n" for s, e, t in CUES),
        "a.txt": "Mara Quill  0:00\nI paid.\n\n[00:00:03] spk_1: No. [applause]\n♪ la ♪\n",
        "a.TextGrid": GRID + intervals,
        "a.eaf": f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>"
        f'<TIER TIER_ID="A">{notes}</TIER></ANNOTATION_DOCUMENT>',
        "a.ttml": '<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
        + "".join(f'<p begin="{s}s" end="{clock(e, ".")}">{t}<br/>so</p>' for s, e, t in CUES)
        + "</div></body></tt>",
    }
    texts |= {f"{n}.json": json.dumps(layout, ensure_ascii=n % 2 == 0) for n, layout in enumerate(layouts())}
    return texts


SEEDS = seeds()
HOSTILE = [
    b"\0", b"\xff\xfe", b"\xed\xa0\xbd", b"\\ud83d", b"1e300", b"-1", b"NaN", b"Infinity", b"null", b"true",
    b"9" * 5_000, b"[" * 2_000, b"{" * 500, b'{"a":' * 2_000, b"<" * 500, b"<p>" * 300, b":" * 300,
    b"<v ", b"{\\", b"-->", b"\n\n", b"\r", b'"', b"&#9999999;", b"&b;", b"\t", b",", b"[]", b"{}",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<!ENTITY", "٣:٠٠".encode(), "\u200b\u2028\x85".encode(),
]  # fmt: skip
VALUES = [b" null", b" 1e300", b" []", b' {"a": 1}', b' "x"', b" -1"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes of a file after one to four mutations."""
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data) + 1)
        lines = data.split(b"\n")
        match rng.randrange(8):
            case 0:
                data = data[:place]
            case 1:
                data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
            case 2:
                rng.shuffle(lines)
                data = b"\n".join(lines)
            case 3:
                data = data[:place] + rng.choice(HOSTILE) + data[place:]
            case 4:
                data = data[:place] + data[place + rng.randrange(20) :]
            case 5:
                data = data[:place] + data[rng.randrange(len(data) + 1) :][:200] + data[place:]
            case 6:
                lines[rng.randrange(len(lines))] = rng.choice(HOSTILE)
                data = b"\n".join(lines)
            case 7:  # a value of JSON, or a cell, for another
                parts = data.split(b":") if b":" in data else data.split(b",")
                parts[rng.randrange(len(parts))] = rng.choice(
                    [b" null", b" 1e300", b" []", b' {"a": 1}', b' "x"', b" -1"]
                )
                data = (b":" if b":" in data else b",").join(parts)
    return data


@pytest.mark.parametrize("name", SEEDS)
def test_what_is_mutated_reads_before(tmp_path, name):
    path = tmp_path / name
    path.write_text(SEEDS[name], encoding="utf-8")
    turns = read_transcript(path, strict=True)
    assert turns
    assert (
        "Mara" not in " ".join(turn.text or "" for turn in turns) or name == "0.json"
    )  # that is taken as it is


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", SEEDS)
def test_mutated_transcripts_give_turns_or_one_line(tmp_path, name, strict):
    rng = random.Random(f"{SEED} {name} {strict}")
    path = tmp_path / name
    for _ in range(40 * TIMES):
        data = mutated(SEEDS[name].encode(), rng)
        path.write_bytes(data)
        notes: list[str] = []
        try:
            turns = read_transcript(path, strict=strict, notes=notes)
        except InputError as error:
            lines = [str(error)]
            named = str(error).startswith(f"{path}: ")
        else:
            lines, named = notes, True
            assert turns, data
            assert len({turn.id for turn in turns}) == len(turns), data
            assert not any(has_lone_surrogate(f"{turn.id} {turn.text}") for turn in turns), data
        assert named, data
        assert not any("\n" in line or len(line) > 1_000 + len(str(path)) for line in lines), data


def has_lone_surrogate(text):
    return any("\ud800" <= character <= "\udfff" for character in text)


TIMED = "00:00:01,000 --> 00:00:02,000\n"
LONG = {"a.srt": TIMED, "a.vtt": f"WEBVTT\n\n{TIMED}", "a.txt": "", "a.lrc": "[00:01.00]", "a.TextGrid": GRID}
LONG |= {
    "a.ass": "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,",
    "a.tsv": "start\tend\ttext\n0\t9000\t",
}


@pytest.mark.parametrize(
    "unit", ["<", "{\\", "-", "-->", "1", "1:", ":", " ", "&#9", "<v ", "[a", "(a", "*a", '"', "\n"]
)
def test_time_grows_no_faster_than_the_file(tmp_path, unit):
    def seconds(name, size):
        path = tmp_path / name
        path.write_text(LONG[name] + unit * (size // len(unit)), encoding="utf-8")
        times = []
        for _ in range(2):
            start = time.process_time()
            with contextlib.suppress(InputError):
                read_transcript(path)
            times.append(time.process_time() - start)
        return min(times)

    for name in LONG:
        # eight times the file: 64 times the time where that is quadratic
        assert seconds(name, 80_000) < 30 * max(seconds(name, 10_000), 0.003), name


def test_a_line_that_is_said_again_and_again_is_cleaned_once(tmp_path):
    path = tmp_path / "a.lrc"
    times = []
    for size in (10_000, 80_000):
        path.write_text("[00:01.00]" * (size // 20) + "ab " * (size // 6))
        start = time.process_time()
        notes: list[str] = []
        assert len(read_transcript(path, notes=notes)) == 50
        times.append(time.process_time() - start)
        assert f"line 1, times 51 to {size // 20}: a line is said at most 50 times" in notes[0]
    assert times[1] < 30 * max(times[0], 0.003)
