"""Inputs whose names are not UTF-8: every output holds them, and no result is lost."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mister_e.analysis.turns import FailedInput
from mister_e.cli.outputs import Output, to_stdout
from mister_e.cli.verbs import prepare as prepare_verb
from mister_e.cli.writing import Writer, render
from mister_e.corpora import Corpus, table

pytestmark = pytest.mark.posix

NAMES = (b"caf\xe9", b"caf\xe8")


@pytest.fixture
def odd(analysis):
    """Results of two inputs whose names differ in a byte that is no UTF-8, and of one that failed."""
    sources = tuple(os.fsdecode(b"calls/" + name + b".wav") for name in NAMES)
    gone = FailedInput(os.fsdecode(b"\xff.wav"), os.fsdecode(b"\xff.wav: no such file"))
    whole = analysis(sources=(*sources, "calls/good.wav"))
    return replace(whole, errors=(gone,))


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "html"])
def test_every_format_tells_such_names_apart(odd, form, capfdbinary):
    text = render(odd, form)
    text.encode()
    shown = text.replace(r"\\x", r"\x")
    assert r"caf\xe9" in shown
    assert r"caf\xe8" in shown
    assert "good" in shown
    if form == "json":
        first, *_ = json.loads(text)["conversations"]
        assert (first["id"], first["source"]) == (r"caf\xe9", r"calls/caf\xe9.wav")
        assert json.loads(text)["errors"] == [{"source": r"\xff.wav", "error": r"\xff.wav: no such file"}]
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["conversation"] for row in rows] == [r"caf\xe9", r"caf\xe8", "good"]
    assert odd.to_dataframe()["conversation"].to_list() == [r"caf\xe9", r"caf\xe8", "good"]
    to_stdout(text)
    assert capfdbinary.readouterr().out == text.encode()


def test_a_file_for_each_is_named_as_its_input(odd, tmp_path):
    writer = Writer([Output("json", folder=tmp_path / "out"), Output("html", tmp_path / "all.html")])
    for conversation in odd.conversations:
        writer.write_conversation(replace(odd, conversations=(conversation,)))
    writer.write_all(odd)
    assert writer.failures == []
    names = {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()}
    assert names == {b"caf\xe9.json", b"caf\xe8.json", b"good.json"}


def test_half_a_character_in_the_words_costs_nothing_else(analysis, turn, tmp_path):
    whole = analysis(turn(1, "Half \ud83d."), turn(2, "Whole."))
    outputs = [
        Output(form, tmp_path / f"out.{form}") for form in ("json", "csv", "srt", "vtt", "html", "jsonl")
    ]
    writer = Writer(outputs)
    writer.write_all(whole)
    assert writer.failures == []
    for path in writer.written:
        text = path.read_text(encoding="utf-8")
        assert "Half \ufffd." in text
        assert "Whole." in text


def test_one_output_that_fails_leaves_the_others(analysis, turn, tmp_path):
    whole = analysis(turn(1, start=None))
    outputs = [Output("srt", tmp_path / "a.srt"), Output("json", tmp_path / "a.json")]
    writer = Writer(outputs)
    writer.write_all(whole)
    assert [path.name for path in writer.written] == ["a.json"]
    assert "subtitles need times" in str(writer.failures[0])


@pytest.mark.slow
def test_a_corpus_in_and_of_such_folders(tmp_path):
    from rich.console import Console

    source = tmp_path / os.fsdecode(b"s\xe9")
    source.mkdir()
    (source / "a.wav").touch()
    rows = [f"c{n},Words {n}.,{('joy', 'anger')[n % 2]},a.wav,{n},{n + 1}\n" for n in range(9)]
    place = source / os.fsdecode(b"t\xe9.csv")
    place.write_text("conversation_id,text,label,audio,start,end\n" + "".join(rows))
    made = table.prepare(place, tmp_path / os.fsdecode(b"o\xe9"), counts=False)
    loaded = Corpus.load(made.folder)
    assert loaded.audio_root == source
    clips = {Path(turn.audio.source) for one in loaded.conversations() for turn in one}
    assert clips == {source / "a.wav"}
    prepare_verb.render(loaded, Console()).encode()
