"""CMU-MOSI's release with its oddities, and the ways to read it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import mosi_tree
import polars as pl
import pytest

from mister_e.corpora.releases import mosi
from mister_e.corpora.releases.folds import folds
from mister_e.errors import InputError

VALIDATION, TEST = (folds("mosi")["standard"][split][0] for split in ("validation", "test"))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return mosi_tree.write(tmp_path_factory.mktemp("mosi"), VALIDATION, TEST)


@pytest.fixture
def mutable(tmp_path, release):
    """Copy the release, to damage it."""
    return Path(shutil.copytree(release, tmp_path / "CMU_MOSI_Raw"))


def read(src, protocol="MOSI-2", **options):
    repairs: list[str] = []
    rows = mosi.read(src, mosi.PROTOCOLS[protocol], repairs=repairs, **options)
    return rows, repairs


def test_a_video_is_a_conversation_in_the_order_of_its_segments(release):
    rows, _ = read(release)
    video = [row for row in rows if row.conversation_id == "03bSnISJMiM"]
    assert [row.turn for row in video] == [1, 2, 9, 10]
    assert [row.utterance_id for row in video] == [f"03bSnISJMiM_{turn}" for turn in (1, 2, 9, 10)]
    assert video[2].text == "THEN CAME A SCENE"
    assert (video[2].start, video[2].end, video[2].custom) == (56.0, 56.5, {"score": 0.0})
    assert video[2].audio == "Audio/WAV_16000/Segmented/03bSnISJMiM_9.wav"


def test_segments_that_nobody_scored_are_not_turns(release):
    rows, _ = read(release)
    assert len(rows) == 10
    assert not any("NOBODY" in (row.text or "") for row in rows)


def test_the_table_has_no_header_and_its_first_line_counts(release):
    assert ("03bSnISJMiM_1", "non-negative") in [(row.utterance_id, row.label) for row in read(release)[0]]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (
            "MOSI-2",
            ["non-negative", "negative", "non-negative", "negative", "non-negative", "non-negative"],
        ),
        ("MOSI-2-nonzero", ["positive", "negative", None, "negative", "positive", "positive"]),
        # halves to the even one: -2.5, 1.5, 0.5
        ("MOSI-7", ["+2", "-1", "0", "-2", "+2", "0"]),
    ],
)
def test_scores_become_classes(release, protocol, expected):
    rows = [row for row in read(release, protocol)[0] if row.split == "train"]
    rows.sort(key=lambda row: (list(mosi_tree.VIDEOS).index(row.conversation_id), row.turn))
    assert [row.label for row in rows] == expected


def test_a_segment_without_words_or_clip_stays(release):
    rows, repairs = read(release)
    without_words, without_clip = (row for row in rows if row.conversation_id == "2WGyTLYerpo")
    assert without_words.text is None
    assert without_words.audio is not None
    assert without_clip.audio is None
    assert without_clip.speech_missing == "the release has no clip of it"
    assert repairs[0] == "2WGyTLYerpo_43: has no words in its transcript; text is missing"


def test_standard_split(release):
    splits = {row.conversation_id: row.split for row in read(release)[0]}
    assert splits == {
        "03bSnISJMiM": "train", "2WGyTLYerpo": "train", VALIDATION: "validation", TEST: "test",
    }  # fmt: skip
    standard = folds("mosi")["standard"]
    assert {split: len(videos) for split, videos in standard.items()} == {
        "train": 52, "validation": 10, "test": 31,
    }  # fmt: skip
    assert len({video for videos in standard.values() for video in videos}) == 93


def test_published_counts():
    for protocol in mosi.PROTOCOLS.values():
        assert protocol.expected_conversations == {"train": 52, "validation": 10, "test": 31}
    assert mosi.PROTOCOLS["MOSI-2"].expected == {"train": 1284, "validation": 229, "test": 686}
    assert mosi.PROTOCOLS["MOSI-2-nonzero"].expected["test"] == 656
    assert mosi.PROTOCOLS["MOSI-7"].expected == mosi.PROTOCOLS["MOSI-2"].expected


def test_the_folder_above_the_release_will_do(release):
    rows, _ = read(release.parent)
    assert all((release.parent / row.audio).is_file() for row in rows if row.audio)
    assert len(rows) == 10


TABLE = "Labels/OpinionLevelSentiment.csv"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda src: (src / TABLE).unlink(), "expected OpinionLevelSentiment.csv of CMU-MOSI; found Audio"),
        (lambda src: shutil.rmtree(src / "Transcript"), "expected Transcript/Segmented of CMU-MOSI"),
        (
            lambda src: (src / "Transcript/Segmented/03bSnISJMiM.annotprocessed").unlink(),
            "03bSnISJMiM.annotprocessed: is missing.*half extracted",
        ),
        (
            lambda src: (src / TABLE).write_text("start,end,video,segment,score\n"),
            "line 1: .*without a header",
        ),
        (lambda src: (src / TABLE).write_text("0,1,03bSnISJMiM,1\n"), "line 1: expected start, end, video"),
        (lambda src: (src / TABLE).write_text("0,1,03bSnISJMiM,1,4\n"), r"line 1: score 4.0 is not within"),
        (lambda src: (src / TABLE).write_text("0,1,03bSnISJMiM,1,nan\n"), "line 1: score nan is not within"),
        (lambda src: (src / TABLE).write_text("0,1,holiday,1,2\n"), "'holiday' is not one of the 93"),
    ],
)
def test_a_damaged_release_is_told_by_file_and_line(mutable, damage, message):
    damage(mutable)
    with pytest.raises(InputError, match=message):
        read(mutable)


def test_an_end_that_is_not_after_the_start_is_left_open(mutable):
    table = mutable / TABLE
    table.write_text(table.read_text().replace("51.9,52.6,", "51.9,50.6,"))
    rows, repairs = read(mutable)
    assert [(row.start, row.end) for row in rows if row.end is None] == [(51.9, None), (127.9, None)]
    for turn in ("03bSnISJMiM_1", "2WGyTLYerpo_44"):
        assert f"{turn}: ends when it starts, or before; its end is left open" in repairs


def with_more(src, count, words=True):
    """Add segments that have no clips."""
    with (src / TABLE).open("a") as table:
        table.write("".join(f"{n},{n}.5,03bSnISJMiM,{n + 100},1\n" for n in range(count)))
    if words:
        with (src / "Transcript/Segmented/03bSnISJMiM.annotprocessed").open("a") as transcript:
            transcript.write("".join(f"{n + 100}_DELIM_YES\n" for n in range(count)))


def test_many_missing_clips_are_a_half_extracted_release(mutable):
    with_more(mutable, 10)  # the release lacks one itself
    with pytest.raises(InputError, match="half extracted: 11 of 20 clips are missing, the first: 03bSnISJMi"):
        read(mutable)


def test_many_turns_without_words_are_a_half_extracted_release(mutable):
    with_more(mutable, 10, words=False)
    shutil.rmtree(mutable / "Audio")
    with pytest.raises(InputError, match="half extracted: 11 of 20 turns' words are missing"):
        read(mutable)


def test_without_a_single_clip_it_is_text_alone(mutable):
    whole, _ = read(mutable)
    shutil.rmtree(mutable / "Audio")
    rows, repairs = read(mutable)
    assert [row.text for row in rows] == [row.text for row in whole]
    assert all(row.audio is None and row.speech_missing for row in rows)
    assert [note for note in repairs if "CLIP" in note] == [
        "NOT ONE CLIP was found; all 10 turns are text alone"
    ]


def test_a_windows_ellipsis_does_not_cut_a_transcript(mutable):
    transcript = mutable / "Transcript/Segmented/03bSnISJMiM.annotprocessed"
    transcript.write_bytes(
        b"1_DELIM_WELL\x85 IT WAS\x0bGOOD\r2_DELIM_YES\r\n9_DELIM_CAF\xc3\xa9\n10_DELIM_NO\n"
    )
    texts = [row.text for row in read(mutable)[0] if row.conversation_id == "03bSnISJMiM"]
    assert texts == ["WELL\u2026 IT WAS\x0bGOOD", "YES", "CAFé", "NO"]


def test_prepare_writes_what_was_read(release, tmp_path):
    corpus = mosi.prepare(release, tmp_path / "out", protocol="mosi-7", counts=False)
    assert corpus.protocol == mosi.PROTOCOLS["MOSI-7"]
    assert len(corpus.metadata["sources"]) == 5
    (test,) = corpus.conversations("test")
    assert [turn.label for turn in test] == ["0", "-3"]
    assert [len(turn.audio.load()) for turn in test] == [round(0.8 * 16_000), round(0.5 * 16_000)]
    with pytest.raises(InputError, match=r"train has .*, expected 52;"):
        mosi.prepare(release, tmp_path / "out")


def test_there_is_one_split(release):
    with pytest.raises(InputError, match="standard split only"):
        read(release, validate_on="session1")


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of data tables")
@pytest.mark.parametrize("protocol", list(mosi.PROTOCOLS))
def test_counts_agree_with_the_prepared_table(protocol):
    table = pl.read_csv(Path(os.environ["MISTER_E_DATA"]) / "erc" / "mosi.csv", infer_schema_length=None)
    splits = {"train": "train", "val": "validation", "test": "test"}
    where = {video: split for split, videos in folds("mosi")["standard"].items() for video in videos}
    counts = {name: Counter() for name in splits.values()}
    for split, video, score in table.select("split", "conversation_id", "score").iter_rows():
        assert where[video] == splits[split]
        label = mosi._TASKS[protocol].label(score)
        if label is not None:
            counts[splits[split]][label] += 1
    assert counts == mosi.PROTOCOLS[protocol].expected_labels


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of data tables")
def test_a_whole_release_has_the_published_counts(tmp_path):
    table = pl.read_csv(Path(os.environ["MISTER_E_DATA"]) / "erc" / "mosi.csv", infer_schema_length=None)
    clips, words = tmp_path / "mosi/Audio/WAV_16000/Segmented", tmp_path / "mosi/Transcript/Segmented"
    for folder in (clips, words):
        folder.mkdir(parents=True)
    lines = []
    for (video,), segments in table.group_by("conversation_id"):
        said = [f"{turn}_DELIM_{text}" for turn, text in segments.select("turn", "text").iter_rows()]
        (words / f"{video}.annotprocessed").write_text("\n".join(said))
        for start, end, turn, score in segments.select("start", "end", "turn", "score").iter_rows():
            lines.append(f"{start},{end},{video},{turn},{score}")
            (clips / f"{video}_{turn}.wav").touch()
    (tmp_path / "mosi/OpinionLevelSentiment.csv").write_text("\n".join(lines))
    for protocol in mosi.PROTOCOLS:
        corpus = mosi.prepare(
            tmp_path / "mosi", tmp_path / protocol, protocol=protocol
        )  # raises if they differ
        assert len(corpus) == 2199
        assert [split["conversations"] for split in corpus.counts.values()] == [52, 10, 31]
        assert corpus.table["text"].null_count() == 0
