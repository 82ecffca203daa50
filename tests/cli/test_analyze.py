"""The command as people run it, with the bundled model."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import subprocess
import sys

import pytest

from mister_e.analysis.result import Analysis
from mister_e.pretrained import model_folder
from mister_e.version import __version__

MODULE = "import runpy; runpy.run_module('mister_e', run_name='__main__')"


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


def test_neighbours_of_one_emotion_are_folded_when_asked(run, tmp_path):
    path = tmp_path / "same.srt"
    cue = "{0}\n00:00:0{0},000 --> 00:00:0{0},900\nI'm so sorry.\n"
    path.write_text("\n".join(cue.format(number) for number in (1, 2, 3)), encoding="utf-8")
    for option, rows in (("--fold", 1), ("--no-fold", 3)):
        result = run("analyze", path, option)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("I'm so sorry.") == rows


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


def test_a_folder_gives_a_file_for_each_that_is_made_for_them(run, chat, tmp_path):
    calls, out = tmp_path / "calls", tmp_path / "out"
    calls.mkdir()
    shutil.copy(chat, calls / "a.srt")
    shutil.copy(chat, calls / "b.srt")
    (calls / "broken.vtt").write_text("WEBVTT\n\nnonsense\n")
    result = run("analyze", calls, "--format", "srt", "-o", out)
    assert result.exit_code == 2, "the broken transcript is bad input"
    assert sorted(path.name for path in out.iterdir()) == ["a.srt", "b.srt"]
    assert "I'm so sorry." in (out / "b.srt").read_text(encoding="utf-8")


def test_what_is_done_before_ctrl_c_is_kept(run, chat, tmp_path, monkeypatch):
    def interrupt(stage: str, done: float, total: float) -> None:
        if stage.startswith("file 3 of 3: c.srt · "):
            raise KeyboardInterrupt

    calls, out = tmp_path / "calls", tmp_path / "out"
    calls.mkdir()
    for name in "abc":
        shutil.copy(chat, calls / f"{name}.srt")
    monkeypatch.setattr(
        "mister_e.cli.verbs.analyze.progress_bar", lambda quiet: contextlib.nullcontext(interrupt)
    )
    result = run("analyze", calls, "--format", "json", "-o", out)
    assert result.exit_code == 130
    assert result.stderr == f"wrote: {out}/a.json\nwrote: {out}/b.json\nstopped\n"
    for path in out.iterdir():
        (conversation,) = Analysis.from_json(path.read_text(encoding="utf-8")).conversations
        assert conversation.id == path.stem


def test_a_folder_does_not_eat_its_own_results(run, recording, tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    shutil.copy(recording, calls / "call.flac")
    shutil.copy(recording.with_suffix(".srt"), calls / "call.srt")
    (calls / "README.txt").write_text("Do not judge me.")
    for _ in range(2):
        result = run("analyze", calls, "-o", calls / "out.csv")
        assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines() == [
        "note: the words of 1 recording come from the transcripts beside them: call.srt",
        "note: skipped 2 files that are not recordings: README.txt, out.csv",
        f"wrote: {calls}/out.csv",
    ]
    rows = list(csv.DictReader((calls / "out.csv").open(encoding="utf-8")))
    assert {(row["conversation"], row["source"]) for row in rows} == {("call", f"{calls}/call.flac")}


def test_one_format_that_does_not_fit_leaves_the_other_outputs(run, tmp_path):
    words = tmp_path / "chat.txt"
    words.write_text("I can't believe you did that!\n")
    names = [tmp_path / f"out.{form}" for form in ("srt", "html", "json")]
    options = [word for name in names for word in ("-o", name)]
    result = run("analyze", words, *options, "--embed-audio")
    assert result.exit_code == 2
    assert [name.exists() for name in names] == [False, True, True]
    assert result.stderr.splitlines()[-1] == (
        f"error: {names[0]}: subtitles need times: turn t0001 has none; use json or csv"
    )


def test_a_bad_cue_costs_itself_or_with_strict_the_file(run, chat, recording, tmp_path):
    chat.write_text(chat.read_text(encoding="utf-8").replace("05,000", "01,000"), encoding="utf-8")
    fault = "line 6: ends (1 s) before it starts (3.5 s); correct its times"
    alone = run("analyze", chat, "--format", "csv")
    assert alone.exit_code == 0
    assert alone.stderr == f"note: {chat}: {fault}; it was left out\n"
    assert len(list(csv.DictReader(alone.stdout.splitlines()))) == 1
    beside = run("analyze", recording, "--transcript", chat, "--format", "csv")
    assert f"note: {recording}: chat.srt: {fault}; it was left out\n" in beside.stderr
    strict = run("analyze", chat, "--strict")
    assert (strict.exit_code, strict.stderr) == (2, f"error: {chat}: {fault}\n")


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
        (["missing.wav"], "error: missing.wav: no such file or folder\n"),
        (["{folder}"], "error: {folder}: no recording in this folder, and no subtitles; looked for "),
        (["{chat}", "--no-asr"], "error: {chat}: is a transcript, and --no-asr uses"),
        (["{chat}", "--model", "no-such-model"], "no-such-model"),
        (
            ["{chat}", "{chat}.wav", "--transcript", "{chat}"],
            "error: --transcript goes with exactly one recording, got 2 inputs\n",
        ),
        (
            ["{chat}", "-o", "{folder}/none/out.json"],
            "error: {folder}/none/out.json: the folder {folder}/none does not exist; make it first\n",
        ),
        (["{chat}", "-o", "{folder}/out.xyz"], "error: {folder}/out.xyz: its name does not tell the format;"),
        (
            ["{chat}", "-o", "{chat}"],
            "error: {chat}: is one of the inputs and would be overwritten; choose another output\n",
        ),
        (["{chat}", "--embed-audio"], "error: --embed-audio is for html: add -o NAME.html\n"),
    ],
)
def test_bad_input_ends_with_2_and_says_the_way_out(run, chat, tmp_path, words, message):
    folder = tmp_path / "folder"
    folder.mkdir()
    result = run("analyze", *[word.format(chat=chat, folder=folder) for word in words])
    assert result.exit_code == 2
    assert message.format(chat=chat, folder=folder) in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_quiet_leaves_stderr_empty(run, chat, tmp_path):
    assert run("analyze", chat, "--quiet", "-o", tmp_path / "out.json").stderr == ""


@pytest.mark.posix
@pytest.mark.slow
def test_ctrl_c_midway_leaves_no_output(recording, tmp_path):
    # the signal comes with the first progress of real work, wherever that is
    script = (
        "import contextlib, os, signal\n"
        "from mister_e.cli import main\n"
        "from mister_e.cli.verbs import analyze\n"
        "def interrupt(stage, done, total):\n"
        "    if done: os.kill(os.getpid(), signal.SIGINT)\n"
        "analyze.progress_bar = lambda quiet: contextlib.nullcontext(interrupt)\n"
        "main()"
    )
    words = ["analyze", recording, "-o", tmp_path / "out.json", "-o", tmp_path / "out.html"]
    result = subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True)
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "module", ["typer", "mister_e.analysis.result", "mister_e.cli.verbs.analyze", "torch"]
)
@pytest.mark.parametrize("entry", ["from mister_e.cli import main; main()", MODULE])
@pytest.mark.posix
@pytest.mark.slow
def test_ctrl_c_during_the_imports_shows_no_traceback(chat, entry, module):
    script = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        f"sys.meta_path.insert(0, Interrupt())\n{entry}"
    )
    words = ["analyze", str(chat), "--quiet"]
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "stopped\n")


def test_python_m_runs_the_command():
    result = subprocess.run([sys.executable, "-m", "mister_e", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"mister-e {__version__}\n")


def test_the_sample_with_its_transcript(run, recording, tmp_path):
    out = tmp_path / "out.json"
    words = recording.with_suffix(".srt")
    result = run("analyze", recording, "--transcript", words, "-o", out)
    assert result.exit_code == 0, result.stderr
    (conversation,) = Analysis.from_json(out.read_text(encoding="utf-8")).conversations
    assert 10 <= len(conversation) <= 16
    assert all(turn.missing == () and turn.experts["speech"] is not None for turn in conversation)


def test_uncertain_turns_of_the_sample_are_told_in_every_output(run, recording, tmp_path):
    # a model whose limit some of the sample's turns pass and some do not
    model = shutil.copytree(model_folder("mini"), tmp_path / "strict")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["calibration"]["uncertain_below"] = 0.75
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    outs = {form: tmp_path / f"out.{form}" for form in ("json", "csv", "srt", "html")}
    options = [word for path in outs.values() for word in ("-o", path)]
    words = recording.with_suffix(".srt")
    result = run("analyze", words, "--model", model, *options, "-o", "-", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    text = {form: path.read_text(encoding="utf-8") for form, path in outs.items()}
    analysis = Analysis.from_json(text["json"])
    unsure = [turn for turn in analysis if turn.uncertain]
    assert analysis.uncertain_below == 0.75
    assert unsure == [turn for turn in analysis if turn.confidence < 0.75]
    assert 0 < len(unsure) < len(analysis)
    assert len(re.findall(r"\w \?  +\d+%", result.stdout)) == len(unsure)
    assert "? uncertain: confidence below 75%." in result.stdout
    assert [row["uncertain"] == "true" for row in csv.DictReader(io.StringIO(text["csv"]))] == [
        turn.uncertain for turn in analysis
    ]
    assert len(re.findall(r"^\[\w+ \? \d+%\]", text["srt"], re.MULTILINE)) == len(unsure)
    assert text["html"].count(">uncertain</small>") == len(unsure)
    # a result is a transcript too
    assert run("analyze", outs["json"], "--quiet").exit_code == 0
