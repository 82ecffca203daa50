"""The command as people run it, with the bundled model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mister_e import __version__
from mister_e.analysis import Analysis


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["analyze", "--help"]])
def test_version_and_help_do_not_wait_for_torch(words):
    script = (
        "import sys\nfrom mister_e.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'av'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (__version__ if words == ["--version"] else "Usage") in result.stdout


def test_help_explains_every_option_and_shows_examples(run):
    text = run("analyze", "--help").stdout
    for option in ("--transcript", "--model", "--channels", "--no-asr", "--language", "--format", "--output"):
        assert option in text
    assert "Examples" in text


@pytest.mark.parametrize("words", [["analyze"], ["analyze", "x.wav", "--format", "bogus"], ["nonsense"]])
def test_wrong_usage_ends_with_2(run, words):
    assert run(*words).exit_code == 2


def test_a_transcript_alone_gives_a_table_and_no_codes_when_piped(run, chat):
    result = run("analyze", chat)
    assert result.exit_code == 0, result.stderr
    assert "I'm so sorry." in result.stdout
    assert "\x1b" not in result.output
    # the words alone: no weight on speech
    row = next(line for line in result.stdout.splitlines() if "sorry" in line)
    assert row.split()[-1] == "T" * 10


def test_one_run_writes_every_output(run, chat, tmp_path):
    names = [tmp_path / f"out.{form}" for form in ("json", "csv", "vtt", "html")]
    options = [word for name in names for word in ("-o", name)]
    result = run("analyze", chat, *options, "-o", "-", "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    assert all(name.stat().st_size for name in names)
    analysis = Analysis.from_json(names[0].read_text(encoding="utf-8"))
    assert [json.loads(line)["emotion"] for line in result.stdout.splitlines()] == [
        turn.emotion for turn in analysis
    ]
    assert all(f"wrote: {name}" in result.stderr for name in names)


def test_one_bad_file_does_not_stop_the_rest(run, chat, tmp_path):
    empty = tmp_path / "empty.wav"
    empty.touch()
    result = run("analyze", empty, chat, tmp_path / "missing.wav", "--format", "json")
    assert result.exit_code == 2
    analysis = Analysis.from_json(result.stdout)
    assert [one.source for one in analysis.conversations] == [str(chat)]
    assert [one.source for one in analysis.errors] == [str(empty), str(tmp_path / "missing.wav")]
    assert result.stderr.count("error:") == 2


def test_a_folder_gives_a_file_for_each(run, chat, tmp_path):
    (tmp_path / "empty.wav").touch()
    out = tmp_path / "out"
    out.mkdir()
    result = run("analyze", tmp_path, "--format", "srt", "-o", out)
    assert result.exit_code == 2, "the empty recording is bad input"
    assert [path.name for path in out.iterdir()] == ["chat.srt"]
    assert "I'm so sorry." in (out / "chat.srt").read_text(encoding="utf-8")


def test_an_empty_file_alone_is_bad_input(run, tmp_path):
    empty = tmp_path / "empty.wav"
    empty.touch()
    result = run("analyze", empty, "-o", tmp_path / "out.json")
    assert result.exit_code == 2
    assert "empty.wav" in result.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.wav"], "missing.wav: no such file or folder"),
        (["{folder}"], "no recording or transcript in this folder"),
        (["{chat}", "--model", "no-such-model"], "no-such-model"),
        (["{chat}", "{chat}.wav", "--transcript", "{chat}"], "exactly one recording, got 2 inputs"),
        (["{chat}", "-o", "{folder}/none/out.json"], "make it first"),
        (["{chat}", "-o", "{folder}/out.xyz"], "does not tell the format"),
        (["{chat}", "-o", "{chat}"], "would be overwritten"),
        (["{chat}", "--embed-audio"], "--embed-audio is for html"),
    ],
)
def test_bad_input_ends_with_2_and_says_the_way_out(run, chat, tmp_path, words, message):
    folder = tmp_path / "folder"
    folder.mkdir()
    result = run("analyze", *[word.format(chat=chat, folder=folder) for word in words])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_quiet_leaves_stderr_empty(run, chat, tmp_path):
    assert run("analyze", chat, "--quiet", "-o", tmp_path / "out.json").stderr == ""


def test_ctrl_c_midway_leaves_no_output(recording, tmp_path):
    # the signal comes with the first progress of real work, wherever that is
    script = (
        "import contextlib, os, signal\n"
        "from mister_e.cli import analyze, main\n"
        "def interrupt(stage, done, total):\n"
        "    if done: os.kill(os.getpid(), signal.SIGINT)\n"
        "analyze.shown = lambda quiet: contextlib.nullcontext(interrupt)\n"
        "main()"
    )
    words = ["analyze", recording, "-o", tmp_path / "out.json", "-o", tmp_path / "out.html"]
    result = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True)
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_sample_with_its_transcript(run, recording, tmp_path):
    out = tmp_path / "out.json"
    words = recording.with_suffix(".srt")
    result = run("analyze", recording, "--transcript", words, "-o", out)
    assert result.exit_code == 0, result.stderr
    (conversation,) = Analysis.from_json(out.read_text(encoding="utf-8")).conversations
    assert 10 <= len(conversation) <= 16
    assert all(turn.missing == () and turn.experts["speech"] is not None for turn in conversation)
