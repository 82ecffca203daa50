"""From a table to a fine-tuned encoder to a store, as a person does it."""

import json

import polars as pl
import pytest
import torch

from mister_e.corpora import table
from mister_e.encoders.registry import load_encoder
from mister_e.encoders.store import EmbeddingStore

pytestmark = pytest.mark.slow

RECIPE = """\
name: small
text:
  kind: text
  encoder: {base: minilm-l6, embedding_dim: 16, history: 1}
  finetune: {epochs: 1, learning_rate: 3.0e-4, trackers: []}
seeds: [0, 1]
"""
TURNS = [("so happy", "glad"), ("it hurts", "sad"), ("lovely day", "glad"), ("crying again", "sad")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage1")
    rows = [
        {
            "split": split,
            "conversation_id": f"{split}{talk}",
            "turn": turn,
            "utterance_id": str(turn),
            "text": text,
            "label": label,
            "loudness": float(turn),
        }
        for split in ("train", "val", "test")
        for talk in range(3)
        for turn, (text, label) in enumerate(TURNS)
    ]
    pl.DataFrame(rows).write_csv(folder / "turns.csv")
    table.prepare(folder / "turns.csv", folder / "corpus", features=["loudness"])
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


def test_finetune_then_embed(run, corpus, tmp_path):
    arguments = ("finetune", corpus / "recipe.yaml", "--data", corpus / "corpus", "-o", tmp_path / "runs")
    done = run(*arguments, "--test")
    assert "seeds: 2" in done.stdout
    assert "test: weighted F1" in done.stdout
    summary = json.loads((tmp_path / "runs" / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    result = json.loads((tmp_path / "runs" / "seed-1" / "result.json").read_text())
    assert result["test"]["turns"] == 12
    assert set(result["test"]["class_f1"]) == {"glad", "sad"}
    assert result["protocol"]["labels"] == result["labels"]
    encoder = load_encoder(tmp_path / "runs" / "seed-0")
    assert encoder.dim == 16

    embed = ("embed", "--data", corpus / "corpus", "--text", tmp_path / "runs" / "seed-0")
    done = run(*embed, "--speech", "features", "-o", tmp_path / "store")
    assert "text train: 12 turns, " in done.stdout
    assert "speech test: 12 turns, " in done.stdout
    one = next(EmbeddingStore.load(tmp_path / "store").conversations("test"))
    assert one.text.shape == (4, 16)
    assert one.has_speech.all()

    other = run(*embed[:-1], tmp_path / "runs" / "seed-1", "-o", tmp_path / "store")
    assert "its text embeddings were made by" in other.stderr
    again = run(*arguments, "--set", "text.finetune.learning_rate=1e-5")
    assert "holds a run with another recipe.finetune.learning_rate (0.0003, now 1e-05)" in again.stderr


def test_bad_input_is_told(run, corpus, tmp_path):
    data = ("--data", corpus / "corpus", "-o", tmp_path / "out")
    assert "nothing to embed with" in run("embed", *data).stderr
    assert "unknown model 'nothing'" in run("embed", *data, "--text", "nothing").stderr
    missing = run("finetune", tmp_path / "no.yaml", *data)
    assert "there is no such recipe" in missing.stderr
    odd = run("finetune", corpus / "recipe.yaml", *data, "--set", "text.encoder.base=no/such")
    assert "'no/such'" in odd.stderr


def test_an_encoder_goes_on_from_another_corpus(run, corpus, tmp_path):
    recipe, data = str(corpus / "recipe.yaml"), str(corpus / "corpus")
    first = tmp_path / "first"
    assert run("finetune", recipe, "--data", data, "-o", str(first), "--seed", "0").exit_code == 0
    second = tmp_path / "second"
    change = f"text.start={first / 'seed-0'}"
    # a rate of almost nothing: what comes out is what it started from, but for the classifier
    still = ("--set", change, "--set", "text.finetune.learning_rate=1e-12", "--seed", "1")
    assert run("finetune", recipe, "--data", data, "-o", str(second), *still).exit_code == 0
    a, b = (load_encoder(folder).state_dict() for folder in (first / "seed-0", second / "seed-1"))
    for name in a:
        assert torch.allclose(a[name], b[name], atol=1e-3) != name.startswith("classify."), name
    facts = json.loads((second / "seed-1" / "run.json").read_text())
    assert facts["recipe"]["start"] == load_encoder(first / "seed-0").identity
    wide = ("--set", change, "--set", "text.encoder.embedding_dim=8")
    told = run("finetune", recipe, "--data", data, "-o", str(tmp_path / "third"), *wide)
    assert told.exit_code == 2
    assert "start: weight 'project.1.bias' of" in told.stderr
    told = run("finetune", recipe, "--data", data, "-o", str(tmp_path / "x"), "--set", "text.start=nowhere")
    assert told.exit_code == 2
    assert "unknown model 'nowhere'" in told.stderr
