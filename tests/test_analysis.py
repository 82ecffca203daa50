import csv
import io
import json

import pytest

from mister_e.analysis import EXPERTS, Analysis, ConversationAnalysis, FailedInput, TurnAnalysis
from mister_e.errors import InputError
from mister_e.files import replacing, write_text
from mister_e.labels import LabelSet

LABELS = LabelSet(("neutral", "joy"))


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
    fields = "id start end channel text emotion confidence scores experts gate missing"
    assert list(first) == fields.split()
    assert first["experts"]["speech"] is None
    assert data["errors"] == [{"source": "bad.wav", "error": "bad.wav: empty"}]


def test_bad_json_says_where():
    with pytest.raises(InputError, match="line 2: not JSON"):
        Analysis.from_json('{\n"a" 1}')
    with pytest.raises(InputError, match="not an analysis written by mister-e"):
        Analysis.from_json("{}")


def test_iterating_goes_over_all_turns():
    whole = analysis(call(), call("other"))
    assert [one.id for one in whole] == ["t1", "t2", "t1", "t2"]
    assert len(whole) == 4
    assert next(iter(whole)).trusted == "text"


def test_csv_and_dataframe_hold_the_same():
    whole = analysis(call(text='He said "no", then\nleft'))
    rows = list(csv.DictReader(io.StringIO(whole.to_csv())))
    frame = whole.to_dataframe()
    assert frame.columns == list(rows[0])
    assert [row["text"] for row in rows] == frame["text"].to_list()
    assert frame["gate_text"].to_list() == [1.0, 1.0]
    gates = [name for name in frame.columns if name.startswith("gate_")]
    assert gates == [f"gate_{name}" for name in EXPERTS]
    assert analysis().to_dataframe().columns == frame.columns
    assert analysis().to_csv().count("\n") == 1


def test_jsonl_is_one_turn_a_line():
    lines = analysis(call(), call("other")).to_jsonl().splitlines()
    assert [json.loads(line)["conversation"] for line in lines] == ["call", "call", "other", "other"]


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
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "x")
    with pytest.raises(InputError, match="does not exist"):
        write_text(tmp_path / "no" / "out.txt", "x")
