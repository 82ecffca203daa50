"""`mister-e prepare`: what it prints, what it refuses, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from meld_tree import meld_tree
from typer.testing import CliRunner, Result

from mister_e.cli import app
from mister_e.corpora import Corpus

TABLE = """conversation_id,text,mood,f0,f1,speaker
a,Hello.,up,1,2,Ann
a,Oh no.,down,3,4,Ben
b,Hm.,up,5,,Ann
c,Yes!,up,6,7,Ben
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, words)], env={"COLUMNS": "80"})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def test_it_prints_the_protocol_the_labels_in_order_and_the_counts(tmp_path):
    result = run("meld", meld_tree(tmp_path), tmp_path / "out", "--any-counts", "--audio", "wav", "--jobs", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "MELD-7 Seven emotions, the official splits."
    cells = {tuple(line.split()) for line in lines}
    assert {
        ("utterances", "7", "2", "5"),
        ("0", "neutral", "2", "0", "2"),
        ("6", "disgust", "0", "0", "1"),
    } <= cells
    assert ("speech", "missing", "3", "1", "2") in cells
    assert "dev_dia110_utt7: speech missing" in result.stderr
    assert f"wrote: {tmp_path / 'out'}" in result.stderr
    assert len(Corpus.load(tmp_path / "out")) == 14


def test_the_counts_of_the_real_release_are_the_default(tmp_path):
    result = run("meld", meld_tree(tmp_path), tmp_path / "out")
    assert result.exit_code == 2
    assert "expected 1,038" in result.stderr


def test_the_options_of_a_table(own, tmp_path):
    options = ["--column", "label=mood", "--labels", "down,up", "--features", "f*", "--seed", 4]
    result = run("table", own, tmp_path / "out", *options, "--protocol", "mine", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    corpus = Corpus.load(tmp_path / "out")
    assert corpus.protocol.name == "mine"
    assert list(corpus.protocol.labels) == ["down", "up"]
    assert corpus.metadata["features"] == ["f0", "f1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["meld", "SRC", "OUT", "--features", "x"],
            "--features is for a table; meld is read without it",
        ),
        (["mosi", "SRC", "OUT", "--column", "a=b"], "--column is for a table"),
        (["meld", "SRC", "OUT", "--protocol", "MELD-6"], "unknown protocol 'MELD-6': choose MELD-7, MELD-3"),
        (["table", "SRC", "OUT", "--column", "label"], "expected two names, such as label=emotion"),
        (["meld", "SRC/none", "OUT"], "no such file or folder"),
        (["meld", "SRC", "OUT"], "has no train_sent_emo.csv"),
        (["meld", "SRC", "SRC/out"], "choose a folder outside of it"),
    ],
)
def test_bad_usage_is_code_2_and_tells_the_way_out(tmp_path, words, message):
    (tmp_path / "src").mkdir()
    places = {"SRC": tmp_path / "src", "OUT": tmp_path / "out"}
    words = [str(places.get(word, word)).replace("SRC/", f"{tmp_path}/src/") for word in words]
    result = run(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_split_of_ones_own(own, tmp_path):
    splits = tmp_path / "s.json"
    splits.write_text('{"a": "train", "b": "test", "c": "dev"}')
    result = run("table", own, tmp_path / "out", "--column", "label=mood", "--splits", splits)
    assert result.exit_code == 0, result.output
    assert "own split" in result.stdout
    assert [c.id for c in Corpus.load(tmp_path / "out").conversations("test")] == ["b"]
    splits.write_text('{"a": "train", "b": "test"}')
    result = run("table", own, tmp_path / "out", "--column", "label=mood", "--splits", splits)
    assert result.exit_code == 2
    assert "lacks, c:" in " ".join(result.stderr.split())


def test_another_protocol_into_the_same_folder_keeps_the_audio(tmp_path):
    root, out = meld_tree(tmp_path), tmp_path / "out"
    words = ["meld", root, out, "--any-counts", "--audio", "flac"]
    assert run(*words).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")}
    assert run(*words, "--protocol", "meld-3").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")} == before
    assert Corpus.load(out).protocol.name == "MELD-3"
