"""CONTRIBUTING, "An encoder": one of speech that measures how loud a turn is."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import nn
from typer.testing import CliRunner

from mister_e.audio.format import LONGEST
from mister_e.cli import app
from mister_e.encoders import registry
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.persistence import fill, read, write
from mister_e.encoders.speech.preprocess import sound_keys

pytestmark = pytest.mark.slow

RATE = 16_000
RECIPE = """\
name: loud
speech:
  kind: loudness
  encoder: {embedding_dim: 4}
  finetune: {epochs: 2, learning_rate: 1.0e-2, trackers: []}
mixture:
  model: {hidden: 8, gru_layers: 1, gru_hidden: 4, fusion_dim: 8, fusion_blocks: 1, attention_dim: 6}
  train: {epochs: 2, learning_rate: 1.0e-2, trackers: []}
"""


class LoudnessConfig(BaseModel):
    """Sizes."""

    embedding_dim: int = 4
    classes: int = 0


class LoudnessEncoder(UtteranceEncoder):
    """A layer over the mean and the greatest level of a turn."""

    modality: ClassVar[Literal["speech"]] = "speech"
    kind: ClassVar[str] = "loudness"
    batch_cost: ClassVar[int] = 64

    def __init__(self, config):
        super().__init__()
        self.config, self.dim = config, config.embedding_dim
        self.project = nn.Linear(2, self.dim)
        self.classify = nn.Linear(self.dim, config.classes) if config.classes else None

    @classmethod
    def from_base(cls, config):
        return cls(config)

    @property
    def max_seconds(self):
        return LONGEST

    def examples(self, conversations):
        turns = [turn for conversation in conversations for turn in conversation]
        return [Example((n,), 1, turn.audio) for n, turn in enumerate(turns) if turn.audio is not None]

    def collate(self, examples, *, random=None):
        sounds = [np.abs(example.content.load()) for example in examples]
        levels = [(sound.mean(), sound.max()) if len(sound) else (0.0, 0.0) for sound in sounds]
        absent = torch.tensor([peak == 0 for _, peak in levels])
        return {"levels": torch.tensor(np.array(levels, dtype=np.float32)), "absent": absent}

    def forward(self, levels):
        return self.project(levels)

    def content_keys(self, conversations):
        return sound_keys(conversations)

    @property
    def identity(self):
        return fingerprint(self.kind, self.config, "", self.state_dict())

    def save(self, folder):
        write(self, folder)

    @classmethod
    def load(cls, folder):
        saved = read(folder, LoudnessConfig, "loudness encoder")
        encoder = cls(saved.config)
        fill(encoder, saved.weights, folder)
        return encoder


def ours(*words: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output + str(done.exception or "")
    return done.stdout


@pytest.fixture
def table(tmp_path):
    """One recording of turns that are loud or faint, by their label."""
    levels = {"calm": 0.05, "glad": 0.4}
    times = np.arange(RATE) / RATE
    sound = [level * np.sin(2 * np.pi * 200 * times) for level in list(levels.values()) * 2]
    with wave.open(str(tmp_path / "call.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.concatenate(sound) * 32767).astype("<i2").tobytes())
    rows = ["split,conversation_id,turn,text,start,end,label,audio"]
    for split in ("train", "val", "test"):
        rows += [f"{split},{split},{n},So.,{n},{n + 1},{list(levels)[n % 2]},call.wav" for n in range(4)]
    cues = [f"{n + 1}\n00:00:0{n},000 --> 00:00:0{n + 1},000\nSo.\n" for n in range(4)]
    (tmp_path / "call.srt").write_text("\n".join(cues), encoding="utf-8")
    (tmp_path / "turns.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "turns.csv"


def test_a_new_encoder_goes_the_whole_road(table, tmp_path, monkeypatch):
    kind = registry.Kind(__name__, "LoudnessEncoder", "LoudnessConfig")
    monkeypatch.setitem(registry.KINDS, "loudness", kind)
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    corpus, store, run, model = (tmp_path / name for name in ("corpus", "store", "run", "model"))
    ours("prepare", "table", table, corpus)
    ours("finetune", tmp_path / "recipe.yaml", "--part", "speech", "--data", corpus, "-o", tmp_path / "loud")
    encoders = ("--text", "mini", "--speech", tmp_path / "loud" / "seed-0")
    ours("embed", "--data", corpus, *encoders, "-o", store)
    ours("train", tmp_path / "recipe.yaml", "--data", store, "-o", run)
    ours("export", run, *encoders, "-o", model)
    call = (tmp_path / "call.wav", "--transcript", tmp_path / "call.srt")
    analysis = json.loads(ours("analyze", *call, "--model", model, "--format", "json"))
    assert analysis["model"]["speech_encoder"] == "loudness"
    assert ours("models", model).count("loudness") == 1
    turns = analysis["conversations"][0]["utterances"]
    assert [turn["missing"] for turn in turns] == [[]] * 4
    ours("evaluate", "--model", model, "--data", corpus, "-o", tmp_path / "scores")
    scores = json.loads((tmp_path / "scores" / "evaluation-test-full.json").read_text(encoding="utf-8"))
    assert np.sum(scores["seeds"]["0"]["confusion"]["turns"]) == 4
