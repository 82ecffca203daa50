"""A split of one's own: by whole conversations, told in the corpus, and free of the protocol's counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_base import TOY, prepare, row

from mister_e.corpora import Corpus, checks
from mister_e.corpora.own_splits import read_splits
from mister_e.errors import InputError

ROWS = [row(name, turn, label=("calm", "glad")[turn]) for name in "abc" for turn in (0, 1)]
OWN = {"a": "test", "b": "train", "c": "validation"}


def test_it_replaces_the_protocols_split_and_counts(tmp_path):
    protocol = replace(TOY, expected={"train": 99})
    corpus = prepare(tmp_path / "src", tmp_path / "out", ROWS, protocol, splits=OWN, counts=True)
    assert {dialogue.id: split for split in corpus.counts for dialogue in corpus.conversations(split)} == OWN
    assert corpus.metadata["split_by"] == "user"
    assert corpus.protocol.name == "TOY-2, own split"
    assert "counts-split" not in {
        finding.code for finding in checks.check(Corpus.load(corpus.folder)).findings
    }


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (OWN | {"z": "train"}, "does not have z"),
        ({"a": "test", "b": "train"}, "the split lacks, c"),
        (OWN | {"a": "dev"}, "a: split 'dev'"),
    ],
)
def test_it_names_every_conversation_once(tmp_path, splits, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "src", tmp_path / "out", ROWS, splits=splits)


def test_it_is_read_from_csv_and_json(tmp_path):
    (tmp_path / "s.csv").write_text("conversation_id,split\na,test\nb,train\nc,dev\n")
    (tmp_path / "s.json").write_text('{"a": "test", "b": "train", "c": "val"}')
    assert read_splits(tmp_path / "s.csv") == OWN
    assert read_splits(tmp_path / "s.json") == OWN


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", "a,test\n", "conversation_id,split"),
        ("s.json", "[1]", "expected csv"),
        ("s.csv", "conversation_id,split\na,best\n", "split 'best'"),
        ("s.csv", "conversation_id,split\na,test\na,train\n", "is there twice"),
    ],
)
def test_a_file_that_is_no_split_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_splits(tmp_path / name)
