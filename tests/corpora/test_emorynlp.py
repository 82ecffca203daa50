"""EmoryNLP beside MELD: nothing of MELD's validation and test is learned, labels are MELD's."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mister_e.cli import app
from mister_e.corpora import Corpus, emorynlp, table
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS

MELD = """split,conversation_id,turn,utterance_id,text,label,duration
train,train-0,0,a,Could I BE any later than this?,joy,1.5
val,val-0,0,b,You\u2019re not going to believe this!,surprise,
test,test-0,0,c,Oh my god!,surprise,2.0
test,test-0,1,d,We were on a break and that is that.,anger,2.5
"""
HEAD = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "meld.csv").write_text(MELD, encoding="utf-8")
    table.prepare(tmp_path / "meld.csv", tmp_path / "meld", counts=False)
    emory = tmp_path / "release"
    emory.mkdir()
    (emory / "emorynlp_train_final.csv").write_text(
        HEAD
        + "Fine.,['Ann'],Peaceful,1,10,2,3\n"
        + "Great news.,['Bea'],Joyful,1,9,2,3\n"
        + "Oh my god!,['Ann'],Scared,1,11,2,3\n"
        + "\"We were on a BREAK, and that's... no: that is that\",['Bea'],Mad,2,1,2,3\n"
        + "We were on a break; and that is that,\"['Bea']\",Mad,3,1,2,3\n"
        + "A scene is left out whole.,['Ann'],Sad,3,2,2,3\n"
        + "Could I be any later than this?,['Ann'],Neutral,4,1,2,3\n",
        encoding="utf-8",
    )
    (emory / "emorynlp_test_final.csv").write_text(
        HEAD + "Youre not going to believe this,['Ann'],Powerful,1,1,4,5\nNo.,['Bea'],Mad,2,1,4,5\n",
        encoding="utf-8",
    )
    return tmp_path


def run(*words: object):
    return CliRunner().invoke(app, ["prepare", "emorynlp", *map(str, words)], env={"COLUMNS": "80"})


def test_scenes_are_in_train_without_those_that_are_held_out(folder):
    done = run(folder / "release", folder / "emorynlp", "--without", folder / "meld")
    assert done.exit_code == 0, done.output
    assert "2 of 6 scenes left out" in done.stderr
    corpus = Corpus.load(folder / "emorynlp")
    assert corpus.protocol.labels == MELD_EMOTIONS
    assert set(corpus.table["split"]) == {"train"}
    turns = [turn for one in corpus.conversations() for turn in one]
    assert [turn.text for turn in turns] == [
        "Great news.",
        "Fine.",
        "Oh my god!",  # too short to tell a scene
        "We were on a BREAK, and that's... no: that is that",
        "Could I be any later than this?",  # what MELD trains on may come twice
        "No.",
    ]
    assert [turn.label for turn in turns] == ["joy", None, "fear", "anger", "neutral", "anger"]
    assert corpus.table["turn"].to_list() == [9, 10, 11, 1, 1, 1]
    assert len(list(corpus.conversations())) == 4
    assert len({turn.id for turn in turns}) == 6
    assert not any("Ann" in str(cell) or "Bea" in str(cell) for row in corpus.table.rows() for cell in row)


def test_alone_it_keeps_every_scene(folder):
    corpus = emorynlp.prepare(folder / "release", folder / "all")
    assert len(list(corpus.conversations("train"))) == 6


def test_missing_files_and_columns_are_named(folder):
    with pytest.raises(InputError, match="no emorynlp_"):
        emorynlp.prepare(folder / "meld", folder / "out")
    done = run(folder / "release", folder / "out", "--without", folder / "release")
    assert done.exit_code == 2
    assert "a prepared corpus has a corpus.json" in done.stderr
    done = run(folder / "release", folder / "out", "--protocol", "MELD-7")
    assert "unknown protocol 'MELD-7': choose EmoryNLP-MELD" in done.stderr
    (folder / "release" / "emorynlp_dev_final.csv").write_text("Utterance,Emotion\nHi,Joyful\n")
    with pytest.raises(InputError, match=r"emorynlp_dev_final.csv: no column 'Utterance_ID'"):
        emorynlp.prepare(folder / "release", folder / "out")
