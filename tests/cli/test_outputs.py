from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mister_e.analysis import Analysis, FailedInput
from mister_e.cli.outputs import Output, choose, write
from mister_e.errors import InputError

CALL = [Path("calls/call.wav")]
TWO = [Path("calls/a.wav"), Path("calls/b.wav")]


def formats(outputs: list[Output]) -> list[str]:
    return [output.format for output in outputs]


def test_stdout_gets_a_table_unless_told_otherwise():
    assert choose([], None, CALL) == [Output("table")]
    assert choose([Path("-")], "csv", CALL) == [Output("csv")]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "srt", "vtt", "html"])
def test_the_extension_tells_the_format(tmp_path, form):
    assert choose([tmp_path / f"out.{form.upper()}"], None, CALL)[0].format == form


def test_a_single_output_obeys_the_format_option(tmp_path):
    assert formats(choose([tmp_path / "out.txt"], "srt", CALL)) == ["srt"]
    assert formats(choose([tmp_path / "out.json"], "jsonl", CALL)) == ["jsonl"]


def test_several_outputs_follow_their_names_and_the_option_serves_the_rest(tmp_path):
    paths = [tmp_path / "a.html", Path("-"), tmp_path / "b.log"]
    assert formats(choose(paths, "jsonl", CALL)) == ["html", "jsonl", "jsonl"]
    assert formats(choose([tmp_path / "a.html", Path("-")], None, CALL)) == ["html", "table"]


def test_a_name_that_tells_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not tell the format"):
        choose([tmp_path / "out.txt"], None, CALL)


def test_subtitles_of_several_inputs_need_a_folder(tmp_path):
    for paths in ([], [tmp_path / "all.srt"]):
        with pytest.raises(InputError, match="srt holds one conversation, got 2 inputs; give a folder"):
            choose(paths, "srt", TWO)
    (output,) = choose([tmp_path], "srt", TWO)
    assert list(output.each.values()) == [tmp_path / "a.srt", tmp_path / "b.srt"]


def test_a_folder_needs_a_format(tmp_path):
    with pytest.raises(InputError, match="is a folder; say with --format"):
        choose([tmp_path], None, TWO)


def test_equal_stems_get_different_files(tmp_path):
    inputs = [Path("x/call.wav"), Path("y/call.wav"), Path("call-2.wav")]
    (output,) = choose([tmp_path], "json", inputs)
    assert len(set(output.each.values())) == 3


def test_no_input_is_overwritten(tmp_path):
    recording, words = tmp_path / "call.wav", tmp_path / "call.srt"
    for out, form in ((recording, "json"), (words, "srt"), (tmp_path, "srt")):
        with pytest.raises(InputError, match="would be overwritten"):
            choose([out], form, [recording], words)


def test_two_outputs_have_two_places(tmp_path):
    for paths in ([tmp_path / "a.json", tmp_path / "a.json"], [Path("-"), Path("-")]):
        with pytest.raises(InputError, match="same place"):
            choose(paths, None, CALL)


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path):
    with pytest.raises(InputError, match="does not exist; make it first"):
        choose([tmp_path / "none" / "out.json"], None, CALL)
    with pytest.raises(InputError, match="cannot write there"):
        choose([Path("/proc/out.json")], None, CALL)
    assert list(tmp_path.iterdir()) == []


def test_one_analysis_goes_to_every_output(analysis, tmp_path, capfdbinary):
    as_json, as_csv = tmp_path / "out.json", tmp_path / "out.csv"
    wanted = analysis()
    files = write(wanted, choose([as_json, Path("-"), as_csv], "jsonl", CALL))
    assert files == [as_json, as_csv]
    assert Analysis.from_json(as_json.read_text()) == wanted
    assert as_csv.read_text() == wanted.to_csv()
    assert json.loads(capfdbinary.readouterr().out)["conversation"] == "call"


def test_a_folder_gets_one_conversation_a_file(analysis, tmp_path):
    inputs = [Path("calls/a.wav"), Path("calls/bad.wav"), Path("calls/b.wav")]
    judged = analysis(sources=("calls/a.wav", "calls/b.wav"))
    judged = replace(judged, errors=(FailedInput("calls/bad.wav", "the file is empty"),))
    write(judged, choose([tmp_path], "json", inputs))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]
    for name in "ab":
        (conversation,) = Analysis.from_json((tmp_path / f"{name}.json").read_text()).conversations
        assert conversation.source == f"calls/{name}.wav"


def test_nothing_is_written_when_a_format_cannot_hold_the_analysis(analysis, turn, tmp_path):
    outputs = choose([tmp_path / "out.json", tmp_path / "out.srt"], None, CALL)
    with pytest.raises(InputError, match="subtitles need times"):
        write(analysis(turn(start=None)), outputs)
    assert list(tmp_path.iterdir()) == []


def test_a_table_in_a_file_has_no_colours(analysis, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = tmp_path / "out.txt"
    write(analysis(), choose([out], "table", CALL))
    assert "I know." in out.read_text()
    assert "\x1b" not in out.read_text()


def test_a_reader_that_leaves_early_is_no_error():
    script = "from mister_e.cli.outputs import to_stdout\nfor _ in range(9): to_stdout('x' * 99_999)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
