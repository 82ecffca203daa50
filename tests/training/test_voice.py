"""The voices of a bundled model, from a folder of clips to a trained encoder, at a tiny size."""

import csv
import wave

import numpy as np
import pytest

from mister_e.audio.format import SAMPLE_RATE
from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.encoders.speech.whisper import WhisperEncoderConfig
from mister_e.errors import InputError
from mister_e.labels import MELD_EMOTIONS
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.acted_speech import PLAIN, Judged, LabelledSound, SamplingConfig, group_scores
from mister_e.training.stage1.voice import hear, statistics_alone, train_voice
from mister_e.training.stage2.pairing import acted_alone, acted_together, voices
from mister_e.training.turns import TableConversation

CONFIG = WhisperEncoderConfig(rank=1, embedding_dim=8, attention_hidden=4, classes=7, loudness=False)
SETTINGS = FinetuneSettings(epochs=1, learning_rate=1e-3, trackers=())
DRAWS = SamplingConfig(clips=16, batch=8)


def write(path, pitch, seconds):
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    samples = 0.2 * sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 6))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples * 20000).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two corpora of four voices each."""
    root = tmp_path_factory.mktemp("data")
    for folder, corpus, emotions in (
        ("ravdess", "ravdess", ("calm", "happiness")),
        ("librispeech", PLAIN, ("unlabelled_read",)),
    ):
        (root / folder).mkdir()
        with (root / folder / "manifest.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("file", "speaker", "emotion", "text", "corpus", "gender", "seconds"))
            for number in range(4):
                for emotion in emotions:
                    name = f"{number}-{emotion}.wav"
                    seconds = 3.2 if folder == "librispeech" else 0.6 + 0.1 * number
                    write(root / folder / name, 120 + 90 * (emotion == "happiness") + 7 * number, seconds)
                    rows.writerow((name, f"Actor_{number:02d}", emotion, "", corpus, "f", seconds))
    return root


@pytest.fixture(scope="module")
def heard(data, tmp_path_factory):
    return hear(data, tmp_path_factory.mktemp("work"), ("ravdess", "librispeech"))


def test_voices_are_in_one_split_each_and_keep_their_labels(heard):
    voices_of = {split: {one.group + one.voice for one in clips} for split, clips in heard.items()}
    assert not voices_of["train"] & voices_of["validation"]
    assert not voices_of["train"] & voices_of["test"]
    assert not voices_of["validation"] & voices_of["test"]
    every = [one for clips in heard.values() for one in clips]
    assert len(every) == 12
    for one in every:
        assert MELD_EMOTIONS.names[one.label] == ("joy" if one.statistics[3] > 200 else "neutral")
        expected = "women" if one.group == PLAIN or int(one.voice[-2:]) % 2 == 0 else "men"
        assert one.gender == expected


def test_what_was_heard_of_other_clips_is_not_taken_for_these(data, tmp_path):
    first = hear(data, tmp_path, ("ravdess",))
    manifest = data / "ravdess" / "manifest.csv"
    before = manifest.read_text()
    try:
        # the same number of rows, in another order: pieces have the same places
        head, *rows = before.splitlines()
        manifest.write_text("\n".join([head, *rows[::-1]]) + "\n")
        again = hear(data, tmp_path, ("ravdess",))
    finally:
        manifest.write_text(before)
    for split, clips in again.items():
        found = {(one.voice, one.label): len(one.samples) for one in first[split]}
        assert found == {(one.voice, one.label): len(one.samples) for one in clips}


def test_training_is_done_once_and_for_these_settings_alone(heard, tmp_path):
    table = TableConversation(
        "c", ("Oh.", "So?"), (0, 1), np.array([[2.0] * 8, [3.0] * 8], np.float32), np.array([True, True])
    )
    train = [*heard["train"], *statistics_alone([table])]
    assert [one.statistics[1] for one in train[-2:]] == [-0.5, 0.5]
    encoder, rows = train_voice(CONFIG, SETTINGS, train, heard["validation"], tmp_path, draws=DRAWS)
    assert set(rows[0]) >= {"ravdess", "ravdess: together", PLAIN}
    assert f"{PLAIN}: together" not in rows[0]
    again, same = train_voice(CONFIG, SETTINGS, train, heard["validation"], tmp_path, draws=DRAWS)
    assert same == rows
    judged = Judged(again, SpeechFrontend(), heard["test"])
    assert group_scores(judged) == group_scores(Judged(encoder, SpeechFrontend(), heard["test"]))
    acted = voices(judged)
    alone = acted_alone(acted, 4)
    together = acted_together(acted, 4, range(len(alone)))
    assert len(alone) == len(together) == len(heard["test"])
    assert not np.allclose(alone[0].speech, together[0].speech)
    with pytest.raises(InputError, match="encoder"):
        train_voice(
            CONFIG.model_copy(update={"rank": 2}), SETTINGS, train, heard["validation"], tmp_path, draws=DRAWS
        )
    with pytest.raises(InputError, match="clips_sha256"):
        train_voice(CONFIG, SETTINGS, train[:-1], heard["validation"], tmp_path, draws=DRAWS)


def test_statistics_alone_are_scored_as_they_were_trained():
    """They are relative to their conversation already: taken alone they must not become zero."""
    row = np.full(8, 5.0, np.float32)
    from mister_e.encoders.speech.whisper import WhisperEncoder

    encoder = WhisperEncoder(CONFIG).eval()
    judged = Judged(
        encoder, SpeechFrontend(), [LabelledSound(None, row, 0, "meld", centred=True) for _ in range(2)]
    )
    seen = []
    encoder.join = lambda relative, statistics: seen.append(statistics) or relative[:, :8]
    judged.predictions(together=False)
    assert all((one == 5.0).all() for one in seen)
