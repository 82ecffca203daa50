import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mister_e.audio.prosody import STATISTICS
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS
from mister_e.training.turns import PIECE_SECONDS, by_voice, read_clips, read_table


def write_corpus(folder: Path, name: str, voices: int) -> Path:
    folder.mkdir()
    rows = ["file,speaker,emotion,text,corpus,seconds"]
    for voice in range(voices):
        for emotion in ("happy", "angry", "bored"):
            rows.append(f"{voice}-{emotion}.ogg,voice{voice},{emotion},,{name},2.0")
    rows.append(f"plain.ogg,voice0,unlabelled_read,,{name},7.5")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_names_are_mapped_and_other_emotions_left_out(tmp_path):
    clips = read_clips(write_corpus(tmp_path / "one", "one", 4))
    counts = Counter(MELD_EMOTIONS.names[clip.label] for clip in clips)
    assert counts == {"joy": 4, "anger": 4, "neutral": 2}
    plain = [clip for clip in clips if clip.end is not None]
    assert [(clip.start, clip.end) for clip in plain] == [
        (0.0, PIECE_SECONDS),
        (PIECE_SECONDS, 2 * PIECE_SECONDS),
    ]


def test_a_voice_is_in_one_split_only(tmp_path):
    clips = read_clips(write_corpus(tmp_path / "one", "one", 20))
    clips += read_clips(write_corpus(tmp_path / "two", "two", 9))
    splits = by_voice(clips)
    assert sum(map(len, splits.values())) == len(clips)
    voices = {split: {(clip.corpus, clip.speaker) for clip in rows} for split, rows in splits.items()}
    assert not voices["train"] & voices["test"]
    assert not voices["train"] & voices["validation"]
    assert not voices["validation"] & voices["test"]
    assert {corpus for corpus, _ in voices["test"]} == {"one", "two"}
    assert by_voice(clips) == splits


def test_a_table_is_read_in_turn_order_with_gaps_in_the_sound(tmp_path):
    head = "split,conversation_id,turn,text,label,audio_suspect," + ",".join(STATISTICS)
    path = tmp_path / "table.csv"
    full = ",".join(["1.5"] * len(STATISTICS))
    empty = "," * (len(STATISTICS) - 1)
    path.write_text(
        f"{head}\ntrain,d1,1,second,joy,False,{full}\ntrain,d1,0,first,anger,False,{empty}\n"
        f"test,d1,0,other,neutral,True,{full}\n"
    )
    splits = read_table(path)
    (train,) = splits["train"]
    assert train.texts == ("first", "second")
    assert [MELD_EMOTIONS.names[label] for label in train.labels] == ["anger", "joy"]
    assert train.heard.tolist() == [False, True]
    assert np.isnan(train.statistics[0]).all()
    assert splits["test"][0].heard.tolist() == [False]
    path.write_text("split,turn\n")
    with pytest.raises(InputError, match="no column 'conversation_id'"):
        read_table(path)


def test_a_folder_without_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.csv: missing"):
        read_clips(tmp_path)


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of real data")
def test_real_meld_has_the_published_size():
    splits = read_table(Path(os.environ["MISTER_E_DATA"]) / "erc" / "meld.csv")
    turns = {split: sum(map(len, rows)) for split, rows in splits.items()}
    assert turns == {"train": 9989, "val": 1109, "test": 2610}
    test = Counter(MELD_EMOTIONS.names[label] for one in splits["test"] for label in one.labels)
    assert test == {
        "neutral": 1256, "joy": 402, "anger": 345, "surprise": 281, "sadness": 208, "disgust": 68, "fear": 50,
    }  # fmt: skip
