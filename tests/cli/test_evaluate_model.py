"""A model folder on labelled clips and on a prepared corpus, with the bundled model."""

from __future__ import annotations

import csv
import json
import os
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mister_e import Conversation, Pipeline, Utterance
from mister_e.audio.decode import read_clip
from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Clip
from mister_e.corpora import table
from mister_e.labels import match_label

pytestmark = pytest.mark.slow

#: file, second it begins at in the sample, emotion, text, speaker.
CLIPS = (
    ("one.wav", 0.0, "calm", "Hi, it's me.", "x"),
    ("two.wav", 3.5, "Happy", "You're the best!", "y"),
    ("three.wav", 11.5, "happy", "What? Already?", "y"),
    ("four.wav", 18.0, "sad", "I'm really scared.", "x"),
    ("five.wav", 29.0, "boredom", "Your fridge is off.", "y"),
    ("six.wav", 40.0, "sad", "", "x"),
)


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.from_pretrained("mini", device="cpu")


@pytest.fixture(autouse=True)
def loaded_once(pipeline, monkeypatch, tmp_path):
    """Every run gets the model that is there, and starts in an empty folder."""
    real = Pipeline.from_pretrained
    monkeypatch.setattr(
        Pipeline, "from_pretrained", lambda name: pipeline if name == "mini" else real(name, device="cpu")
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


@pytest.fixture
def clips(tmp_path, recording) -> Path:
    """Stretches of the sample, and a file that is no recording."""
    folder = tmp_path / "acted clips"
    folder.mkdir()
    for name, start, *_ in CLIPS:
        write_wav(folder / name, read_clip(recording, start, start + 2.5, None))
    (folder / "broken.wav").write_bytes(b"no sound")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "speaker", "emotion", "text", "seconds"))
        rows.writerow(("broken.wav", "y", "sad", "", "9"))
        rows.writerows((name, who, emotion, text, "2.5") for name, _, emotion, text, who in CLIPS)
    return folder


def one_by_one(pipeline, folder, mode):
    """What the model says of each clip alone: true label and scores of those whose emotion it knows."""
    found = []
    for name, _, emotion, text, _ in CLIPS:
        label = match_label(emotion, pipeline.labels)
        audio = None if mode == "text-only" else Clip(str(folder / name))
        turn = Utterance(name, None if mode == "speech-only" else text, audio=audio)
        said = list(pipeline(Conversation(name, (turn,))))
        if label is not None and said:
            found.append((label, said[0].scores))
    return found


@pytest.mark.parametrize("mode", ["full", "text-only", "speech-only"])
def test_clips_are_scored_as_if_each_came_alone(run, pipeline, clips, mode):
    before = sorted(path.name for path in clips.iterdir())
    done = run("evaluate", "--model", "mini", "--data", clips, "--mode", mode, "--alone")
    assert done.exit_code == 0, done.stderr
    out = Path("evaluation-mini-acted clips")
    written = json.loads((out / f"evaluation-all-{mode}.json").read_text(encoding="utf-8"))
    expected = one_by_one(pipeline, clips, mode)
    truth = [label for label, _ in expected]
    there = [name for name in pipeline.labels if name in truth]
    walled = [max(there, key=scores.__getitem__) for _, scores in expected]
    free = [max(scores, key=scores.__getitem__) for _, scores in expected]
    confidence = [
        scores[name] / sum(map(scores.get, there)) for name, (_, scores) in zip(walled, expected, strict=True)
    ]

    card = written["seeds"]["0"]
    assert card["turns"] == len(expected) == (4 if mode == "text-only" else 5)
    # one has no words; that another is no recording is not noticed where nothing is heard
    assert card["unjudged"] == (2 if mode == "text-only" else 0)
    assert card["confusion"]["labels"] == there == ["neutral", "joy", "sadness"]
    counts = [
        [sum((t, w) == (a, b) for t, w in zip(truth, walled, strict=True)) for b in there] for a in there
    ]
    assert card["confusion"]["turns"] == counts
    score = 100 * f1_score(truth, walled, average="weighted", zero_division=0)
    assert card["scores"]["weighted_f1"] == pytest.approx(score, abs=1e-3)
    sure = sum(
        one["confidence"] * one["turns"] for one in card["calibration"]["after"]["bins"] if one["turns"]
    )
    assert sure == pytest.approx(sum(confidence), abs=1e-3)
    calibration = pipeline.model.config.calibration
    used = {"full": {calibration.both, calibration.speech}, "text-only": {calibration.text}}
    assert set(card["calibration"]["temperatures"]) == used.get(mode, {calibration.speech})

    choice = written["choice"]
    assert choice["names"] == {"happy": "joy", "calm": "neutral", "sad": "sadness"}
    assert choice["left_out"] == {"boredom": 1}
    assert choice["absent"] == ["anger", "surprise", "fear", "disgust"]
    assert choice["absent_share"] == pytest.approx(
        100 * np.mean([name not in there for name in free]), abs=1e-3
    )
    freely = 100 * f1_score(truth, free, labels=list(pipeline.labels), average="weighted", zero_division=0)
    assert choice["free_weighted_f1"] == pytest.approx(freely, abs=1e-3)

    # by voices, who are named nowhere
    assert (card["voices"], card["bootstrap"]["unit"]) == (2, "voice")
    assert "boredom (1)" in done.stdout
    assert "by 2 voices" in done.stdout.replace("\n", " ")
    notes = " ".join(done.stderr.split())
    assert ("manifest.csv, line 2: " in notes) == (mode != "text-only")
    page = (out / f"evaluation-all-{mode}.html").read_text(encoding="utf-8")
    assert "boredom (1)" in page
    assert "whole voices" in page
    assert "model mini" in page
    assert (out / f"evaluation-all-{mode}-confusion.png").stat().st_size > 1000
    assert sorted(path.name for path in clips.iterdir()) == before


def test_the_clips_of_a_folder_are_one_recording_unless_told_otherwise(run, pipeline, clips):
    told = {}
    for way in ((), ("--alone",)):
        done = run("evaluate", "--model", "mini", "--data", clips, "--mode", "speech-only", "-o", "out", *way)
        assert done.exit_code == 0, done.stderr
        written = json.loads(Path("out/evaluation-all-speech-only.json").read_text(encoding="utf-8"))
        told[way] = (written["seeds"]["0"]["calibration"]["after"]["bins"], written["protocol"])
    assert told[()][0] != told[("--alone",)][0]
    assert "as one recording" in json.dumps(told[()][1])
    assert "each a recording of its own" in json.dumps(told[("--alone",)][1])
    turns = [Conversation(name, (Utterance(name, audio=Clip(str(clips / name))),)) for name, *_ in CLIPS[:4]]
    together = pipeline.predictor.predict(turns, together=True).predictions
    one = Conversation("all", tuple(turn for conversation in turns for turn in conversation))
    # what the turns of one recording are to the speech encoder, and not to the context network
    assert together.logits == pytest.approx(
        pipeline.predictor.predict(turns[::-1], together=True).predictions.logits[::-1], abs=1e-3
    )
    assert together.logits != pytest.approx(pipeline.predictor.predict([one]).predictions.logits, abs=1e-3)
    assert together.logits != pytest.approx(pipeline.predictor.predict(turns).predictions.logits, abs=1e-2)


CALM = (1.8, 60.0, 9.0, 170.0, 50.0, 180.0, 5.0, 7.0)


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A table of words and statistics; labels by other names, and one class that the model does not know."""
    labels = ("happy", "angry", "", "frustrated")
    words = ("I love it!", "How dare you!", "Well.", "Again and again.")
    rows = []
    for number in range(20):
        for turn in range(4):
            numbers = [value * (1 + 0.02 * number + 0.1 * turn) for value in CALM]
            split = ("train", "train", "validation", "test")[number % 4]
            rows.append((f"c{number}", turn, words[turn], labels[turn], split, *numbers))
    source = tmp_path / "turns.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file)
        write.writerow(("conversation_id", "turn", "text", "label", "split", *STATISTICS))
        write.writerows(rows)
    table.prepare(source, tmp_path / "corpus", features=list(STATISTICS), name="Mine")
    return tmp_path / "corpus"


@pytest.mark.parametrize("mode", ["full", "past-only", "speech-only"])
def test_a_corpus_of_words_and_statistics_is_scored(run, pipeline, corpus, tmp_path, mode):
    split = "test" if mode == "full" else "train"
    chosen = () if mode == "full" else ("--split", split)
    done = run(
        "evaluate", "--model", "mini", "--data", corpus, "--mode", mode, *chosen, "-o", tmp_path / "out"
    )
    assert done.exit_code == 0, done.stderr
    written = json.loads((tmp_path / "out" / f"evaluation-{split}-{mode}.json").read_text(encoding="utf-8"))
    card, size = written["seeds"]["0"], 5 if split == "test" else 10
    assert (card["turns"], card["conversations"], card["unjudged"]) == (2 * size, size, 0)
    assert card["confusion"]["labels"] == ["joy", "anger"]
    assert written["choice"]["left_out"] == {"frustrated": size}
    experts = {"speech"} if mode == "speech-only" else {"speech", "text", "fusion"}
    assert set(card["experts"]) == experts
    assert written["protocol"]["corpus"]["name"] == "Mine"
    assert written["protocol"]["seeds"] == []
    assert written["protocol"]["encoders"]["speech"]["identity"] == pipeline.model.encoders["speech"].identity
    assert written["test_scored"] is None
    if mode == "full":
        from mister_e.corpora import Corpus

        whole = [list(pipeline(one)) for one in Corpus.load(corpus).conversations("test")]
        right = sum(
            (t[0].scores["joy"] > t[0].scores["anger"]) + (t[1].scores["anger"] > t[1].scores["joy"])
            for t in whole
        )
        assert card["scores"]["accuracy"] == pytest.approx(10 * right, abs=1e-3)
        assert "note:" not in done.stderr


def test_plain_read_speech_is_scored_by_what_comes_out_neutral(run, pipeline, clips, tmp_path):
    rows = [row.split(",") for row in (clips / "manifest.csv").read_text().splitlines()]
    kept = [f"{row[0]},{row[1]},unlabelled_read,2.5" for row in rows[2:]]
    (clips / "manifest.csv").write_text("\n".join(["file,speaker,emotion,seconds", *kept]) + "\n")
    words = ("evaluate", "--model", "mini", "--data", clips, "--mode", "speech-only", "-o", tmp_path / "out")
    done = run(*words)
    assert done.exit_code == 2
    assert "none of its classes is a label of the model; it has unlabelled_read (6)" in done.stderr
    pieces = ("--piece-seconds", "1", "--max-pieces", "2", "--alone")
    done = run(*words, "--map", "unlabelled_read=neutral", *pieces)
    assert done.exit_code == 0, done.stderr
    assert "every scored turn is neutral" in " ".join(done.stdout.split())
    written = json.loads((tmp_path / "out" / "evaluation-all-speech-only.json").read_text(encoding="utf-8"))
    card = written["seeds"]["0"]
    assert (card["turns"], card["voices"], written["choice"]["only"]) == (12, 2, "neutral")
    said = [
        next(iter(pipeline(Conversation("c", (Utterance("u", audio=Clip(None, samples=sound)),))))).emotion
        for row in rows[2:]
        for start in (0.0, 1.0)
        for sound in [read_clip(clips / row[0], start, start + 1.0, None)]
    ]
    assert card["scores"]["accuracy"] == pytest.approx(100 * said.count("neutral") / 12, abs=1e-3)
    assert card["bootstrap"]["unit"] == "voice"


def test_classes_are_renamed_and_restricted(run, clips, corpus):
    words = ("evaluate", "--model", "mini", "--data", clips, "--mode", "text-only", "-o", "out")
    done = run(
        *words, "--map", "boredom=disgust", "--map", "Calm=neutral", "--only", "joy", "--only", "boredom"
    )
    assert done.exit_code == 0, done.stderr
    written = json.loads(Path("out/evaluation-all-text-only.json").read_text(encoding="utf-8"))
    assert written["seeds"]["0"]["confusion"]["labels"] == ["joy", "disgust"]
    assert written["choice"]["unasked"] == {"sad": 3, "calm": 1}
    assert "true \\ predicted" in done.stdout
    done = run("evaluate", "--model", "mini", "--data", corpus, "--only", "joy", "-o", "out")
    assert done.exit_code == 0, done.stderr
    written = json.loads(Path("out/evaluation-test-full.json").read_text(encoding="utf-8"))
    card = written["seeds"]["0"]
    assert written["choice"]["only"] == "joy"
    assert card["turns"] == 5
    # turns of other classes stay as context, and the model is free among all labels
    assert len(card["confusion"]["labels"]) == 7
    assert [sum(row) for row in card["confusion"]["turns"]] == [0, 5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/x", "--model", "mini"), "both was given"),
        ((), "neither was given"),
        (("--model", "mini", "--split", "test"), "2 voices cannot be split in three"),
        (("--model", "mini", "-o", "DATA/out"), "which holds the data"),
        (("--model", "mini", "-o", "PACKAGE/out"), "which holds mister-e itself"),
        (("--model", "mini", "-o", "DATA/../file"), "is a file"),
        (("--model", "no-such-model"), "unknown model 'no-such-model'"),
        (("runs/x", "--split", "train"), "it has no store.json"),
        (("runs/x", "--alone"), "--alone is for a folder of clips"),
        (("runs/x", "--map", "a=joy"), "--map is for --model"),
        (("runs/x", "--only", "joy"), "--only is for --model"),
        (("--model", "mini", "--only", "fear"), "--only fear: no turn of it"),
        (("--model", "mini", "--map", "calm"), "--map 'calm': expected two names"),
        (("--model", "mini", "--map", "grief=sadness"), "has no class 'grief'"),
    ],
)
def test_bad_usage_is_told_before_anything_is_scored(run, clips, words, message):
    import mister_e

    (clips.parent / "file").touch()
    places = {"DATA": str(clips), "PACKAGE": str(Path(mister_e.__file__).parent)}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    done = run("evaluate", *words, "--data", clips)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not list(Path().iterdir())


def test_run_in_the_folder_of_the_data_writes_nothing_there(run, clips, monkeypatch):
    monkeypatch.chdir(clips)
    done = run("evaluate", "--model", "mini", "--data", ".")
    assert done.exit_code == 2
    assert "which holds the data; give another folder with --out" in " ".join(done.stderr.split())


def test_data_that_does_not_fit_is_told(run, clips):
    manifest = clips / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    for old, new in (("sad", "positive"), ("happy", "negative"), ("Happy", "negative"), ("calm", "positive")):
        text = text.replace(old, new)
    manifest.write_text(text, encoding="utf-8")
    done = run("evaluate", "--model", "mini", "--data", clips)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "none of its classes is a label of the model" in said
    assert "positive (4), negative (2), boredom (1)" in said
    assert "neutral, joy, sadness" in said
    manifest.write_text("file,emotion\none.wav,calm\ntwo.wav,joy\n", encoding="utf-8")
    done = run("evaluate", "--model", "mini", "--data", clips, "--mode", "text-only")
    assert done.exit_code == 2
    assert "nothing to score" in " ".join(done.stderr.split())


@pytest.mark.skipif("MISTER_E_DATA" not in os.environ, reason="MISTER_E_DATA names no folder of real data")
def test_real_voices(run, tmp_path):
    source = Path(os.environ["MISTER_E_DATA"]) / "ravdess"
    with (source / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # one of each of the eight emotions, by three voices
    chosen = {
        (row["speaker"], row["emotion"]): row for row in rows if row["speaker"][-2:] in ("01", "12", "23")
    }
    folder = tmp_path / "ravdess"
    folder.mkdir()
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        write = csv.DictWriter(file, list(rows[0]))
        write.writeheader()
        write.writerows(chosen.values())
    for row in chosen.values():
        shutil.copy(source / row["file"], folder)
    done = run("evaluate", "--model", "mini", "--data", folder, "--mode", "speech-only")
    assert done.exit_code == 0, done.stderr
    written = json.loads(Path("evaluation-mini-ravdess/evaluation-all-speech-only.json").read_text())
    card = written["seeds"]["0"]
    assert (card["turns"], card["voices"]) == (24, 3)
    assert written["choice"]["absent"] == []
    assert card["scores"]["weighted_f1"] > 30
    assert "the model was trained on ravdess" in " ".join(done.stderr.split())
