"""`--asr`, `--language`, `--compute-type` and `--words`, as people give them."""

from __future__ import annotations

import json
import shutil

import pytest

from mister_e.analysis.result import Analysis
from mister_e.cli.options import chosen_recogniser
from mister_e.errors import InputError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--asr", "tny.en"], "error: recogniser 'tny.en': neither a folder nor one of base,"),
        (
            ["--asr", "nobody/nothing"],
            "error: 'nobody/nothing': no such bundled name or folder, and the Hugging",
        ),
        (["--asr", "base", "--no-asr"], "error: --asr base recognises words and --no-asr none: leave one"),
        (["--language", "de"], "error: language 'de': this recogniser knows only English; take another"),
        (["--compute-type", "int4"], "error: unknown compute type 'int4': expected one of default, int8,"),
        (["--words"], "error: --words is for json and jsonl: add -o NAME.json"),
        (
            ["--words", "--asr", "none", "-o", "x.json"],
            "error: --words is for words that are recognised: leave",
        ),
        (["--words", "--no-asr", "-o", "x.json"], "error: --words is for words that are recognised: leave"),
    ],
)
def test_what_contradicts_or_does_not_exist_ends_with_2_and_says_the_way_out(
    run, recording, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    result = run("analyze", recording, *words)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_what_is_wrong_with_the_recogniser_is_said_once_for_all_recordings(run, recording, tmp_path):
    for name in "abc":
        shutil.copy(recording, tmp_path / f"{name}.flac")
    result = run("analyze", tmp_path, "--language", "xx")
    assert result.exit_code == 2
    assert result.stderr.count("language 'xx'") == 1


def test_a_recogniser_that_is_not_needed_is_not_looked_for(run, chat):
    assert run("analyze", chat, "--asr", "tny.en").exit_code == 0


def test_words_have_their_times_in_json_and_in_json_lines(run, recording, tmp_path):
    result = run("analyze", recording, "--words", "-o", tmp_path / "a.json", "-o", tmp_path / "a.jsonl")
    assert result.exit_code == 0, result.stderr
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    (conversation,) = json.loads(text)["conversations"]
    for turn in conversation["utterances"]:
        assert turn["language"] == "en"
        assert " ".join(word["text"] for word in turn["words"]) == turn["text"]
        times = [time for word in turn["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert turn["start"] - 0.1 <= times[0] <= times[-1] <= turn["end"] + 0.1
        assert all(0 < word["probability"] <= 1 for word in turn["words"])
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["words"] for line in lines] == [
        turn["words"] for turn in conversation["utterances"]
    ]
    read = Analysis.from_json(text)
    assert [len(turn.words) for turn in read] == [len(turn["words"]) for turn in conversation["utterances"]]
    assert '"words"' not in read.to_json()


@pytest.mark.parametrize(
    ("asr", "no_asr", "chosen"),
    [
        (None, False, "tiny.en"),
        ("base", False, "base"),
        ("none", False, None),
        ("none", True, None),
        (None, True, None),
    ],
)
def test_asr_none_and_no_asr_say_the_same(asr, no_asr, chosen):
    assert chosen_recogniser(asr, no_asr) == chosen


def test_asr_and_no_asr_contradict_each_other():
    with pytest.raises(InputError, match="leave one of them out"):
        chosen_recogniser("tiny.en", True)
