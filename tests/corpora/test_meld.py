"""MELD in every layout it is found in: the same turns, the same speech, and its defects by name."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from meld_tree import TURNS, Turn, meld_tree, write_clip, write_csv

from mister_e.corpora import Corpus
from mister_e.corpora.releases import meld, meld_clips
from mister_e.errors import InputError

LAYOUTS = [
    {"csv": "above"},
    {"csv": "beside"},
    {"csv": "above", "archives": True},
    {"csv": "inside", "archives": True},
]


def prepared(src: Path, out: Path, **options) -> Corpus:
    return meld.prepare(src, out, counts=False, **options)


def turns_of(corpus: Corpus) -> dict:
    return {turn.id: turn for conversation in corpus.conversations() for turn in conversation}


@pytest.mark.parametrize("quirks", LAYOUTS, ids=str)
def test_every_layout_gives_the_same_corpus(tmp_path, quirks):
    plain = prepared(meld_tree(tmp_path / "plain"), tmp_path / "a", audio="wav")
    other = prepared(meld_tree(tmp_path / "other", **quirks), tmp_path / "b", audio="wav")
    assert other.table.equals(plain.table)
    assert other.counts == plain.counts
    for path in plain.table["audio"].drop_nulls():
        assert (other.folder / path).read_bytes() == (plain.folder / path).read_bytes()


def test_the_folder_above_meld_raw_will_do(tmp_path):
    root = meld_tree(tmp_path / "downloads")
    direct, above = prepared(root, tmp_path / "a"), prepared(root.parent, tmp_path / "b")
    assert above.table.drop("audio").equals(direct.table.drop("audio"))
    assert len(list(above.conversations())) == len(list(direct.conversations()))


def test_turns_keep_their_order_and_their_gaps(tmp_path):
    corpus = prepared(meld_tree(tmp_path), tmp_path / "out")
    first = next(corpus.conversations("train"))
    assert first.id == "train_dia0"
    assert [turn.id for turn in first] == ["train_dia0_utt0", "train_dia0_utt1", "train_dia0_utt4"]
    assert [turn.label for turn in first] == ["surprise", "sadness", "anger"]
    assert first.utterances[0].start == pytest.approx(976.059)
    # dialogues are numbered anew in each split, and stay apart
    assert {c.id for c in corpus.conversations()} >= {"train_dia0", "dev_dia0", "test_dia0"}


@pytest.mark.parametrize("windows", [False, True])
def test_windows_code_points_are_mended(tmp_path, windows):
    turns = turns_of(prepared(meld_tree(tmp_path, windows=windows), tmp_path / "out"))
    assert turns["train_dia0_utt0"].text == "You did \u2018what\u2019\u2026"
    assert turns["train_dia0_utt1"].text == "I sold it \u2013 all of it."
    assert turns["dev_dia0_utt0"].text == "Is it \u201csafe\u201d?"
    assert turns["test_dia0_utt0"].text == "That is gross, \u2014 no."


@pytest.mark.parametrize("audio", ["none", "wav"])
def test_a_bad_clip_is_missing_speech_not_a_missing_turn(tmp_path, audio):
    corpus = prepared(meld_tree(tmp_path), tmp_path / "out", audio=audio)
    assert len(corpus) == sum(map(len, TURNS.values()))
    turns = turns_of(corpus)
    for name in meld.BAD_CLIPS:
        assert turns[name].audio is None
        assert turns[name].label is not None
        assert any(note.startswith(f"{name}: speech missing") for note in corpus.metadata["repaired"])
    assert sum(turn.audio is None for turn in turns.values()) == len(meld.BAD_CLIPS)
    reasons = dict(corpus.table.select("id", "speech_missing").iter_rows())
    assert "305 s" in reasons["test_dia38_utt4"]
    assert "decoded" in reasons["train_dia125_utt3"]


def test_an_utterance_of_no_duration_keeps_its_speech_and_loses_its_end(tmp_path):
    turn = turns_of(prepared(meld_tree(tmp_path), tmp_path / "out"))["test_dia155_utt3"]
    assert turn.start == pytest.approx(752.632)
    assert turn.end is None
    assert turn.audio is not None


@pytest.mark.parametrize("archives", [False, True])
def test_of_twins_the_one_as_long_as_the_csv_says_is_kept(tmp_path, archives):
    corpus = prepared(meld_tree(tmp_path, archives=archives), tmp_path / "out", audio="wav")
    turns = turns_of(corpus)
    # the twin of utt1 is right (0.9 s), that of utt0 is wrong (2 s instead of 0.4 s)
    assert len(turns["test_dia0_utt1"].audio.load()) == pytest.approx(0.9 * 16_000, abs=1600)
    assert len(turns["test_dia0_utt0"].audio.load()) == pytest.approx(0.4 * 16_000, abs=1600)
    assert any("2 clips have a twin" in note for note in corpus.metadata["repaired"])


@pytest.mark.posix
def test_a_twin_that_hangs_its_decoder_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(meld_clips, "_TIME_LIMIT", 1.0)
    root = meld_tree(tmp_path)
    twin = root / "output_repeated_splits_test" / "final_videos_testdia0_utt1.mp4"
    twin.unlink()
    os.mkfifo(twin)  # opening it waits for ever
    try:
        turn = turns_of(prepared(root, tmp_path / "out"))["test_dia0_utt1"]
    finally:
        twin.unlink()
    assert Path(turn.audio.source).name == "dia0_utt1.mp4"


def test_clips_without_text_are_left_out_and_told(tmp_path):
    corpus = prepared(meld_tree(tmp_path), tmp_path / "out")
    notes = " ".join(corpus.metadata["repaired"])
    for name in ("dev_dia49_utt4", "dev_dia66_utt9", "test_dia93_utt5", "test_dia108_utt1"):
        assert name in notes
        assert name not in corpus.table["id"]


def test_extracted_speech_is_what_the_clip_holds(tmp_path):
    root = meld_tree(tmp_path)
    extracted = turns_of(prepared(root, tmp_path / "out", audio="flac"))
    referred = turns_of(prepared(root, tmp_path / "none"))
    for name in ("train_dia0_utt0", "dev_dia0_utt0", "test_dia0_utt1"):
        a, b = extracted[name].audio.load(), referred[name].audio.load()
        assert len(a) == len(b)
        assert np.abs(a - b).max() < 1e-3


def test_sentiment_is_a_protocol_of_its_own(tmp_path):
    root = meld_tree(tmp_path)
    corpus = prepared(root, tmp_path / "out", protocol="meld-3")
    assert list(corpus.protocol.labels) == ["neutral", "positive", "negative"]
    turn = turns_of(corpus)["train_dia61_utt0"]
    assert (turn.label, turn.custom["emotion"]) == ("positive", "joy")
    assert corpus.counts["train"]["labels"] == {"neutral": 2, "positive": 1, "negative": 4}


def test_who_speaks_changes_nothing(tmp_path):
    one = prepared(meld_tree(tmp_path / "1", speakers=("Joey", "Monica")), tmp_path / "a")
    two = prepared(meld_tree(tmp_path / "2", speakers=("Ross", "Ross", "Phoebe")), tmp_path / "b")
    assert one.table.equals(two.table)
    text = (tmp_path / "a" / "corpus.json").read_text(encoding="utf-8") + one.table.write_csv()
    assert "Joey" not in text
    assert "peaker" not in text


def test_text_alone_is_fine_but_half_of_the_clips_is_not(tmp_path):
    corpus = prepared(meld_tree(tmp_path / "text", clips=False), tmp_path / "a")
    assert all(turn.audio is None for turn in turns_of(corpus).values())
    assert [note for note in corpus.metadata["repaired"] if "NOT ONE CLIP" in note] == [
        "NOT ONE CLIP was found; all 14 turns are text alone"
    ]
    root = meld_tree(tmp_path / "half")
    many = [Turn(7, n, "Yes.", "joy", "positive", "00:00:01,000", "00:00:02,000", None) for n in range(12)]
    write_csv(root / "dev_sent_emo.csv", [*TURNS["dev"], *many])
    with pytest.raises(
        InputError, match=r"half extracted: 12 of 14 clips of dev are missing, the first: dev_dia7_utt0"
    ):
        prepared(root, tmp_path / "b")
    assert not (tmp_path / "b" / "corpus.json").exists()


def test_lines_without_words_are_a_half_downloaded_csv(tmp_path):
    root = meld_tree(tmp_path, clips=False)
    many = [Turn(7, n, " ", "joy", "positive", "00:00:01,000", "00:00:02,000", None) for n in range(12)]
    write_csv(root / "dev_sent_emo.csv", [*TURNS["dev"], *many])
    with pytest.raises(InputError, match=r"12 of 26 turns' words are missing, the first: dev_dia7_utt0"):
        prepared(root, tmp_path / "out")


@pytest.mark.posix
def test_clips_behind_links_are_found_and_links_in_circles_end(tmp_path):
    plain = prepared(meld_tree(tmp_path / "plain"), tmp_path / "a")
    root = meld_tree(tmp_path / "linked")
    for folder in ("train_splits", "dev_splits_complete", "output_repeated_splits_test"):
        (root / folder).rename(tmp_path / folder)
        (root / folder).symlink_to(tmp_path / folder, target_is_directory=True)
    (tmp_path / "train_splits" / "up").symlink_to(root, target_is_directory=True)
    linked = prepared(root, tmp_path / "b")
    assert linked.table.equals(plain.table)
    assert linked.metadata["repaired"] == plain.metadata["repaired"]


@pytest.mark.parametrize("csv", ["beside", "inside"])
def test_an_archive_kept_beside_extracted_clips_makes_no_twins(tmp_path, csv):
    root = meld_tree(tmp_path, csv="beside")
    for split in ("train", "dev", "test"):
        with tarfile.open(root / f"{split}.tar.gz", "w:gz") as tar:
            for path in sorted((root / split).iterdir()):
                tar.add(path, path.name)
        if csv == "inside":
            (root / split / f"{split}_sent_emo.csv").unlink()
    corpus = prepared(root, tmp_path / "out")
    (twins,) = [note for note in corpus.metadata["repaired"] if "twin" in note]
    assert twins.startswith("test: 2 clips")  # the release's own
    assert not any("still inside" in note for note in corpus.metadata["repaired"])


def test_an_archive_that_is_cut_off_is_named(tmp_path):
    root = meld_tree(tmp_path, archives=True)
    archive = root / "train.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"train\.tar\.gz: is damaged or cut off"):
        prepared(root, tmp_path / "out", audio="wav")
    assert not (tmp_path / "out" / "corpus.json").exists()


def test_clips_inside_archives_need_extraction(tmp_path):
    corpus = prepared(meld_tree(tmp_path, archives=True), tmp_path / "out")
    assert all(turn.audio is None for turn in turns_of(corpus).values())
    assert any("still inside train.tar.gz" in note for note in corpus.metadata["repaired"])


def test_the_real_counts_are_asserted(tmp_path):
    with pytest.raises(InputError, match=r"train has .*, expected 1,038;"):
        meld.prepare(meld_tree(tmp_path), tmp_path / "out")
    for protocol in meld.PROTOCOLS.values():
        assert protocol.expected == {"train": 9989, "validation": 1109, "test": 2610}
        assert protocol.expected_conversations == {"train": 1038, "validation": 114, "test": 280}
        for split, total in protocol.expected.items():
            assert sum(protocol.expected_labels[split].values()) == total


def test_a_wrong_folder_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "src" / "holiday").mkdir(parents=True)
    with pytest.raises(InputError, match=r"train_sent_emo\.csv.*found holiday"):
        prepared(tmp_path / "src", tmp_path / "out")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Utterance_ID", "Utt", r"MELD\.Raw/dev_sent_emo\.csv, line 1: has no column Utterance_ID"),
        ("sadness", "sad", r"MELD\.Raw/dev_sent_emo\.csv, line 3: label 'sad' is not one of neutral, joy"),
        (",negative,", ",bad,", r"dev_sent_emo\.csv, line 2: label 'bad' is not one of neutral, positive"),
        ("00:07:11,764", "later", r"dev_sent_emo\.csv, line 3: time 'later'"),
        (",110,7,", ",x,7,", r"line 3: Dialogue_ID and Utterance_ID are 'x' and '7'"),
    ],
)
def test_a_damaged_csv_names_the_place(tmp_path, before, after, message):
    root = meld_tree(tmp_path)
    path = root / "dev_sent_emo.csv"
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode()))
    with pytest.raises(InputError, match=message):
        prepared(root, tmp_path / "out")


def test_nothing_of_the_release_is_touched(tmp_path):
    root = meld_tree(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    prepared(root, tmp_path / "out", audio="wav")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(InputError, match="stays untouched"):
        prepared(root, root / "prepared")


def test_other_containers_of_the_same_clips_will_do(tmp_path):
    root = meld_tree(tmp_path)
    clips = root / "train_splits"
    (clips / "dia61_utt0.mp4").unlink()
    write_clip(clips / "dia61_utt0.wav", 0.4)
    assert turns_of(prepared(root, tmp_path / "out"))["train_dia61_utt0"].audio.source.endswith(".wav")
    shutil.rmtree(clips)


def test_validate_on_is_not_for_meld(tmp_path):
    with pytest.raises(InputError, match="comes with a validation split"):
        prepared(meld_tree(tmp_path), tmp_path / "out", validate_on="session1")
