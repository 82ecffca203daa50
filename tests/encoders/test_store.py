"""What is embedded once is never computed again, whatever interrupts it."""

import os
import signal
import subprocess
import sys
import time
import wave

import numpy as np
import polars as pl
import pytest
import torch

from mister_e.audio.format import SAMPLE_RATE
from mister_e.corpora import table
from mister_e.encoders.base import embed
from mister_e.encoders.registry import new_encoder
from mister_e.encoders.speech.features import FeaturesConfig, FeaturesEncoder
from mister_e.encoders.speech.pretrained import SpeechModelConfig
from mister_e.encoders.speech.whisper import WhisperEncoder, WhisperEncoderConfig
from mister_e.encoders.store import EmbeddingStore
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError

WORDS = ["Oh.", "Yes, I know that.", "No!", None, "What do you mean by that, exactly?", "Oh."]


def prepared(folder, talks=6, tone=lambda turn: float(turn)):
    rows = [
        {
            "split": split,
            "conversation_id": f"{split}{talk}",
            "turn": turn,
            "utterance_id": str(turn),
            "text": text,
            "label": "glad" if (talk + turn) % 2 else "sad",
            "tone": tone(turn) if turn else None,
        }
        for split in ("train", "val", "test")
        for talk in range(talks)
        for turn, text in enumerate(WORDS)
    ]
    source = folder.parent / f"{folder.name}.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(source)
    return table.prepare(source, folder, features=["tone"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("corpora") / "talks")


@pytest.fixture(scope="module")
def mini():
    """An encoder that reads each turn alone: the same words are the same embedding."""
    torch.manual_seed(0)
    return TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", embedding_dim=256)).eval()


@pytest.fixture
def counted(mini, monkeypatch):
    """The encoder, and the number of turns that went through it."""
    seen = []
    plain = mini.forward
    monkeypatch.setattr(
        mini, "forward", lambda **inputs: (seen.append(len(inputs["rows"])), plain(**inputs))[1]
    )
    return mini, seen


def test_each_turn_is_computed_once(corpus, counted, tmp_path):
    encoder, seen = counted
    store = EmbeddingStore.create(tmp_path / "store", corpus)
    done = store.add(corpus, encoder)
    assert sum(seen) == len({text for text in WORDS if text})  # no history: the same words, one row
    assert done["train"].computed == 4
    assert done["test"].computed == 0
    assert [one.missing for one in done.values()] == [6, 6, 6]
    again = EmbeddingStore.create(tmp_path / "store", corpus).add(corpus, encoder)
    assert sum(seen) == 4
    assert sum(one.computed for one in again.values()) == 0


def test_what_is_read_is_what_the_encoder_says(corpus, mini, tmp_path):
    store = EmbeddingStore.create(tmp_path / "store", corpus)
    store.add(corpus, mini, shard=2)
    features = FeaturesEncoder.from_base(FeaturesConfig())
    features.fit(features.examples(list(corpus.conversations("train"))))
    store.add(corpus, features)
    read = list(EmbeddingStore.load(tmp_path / "store").conversations("validation"))
    expected, present = embed(mini, list(corpus.conversations("validation")))
    torch.testing.assert_close(torch.cat([one.text for one in read]), expected, atol=1e-5, rtol=0)
    assert torch.cat([one.has_text for one in read]).equal(present)
    assert read[0].has_speech.tolist() == [False, True, True, True, True, True]
    assert read[0].speech.shape == (6, features.dim)
    assert read[0].labels.tolist() == [
        corpus.protocol.labels.index(turn.label) for turn in next(corpus.conversations("validation"))
    ]
    assert len(list(store.conversations())) == 18


def test_another_encoder_is_refused_and_both_are_named(corpus, mini, tmp_path):
    store = EmbeddingStore.create(tmp_path / "store", corpus)
    store.add(corpus, mini, name="mine")
    other = TextEncoder.from_base(mini.config)
    with torch.no_grad():
        next(iter(other.project.parameters())).add_(1)
    with pytest.raises(InputError) as told:
        store.add(corpus, other, name="yours")
    for part in (f"mine {mini.identity[:12]}", f"yours {other.identity[:12]}", "choose another store"):
        assert part in str(told.value)


def test_another_corpus_is_refused(corpus, tmp_path):
    EmbeddingStore.create(tmp_path / "store", corpus)
    other = prepared(tmp_path / "other", talks=2)
    with pytest.raises(InputError, match=r"holds embeddings of .*choose another store"):
        EmbeddingStore.create(tmp_path / "store", other)


def test_a_store_half_made_says_so_and_what_embedded_nothing_gives_way(corpus, mini, tmp_path):
    store = EmbeddingStore.create(tmp_path / "store", corpus)
    store._claim(FeaturesEncoder(FeaturesConfig(names=("other",))), "killed")
    with pytest.raises(InputError, match="not all is embedded; run mister-e embed again"):
        list(EmbeddingStore.load(tmp_path / "store").conversations("train"))
    features = FeaturesEncoder.from_base(FeaturesConfig())
    features.fit(features.examples(list(corpus.conversations("train"))))
    assert store.add(corpus, features)["train"].computed > 0


def test_a_missing_store_and_a_damaged_shard_are_named(corpus, mini, tmp_path):
    with pytest.raises(InputError, match="no store there"):
        EmbeddingStore.load(tmp_path / "none")
    store = EmbeddingStore.create(tmp_path / "store", corpus)
    store.add(corpus, mini)
    shard = tmp_path / "store" / "text" / "000000.safetensors"
    kept = shard.read_bytes()
    shard.unlink()
    with pytest.raises(
        InputError, match=r"the text embedding of conversation .* is gone; run mister-e embed"
    ):
        list(EmbeddingStore.load(tmp_path / "store").conversations())
    shard.write_bytes(kept)
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(InputError, match=r"000000\.safetensors: damaged"):
        list(EmbeddingStore.load(tmp_path / "store").conversations())


SLOW = """
import sys, time
from pathlib import Path
from mister_e.corpora.store import Corpus
from mister_e.encoders.store import EmbeddingStore
from mister_e.encoders.text.encoder import TextEncoder
encoder = TextEncoder.load(Path(sys.argv[3]))
encoder.batch_cost = 1
corpus = Corpus.load(sys.argv[1])
def told(stage, done, total):
    time.sleep(0.3)
EmbeddingStore.create(Path(sys.argv[2]), corpus).add(corpus, encoder, shard=1, progress=told)
"""


@pytest.mark.posix
@pytest.mark.slow
def test_a_killed_run_keeps_its_shards(corpus, counted, tmp_path):
    encoder, seen = counted
    script, store = tmp_path / "slow.py", tmp_path / "store"
    script.write_text(SLOW)
    saved = tmp_path / "encoder"
    encoder.save(saved, dtype=torch.float32)
    with subprocess.Popen([sys.executable, str(script), str(corpus.folder), str(store), str(saved)]) as run:
        while run.poll() is None and len(list(store.glob("text/*.safetensors"))) < 2:
            time.sleep(0.01)
        os.kill(run.pid, signal.SIGKILL)
    kept = len(list(store.glob("text/*.safetensors")))
    assert 2 <= kept < 4
    EmbeddingStore.create(store, corpus).add(corpus, encoder)
    assert sum(seen) == 4 - kept


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


def spoken(folder, sounds):
    """Turns of such sounds, each in a file of its own."""
    folder.mkdir(exist_ok=True)
    turns = []
    for sound in sounds:
        path = folder / f"{len(list(folder.iterdir()))}.wav"
        write_wav(path, sound)
        turns.append({"text": "Oh.", "audio": str(path)})
    return turns


def small_corpus(folder, conversations, labels=("sad", "glad")):
    """A corpus whose splits are the conversations, one after the other; a turn is a row's columns."""
    rows = [
        {"split": split, "conversation_id": split, "turn": i, "utterance_id": str(i), "label": labels[0]}
        | turn
        for split, turns in zip(("train", "val", "test"), conversations, strict=True)
        for i, turn in enumerate(turns)
    ]
    source = folder / "table.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(source)
    return table.prepare(source, folder / "corpus", labels=labels)


def stored(folder, corpus, encoder):
    """The conversations of a store, as another process reads them, and the key of each turn."""
    store = EmbeddingStore.create(folder / "store", corpus)
    store.add(corpus, encoder)
    read = list(EmbeddingStore.load(folder / "store").conversations())
    conversations = [
        conversation
        for split in ("train", "validation", "test")
        for conversation in corpus.conversations(split)
    ]
    return read, conversations, encoder.content_keys(conversations)


def test_other_words_of_the_history_are_another_embedding(tmp_path):
    words = [["Yes.", "Fine."], ["Dogs.", "Fine."], ["Yes.", "Fine."]]
    corpus = small_corpus(tmp_path, [[{"text": text} for text in talk] for talk in words])
    torch.manual_seed(0)
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", embedding_dim=16, history=1)).eval()
    read, conversations, keys = stored(tmp_path, corpus, encoder)
    assert len({example.cost for example in encoder.examples(conversations)[1::2]}) == 1  # equal lengths
    assert keys[1] != keys[3]
    assert keys[1] == keys[5]
    expected, _ = embed(encoder, conversations)
    torch.testing.assert_close(torch.cat([one.text for one in read]), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(read[0].text[1], read[1].text[1], atol=1e-3)


def test_another_turn_of_its_recording_is_another_embedding(tmp_path, voice):
    sounds = {"a": voice(0.6), "b": voice(0.6, 220.0), "c": voice(0.6, 90.0)}
    talks = [[sounds[name] for name in talk] for talk in ("ab", "ac", "ab")]
    corpus = small_corpus(tmp_path, [spoken(tmp_path / "clips", talk) for talk in talks])
    torch.manual_seed(0)
    encoder = WhisperEncoder(WhisperEncoderConfig(embedding_dim=16, classes=2)).eval()
    read, conversations, keys = stored(tmp_path, corpus, encoder)
    assert keys[0] != keys[2]
    assert keys[0] == keys[4]
    assert len(set(keys)) == 4
    expected, _ = embed(encoder, conversations)
    torch.testing.assert_close(torch.cat([one.speech for one in read]), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(read[0].speech[0], read[1].speech[0], atol=1e-3)


def test_labels_keep_their_numbers(tmp_path):
    order = ("sad", "glad", "mad", "calm")  # neither by the alphabet nor by how often they come
    labels = [["calm", "glad"], ["mad", "mad", "calm"], ["sad", None]]
    corpus = small_corpus(
        tmp_path, [[{"text": "Oh.", "label": label} for label in talk] for talk in labels], order
    )
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6"))
    read, _, _ = stored(tmp_path, corpus, encoder)
    assert tuple(EmbeddingStore.load(tmp_path / "store").protocol.labels) == order
    assert [one.labels.tolist() for one in read] == [[3, 1], [2, 2, 3], [0, -1]]


@pytest.mark.parametrize("kind", ["whisper", "speech-model"])
def test_a_silent_clip_comes_back_without_speech(tmp_path, voice, speech_base, kind):
    sound, silence = voice(0.6), np.zeros(SAMPLE_RATE, np.float32)
    talks = [[sound, silence, sound], [sound, silence], [silence]]
    corpus = small_corpus(tmp_path, [spoken(tmp_path / "clips", talk) for talk in talks])
    torch.manual_seed(0)
    if kind == "whisper":
        encoder = WhisperEncoder(WhisperEncoderConfig(embedding_dim=16, classes=2))
    else:
        encoder = new_encoder("speech-model", SpeechModelConfig(base=str(speech_base("wav2vec2"))))
    read, _, keys = stored(tmp_path, corpus, encoder)
    assert [one.has_speech.tolist() for one in read] == [[True, False, True], [True, False], [False]]
    assert None not in keys  # its silence was not known before it was heard
    for conversation in read:
        absent = ~conversation.has_speech
        assert not conversation.speech[absent].any()
        assert conversation.speech[conversation.has_speech].any(1).all()
    again = EmbeddingStore.load(tmp_path / "store").add(corpus, encoder)
    assert [(one.turns, one.computed, one.missing) for one in again.values()] == [
        (3, 0, 1),
        (2, 0, 1),
        (1, 0, 1),
    ]
