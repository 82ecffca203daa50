from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mister_e.analysis.result import Analysis
from mister_e.analysis.turns import FailedInput
from mister_e.cli.inputs import Found
from mister_e.cli.outputs import Output, choose
from mister_e.cli.writing import Writer
from mister_e.errors import InputError
from mister_e.inputs import Input


def found(*names: str, several: bool | None = None) -> Found:
    inputs = tuple(Input(Path(name), None, Path(name).stem) for name in names)
    return Found(inputs, len(inputs) > 1 if several is None else several)


CALL = found("calls/call.wav")
TWO = found("calls/a.wav", "calls/b.wav")


def formats(outputs: list[Output]) -> list[str]:
    return [output.format for output in outputs]


def save(analysis: Analysis, outputs: list[Output]) -> Writer:
    writer = Writer(outputs)
    for conversation in analysis.conversations:
        writer.write_conversation(replace(analysis, conversations=(conversation,), errors=()))
    writer.write_all(analysis)
    return writer


def test_stdout_gets_a_table_unless_told_otherwise():
    assert choose([], None, CALL) == [Output("table")]
    assert choose(["-"], "csv", CALL) == [Output("csv")]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "srt", "vtt", "html"])
def test_the_extension_tells_the_format(tmp_path, form):
    assert choose([str(tmp_path / f"out.{form.upper()}")], None, CALL)[0].format == form


def test_a_single_output_obeys_the_format_option(tmp_path):
    assert formats(choose([str(tmp_path / "out.txt")], "srt", CALL)) == ["srt"]
    assert formats(choose([str(tmp_path / "out.json")], "jsonl", CALL)) == ["jsonl"]


def test_several_outputs_follow_their_names_and_the_option_serves_the_rest(tmp_path):
    paths = [f"{tmp_path}/a.html", "-", f"{tmp_path}/b.log"]
    assert formats(choose(paths, "jsonl", CALL)) == ["html", "jsonl", "jsonl"]
    assert formats(choose([f"{tmp_path}/a.html", "-"], None, CALL)) == ["html", "table"]


def test_a_name_that_tells_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not tell the format"):
        choose([str(tmp_path / "out.txt")], None, CALL)


def test_subtitles_of_several_inputs_need_a_folder(tmp_path):
    for places in ([], [f"{tmp_path}/all.srt"]):
        with pytest.raises(InputError) as caught:
            choose(places, "srt", TWO)
        assert str(caught.value) == "srt holds one conversation, got 2 inputs; give a folder with -o"
    assert choose([str(tmp_path)], "srt", TWO) == [Output("srt", folder=tmp_path)]


def test_a_folder_needs_a_format(tmp_path):
    with pytest.raises(InputError) as caught:
        choose([str(tmp_path)], None, TWO)
    assert (
        str(caught.value) == f"{tmp_path}: is a folder; say with --format what each conversation's file holds"
    )


@pytest.mark.parametrize(
    ("place", "inputs"),
    [
        ("results/", CALL),
        ("results/", TWO),
        ("results", TWO),
        ("results", found("calls/call.wav", several=True)),
    ],
)
def test_a_folder_is_made_where_one_is_meant(analysis, tmp_path, monkeypatch, place, inputs):
    monkeypatch.chdir(tmp_path)
    outputs = choose([place], "json", inputs)
    assert not Path("results").exists(), "only when there is something to write"
    save(analysis(sources=tuple(str(given) for given in inputs.inputs)), outputs)
    assert sorted(path.name for path in Path("results").iterdir()) == [
        f"{given.name}.json" for given in inputs.inputs
    ]


def test_a_slash_after_a_file_or_in_a_missing_folder_is_refused(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(InputError, match=r"results/: is a file, not a folder; leave the slash out"):
        choose([f"{tmp_path}/results/"], "json", TWO)
    with pytest.raises(InputError, match=r"results: the folder .*none does not exist; make it first"):
        choose([f"{tmp_path}/none/results/"], "json", TWO)


def test_one_input_and_a_name_without_extension_make_a_file(tmp_path):
    assert choose([f"{tmp_path}/results"], "json", CALL) == [Output("json", tmp_path / "results")]


def test_no_input_is_overwritten(tmp_path):
    recording, words = tmp_path / "call.wav", tmp_path / "call.srt"
    given = Found((Input(recording, words, "call"),), several=False)
    for place, form in ((recording, "json"), (words, "srt"), (tmp_path, "srt")):
        with pytest.raises(InputError, match="is one of the inputs and would be overwritten; choose another"):
            choose([str(place)], form, given)


GIVEN = ("{calls}/chat.srt", "../calls/chat.srt", "{work}/input.srt")
OUT = ("../calls/chat.srt", "link.srt", "{calls}/../calls/chat.srt", "../calls/")


@pytest.mark.parametrize(
    ("given", "out"),
    # in a folder the result of input.srt has that name, and overwrites nothing
    [(given, out) for given in GIVEN for out in OUT if (given, out) != (GIVEN[-1], OUT[-1])],
)
def test_no_input_is_overwritten_from_another_folder(run, chat, tmp_path, monkeypatch, given, out):
    calls, work = tmp_path / "calls", tmp_path / "work"
    calls.mkdir()
    work.mkdir()
    words = chat.rename(calls / "chat.srt")
    for name in ("link.srt", "input.srt"):
        (work / name).symlink_to("../calls/chat.srt")
    before = words.read_bytes()
    monkeypatch.chdir(work)
    given, out = (word.format(calls=calls, work=work) for word in (given, out))
    result = run("analyze", given, "--format", "srt", "-o", out)
    assert result.exit_code == 2
    assert "is one of the inputs and would be overwritten; choose another output" in result.stderr
    assert words.read_bytes() == before
    assert (work / "link.srt").is_symlink()


@pytest.mark.posix
def test_no_transcript_of_a_recording_is_overwritten_from_another_folder(run, tmp_path, monkeypatch):
    calls, work = tmp_path / "calls", tmp_path / "work"
    calls.mkdir()
    work.mkdir()
    (calls / "call.wav").write_bytes(b"sound")
    (calls / "call.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nHello\n")
    (work / "link.srt").symlink_to(calls / "call.srt")
    monkeypatch.chdir(work)
    for words in (["../calls/call.wav", "--transcript", "../calls/call.srt"], ["../calls"]):
        result = run("analyze", *words, "--format", "srt", "-o", "link.srt")
        assert result.exit_code == 2
        assert "link.srt: is one of the inputs and would be overwritten" in result.stderr
    assert (calls / "call.srt").read_text().endswith("Hello\n")


def test_two_outputs_have_two_places(tmp_path):
    for places in ([f"{tmp_path}/a.json"] * 2, ["-", "-"], [str(tmp_path), f"{tmp_path}/call.json"]):
        with pytest.raises(InputError) as caught:
            choose(places, "json", CALL)
        assert str(caught.value) == "two outputs go to the same place: give each -o a place of its own"


@pytest.mark.posix
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path):
    with pytest.raises(InputError) as caught:
        choose([f"{tmp_path}/none/out.json"], None, CALL)
    assert (
        str(caught.value)
        == f"{tmp_path}/none/out.json: the folder {tmp_path}/none does not exist; make it first"
    )
    with pytest.raises(
        InputError, match=r"^/proc/out\.json: cannot write there \(.*\); choose another output$"
    ):
        choose(["/proc/out.json"], None, CALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["out.json", "results/", "."])
@pytest.mark.posix
def test_a_read_only_folder_is_found_before_the_work(tmp_path, place):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("this user (root) may write to read-only folders")
    with pytest.raises(InputError, match=r"cannot write there \(Permission denied\); choose another output$"):
        choose([f"{locked}/{place}"], "json", CALL)


def test_one_analysis_goes_to_every_output(analysis, tmp_path, capfdbinary):
    as_json, as_csv = tmp_path / "out.json", tmp_path / "out.csv"
    wanted = analysis()
    writer = save(wanted, choose([str(as_json), "-", str(as_csv)], "jsonl", CALL))
    assert writer.written == [as_json, as_csv]
    assert writer.failures == []
    assert Analysis.from_json(as_json.read_text()) == wanted
    assert as_csv.read_text() == wanted.to_csv()
    assert json.loads(capfdbinary.readouterr().out)["conversation"] == "call"


def test_a_folder_gets_one_conversation_a_file(analysis, tmp_path):
    whole = analysis(sources=("calls/a.wav", "calls/b.wav"))
    whole = replace(whole, errors=(FailedInput("calls/bad.wav", "the file is empty"),))
    inputs = found("calls/a.wav", "calls/bad.wav", "calls/b.wav")
    save(whole, choose([str(tmp_path)], "json", inputs))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]
    for name in "ab":
        (conversation,) = Analysis.from_json((tmp_path / f"{name}.json").read_text()).conversations
        assert conversation.source == f"calls/{name}.wav"


def test_a_format_that_cannot_hold_the_analysis_leaves_the_other_outputs(analysis, turn, tmp_path):
    outputs = choose([f"{tmp_path}/out.srt", f"{tmp_path}/out.json"], None, CALL)
    writer = save(analysis(turn(start=None)), outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert [str(failure) for failure in writer.failures] == [
        f"{tmp_path}/out.srt: subtitles need times: turn 1 has none; use json or csv"
    ]


def test_a_conversation_without_times_leaves_the_subtitles_of_the_others(analysis, turn, tmp_path):
    whole = analysis(sources=("calls/a.wav", "calls/b.wav"))
    untimed = replace(whole.conversations[0], utterances=(turn(start=None),))
    whole = replace(whole, conversations=(untimed, whole.conversations[1]))
    writer = save(whole, choose([str(tmp_path)], "srt", TWO))
    assert [path.name for path in tmp_path.iterdir()] == ["b.srt"]
    assert [str(failure) for failure in writer.failures] == [
        "calls/a.wav: subtitles need times: turn 1 has none; use json or csv"
    ]


def full_disk(path: Path, text: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_by_the_file_and_the_other_outputs_are_tried(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr("mister_e.cli.writing.write_text", full_disk)
    outputs = choose([f"{tmp_path}/out.json", f"{tmp_path}/results/", "-"], "csv", CALL)
    writer = save(analysis(), outputs)
    what = "cannot be written (No space left on device); make room or choose another output"
    assert [str(failure) for failure in writer.failures] == [
        f"{tmp_path}/results/call.csv: {what}",
        f"{tmp_path}/out.json: {what}",
    ]
    assert writer.written == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.posix
@pytest.mark.slow
def test_a_full_device_is_told_in_one_line(run, chat):
    result = run("analyze", chat, "-o", "/dev/full", "--format", "json")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: /dev/full: cannot write there (No space left on device); choose another output\n"
    )
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "mister_e", "analyze", str(chat)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "error: stdout: cannot be written (No space left on device); make room or choose another output\n",
    )


@pytest.mark.posix
def test_a_pipe_is_written_to_and_stays_a_pipe(analysis, tmp_path):
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    writer = save(analysis(), choose([str(pipe)], None, CALL))
    reader.join(30)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert writer.failures == []
    assert Analysis.from_json(heard[0]) == analysis()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.posix
def test_a_link_stays_one_and_its_file_is_replaced(analysis, tmp_path):
    real, link = tmp_path / "disk" / "real.json", tmp_path / "latest.json"
    real.parent.mkdir()
    link.symlink_to(real)
    for before in ("", "old"):
        if before:
            real.write_text(before)
        save(analysis(), choose([str(link)], None, CALL))
        assert link.is_symlink()
        assert Analysis.from_json(real.read_text()) == analysis()
    assert list(real.parent.iterdir()) == [real]


def test_a_table_in_a_file_has_no_colours(analysis, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = tmp_path / "out.txt"
    save(analysis(), choose([str(out)], "table", CALL))
    assert "I know." in out.read_text(encoding="utf-8")
    assert "\x1b" not in out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_error():
    script = "from mister_e.cli.outputs import to_stdout\nfor _ in range(9): to_stdout('x' * 99_999)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
