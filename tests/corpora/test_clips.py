"""Folders of labelled clips as prepared corpora: labels, splits by whole voices, pieces, and who speaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clip_folder import write_clips
from sound import write, write_misjudged
from typer.testing import CliRunner

from mister_e.cli import app
from mister_e.corpora import Corpus, clips
from mister_e.corpora.clips import LabelledClip, cut, read_manifest, split_by_voice
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS

#: Emotions as a manifest has them, with pitches.
ACTED = {"happy": 240.0, "Calm": 120.0, "bored": 160.0}


def run(*words: object):
    return CliRunner().invoke(app, ["prepare", "clips", *map(str, words)], env={"COLUMNS": "80"})


def voices_of(corpus: Corpus, folder: Path) -> dict[str, set[str]]:
    """Split to the voices of its clips, by the manifest."""
    voice = {clip.file: clip.voice for clip in read_manifest(folder)}
    return {
        split: {voice[Path(turn.audio.source).name] for one in corpus.conversations(split) for turn in one}
        for split in ("train", "validation", "test")
    }


def test_each_clip_is_a_conversation_with_its_label_and_sound(tmp_path):
    folder = write_clips(tmp_path / "acted", ACTED)
    done = run(folder, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no label stands for bored (7): these clips are left out" in done.stderr
    corpus = Corpus.load(tmp_path / "out")
    assert corpus.protocol.labels == MELD_EMOTIONS
    assert corpus.protocol.name == "acted"
    every = list(corpus.conversations())
    assert all(len(one) == 1 for one in every)
    assert Counter(turn.label for one in every for turn in one) == {"joy": 7, "neutral": 7}
    turn = next(turn for one in every for turn in one if turn.id == "2-happy.wav")
    assert (turn.text, turn.label, turn.start) == ("Words 2.", "joy", None)
    assert len(turn.audio.load()) == int(0.64 * 16_000)
    # in a split, clips stand in the order of the manifest
    for split in ("train", "validation", "test"):
        ids = [one.id for one in corpus.conversations(split)]
        assert ids == [clip.file for clip in read_manifest(folder) if clip.file in ids]


def test_a_voice_is_in_one_split_and_nobody_is_named(tmp_path):
    folder = write_clips(tmp_path / "acted", ACTED)
    corpus = clips.prepare(folder, tmp_path / "out")
    voices = voices_of(corpus, folder)
    assert {split: len(names) for split, names in voices.items()} == {"train": 5, "validation": 1, "test": 1}
    assert len(set.union(*voices.values())) == 7
    # the assignment of numpy's generator, which models were trained by
    order = ["Ann", "Ben", "Cid", "Dot", "Eve", "Flo", "Gus"]
    np.random.default_rng(0).shuffle(order)
    assert (voices["test"], voices["validation"]) == ({order[0]}, {order[1]})
    assert voices_of(clips.prepare(folder, tmp_path / "other", seed=5), folder) != voices
    assert "speaker" not in corpus.table.columns
    assert "gender" not in corpus.table.columns
    written = "\n".join(str(row) for row in corpus.table.iter_rows()) + str(corpus.metadata)
    assert not any(name in written for name in order)


def test_who_speaks_decides_the_split_and_nothing_else(tmp_path):
    one = clips.prepare(write_clips(tmp_path / "one", ACTED), tmp_path / "a")
    other = clips.prepare(
        write_clips(tmp_path / "other", ACTED, voices=("Zoe", "Yan", "Xia", "Wim", "Vic", "Una", "Tim")),
        tmp_path / "b",
    )
    columns = [name for name in one.table.columns if name != "split"]
    rows = [corpus.table.sort("id").rows(named=True) for corpus in (one, other)]
    for first, second in zip(*rows, strict=True):
        assert [first[name] for name in columns] == [second[name] for name in columns]


def test_long_read_speech_is_cut_to_pieces_and_labelled_by_hand(tmp_path):
    folder = write_clips(tmp_path / "read", {"unlabelled_read": 130.0}, seconds=1.7)
    manifest = (folder / "manifest.csv").read_text()
    # the last one is too short for a piece: nobody is left of that voice
    (folder / "manifest.csv").write_text(manifest[: manifest.rindex(",")] + ",0.4\n")
    words = ("--label", "unlabelled_read=neutral", "--piece-seconds", 0.5, "--max-pieces", 2)
    done = run(folder, tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert "7 clips cut to 12 pieces of 0.5 s" in done.stderr
    corpus = Corpus.load(tmp_path / "out")
    turns = [turn for one in corpus.conversations() for turn in one]
    turns = [turn for turn in turns if turn.audio.source.endswith("0-unlabelled_read.wav")]
    assert [(turn.audio.start, turn.audio.end) for turn in turns] == [(0.0, 0.5), (0.5, 1.0)]
    assert all(turn.text is None for turn in turns)
    assert [len(turn.audio.load()) for turn in turns] == [8000, 8000]
    assert {turn.label for one in corpus.conversations() for turn in one} == {"neutral"}
    assert len(set.union(*voices_of(corpus, folder).values())) == 6
    # lengths that the manifest does not tell are looked up
    told = read_manifest(folder)
    looked = [LabelledClip(clip.line, clip.file, clip.emotion, voice=clip.voice) for clip in told]
    assert len(cut(looked, folder, 0.5, 9)) == 7 * 3
    assert cut(looked, folder, None) == looked
    with pytest.raises(InputError, match="no clip is 60 s long"):
        cut(told, folder, 60.0)


def told_seconds(folder: Path, *seconds: str) -> list[Path]:
    """Change the lengths of the first clips in the manifest; give the files."""
    manifest = folder / "manifest.csv"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    for number, cell in enumerate(seconds, start=1):
        lines[number] = lines[number][: lines[number].rindex(",") + 1] + cell
    manifest.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return [folder / line.partition(",")[0] for line in lines[1 : len(seconds) + 1]]


@pytest.mark.parametrize("seconds", ["1e9", "86400.5", "1000:00:00", "inf", "0", "-1"])
def test_a_length_that_no_clip_has_is_refused_by_its_line(tmp_path, seconds):
    folder = write_clips(tmp_path / "acted", {"happy": 240.0}, seconds=1.2)
    told_seconds(folder, "1.2", seconds)
    with pytest.raises(InputError, match=rf"manifest.csv, line 3: seconds is '{seconds}', expected a"):
        read_manifest(folder)


def test_no_more_is_cut_than_a_file_has(tmp_path):
    folder = write_clips(tmp_path / "acted", {"happy": 240.0}, seconds=1.2)
    # milliseconds; all of a day; rounded up, which a piece may be short of
    told_seconds(folder, "1200", "24:00:00", "1.5")
    notes: list[str] = []
    pieces = cut(read_manifest(folder), folder, 0.5, notes=notes)
    assert Counter(piece.line for piece in pieces) == {2: 2, 3: 2, 4: 2} | dict.fromkeys(range(5, 9), 2)
    assert [note.removeprefix(f"{folder / 'manifest.csv'}, ") for note in notes] == [
        "line 2: seconds is 1200, the file has at most 1.20 s",
        "line 3: seconds is 86400, the file has at most 1.20 s",
        "line 4: seconds is 1.5, the file has at most 1.20 s",
    ]
    assert len(cut(read_manifest(folder), folder, 0.7)) == 3 * 2 + 4


def test_a_clip_that_cannot_be_read_is_left_out_with_a_note(tmp_path):
    folder = write_clips(tmp_path / "acted", {"happy": 240.0}, seconds=1.2)
    bad, empty = told_seconds(folder, "", "1.2")
    bad.write_text("no sound at all")
    empty.write_bytes(b"")
    done = run(folder, tmp_path / "out", "--piece-seconds", 0.5)
    assert done.exit_code == 0, done.output
    assert "7 clips cut to 10 pieces of 0.5 s" in done.stderr
    notes = Corpus.load(tmp_path / "out").metadata["repaired"]
    for line, file in ((2, bad), (3, empty)):
        assert any(
            note.startswith(f"left out: {folder / 'manifest.csv'}, line {line}: {file}") for note in notes
        )
    for path in folder.glob("*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"none of 7 clips could be read; the first: .*manifest.csv, line 2"):
        cut(read_manifest(folder), folder, 0.5)


@pytest.mark.parametrize("name", ["a.aac", "a.mkv"])
def test_a_length_that_the_header_leaves_open_is_taken_from_the_manifest(tmp_path, name):
    if name == "a.aac":
        write_misjudged(tmp_path / name)
    else:
        sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 33 * 16_000))
        write(tmp_path / name, sound, codec="aac", live="1")
    manifest = tmp_path / "manifest.csv"
    notes: list[str] = []
    manifest.write_text(f"file,emotion,seconds\n{name},sad,33\n", encoding="utf-8")
    assert len(cut(read_manifest(tmp_path), tmp_path, 1.0, notes=notes)) == 33
    assert notes == []
    manifest.write_text(f"file,emotion,seconds\n{name},sad,86400\n", encoding="utf-8")
    pieces = cut(read_manifest(tmp_path), tmp_path, 1.0, notes=notes)
    assert len(pieces) < (tmp_path / name).stat().st_size / 10
    assert len(notes) == 1
    if name == "a.mkv":
        manifest.write_text(f"file,emotion\n{name},sad\n", encoding="utf-8")
        with pytest.raises(InputError, match="its header tells no length; give it in the column seconds"):
            cut(read_manifest(tmp_path), tmp_path, 1.0)


@pytest.mark.parametrize(
    ("seconds", "most"), [(0.0, None), (-1.0, None), (1e-9, None), (float("nan"), 1), (1.0, 0)]
)
def test_pieces_of_no_length_are_refused(tmp_path, seconds, most):
    with pytest.raises(InputError, match="expected"):
        cut([], tmp_path, seconds, most)


def test_clips_without_an_emotion_or_without_voices_are_told(tmp_path):
    folder = write_clips(tmp_path / "acted", {"happy": 240.0, "": 150.0})
    corpus = clips.prepare(folder, tmp_path / "out")
    assert len(corpus) == 7
    assert "7 clips without an emotion are left out" in corpus.metadata["repaired"]
    nameless = write_clips(tmp_path / "nameless", {"happy": 240.0}, voices=[""] * 8)
    corpus = clips.prepare(nameless, tmp_path / "out2")
    assert any("no column speaker" in note for note in corpus.metadata["repaired"])
    assert corpus.counts["train"]["utterances"] == 6


def test_audio_can_be_extracted(tmp_path):
    folder = write_clips(tmp_path / "read", {"unlabelled_read": 130.0}, voices=("a", "b", "c"), seconds=1.2)
    words = ("--label", "unlabelled_read=neutral", "--piece-seconds", 0.5, "--audio", "flac", "--jobs", 1)
    done = run(folder, tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    turns = [turn for one in Corpus.load(tmp_path / "out").conversations() for turn in one]
    assert len(turns) == 6
    assert all(str(tmp_path / "out") in turn.audio.source for turn in turns)
    assert {len(turn.audio.load()) for turn in turns} == {8000}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--label", "happy"), "--label 'happy': expected two names, such as unlabelled_read=neutral"),
        (("--label", "joyous=joy"), "has no class 'joyous'; it has happy, Calm, bored"),
        (("--label", "bored=dull"), "'dull' is no label; the labels are neutral, joy"),
        (("--features", "f*"), "--features is for a table; clips is read without it"),
        (("--without", "x"), "--without is for EmoryNLP; clips is read without it"),
        (("--labels", "fear,disgust"), "none of its emotions is a label; it has happy, Calm, bored"),
        (("--validate-on", "Ann"), "leave out validate_on"),
    ],
)
def test_what_cannot_be_prepared_is_told(tmp_path, words, message):
    done = run(write_clips(tmp_path / "acted", ACTED), tmp_path / "out", *words)
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out" / "corpus.json").exists()


def test_two_voices_cannot_be_split():
    with pytest.raises(InputError, match="2 voices cannot be split in three"):
        split_by_voice([LabelledClip(2, "a", "sad", voice="x"), LabelledClip(3, "b", "sad", voice="y")])


def test_a_folder_without_manifest_is_told(tmp_path):
    done = run(tmp_path, tmp_path.parent / "corpus-of-nothing")
    assert done.exit_code == 2
    assert "manifest.csv: missing" in done.stderr


@pytest.mark.posix
@pytest.mark.parametrize("out", ["concat:out", "tcp:127.0.0.1:9"])
def test_names_that_look_like_addresses_are_names(tmp_path, monkeypatch, out):
    folder = write_clips(tmp_path / "acted", ACTED)
    manifest = folder / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    for number, path in enumerate(sorted(folder.glob("*.wav"))):
        name = f"10:{number:02}.wav"
        text = text.replace(path.name, name)
        path.rename(folder / name)
    manifest.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = run(folder, out, "--audio", "flac", "--jobs", 1)
    assert done.exit_code == 0, done.output
    (turn, *_) = next(iter(Corpus.load(out).conversations("train")))
    assert turn.audio.source.endswith(".flac")
    assert len(turn.audio.load()) > 0
