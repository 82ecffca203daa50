"""Words of EmoryNLP beside MELD's: nothing of MELD's validation and test is learned, labels are MELD's."""

from pathlib import Path

import polars as pl
import pytest

from mister_e.corpora.releases.emorynlp import with_emorynlp
from mister_e.errors import InputError

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
    emory = tmp_path / "emorynlp"
    emory.mkdir()
    (emory / "emorynlp_train_final.csv").write_text(
        HEAD
        + "Fine.,['Ann'],Peaceful,1,10,2,3\n"
        + "Great news.,['Bea'],Joyful,1,9,2,3\n"
        + "Oh my god!,['Ann'],Scared,1,11,2,3\n"
        + "\"We were on a BREAK, and that's... no: that is that\",['Bea'],Mad,2,1,2,3\n"
        + "We were on a break; and that is that,\"['Bea']\",Mad,3,1,2,3\n"
        + "A scene is left out whole.,['Ann'],Sad,3,2,2,3\n",
        encoding="utf-8",
    )
    (emory / "emorynlp_test_final.csv").write_text(
        HEAD + "Youre not going to believe this,['Ann'],Powerful,1,1,4,5\nNo.,['Bea'],Mad,2,1,4,5\n",
        encoding="utf-8",
    )
    return tmp_path


def test_scenes_are_added_to_train_without_those_that_are_held_out(folder):
    out = with_emorynlp(folder / "meld.csv", folder / "emorynlp", folder / "work" / "words.csv")
    table = pl.read_csv(out, infer_schema=False)
    meld = table.head(4)
    assert meld.equals(pl.read_csv(folder / "meld.csv", infer_schema=False))
    added = table.tail(-4)
    assert set(added["split"]) == {"train"}
    assert added["text"].to_list() == [
        "Great news.",
        "Fine.",
        "Oh my god!",  # too short to tell a scene
        "We were on a BREAK, and that's... no: that is that",
        "No.",
    ]
    assert added["label"].to_list() == ["joy", None, "fear", "anger", "anger"]
    assert added["turn"].to_list() == ["9", "10", "11", "1", "1"]
    assert added["conversation_id"].n_unique() == 3
    assert added["utterance_id"].n_unique() == 5
    assert not any("Ann" in cell or "Bea" in cell for row in table.rows() for cell in row if cell)


def test_missing_files_and_columns_are_named(folder):
    with pytest.raises(InputError, match="no emorynlp_"):
        with_emorynlp(folder / "meld.csv", folder, folder / "words.csv")
    (folder / "emorynlp" / "emorynlp_dev_final.csv").write_text("Utterance,Emotion\nHi,Joyful\n")
    with pytest.raises(InputError, match=r"emorynlp_dev_final.csv: no column 'Utterance_ID'"):
        with_emorynlp(folder / "meld.csv", folder / "emorynlp", folder / "words.csv")
