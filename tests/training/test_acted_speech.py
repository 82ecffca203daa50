"""Acted speech from folders of clips to a trained encoder: draws, scores, resuming, the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import torch
from clip_folder import write_clips
from safetensors.torch import load_file
from typer.testing import CliRunner

from mister_e.audio.prosody import STATISTICS
from mister_e.cli import app
from mister_e.corpora import clips, table
from mister_e.encoders.registry import load_encoder
from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.metrics.classification import weighted_f1
from mister_e.training.settings import (
    AugmentationConfig,
    FinetuneSettings,
    RecordingSimulationConfig,
    SamplingConfig,
)
from mister_e.training.stage1.acted_clips import SpeechExample, read_examples
from mister_e.training.stage1.acted_speech import (
    ClipPredictor,
    _ActedSpeech,
    corpus_scores,
    finetune_acted_speech,
)

LABELS = LabelSet(("neutral", "joy"))
CONFIG = WhisperEncoderConfig(rank=1, embedding_dim=8, attention_hidden=4, classes=2, loudness=False)
SAMPLING = SamplingConfig(examples=16, batch_size=8)
RECIPE = """\
name: spoken
speech:
  kind: whisper
  corpora: [acted, read, table]
  encoder: {rank: 1, embedding_dim: 8, attention_hidden: 4, loudness: false}
  finetune: {epochs: 2, learning_rate: 1.0e-3, trackers: [], ema: 0.5, checkpoint_every: 2}
  sampling:
    corpora: {acted: 0.8, read: 0.2}
    examples: 24
    batch_size: 8
    recordings: {neutral_label: neutral}
  augmentation: {codec_probability: 0.5}
"""


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Acted clips of two emotions, read speech, and a table of statistics without sound."""
    root = tmp_path_factory.mktemp("corpora")
    voices = [f"voice{number}" for number in range(8)]
    write_clips(root / "raw" / "acted", {"happy": 240.0, "calm": 120.0}, voices=voices)
    write_clips(root / "raw" / "read", {"unlabelled_read": 130.0}, voices=voices, seconds=1.2)
    rows = ["conversation_id,turn,label,split,audio_suspect," + ",".join(STATISTICS)]
    for split in ("train", "val", "test"):
        for talk in range(2):
            for turn in range(4):
                values = ",".join(str(1.0 + number + turn) for number in range(len(STATISTICS)))
                label = ("neutral", "joy", "", "joy")[turn]
                rows.append(f"{split}{talk},{turn},{label},{split},{turn == 3},{values}")
    (root / "raw" / "table.csv").write_text("\n".join(rows) + "\n")
    out = root / "prepared"
    return out, {
        "acted": clips.prepare(root / "raw" / "acted", out / "acted", labels=LABELS.names),
        "read": clips.prepare(
            root / "raw" / "read",
            out / "read",
            labels=LABELS.names,
            label_names={"unlabelled_read": "neutral"},
            piece_seconds=0.5,
            max_pieces=2,
        ),
        "table": table.prepare(
            root / "raw" / "table.csv", out / "table", labels=LABELS.names, features=STATISTICS, counts=False
        ),
    }


@pytest.fixture(scope="module")
def examples(corpora, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    return {split: read_examples(corpora[1], split, LABELS, folder) for split in ("train", "validation")}


def test_examples_are_sounds_in_the_order_of_the_corpus_or_statistics(corpora, examples):
    train = examples["train"]
    assert Counter(example.corpus for example in train) == {"acted": 12, "read": 12, "table": 4}
    turns = [turn for one in corpora[1]["acted"].conversations("train") for turn in one]
    for turn, example in zip(turns, train, strict=False):
        assert LABELS.names[example.label] == turn.label
        # pitch tells the emotion
        assert (example.statistics[STATISTICS.index("avg_pitch")] > 200) == (turn.label == "joy")
        sound = turn.audio.load()
        assert len(sound) - 800 <= len(example.samples) <= len(sound)
        assert np.abs(example.sound).max() == pytest.approx(np.abs(sound).max(), abs=1e-3)
    assert {len(example.samples) <= 8000 for example in train if example.corpus == "read"} == {True}
    # of the table, turns with a label whose sound is not suspect; intensity relative to the conversation
    alone = [example for example in train if example.samples is None]
    assert [example.label for example in alone] == [0, 1, 0, 1]
    assert [example.statistics[0] for example in alone] == [1, 2, 1, 2]
    assert [example.statistics[1] for example in alone] == [-1, 0, -1, 0]
    assert all(example.centred for example in alone)
    assert alone[0].centred_statistics[0, 1] == -1
    assert train[0].centred_statistics[0, 1] == 0


def test_clips_are_decoded_once_and_other_clips_are_not_taken_for_them(corpora, tmp_path):
    acted = {"acted": corpora[1]["acted"]}
    first = read_examples(acted, "train", LABELS, tmp_path)
    (kept,) = tmp_path.rglob("*.npz")
    written = kept.stat().st_mtime_ns
    again = read_examples(acted, "train", LABELS, tmp_path)
    assert kept.stat().st_mtime_ns == written
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.statistics, other.statistics)
    # as many others, of the same names, are measured anew
    folder = tmp_path / "other"
    write_clips(folder, {"happy": 250.0, "calm": 125.0}, voices=[f"voice{number}" for number in range(8)])
    other = {"acted": clips.prepare(folder, tmp_path / "out", labels=LABELS.names)}
    changed = read_examples(other, "train", LABELS, tmp_path)
    assert changed[0].statistics[3] - first[0].statistics[3] == pytest.approx(10, abs=4)
    assert len(list(tmp_path.glob("acted/train/*.npz"))) == 2


def test_silent_clips_are_left_out(tmp_path):
    folder = write_clips(tmp_path / "raw", {"happy": 240.0, "calm": 120.0})
    for path in folder.glob("*-calm.wav"):
        path.write_bytes(path.read_bytes()[:44] + bytes(len(path.read_bytes()) - 44))
    corpus = clips.prepare(folder, tmp_path / "out", labels=LABELS.names)
    assert {one.label for one in read_examples({"a": corpus}, "train", LABELS, tmp_path / "kept")} == {1}


def task(examples, sampling=SAMPLING, labels=LABELS, seed=0):
    settings = FinetuneSettings(epochs=1, trackers=(), seed=seed)
    torch.manual_seed(0)
    encoder = WhisperEncoder(CONFIG)
    return _ActedSpeech(
        encoder,
        examples["train"],
        examples["validation"],
        labels,
        settings,
        sampling,
        AugmentationConfig(),
    )


def test_an_epoch_draws_corpora_by_their_fraction_and_emotions_evenly(examples):
    sampling = SamplingConfig(
        corpora={"acted": 3.0, "read": 1.0}, examples=4000, batch_size=40, statistics=0.1
    )
    drawn = task(examples, sampling)
    batches = drawn.batches(0)
    assert {len(batch) for batch in batches} == {44}
    every = [examples["train"][i] for batch in batches for i in batch]
    counts = Counter(example.corpus for example in every)
    assert counts["table"] == 4 * len(batches) == 400
    assert counts["acted"] / 4000 == pytest.approx(0.75, abs=0.03)
    labels = Counter(example.label for example in every if example.corpus == "acted")
    assert labels[1] / counts["acted"] == pytest.approx(0.5, abs=0.03)
    assert all(batch[-4:] == [i for i in batch if examples["train"][i].samples is None] for batch in batches)
    assert drawn.batches(0) == batches
    assert drawn.batches(1) != batches
    assert task(examples, sampling, seed=1).batches(0) != batches


def test_the_moments_of_recordings_are_kept_with_the_weights(examples):
    trained = task(examples)
    encoder = trained.encoder
    loss = trained.loss(encoder, trained.batches(0)[0], "cpu", (0, 0, 0, 0))
    assert torch.isfinite(loss)
    assert trained.recordings.seen.sum() == 8
    mean, std = trained.recordings.typical
    torch.testing.assert_close(encoder.typical_mean, mean)
    torch.testing.assert_close(encoder.typical_spread, std)
    # what is drawn follows from the key alone
    first, second, other = (
        task(examples).loss(None, trained.batches(0)[0], "cpu", key).item()
        for key in ((0, 1), (0, 1), (0, 2))
    )
    assert first == second != other
    kept = {name: value.clone() for name, value in trained.weights().items()}
    fresh = task(examples)
    fresh.load(kept)
    assert fresh.recordings.seen.sum() == 8


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (SamplingConfig(corpora={"acted": 1.0}), "'read' has sound, but no fraction"),
        (
            SamplingConfig(corpora={"acted": 1, "read": 1, "table": 1}),
            "'table' is not a corpus with sound here",
        ),
        (
            SamplingConfig(recordings=RecordingSimulationConfig(neutral_label="calm")),
            "neutral_label: 'calm' is no label; the labels are neutral, joy",
        ),
    ],
)
def test_sampling_that_does_not_fit_the_corpora_is_refused(examples, sampling, message):
    with pytest.raises(InputError, match=message):
        task(examples, sampling)


def test_without_sound_or_without_a_choice_nothing_is_trained(examples, tmp_path):
    alone = [example for example in examples["train"] if example.samples is None]
    with pytest.raises(InputError, match="no labelled turn of the training split has sound"):
        task({**examples, "train": alone})
    joyful = [example for example in examples["validation"] if example.label == 1]
    with pytest.raises(InputError, match="fewer than two labels: no epoch can be chosen"):
        task({**examples, "validation": joyful})


def test_corpora_are_scored_alone_and_together_and_one_label_by_its_percentage(examples):
    torch.manual_seed(3)
    encoder = WhisperEncoder(CONFIG)
    predictor = ClipPredictor(encoder, SpeechFrontend(), examples["train"])
    scores = corpus_scores(predictor)
    assert set(scores) == {"acted", "acted: together", "read", "table", "validation_weighted_f1"}
    alone, together = predictor.predict(together=False), predictor.predict(together=True)
    for corpus, predicted, name in (("acted", alone, "acted"), ("acted", together, "acted: together")):
        mine = predictor.corpora == corpus
        assert scores[name] == pytest.approx(weighted_f1(predictor.labels[mine], predicted[mine]))
    read = predictor.corpora == "read"
    assert scores["read"] == pytest.approx(100 * (alone[read] == 0).mean())
    acted = (scores["acted"] + scores["acted: together"]) / 2
    assert scores["validation_weighted_f1"] == pytest.approx((acted + scores["read"] + scores["table"]) / 3)


def test_clips_are_embedded_as_in_use(corpora, examples):
    """Alone, a clip is a conversation of one turn; together, all are turns of one."""
    from mister_e.conversation import Conversation, Utterance
    from mister_e.encoders.base import embed

    torch.manual_seed(1)
    encoder = WhisperEncoder(CONFIG).eval()
    predictor = ClipPredictor(
        encoder, SpeechFrontend(), [e for e in examples["train"] if e.corpus == "acted"]
    )
    conversations = list(corpora[1]["acted"].conversations("train"))
    alone, _ = embed(encoder, conversations)
    turns = [Utterance(str(i), audio=one.utterances[0].audio) for i, one in enumerate(conversations)]
    together, _ = embed(encoder, [Conversation("all", tuple(turns))])
    for expected, as_one in ((alone, False), (together, True)):
        predicted = encoder.logits(expected).argmax(-1)
        assert predictor.predict(together=as_one).tolist() == predicted.tolist()
    assert not torch.allclose(alone, together, atol=1e-3)


def test_statistics_alone_are_scored_as_they_were_trained():
    """They are relative to their conversation already: taken alone they must not become zero."""
    row = np.full(8, 5.0, np.float32)
    encoder = WhisperEncoder(CONFIG).eval()
    alone = [SpeechExample(None, row, 0, "table", centred=True) for _ in range(2)]
    predictor = ClipPredictor(encoder, SpeechFrontend(), alone)
    seen = []
    encoder.join = lambda relative, statistics: seen.append(statistics) or relative[:, :8]
    predictor.predict(together=False)
    assert all((statistics == 5.0).all() for statistics in seen)


@pytest.mark.slow
def test_the_encoder_learns(corpora, tmp_path):
    folder = tmp_path / "raw"
    write_clips(folder, {"happy": 240.0, "calm": 120.0}, voices=[f"v{number}" for number in range(10)])
    corpus = clips.prepare(folder, tmp_path / "corpus", labels=LABELS.names)
    found = {
        split: read_examples({"acted": corpus}, split, LABELS, tmp_path / "kept")
        for split in ("train", "validation")
    }
    torch.manual_seed(0)
    encoder = WhisperEncoder(CONFIG.model_copy(update={"rank": 2}))
    trained = finetune_acted_speech(
        encoder,
        found["train"],
        found["validation"],
        LABELS,
        FinetuneSettings(epochs=2, learning_rate=3e-3, schedule="constant", trackers=(), ema=0.5),
        tmp_path / "run",
        sampling=SamplingConfig(examples=48, batch_size=12),
        augmentation=AugmentationConfig(),
    )
    assert trained.validation_weighted_f1 > 75


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def spoken(corpora, tmp_path_factory):
    """A recipe, and its whole run by the command line."""
    folder = tmp_path_factory.mktemp("spoken")
    (folder / "recipe.yaml").write_text(RECIPE)
    arguments = ("--part", "speech", "--data", corpora[0])
    done = run("finetune", folder / "recipe.yaml", *arguments, "-o", folder / "run", "--test")
    assert done.exit_code == 0, done.output
    return folder, done


@pytest.mark.slow
def test_a_run_of_clips_is_as_any_of_stage_1(spoken, corpora):
    folder, done = spoken
    assert "spoken · speech · acted, read, table · seeds: 1" in done.stdout
    result = json.loads((folder / "run" / "seed-0" / "result.json").read_text())
    assert result["labels"] == ["neutral", "joy"]
    assert result["corpora"] == {name: one.metadata["table_sha256"] for name, one in corpora[1].items()}
    assert result["recipe"]["sampling"]["corpora"] == {"acted": 0.8, "read": 0.2}
    assert result["recipe"]["augmentation"]["codec_probability"] == 0.5
    assert len(result["history"]) == 2
    assert set(result["history"][0]) >= {"acted", "acted: together", "read", "table"}
    assert set(result["test"]) == {"weighted_f1", "acted", "acted: together", "read", "table"}
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["test_weighted_f1"]["mean"] == pytest.approx(result["test"]["weighted_f1"])
    encoder = load_encoder(folder / "run" / "seed-0")
    assert isinstance(encoder, WhisperEncoder)
    assert encoder.config.classes == 2
    stored = load_file(folder / "run" / "seed-0" / "encoder" / "model.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}


def test_a_run_is_done_once_and_for_this_recipe_and_these_corpora_alone(spoken, corpora):
    folder, _ = spoken
    arguments = ("finetune", folder / "recipe.yaml", "--part", "speech", "-o", folder / "run")
    written = (folder / "run" / "seed-0" / "log.jsonl").read_bytes()
    assert run(*arguments, "--data", corpora[0]).exit_code == 0
    assert (folder / "run" / "seed-0" / "log.jsonl").read_bytes() == written
    for change, field in (
        ("speech.sampling.shuffled=0.1", "recipe.sampling.shuffled"),
        ("speech.augmentation.noise_probability=0", "recipe.augmentation.noise_probability"),
        ("speech.corpora=[acted, read]", "corpora.table"),
    ):
        done = run(*arguments, "--data", corpora[0], "--set", change)
        assert done.exit_code == 2
        assert f"holds a run with another {field}" in " ".join(done.stderr.split())


def test_a_killed_run_goes_on_to_the_same_losses(spoken, corpora, tmp_path):
    folder, _ = spoken
    command = [
        *(sys.executable, "-m", "mister_e", "finetune", str(folder / "recipe.yaml"), "--part", "speech"),
        *("--data", str(corpora[0]), "-o", str(tmp_path / "run"), "--set", "speech.finetune.epochs=2"),
    ]
    log = tmp_path / "run" / "seed-0" / "log.jsonl"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if log.exists() and sum('"step"' in line for line in log.read_text().splitlines()) >= 4:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.002)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / "seed-0" / "result.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    whole = (folder / "run" / "seed-0" / "log.jsonl").read_text().splitlines()
    resumed = [json.loads(line) for line in log.read_text().splitlines()]
    for expected, row in zip(map(json.loads, whole), resumed, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)


def test_several_processes_are_refused(spoken, corpora, tmp_path):
    folder, _ = spoken
    words = ["finetune", str(folder / "recipe.yaml"), "--part", "speech", "--data", str(corpora[0])]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, "-m", "mister_e", *words, "-o", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
    )
    assert done.returncode != 0
    assert "a recipe with sampling: is trained by one process" in done.stderr
