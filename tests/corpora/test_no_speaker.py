"""Who speaks changes nothing: the same releases with other speakers give the same corpora."""

from __future__ import annotations

import csv
import io
import re

import iemocap_tree
import mosi_tree
import pytest
from meld_tree import meld_tree

from mister_e.corpora import store, table
from mister_e.corpora.releases import iemocap, meld, mosi
from mister_e.corpora.releases.folds import folds

#: The only names that may tell a person: those of the release's own files, where the sound is read from.
_PLACE = ("audio",)


def contents(corpus):
    """All that a model, a split or a score can see of a corpus: rows in their order, and samples."""
    seen = []
    for split in ("train", "validation", "test"):
        for conversation in corpus.conversations(split):
            for turn in conversation:
                samples = None if turn.audio is None else turn.audio.load().tobytes()
                seen.append(
                    (
                        split, conversation.id, turn.id, turn.text, turn.start, turn.end, turn.channel,
                        turn.label, dict(turn.custom), samples,
                    )
                )  # fmt: skip
    return seen


def same(one, other):
    """Whether two corpora are the same but for where they lie and the hashes of what they were read from."""
    assert contents(one) == contents(other)
    assert one.table.drop(_PLACE).equals(other.table.drop(_PLACE))
    metadata = [
        {name: value for name, value in corpus.metadata.items() if name in ("protocol", "counts", "labels")}
        for corpus in (one, other)
    ]
    assert metadata[0] == metadata[1]
    assert one.metadata["repaired"] == other.metadata["repaired"]


@pytest.mark.parametrize("protocol", ["IEMOCAP-6-context", "IEMOCAP-6", "IEMOCAP-6-session1", "IEMOCAP-4"])
def test_iemocap(tmp_path, protocol):
    options = {"protocol": protocol, "counts": False}
    one = iemocap_tree.write(tmp_path / "one")
    other = iemocap_tree.write(tmp_path / "other", cast=iemocap_tree.swapped)
    alone = iemocap_tree.write(tmp_path / "alone", cast=lambda who: "F")
    # the releases do differ
    clips = [sorted(path.name for path in root.rglob("*.wav")) for root in (one, other, alone)]
    assert clips[0] != clips[1]
    assert clips[0] != clips[2]
    prepared = iemocap.prepare(one, tmp_path / "out", **options)
    same(prepared, iemocap.prepare(other, tmp_path / "out-other", **options))
    same(prepared, iemocap.prepare(alone, tmp_path / "out-alone", **options))


def test_names_of_iemocap_do_not_tell_who_speaks(tmp_path):
    release = iemocap_tree.write(tmp_path)
    corpus = iemocap.prepare(
        release, tmp_path / "out", protocol="IEMOCAP-6-context", counts=False, audio="wav"
    )
    for row in corpus.table.drop("text").iter_rows():
        assert not [cell for cell in row if isinstance(cell, str) and re.search(r"_[FM]\d{3}", cell)]
    assert not [path for path in corpus.folder.rglob("*.wav") if re.search(r"_[FM]\d{3}", path.name)]


def test_clips_of_iemocap_that_are_referred_to_keep_their_names_and_nothing_reads_them(tmp_path):
    """With audio "none", `audio` is a place in the release, whose names tell who speaks, and only a place."""
    one = iemocap_tree.write(tmp_path / "one")
    other = iemocap_tree.write(tmp_path / "other", cast=iemocap_tree.swapped)
    options = {"protocol": "IEMOCAP-6-context", "counts": False, "audio": "none"}
    corpora = [
        iemocap.prepare(root, tmp_path / f"out-{root.parent.name}", **options) for root in (one, other)
    ]
    names = [corpus.table["audio"].to_list() for corpus in corpora]
    assert all(re.search(r"_[FM]\d{3}\.wav$", name) for name in names[0] if name)
    # the names differ wherever there is one, and neither order, ids, splits nor samples do
    assert all(a != b for a, b in zip(*names, strict=True) if a)
    assert [name is None for name in names[0]] == [name is None for name in names[1]]
    same(*corpora)
    # and no other column has them
    for row in corpora[0].table.drop("audio", "text").iter_rows():
        assert not [cell for cell in row if isinstance(cell, str) and re.search(r"_[FM]\d{3}", cell)]


@pytest.mark.parametrize("protocol", ["MELD-7", "MELD-3"])
def test_meld(tmp_path, protocol):
    options = {"protocol": protocol, "counts": False}
    one = meld_tree(tmp_path / "one", speakers=("Joey", "Monica"))
    other = meld_tree(tmp_path / "other", speakers=("The Fireman", "Joey", "All"))
    texts = [(root / "train_sent_emo.csv").read_bytes() for root in (one, other)]
    assert texts[0] != texts[1]
    same(
        meld.prepare(one, tmp_path / "out", **options),
        meld.prepare(other, tmp_path / "out-other", **options),
    )


def test_meld_without_the_column_of_speakers(tmp_path):
    one, other = meld_tree(tmp_path / "one"), meld_tree(tmp_path / "other")
    for path in other.glob("*_sent_emo.csv"):
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        place = rows[0].index("Speaker")
        text = io.StringIO(newline="")
        csv.writer(text).writerows([*row[:place], *row[place + 1 :]] for row in rows)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    same(
        meld.prepare(one, tmp_path / "out", counts=False),
        meld.prepare(other, tmp_path / "out-other", counts=False),
    )


def test_mosi_has_one_person_a_video_and_no_field_for_them(tmp_path):
    standard = folds("mosi")["standard"]
    release = mosi_tree.write(tmp_path, standard["validation"][0], standard["test"][0])
    corpus = mosi.prepare(release, tmp_path / "out", counts=False)
    assert corpus.metadata["custom"] == ["score"]
    assert corpus.metadata["features"] == []


def test_a_column_of_speakers_in_a_table_is_left_out(tmp_path):
    corpora = []
    for name, speakers in (("one", "ab"), ("other", "ba")):
        rows = [
            f"c{number},{turn},{speakers[turn]},Words {turn}.,{('joy', 'anger')[turn]}"
            for number in range(12)
            for turn in range(2)
        ]
        source = tmp_path / name / "turns.csv"
        source.parent.mkdir()
        source.write_text("\n".join(["conversation_id,turn,speaker,text,label", *rows]) + "\n")
        corpora.append(table.prepare(source, tmp_path / f"out-{name}"))
    same(*corpora)
    assert "speaker" not in corpora[0].table.columns


def test_no_column_of_any_corpus_is_about_a_person():
    assert not [name for name in store.COLUMNS if re.search("speaker|gender|person|actor|sex", name)]
