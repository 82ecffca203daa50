"""IEMOCAP's release with its oddities, and the ways to read it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import iemocap_tree
import polars as pl
import pytest

from mister_e.corpora.releases import iemocap
from mister_e.corpora.releases.folds import folds, is_happy_by_convention
from mister_e.errors import InputError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return iemocap_tree.write(tmp_path_factory.mktemp("iemocap"))


@pytest.fixture
def mutable(tmp_path, release):
    """Copy the release, to damage it."""
    return Path(shutil.copytree(release, tmp_path / "IEMOCAP_full_release"))


def read(src, protocol="IEMOCAP-6-context", **options):
    repairs: list[str] = []
    rows = iemocap.read(src, iemocap.PROTOCOLS[protocol], repairs=repairs, **options)
    return rows, repairs


def of(rows, dialogue):
    return [row for row in rows if row.conversation_id == dialogue]


def labels(rows):
    return {row.utterance_id: row.label for row in rows}


def test_turns_stand_in_the_order_of_their_start_with_their_own_words_and_times(release):
    rows, _ = read(release)
    turns = of(rows, "Ses01F_impro01")
    assert [row.text for row in turns] == ["Excuse me.", "Do you have your forms?", "Yeah.", "What?"]
    assert [row.start for row in turns] == [6.2901, 7.5712, 10.01, 12.0]
    assert [row.end for row in turns] == [8.2357, 10.475, 11.3925, 13.5]
    assert [row.turn for row in turns] == [0, 1, 2, 3]


def test_only_summed_up_turns_of_the_top_folder_are_read(release):
    rows, _ = read(release)
    assert len(rows) == sum(map(len, iemocap_tree.DIALOGUES.values()))
    assert {row.conversation_id for row in rows} == set(iemocap_tree.DIALOGUES)


def test_unlabelled_turns_are_context_or_left_out_and_ids_stay(release):
    context, _ = read(release)
    assert labels(of(context, "Ses01F_impro01")) == {
        "Ses01F_impro01_000": "neu",
        "Ses01F_impro01_001": "fru",
        "Ses01F_impro01_002": None,  # xxx
        "Ses01F_impro01_003": None,  # sur
    }
    labelled, _ = read(release, "IEMOCAP-6")
    assert labelled == [row for row in context if row.label is not None]
    left_out = {row.custom["annotated"] for row in context} - {row.custom["annotated"] for row in labelled}
    assert left_out == {"oth", "sur", "fea", "dis"}


def test_the_erc_split_counts_some_turns_without_majority_as_happy(release):
    turn = "Ses01M_impro03_000"
    assert labels(read(release)[0])[turn] == "hap"
    for four in ("IEMOCAP-4-merged-context", "IEMOCAP-4-context"):
        assert labels(read(release, four)[0])[turn] is None
    # another turn without a majority is not among them
    assert labels(read(release)[0])["Ses01F_impro01_002"] is None


def test_the_two_tasks_of_four_emotions(release):
    merged, apart = (labels(read(release, f"IEMOCAP-4{name}-context")[0]) for name in ("-merged", ""))
    assert merged["Ses02F_script01_1_001"] == "hap"
    assert apart["Ses02F_script01_1_001"] is None
    assert merged["Ses01F_impro01_001"] is apart["Ses01F_impro01_001"] is None  # fru
    assert iemocap.PROTOCOLS["IEMOCAP-4"].labels == iemocap.PROTOCOLS["IEMOCAP-4-merged"].labels


def test_splits_of_both_conventions(release):
    erc = {row.conversation_id: row.split for row in read(release)[0]}
    assert erc == {
        "Ses01F_impro01": "train",
        "Ses01M_impro03": "train",
        "Ses01M_impro01": "validation",
        "Ses02F_script01_1": "train",
        "Ses03M_script01_3": "train",
        "Ses04F_impro02": "train",
        "Ses05M_impro04": "test",
        "Ses05F_script02_2": "test",
    }
    session1, _ = read(release, "IEMOCAP-6-session1-context")
    for row in session1:
        number = row.conversation_id[4]
        assert row.split == {"1": "validation", "5": "test"}.get(number, "train")
    assert read(release, validate_on="session1")[0] == session1


def test_improvised_and_scripted_are_told_apart(release):
    for row in read(release)[0]:
        assert row.custom["improvised"] is ("impro" in row.conversation_id)
        assert (row.custom["valence"], row.custom["arousal"], row.custom["dominance"]) == (2.5, 3.0, 2.5)


def test_a_missing_clip_or_transcript_line_leaves_the_turn(release):
    rows, repairs = read(release)
    second, third = of(rows, "Ses02F_script01_1")[1:]
    assert second.audio is None
    assert second.speech_missing == "the release has no clip of it"
    assert third.text is None
    assert third.audio is not None
    assert repairs == ["Ses02F_script01_1_002: has no words in its transcript; text is missing"]


def test_each_turn_has_its_own_clip(release):
    clips = [row.audio for row in read(release)[0] if row.audio]
    assert len(set(clips)) == len(clips)
    for clip in clips:
        assert (release / clip).is_file()
    first = of(read(release)[0], "Ses01F_impro01")[1]
    assert first.audio == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"


def test_the_folder_above_the_release_will_do(release):
    above, _ = read(release.parent)
    assert [row.utterance_id for row in above] == [row.utterance_id for row in read(release)[0]]
    assert all((release.parent / row.audio).is_file() for row in above if row.audio)


def test_labels_stand_in_the_order_of_the_literature():
    assert iemocap.PROTOCOLS["IEMOCAP-6"].labels.names == ("hap", "sad", "neu", "ang", "exc", "fru")


def test_published_counts():
    six = iemocap.PROTOCOLS["IEMOCAP-6"]
    assert six.expected == {"train": 5163, "validation": 647, "test": 1623}
    assert six.expected_labels["test"] == {
        "hap": 144, "sad": 245, "neu": 384, "ang": 170, "exc": 299, "fru": 381,
    }  # fmt: skip
    assert six.expected_conversations == {"train": 108, "validation": 12, "test": 31}
    for name, protocol in iemocap.PROTOCOLS.items():
        assert sum(protocol.expected_conversations.values()) == 151
        assert protocol.expected_conversations["validation"] == (28 if "session1" in name else 12)
    session1 = iemocap.PROTOCOLS["IEMOCAP-6-session1"].expected
    assert session1["train"] + session1["validation"] == 5163 + 647
    assert session1["test"] == 1623
    for validation in ("", "-session1"):
        assert sum(iemocap.PROTOCOLS[f"IEMOCAP-4-merged{validation}"].expected.values()) == 5531
        assert sum(iemocap.PROTOCOLS[f"IEMOCAP-4{validation}"].expected.values()) == 5531 - 1041
    assert len(folds("iemocap")["erc_validation"]) == 12


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda src: shutil.rmtree(src / "Session4"), "Session4: is missing.*half extracted"),
        (
            lambda src: shutil.rmtree(src / "Session2" / "sentences"),
            "wav/Ses02F_script01_1: is missing.*half extracted",
        ),
        (
            lambda src: (src / "Session1/dialog/transcriptions/Ses01F_impro01.txt").unlink(),
            "Ses01F_impro01.txt: is missing",
        ),
        (
            lambda src: (src / "Session5/dialog/EmoEvaluation/Ses05M_impro04.txt").write_text(
                "% header\n\n[1.0 - 2.0]\tSes05M_impro04_F000\tglad\t[2.5, 2.5, 2.5]\n"
            ),
            "Ses05M_impro04.txt, line 3: unknown label 'glad'",
        ),
        (
            lambda src: (src / "Session5/dialog/EmoEvaluation/Ses05M_impro04.txt").write_text(
                "[1.0 - 2.0]\n"
            ),
            r"Ses05M_impro04.txt, line 1: expected \[start - end\]",
        ),
    ],
)
def test_a_damaged_release_is_told_by_file_and_line(mutable, damage, message):
    damage(mutable)
    with pytest.raises(InputError, match=message):
        read(mutable)


TRANSCRIPT = "Session1/dialog/transcriptions/Ses01F_impro01.txt"


def test_a_windows_ellipsis_does_not_cut_a_transcript(mutable):
    path = mutable / TRANSCRIPT
    path.write_bytes(path.read_bytes().replace(b"your forms?", b"your\x85 forms\x1d, caf\xe9?"))
    turns = of(read(mutable)[0], "Ses01F_impro01")
    assert turns[1].text == "Do you have your\u2026 forms\x1d, café?"


def test_emptied_transcripts_are_a_half_extracted_release(mutable):
    for path in mutable.glob("Session*/dialog/transcriptions/*.txt"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"half extracted: 19 of 19 turns' words are missing"):
        read(mutable)


def test_litter_does_not_stand_for_clips(mutable):
    for path in mutable.glob("Session1/sentences/wav/Ses01F_impro01/Ses*.wav"):
        path.unlink()  # ._Ses….wav stay
    with pytest.raises(InputError, match=r"wav/Ses01F_impro01: is empty.*half extracted"):
        read(mutable)


def test_many_missing_clips_are_a_half_extracted_release(mutable):
    for folder in mutable.glob("Session*/sentences/wav/*"):
        for path in sorted(folder.glob("Ses*.wav"))[1:]:
            path.unlink()
    with pytest.raises(InputError, match=r"half extracted: 11 of 19 clips are missing"):
        read(mutable)


def test_without_a_single_clip_it_is_text_alone(mutable):
    whole, before = read(mutable)
    for folder in mutable.glob("Session*/sentences"):
        shutil.rmtree(folder)
    rows, repairs = read(mutable)
    assert [row.text for row in rows] == [row.text for row in whole]
    assert all(row.audio is None and row.speech_missing for row in rows)
    assert repairs == [*before, "NOT ONE CLIP was found; all 19 turns are text alone"]


def test_a_wrong_folder_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match=r"expected Session\[1-5\] of IEMOCAP; found holiday.jpg"):
        read(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "nowhere")


def test_an_archive_asks_to_be_extracted(tmp_path):
    (tmp_path / "IEMOCAP_full_release.tar.gz").touch()
    with pytest.raises(InputError, match=r"found IEMOCAP_full_release.tar.gz: extract it"):
        read(tmp_path)


def test_an_unknown_way_to_validate(release):
    with pytest.raises(InputError, match="choose erc or session1"):
        read(release, validate_on="session2")


def test_prepare_writes_what_was_read(release, tmp_path):
    corpus = iemocap.prepare(release, tmp_path / "out", protocol="iemocap-4-context", counts=False)
    assert corpus.protocol == iemocap.PROTOCOLS["IEMOCAP-4-context"]
    assert len(corpus.metadata["sources"]) == 2 * len(iemocap_tree.DIALOGUES)
    first = next(corpus.conversations("train"))
    assert [turn.label for turn in first] == ["neu", None, None, None]
    assert len(first.utterances[1].audio.load()) == round((10.475 - 7.5712) * 16_000)
    with pytest.raises(InputError, match=r"train has .*, expected 108;"):
        iemocap.prepare(release, tmp_path / "out", protocol="IEMOCAP-4")


def test_prepare_names_the_protocol_by_what_it_validates_on(release, tmp_path):
    corpus = iemocap.prepare(release, tmp_path / "out", validate_on="session1", counts=False)
    assert corpus.protocol == iemocap.PROTOCOLS["IEMOCAP-6-session1"]
    assert corpus.counts["validation"]["conversations"] == 3
    assert corpus.metadata["validate_on"] == "session1"
    assert iemocap.prepare(release, tmp_path / "erc", counts=False).metadata["validate_on"] == "erc"


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of data tables")
def test_counts_agree_with_the_prepared_table():
    table = pl.read_csv(Path(os.environ["MISTER_E_DATA"]) / "erc" / "iemocap.csv", infer_schema_length=None)
    splits = {"train": "train", "val": "validation", "test": "test"}
    counts = {name: Counter() for name in splits.values()}
    for split, dialogue, label in table.select("split", "conversation_id", "label").iter_rows():
        counts[splits[split]][label] += 1
        assert iemocap._split(dialogue, "erc") == splits[split]
    assert counts == iemocap.PROTOCOLS["IEMOCAP-6"].expected_labels
    # the turns without a majority, by their start
    rows = table.select("conversation_id", "start", "n_annotators").iter_rows()
    assert all(is_happy_by_convention(name, start) == (annotators == 0) for name, start, annotators in rows)
    assert len(folds("iemocap")["hap_without_majority"]) == 53


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Write the release's annotations and words as the prepared table has them; the clips are empty files."""
    folder = tmp_path_factory.mktemp("whole")
    table = pl.read_csv(Path(os.environ["MISTER_E_DATA"]) / "erc" / "iemocap.csv", infer_schema_length=None)
    for (name,), turns in table.group_by("conversation_id", maintain_order=True):
        session = folder / f"Session{name[4]}"
        clips = session / "sentences" / "wav" / name
        evaluation, transcript = ["% header"], ["M: [breathing]"]
        clips.mkdir(parents=True)
        for row in turns.iter_rows(named=True):
            label = row["label"] if row["n_annotators"] else "xxx"
            times = f"{row['start']:.4f}", f"{row['end']:.4f}"
            evaluation.append(f"[{times[0]} - {times[1]}]\t{row['utterance_id']}\t{label}\t[2.5, 2.5, 2.5]")
            transcript.append(f"{row['utterance_id']} [{times[0]}-{times[1]}]: {row['text']}")
            (clips / f"{row['utterance_id']}.wav").touch()
        for kind, lines in (("EmoEvaluation", evaluation), ("transcriptions", transcript)):
            place = session / "dialog" / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of data tables")
@pytest.mark.parametrize("protocol", list(iemocap.PROTOCOLS))
def test_a_whole_release_has_the_published_counts(whole, tmp_path, protocol):
    corpus = iemocap.prepare(whole, tmp_path / "out", protocol=protocol)  # raises if they differ
    conversations = {split: count["conversations"] for split, count in corpus.counts.items()}
    assert conversations == corpus.protocol.expected_conversations
    if protocol == "IEMOCAP-6":
        assert len(corpus) == 7433
        assert corpus.counts["test"]["conversations"] == 31
    assert corpus.table["text"].null_count() == 0
