"""Data that a model folder is scored on: manifests of clips with their faults, and splits of corpora."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from mister_e.corpora import table
from mister_e.corpora.clips import prepare as prepare_clips
from mister_e.corpora.clips import read_manifest, split_by_voice
from mister_e.errors import InputError
from mister_e.evaluation.labelled import Clips, read_labelled

HEAD = "file,emotion,text,speaker,gender\n"


def wav(path, seconds=0.2):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (3000 * np.sin(np.arange(int(16_000 * seconds)) / 9)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.fixture
def clips(tmp_path):
    """Write a manifest beside four clips."""
    for name in ("a.wav", "b.wav", "c.wav", "in/d.wav"):
        wav(tmp_path / name)

    def write(text: str | bytes):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "manifest.csv").write_bytes(data)
        return tmp_path

    return write


def test_a_manifest_tells_clips_words_and_voices(clips):
    folder = clips(
        "\ufeff"
        + HEAD
        + 'a.wav,happy,"Well, well.",Ann,f\nb.wav,sad,,Bob,m\n\nin/d.wav,bored, ,Ann,f\nc.wav,sad,Oh.,Bob,m\n'
    )
    data = Clips.load(folder)
    assert [(row.line, row.file, row.voice) for row in data.rows] == [
        (2, "a.wav", "Ann"),
        (5, "in/d.wav", "Ann"),
        (3, "b.wav", "Bob"),
        (6, "c.wav", "Bob"),
    ]
    assert [row.text for row in data.rows] == ["Well, well.", None, None, "Oh."]
    assert data.counts == {"sad": 2, "happy": 1, "bored": 1}
    assert data.voices["in/d.wav"] == "Ann"
    assert data.split == "all"
    read = list(data.conversations({"sad", "happy"}))
    assert [one.id for one in read] == ["a.wav", "b.wav", "c.wav"]
    assert data.turns({"sad", "happy"}) == 3
    assert all(len(one) == 1 for one in read)
    assert len(read[0].utterances[0].audio.load()) == 3200
    # who speaks stays behind
    assert "Ann" not in str(read[0].to_json())
    assert [one.utterances[0].audio for one in data.conversations({"happy"}, sound=False)] == [None]


def test_without_a_column_of_speakers_nobody_is_told(clips):
    assert Clips.load(clips("emotion,file\nsad,a.wav\njoy,b.wav\n")).voices is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: no column 'file'; it has no columns"),
        ("path,emotion\na.wav,sad\n", "line 1: no column 'file'; it has path, emotion"),
        ("file,label\na.wav,sad\n", "line 1: no column 'emotion'"),
        (HEAD, "has no rows"),
        ("file,emotion,emotion\na.wav,sad,joy\n", "line 1: column 'emotion' is there twice"),
        (HEAD + "a.wav,sad,,,\n./a.wav,joy,,,\n", "line 3: file './a.wav' is line 2 already"),
        (HEAD + "a.wav,sad,,,\nz.wav,sad,,,\n", "line 3: file 'z.wav' is not there"),
        (HEAD + "in,sad,,,\n", "line 2: file 'in' is not there"),
        (HEAD + "../a.wav,sad,,,\n", "line 2: file '../a.wav' leaves the folder"),
        (HEAD + "in/../../a.wav,sad,,,\n", "leaves the folder"),
        (HEAD + "..\\a.wav,sad,,,\n", "leaves the folder"),
        (HEAD + "/etc/passwd,sad,,,\n", "leaves the folder"),
        (HEAD + "C:\\a.wav,sad,,,\n", "leaves the folder"),
        (HEAD + ",sad,,,\n", "line 2: file is empty"),
        (HEAD + "a.wav,,,,\n", "no clip has an emotion: nothing to score"),
        ("file,emotion,seconds\na.wav,sad,long\n", "line 2: seconds is 'long', expected a number"),
        (HEAD + "a.wav,sad,Well, well.,x,f\n", "line 2: more cells than columns"),
        (HEAD + "a.wav,sad,,,\nb.wav,joy,,,\na.wav,joy,,,\n", "line 4: file 'a.wav' is line 2 already"),
        (HEAD + "a.wav,sad,,x,\nb.wav,joy,,,\n", "line 3: speaker is empty"),
        (HEAD + "a.wav,sad\n", "line 2: fewer cells than columns (2 for 5)"),
        (HEAD + "a.wav,sad\r\rb\n", "manifest.csv"),
    ],
)
def test_a_bad_manifest_names_file_line_and_field(clips, text, message):
    with pytest.raises(InputError) as caught:
        read_labelled(clips(text))
    assert message in str(caught.value)
    assert "manifest.csv" in str(caught.value)


def test_a_clip_that_cannot_be_read_is_left_out_with_its_line(clips, tmp_path):
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    data = read_labelled(clips("file,emotion\na.wav,sad\nb.wav,joy\nc.wav,joy\n"))
    assert [one.id for one in data.conversations({"sad", "joy"})] == ["a.wav", "c.wav"]
    (note,) = data.notes
    assert "manifest.csv, line 3: " in note
    assert "b.wav" in note
    for name in ("a.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 3 clips could be read; the first: .*line 2"):
        list(data.conversations({"sad", "joy"}))


def test_clips_of_one_emotion_and_without_one_are_told(clips):
    data = read_labelled(clips("file,emotion\na.wav,sad\nb.wav,\nc.wav,sad\n"))
    assert data.counts == {"sad": 2}
    assert data.protocol.labels.names == ("sad", "not sad")
    assert data.notes == ["1 clips without an emotion are not scored"]
    assert [one.id for one in data.conversations({"sad"})] == ["a.wav", "c.wav"]


def test_a_manifest_as_a_spreadsheet_saves_it(clips):
    rows = ["sep=;", "File;Emotion;Speaker;Seconds", "a.wav;joy;Ann;0,2", "b.wav;JOY;Bob;0:00.2", ";;;"]
    rows += ["in\\d.wav;None;Ann;nan", "c.wav; Joy ;Bob;", ""]
    for data in ("\r".join(rows).encode("utf-16"), "\r\n".join(rows).encode("utf-8-sig")):
        folder = clips(data)
        read = read_manifest(folder)
        assert [(clip.file, clip.emotion, clip.seconds) for clip in read] == [
            ("a.wav", "joy", 0.2),
            ("b.wav", "joy", 0.2),
            ("in/d.wav", None, None),
            ("c.wav", "joy", None),
        ]
        notes = read_labelled(folder).notes
        assert notes == [
            "manifest.csv: emotion None (1): stands for no class, taken as empty",
            "manifest.csv: emotion JOY (1), Joy (1): the same class as joy",
            "1 clips without an emotion are not scored",
        ]


def test_a_split_has_the_voices_that_a_prepared_corpus_has_there(tmp_path):
    from clip_folder import write_clips

    folder = write_clips(tmp_path / "acted", {"happy": 240.0, "sad": 150.0}, seconds=1.2)
    corpus = prepare_clips(folder, tmp_path / "corpus")
    for split in ("train", "validation", "test"):
        data = read_labelled(folder, split)
        assert data.split == split
        prepared = {one.id for one in corpus.conversations(split)}
        assert {one.id for one in data.conversations({"happy", "sad"})} == prepared
        assert split in data.protocol.description
    voices = split_by_voice(read_manifest(folder))
    assert {voices[name] for name in read_labelled(folder, "test").voices} == {"test"}
    # another seed is another split, the one that a corpus of that seed has
    other = read_labelled(folder, "test", seed=3)
    prepared = prepare_clips(folder, tmp_path / "other", seed=3)
    ids = {turn.id for turn in other.conversations({"happy", "sad"})}
    assert ids == {turn.id for turn in prepared.conversations("test")}
    assert ids != {turn.id for turn in corpus.conversations("test")}
    with pytest.raises(InputError, match="split already; leave --seed out"):
        read_labelled(tmp_path / "other", seed=3)
    # pieces are those of the corpus too, and each is by its voice
    pieces = read_labelled(folder, "test", piece_seconds=0.5, max_pieces=1)
    cut = prepare_clips(folder, tmp_path / "pieces", piece_seconds=0.5, max_pieces=1)
    (first, *_) = read = list(pieces.conversations({"happy", "sad"}))
    assert {one.id for one in read} == {one.id for one in cut.conversations("test")} == set(pieces.voices)
    assert len(first.utterances[0].audio.load()) == 8000
    with pytest.raises(InputError, match="no split 'dev'"):
        read_labelled(folder, "dev")
    with pytest.raises(InputError, match="is cut already"):
        read_labelled(tmp_path / "corpus", piece_seconds=0.5)


def test_many_that_cannot_be_read_are_counted(tmp_path):
    rows = [f"{number}.wav,{'joy' if number else 'sad'}\n" for number in range(9)]
    for number in range(9):
        (tmp_path / f"{number}.wav").write_bytes(b"x")
    wav(tmp_path / "0.wav")
    (tmp_path / "manifest.csv").write_text("file,emotion\n" + "".join(rows))
    data = read_labelled(tmp_path)
    assert len(list(data.conversations({"sad", "joy"}))) == 1
    assert data.notes[-1] == "3 more clips could not be read"
    assert len(data.notes) == 6


@pytest.fixture
def corpus(tmp_path):
    """A prepared table: ten conversations of train, one of validation without labels, none of test."""
    rows = [f"c{n},Words.,{'joy' if n % 2 else 'anger'},train" for n in range(10)] + ["v,Words.,,validation"]
    source = tmp_path / "turns.csv"
    source.write_text("conversation_id,text,label,split\n" + "\n".join(rows) + "\n")
    table.prepare(source, tmp_path / "corpus", counts=False)
    return tmp_path / "corpus"


def test_a_split_that_cannot_be_scored_is_told(corpus):
    assert read_labelled(corpus, "train").counts == {"anger": 5, "joy": 5}
    with pytest.raises(InputError, match=r"split test is empty; there is train \(10 turns\)"):
        read_labelled(corpus)
    with pytest.raises(InputError, match="no turn of the split validation has a label"):
        read_labelled(corpus, "validation")
    with pytest.raises(InputError, match="no split 'dev'"):
        read_labelled(corpus, "dev")


def test_what_is_neither_corpus_nor_clips_is_told(tmp_path, clips):
    with pytest.raises(InputError, match="this is no folder"):
        read_labelled(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"corpus\.json.*manifest\.csv.*has neither"):
        read_labelled(tmp_path)
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(InputError, match="holds embeddings, which are for a RUN"):
        read_labelled(tmp_path)
    with pytest.raises(InputError, match=r"manifest\.csv: 2 voices cannot be split"):
        read_labelled(clips(HEAD + "a.wav,sad,,,\nb.wav,joy,,,\n"), "test")
