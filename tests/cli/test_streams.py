"""Standard input and pipes: read once, into a file of limited size, or refused with one line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mister_e.cli import streams
from mister_e.errors import InputError

pytestmark = pytest.mark.posix

SAMPLES = Path(__file__).parents[2] / "samples"
SUBTITLES = "1\n00:00:00,000 --> 00:00:02,000\nThank you so much!\n"


def mister_e(
    *arguments: object, data: bytes | None = None, stdin: int | None = None
) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mister_e", *map(str, arguments)]
    given = {"stdin": stdin} if data is None else {"input": data}
    return subprocess.run(command, capture_output=True, timeout=300, **given)


@pytest.mark.slow
def test_standard_input_is_analysed_as_its_file():
    recording = SAMPLES / "conversation.flac"
    ours = mister_e("analyze", "-", "--no-asr", "--format", "json", "-q", data=recording.read_bytes())
    theirs = mister_e("analyze", recording, "--no-asr", "--format", "json", "-q")
    assert ours.returncode == theirs.returncode == 0
    sent, file = (json.loads(done.stdout)["conversations"][0] for done in (ours, theirs))
    assert sent["utterances"] == file["utterances"]
    assert (sent["id"], sent["source"]) == ("stdin", "stdin")


@pytest.mark.slow
def test_a_page_plays_standard_input_and_other_outputs_name_it(tmp_path):
    outputs = ("-o", tmp_path / "a.html", "-o", tmp_path / "a.json")
    data = (SAMPLES / "conversation.flac").read_bytes()
    done = mister_e("analyze", "-", "--no-asr", "-q", "--embed-audio", *outputs, data=data)
    assert done.returncode == 0, done.stderr
    assert "data:audio/ogg;base64," in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert (
        json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["conversations"][0]["source"] == "stdin"
    )


@pytest.mark.slow
def test_a_pipe_of_subtitles_is_a_transcript(tmp_path):
    pipe = tmp_path / "words"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(SUBTITLES,), kwargs={"encoding": "utf-8"})
    writer.start()
    done = mister_e("analyze", pipe, "--format", "json", "-q")
    writer.join()
    assert done.returncode == 0, done.stderr
    (turn,) = json.loads(done.stdout)["conversations"][0]["utterances"]
    assert turn["text"] == "Thank you so much!"


@pytest.mark.parametrize(
    ("arguments", "data", "why"),
    [
        (("analyze", "-"), b"", "-: nothing came (0 bytes)"),
        (("analyze", "-"), b"no recording at all", "-: not audio or video that can be read"),
        (("analyze", "-", "--transcript", "-"), b"1", "-: is the recording and its transcript"),
        (("analyze", "/dev/zero"), b"", "/dev/zero: is a device"),
    ],
)
def test_what_cannot_be_read_is_one_line(arguments, data, why):
    done = mister_e(*arguments, "-q", data=data)
    assert done.returncode == 2
    error = done.stderr.decode()
    assert "Traceback" not in error
    assert why in " ".join(error.split())


def test_a_pipe_that_nobody_writes_to_is_told(tmp_path, monkeypatch):
    pipe = tmp_path / "a.wav"
    os.mkfifo(pipe)
    monkeypatch.setattr(streams, "_PATIENCE", 0.1)
    with pytest.raises(InputError, match="nobody writes"), streams.as_files([pipe]):
        pass


def test_a_stream_without_an_end_is_stopped(tmp_path, monkeypatch):
    pipe = tmp_path / "a.wav"
    os.mkfifo(pipe)
    monkeypatch.setattr(streams, "_MAX_BYTES", 1 << 20)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file, contextlib.suppress(BrokenPipeError):
            while True:
                file.write(bytes(1 << 16))

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(InputError, match="more than 0 GiB; give a file"), streams.as_files([pipe]):
        pass
    writer.join(timeout=30)
    assert not writer.is_alive()


def test_notes_and_errors_name_the_stream(analysis, turn):
    result = analysis(turn(1))
    (conversation,) = result.conversations
    notes = ("63: line 3 is no cue, left out", "7 turns: 63 words", "stdin: line 1 is no cue")
    result = replace(result, conversations=(replace(conversation, source="/tmp/m/0/63", notes=notes),))
    given = {Path("/dev/fd/63"): Path("/tmp/m/0/63"), streams.STDIN: Path("/tmp/m/1/stdin")}
    (named,) = streams.named_as_given(result, given).conversations
    assert named.source == "/dev/fd/63"
    assert named.notes == ("/dev/fd/63: line 3 is no cue, left out", *notes[1:])


def test_plain_files_are_left_as_they_are(tmp_path):
    plain = tmp_path / "a.wav"
    plain.write_bytes(b"RIFF")
    with streams.as_files([plain, tmp_path / "missing.wav", tmp_path]) as files:
        assert files == {}
