import csv
import io
import json
import os
import stat
import threading
from dataclasses import replace

import pytest

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.errors import InputError
from mister_e.experts import EXPERTS
from mister_e.files import replacing, write_text
from mister_e.labels import LabelSet

LABELS = LabelSet(("neutral", "joy"))

GONE = object()
TURN = ["conversations", 0, "utterances", 0, "emotion"]


def turn(name: str, start: float | None = 0.0, text: str | None = "Hello") -> TurnAnalysis:
    scores = {"neutral": 0.25, "joy": 0.75}
    return TurnAnalysis(
        name,
        start,
        None if start is None else start + 1.5,
        None,
        text,
        "joy",
        0.75,
        scores,
        {"speech": None, "text": scores, "fusion": None},
        {"speech": 0.0, "text": 1.0, "fusion": 0.0},
        ("speech",),
    )


def analysis(*conversations: ConversationAnalysis) -> Analysis:
    failed = (FailedInput("bad.wav", "bad.wav: empty"),)
    return Analysis("0.1.0", {"name": "mini"}, LABELS, conversations, failed)


def call(name: str = "call", **fields) -> ConversationAnalysis:
    turns = (turn("t1", **fields), turn("t2", **fields))
    return ConversationAnalysis(name, f"{name}.wav", 3.0, turns, ("a note",))


def test_json_round_trip_and_layout():
    before = analysis(call(), call("other"))
    assert Analysis.from_json(before.to_json()) == before
    data = json.loads(before.to_json())
    assert list(data) == ["mister_e", "model", "labels", "conversations", "errors"]
    first = data["conversations"][0]["utterances"][0]
    fields = (
        "id start end channel text asr_confidence text_uncertain language emotion confidence uncertain"
        " scores experts gate missing notes"
    )
    assert list(first) == fields.split()
    assert first["experts"]["speech"] is None
    assert data["errors"] == [{"source": "bad.wav", "error": "bad.wav: empty"}]


def doubtful(limit: object = 0.8) -> Analysis:
    """Two turns, the second uncertain."""
    sure, unsure = call().utterances
    conversation = replace(call(), utterances=(sure, replace(unsure, uncertain=True)))
    return replace(analysis(conversation), model={"name": "mini", "uncertain_below": limit})


def test_uncertain_turns_survive_and_every_format_tells_them():
    before = doubtful()
    assert Analysis.from_json(before.to_json()) == before
    assert before.uncertain_below == json.loads(before.to_json())["model"]["uncertain_below"] == 0.8
    assert [json.loads(line)["uncertain"] for line in before.to_jsonl().splitlines()] == [False, True]
    rows = list(csv.DictReader(io.StringIO(before.to_csv())))
    assert [row["uncertain"] for row in rows] == ["false", "true"]
    assert before.to_dataframe()["uncertain"].to_list() == [False, True]
    for subtitles in (before.to_srt(), before.to_vtt()):
        assert "[joy 75%] Hello" in subtitles
        assert "[joy ? 75%] Hello" in subtitles


def test_json_of_a_version_without_uncertainty_is_read():
    data = json.loads(analysis(call()).to_json())
    for utterance in data["conversations"][0]["utterances"]:
        del utterance["uncertain"]
    read = Analysis.from_json(json.dumps(data))
    assert read == analysis(call())
    assert read.uncertain_below is None
    assert not any(each.uncertain for each in read)


def test_uncertain_words_survive_and_every_format_tells_them():
    sure, unsure = call().utterances
    heard = replace(unsure, asr_confidence=0.25, text_uncertain=True, missing=("speech", "text"))
    before = analysis(replace(call(), utterances=(sure, heard)))
    assert Analysis.from_json(before.to_json()) == before
    rows = list(csv.DictReader(io.StringIO(before.to_csv())))
    assert [(row["asr_confidence"], row["text_uncertain"]) for row in rows] == [
        ("", "false"),
        ("0.25", "true"),
    ]
    assert list(rows[0])[-5:] == ["missing", "asr_confidence", "text_uncertain", "language", "notes"]
    assert before.to_dataframe()["asr_confidence"].to_list() == [None, 0.25]
    assert before.to_dataframe()["text_uncertain"].to_list() == [False, True]
    for subtitles in (before.to_srt(), before.to_vtt()):
        assert "[joy 75%] Hello\n" in subtitles
        assert "[joy 75%] Hello (?)" in subtitles
    data = json.loads(before.to_json())
    for utterance in data["conversations"][0]["utterances"]:
        del utterance["asr_confidence"], utterance["text_uncertain"]
    former = Analysis.from_json(json.dumps(data))  # of a version without the fields
    assert not any(each.text_uncertain or each.asr_confidence for each in former)


@pytest.mark.parametrize("limit", ["0.4", None, True])
def test_a_limit_that_is_no_number_is_none(limit):
    assert doubtful(limit).uncertain_below is None


def test_bad_json_says_where():
    with pytest.raises(InputError, match=r"not JSON \(.*line 2 column 5\)"):
        Analysis.from_json('{\n"a" 1}')
    with pytest.raises(InputError) as caught:
        Analysis.from_json("[]")
    assert str(caught.value).startswith("not an analysis as this version of mister-e writes it: the whole: ")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["labels"], None, "labels: Input should be a valid array"),
        (["other"], 1, "other: is not a field of this layout"),
        (["conversations", 0, "utterances", 1], "t2", "conversations[0].utterances[1]: Input should be"),
        (TURN, GONE, "conversations[0].utterances[0].emotion: is missing"),
        (TURN, 3, "conversations[0].utterances[0].emotion: Input should be a valid string"),
        ([*TURN[:-1], "feeling"], "joy", "conversations[0].utterances[0].feeling: is not a field"),
        ([*TURN[:-1], "start"], "0:01", "conversations[0].utterances[0].start: Input should be a valid num"),
        ([*TURN[:-1], "start"], float("nan"), "conversations[0].utterances[0].start: Input should be a fin"),
        ([*TURN[:-1], "gate", "text"], GONE, "conversations[0].utterances[0].gate.text: is missing"),
        (
            [*TURN[:-1], "scores", "joy"],
            GONE,
            "conversations[0].utterances[0].scores: has not one score for each of the labels neutral, joy",
        ),
        (
            [*TURN[:-1], "experts", "text", "anger"],
            0.0,
            "conversations[0].utterances[0].experts.text: has not one score for each of the labels",
        ),
        (
            [*TURN[:-1], "uncertain"],
            "no",
            "conversations[0].utterances[0].uncertain: Input should be a valid b",
        ),
        (
            [*TURN[:-1], "experts", "video"],
            None,
            "conversations[0].utterances[0].experts.video: is not a field",
        ),
        (["conversations", 0, "waveform"], [0.5], "conversations[0].waveform: is not a field of this layout"),
        (["errors", 0, "source"], GONE, "errors[0].source: is missing"),
    ],
)
def test_json_of_another_layout_names_the_field(path, value, message):
    data = json.loads(analysis(call()).to_json())
    *way, last = path
    part = data
    for step in way:
        part = part[step]
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    with pytest.raises(InputError) as caught:
        Analysis.from_json(json.dumps(data))
    assert str(caught.value).startswith(f"not an analysis as this version of mister-e writes it: {message}")


def test_iterating_goes_over_all_turns():
    whole = analysis(call(), call("other"))
    assert [each.id for each in whole] == ["t1", "t2", "t1", "t2"]
    assert len(whole) == 4
    assert next(iter(whole)).trusted == "text"


def test_csv_and_dataframe_hold_the_same():
    whole = analysis(call(text='He said "no", then\nleft'))
    rows = list(csv.DictReader(io.StringIO(whole.to_csv())))
    frame = whole.to_dataframe()
    assert frame.columns == list(rows[0])
    assert [row["text"] for row in rows] == frame["text"].to_list()
    assert [row["source"] for row in rows] == frame["source"].to_list() == ["call.wav", "call.wav"]
    assert frame["gate_text"].to_list() == [1.0, 1.0]
    gates = [name for name in frame.columns if name.startswith("gate_")]
    assert gates == [f"gate_{name}" for name in EXPERTS]
    assert analysis().to_dataframe().columns == frame.columns
    assert analysis().to_csv().count("\n") == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "- Well, no."]
)
def test_no_cell_of_csv_is_a_formula(text):
    whole = analysis(replace(call(text=text), id="=id", source="-x.wav"))
    row, _ = csv.DictReader(io.StringIO(whole.to_csv(), newline=""))
    assert (row["text"], row["conversation"], row["source"]) == (
        "'" + text.replace("\r", "\n"),
        "'=id",
        "'-x.wav",
    )
    # the exact words are elsewhere, and numbers stay numbers
    assert whole.to_dataframe()["text"][0] == text
    assert json.loads(whole.to_json())["conversations"][0]["utterances"][0]["text"] == text
    assert float(row["confidence"]) == next(iter(whole)).confidence
    (plain, _) = csv.DictReader(io.StringIO(analysis(call(text="1 = 1 - 0")).to_csv()))
    assert plain["text"] == "1 = 1 - 0"


def test_subtitles_refuse_times_that_no_player_has():
    first, *rest = call().utterances
    late = replace(call(), utterances=(replace(first, end=1e306), *rest))
    for write in (analysis(late).to_srt, analysis(late).to_vtt):
        with pytest.raises(InputError, match="turn t1 ends at 1e\\+306 s; use json"):
            write()


def test_a_model_that_weighs_no_experts_trusts_none():
    unweighed = replace(turn("t1"), gate=dict.fromkeys(EXPERTS, 0.0))
    assert unweighed.trusted is None
    whole = analysis(replace(call(), utterances=(unweighed,)))
    assert Analysis.from_json(whole.to_json()) == whole
    (row,) = csv.DictReader(io.StringIO(whole.to_csv()))
    assert [row[f"gate_{name}"] for name in EXPERTS] == ["0.0"] * 3


def test_jsonl_is_one_turn_a_line():
    lines = analysis(call(), call("other")).to_jsonl().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["conversation"] for row in rows] == ["call", "call", "other", "other"]
    assert [row["source"] for row in rows] == ["call.wav", "call.wav", "other.wav", "other.wav"]


def test_subtitles_carry_the_emotion():
    srt = analysis(call()).to_srt()
    assert "00:00:00,000 --> 00:00:01,500\n[joy 75%] Hello" in srt
    assert analysis(call()).to_vtt().startswith("WEBVTT\n")
    with pytest.raises(InputError, match="one conversation"):
        analysis(call(), call()).to_srt()
    with pytest.raises(InputError, match="turn t1 has none"):
        analysis(call(start=None)).to_srt()


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.txt"
    write_text(path, "first")

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "x")
    with pytest.raises(InputError, match="does not exist"):
        write_text(tmp_path / "no" / "out.txt", "x")


@pytest.mark.posix
def test_a_pipe_is_written_to_and_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "said")
    reader.join(30)
    assert heard == ["said"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.posix
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    real, link = tmp_path / "disk" / "real.txt", tmp_path / "link.txt"
    real.parent.mkdir()
    link.symlink_to("disk/real.txt")
    for text in ("first", "second"):
        write_text(link, text)
        assert real.read_text() == text
    assert link.is_symlink()
    assert list(real.parent.iterdir()) == [real]
    link.unlink()
    link.symlink_to("gone/real.txt")
    with pytest.raises(InputError) as caught:
        write_text(link, "x")
    assert str(caught.value) == f"{link}: the folder {tmp_path}/gone does not exist; make it first"
