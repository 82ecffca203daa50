"""The one road, for every kind of encoder: finetune, embed, train, export, analyze; on tiny real models."""

import json
import wave
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from mister_e.audio.decode import read_clip
from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.prosody import STATISTICS
from mister_e.cli import app
from mister_e.encoders.speech.frontend import measure_statistics
from mister_e.encoders.store import EmbeddingStore
from mister_e.inference.calibration import temperatures
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.pretrained import model_folder
from mister_e.transcription import read_transcript

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[1] / "samples"
SECONDS = 17.5

RECIPE = """\
name: tiny
description: a model that knows nothing
languages: [en]
terms: any use
text:
  kind: text
  encoder: {{embedding_dim: 8, history: 1, max_tokens: 40, max_prompt_tokens: 60, {text}}}
  finetune: {{epochs: 1, learning_rate: 1.0e-3, trackers: []}}
speech:
  kind: {kind}
  encoder: {{embedding_dim: 8, {speech}}}
  finetune: {{epochs: 1, learning_rate: 1.0e-3, trackers: []}}
mixture:
  model: {{hidden: 8, gru_layers: 1, gru_hidden: 4, fusion_dim: 8, fusion_blocks: 1, attention_dim: 6}}
  train: {{epochs: 2, learning_rate: 1.0e-2, trackers: []}}
"""
LORA = "lora: {rank: 2, dropout: 0.0, targets: all-linear}"
#: Name of the case: text family and how it is trained, kind of speech encoder, family of its base, training.
CASES = {
    "whisper": ("Llama", LORA, "whisper", None, "rank: 2"),
    "wavlm": ("Llama", "", "speech-model", "wavlm", ""),
    "wav2vec2": ("Roberta", "", "speech-model", "wav2vec2", "frozen: false"),
    "hubert": ("Roberta", LORA, "speech-model", "hubert", LORA),
    "whisper-model": ("Roberta", "", "speech-model", "whisper", LORA),
    "qwen2-audio": ("Llama", LORA, "audio-llm", "qwen2_audio", LORA),
    "audio-flamingo": ("Roberta", "", "audio-llm", "audioflamingo3", ""),
    "voxtral": ("Llama", "", "audio-llm", "voxtral", LORA),
    "features": ("Roberta", LORA, "features", None, ""),
}


@pytest.fixture(scope="module")
def text_base(tmp_path_factory, byte_tokenizer):
    def make(family):
        """Folder of a tiny causal (Llama) or bidirectional (Roberta) model and its tokenizer."""
        import transformers as t

        causal = family == "Llama"
        names = {"bos_token": "<s>"} if causal else {"cls_token": "[CLS]", "sep_token": "[SEP]"}
        tokenizer = byte_tokenizer(["<pad>", *names.values()], pad_token="<pad>", **names)
        folder = tmp_path_factory.mktemp(family)
        tokenizer.save_pretrained(folder)
        torch.manual_seed(0)
        sizes = {
            "vocab_size": 300,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
        }
        config = t.LlamaConfig(**sizes) if causal else t.RobertaConfig(**sizes, pad_token_id=0)
        (t.LlamaModel if causal else t.RobertaModel)(config).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def conversation(tmp_path_factory):
    """The beginning of the sample as a recording, its transcript, and a corpus of it."""
    folder = tmp_path_factory.mktemp("conversation")
    samples = read_clip(SAMPLE / "conversation.flac", 0, SECONDS, None)
    with wave.open(str(folder / "call.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    blocks = (SAMPLE / "conversation.srt").read_text(encoding="utf-8").split("\n\n")[:5]
    (folder / "call.srt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    rows = []
    for split in ("train", "val", "test"):
        for number, turn in enumerate(read_transcript(folder / "call.srt")):
            sound = read_clip(folder / "call.wav", turn.start, turn.end, None)
            rows.append(
                {
                    "split": split,
                    "conversation_id": split,
                    "turn": number,
                    "utterance_id": turn.id,
                    "text": turn.text,
                    "start": turn.start,
                    "end": turn.end,
                    "label": ("glad", "sad")[number % 2],
                    "audio": "call.wav",
                    **dict(zip(STATISTICS, measure_statistics(sound).tolist(), strict=True)),
                }
            )
    pl.DataFrame(rows).write_csv(folder / "turns.csv")
    ours("prepare", "table", folder / "turns.csv", folder / "corpus")
    ours(
        *("prepare", "table", folder / "turns.csv", folder / "told"),
        *("--features", ",".join(STATISTICS)),
    )
    return folder


def ours(*words, code=0):
    """Run the command line."""
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output + str(done.exception or "")
    return done


@pytest.mark.parametrize("case", CASES)
def test_what_train_makes_analyze_opens(
    case, conversation, text_base, speech_base, llm_base, tmp_path, monkeypatch
):
    family, text, kind, base, speech = CASES[case]
    text = f"base: {text_base(family)}{', ' if text else ''}{text}"
    if base is not None:
        folder = (llm_base if kind == "audio-llm" else speech_base)(base)
        speech = f"base: {folder}{', ' if speech else ''}{speech}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(text=text, kind=kind, speech=speech), encoding="utf-8")
    corpus = conversation / ("told" if kind == "features" else "corpus")
    for part in ("text", "speech"):
        ours("finetune", recipe, "--part", part, "--data", corpus, "-o", tmp_path / part)
    encoders = [("--text", tmp_path / "text" / "seed-0"), ("--speech", tmp_path / "speech" / "seed-0")]
    options = [word for pair in encoders for word in pair]
    ours("embed", "--data", corpus, *options, "-o", tmp_path / "store")
    ours("train", recipe, "--data", tmp_path / "store", "-o", tmp_path / "run")

    model = tmp_path / "model"
    refused = ours("analyze", conversation / "call.srt", "--model", tmp_path / "run" / "seed-0", code=2)
    assert "run mister-e export" in refused.stderr
    ours("export", tmp_path / "run", *options, "-o", model)
    assert {path.name for path in model.iterdir()} == {
        "config.json", "mixture.safetensors", "text", "speech", "README.md"
    }  # fmt: skip
    assert json.loads((model / "config.json").read_text())["format"] == 3

    call = [conversation / "call.wav", "--transcript", conversation / "call.srt"]
    ours("analyze", *call, "--model", model, "--format", "json", "-o", tmp_path / "call.json")
    turns = json.loads((tmp_path / "call.json").read_text())["conversations"][0]["utterances"]
    trained = ModelFolder.load(tmp_path / "run", encoders=False)
    expected = predict(trained.mixture, list(EmbeddingStore.load(tmp_path / "store").conversations("test")))
    divided = torch.from_numpy(expected.logits / temperatures(trained.calibration, expected))
    assert len(turns) == len(divided) == 5
    for turn, row in zip(turns, divided.softmax(-1), strict=True):
        assert not turn["missing"]
        assert list(turn["scores"].values()) == pytest.approx(row.tolist(), abs=1e-4)
    assert abs(divided - divided.mean(0)).max() > 1e-4  # the turns are not all alike

    monkeypatch.chdir(tmp_path)
    ours("evaluate", "--model", model, "--data", corpus, "--split", "test", "-o", tmp_path / "scores")
    ours("evaluate", tmp_path / "run", "--data", tmp_path / "store", "--split", "test")
    of_model = json.loads((tmp_path / "scores" / "evaluation-test-full.json").read_text())
    of_run = json.loads((tmp_path / "run" / "evaluation-test-full.json").read_text())
    assert of_model["seeds"]["0"]["confusion"] == of_run["seeds"]["0"]["confusion"]


@pytest.fixture(scope="module")
def trained(conversation, tmp_path_factory):
    """A run on the bundled encoders."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE[: RECIPE.index("text:")] + RECIPE[RECIPE.index("mixture:") :].format())
    ours(
        "embed",
        "--data",
        conversation / "corpus",
        "--text",
        "mini",
        "--speech",
        "mini",
        "-o",
        folder / "store",
    )
    ours("train", recipe, "--data", folder / "store", "-o", folder / "run")
    return folder


def test_an_export_of_bundled_encoders_carries_scores_and_says_what_it_is(trained, conversation, tmp_path):
    bundled = ("--text", "mini", "--speech", "mini")
    ours("evaluate", trained / "run", "--data", trained / "store", "-o", tmp_path)
    scores = f"my calls={tmp_path / 'evaluation-validation-full.json'}"
    ours("export", trained / "run", *bundled, "-o", tmp_path / "model", "--name", "mine", "--scores", scores)
    card = (tmp_path / "model" / "README.md").read_text()
    for part in ("# mine", "| my calls | 5 |", "tiny", "Any use", "a model that knows nothing", "minilm-l6"):
        assert part in card
    model = ModelFolder.from_pretrained(tmp_path / "model")
    assert str(trained) not in (tmp_path / "model" / "config.json").read_text()
    assert model.config.calibration == ModelFolder.load(trained / "run", encoders=False).calibration
    assert model.config.training["protocol"]["labels"] == ["glad", "sad"]
    # the same mixture may be exported again, another one may not lie there already
    ours("export", trained / "run", *bundled, "-o", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"files": config["files"] | {"mixture.safetensors": "0" * 64}}))
    other = ours("export", trained / "run", *bundled, "-o", tmp_path / "model", code=2)
    assert "holds another model" in other.stderr


def test_what_cannot_be_exported_or_opened_is_told(trained, conversation, tmp_path):
    run, out = trained / "run", ("-o", tmp_path / "model")
    assert "give --speech ENCODER" in ours("export", run, "--text", "mini", *out, code=2).stderr
    other = ours("export", run, "--text", "mini-llm", "--speech", "mini", *out, code=2).stderr
    assert "trained on embeddings by mini" in other.replace("\n", " ")
    assert "text encoder text" in other
    crossed = ours("export", run, "--text", "mini", "--speech", model_folder("mini") / "text", *out, code=2)
    assert "is an encoder of text, not of speech" in crossed.stderr
    unfinished = tmp_path / "unfinished" / "seed-0"
    unfinished.mkdir(parents=True)
    (unfinished / "run.json").write_text("{}")
    assert "not finished" in ours("export", unfinished.parent, "--text", "mini", *out, code=2).stderr
    assert "not finished" in ours("export", unfinished, "--text", "mini", *out, code=2).stderr
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.doc").write_text("years of work")
    occupied = ours("export", run, "--text", "mini", "--speech", "mini", "-o", taken, code=2)
    assert "is no model folder" in occupied.stderr
    assert not (tmp_path / "model").exists()
    encoder = ours("analyze", conversation / "call.srt", "--model", model_folder("mini") / "text", code=2)
    assert "is an encoder, not a model" in encoder.stderr
    scores = ours(
        "export", run, "--text", "mini", "--speech", "mini", *out, "--scores", "a=nothing.json", code=2
    )
    assert "cannot be read" in scores.stderr


def test_a_disk_that_is_full_leaves_nothing(trained, tmp_path, monkeypatch):
    import errno
    import shutil

    def full(source, target, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    export = ("export", trained / "run", "--text", "mini", "--speech", "mini", "-o")
    ours(*export, tmp_path / "earlier")
    before = (tmp_path / "earlier" / "config.json").read_text()
    monkeypatch.setattr(shutil, "copytree", full)
    done = ours(*export, tmp_path / "m", code=2)
    assert "No space left on device" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]
    ours(*export, tmp_path / "earlier", code=2)
    assert (tmp_path / "earlier" / "config.json").read_text() == before


def test_an_earlier_model_is_replaced_whole_and_nothing_beside_it_is_lost(trained, tmp_path, monkeypatch):
    export = ("export", trained / "run", "--text", "mini", "--speech", "mini", "-o")
    model = tmp_path / "model"
    ours(*export, model)
    (tmp_path / "link").symlink_to(model)
    ours(*export, tmp_path / "link", "--name", "linked")
    assert ModelFolder.load(model).config.name == "linked"
    monkeypatch.chdir(model)
    ours(*export, ".", "--name", "here")
    assert ModelFolder.load(model).config.name == "here"
    (model / "NOTES.txt").write_text("mine")
    done = ours(*export, model, code=2)
    assert "holds NOTES.txt beside a model" in done.stderr
    assert (model / "NOTES.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    assert "cannot be written" in ours(*export, tmp_path / "file" / "m", code=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "model"]


def test_a_card_shows_no_scores_of_other_weights(trained, conversation, tmp_path):
    ours("evaluate", trained / "run", "--data", trained / "store", "-o", tmp_path)
    path = tmp_path / "evaluation-validation-full.json"
    evaluation = json.loads(path.read_text())
    evaluation["model"]["weights"]["seed 0"] = "0" * 64
    path.write_text(json.dumps(evaluation))
    export = ("export", trained / "run", "--text", "mini", "--speech", "mini", "-o", tmp_path / "model")
    assert "scores other weights" in ours(*export, "--scores", f"mine={path}", code=2).stderr


def test_a_base_that_is_gone_is_named(trained, conversation, text_base, tmp_path):
    import shutil

    from mister_e.encoders.backbones.lora import LoraSettings
    from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig

    base = text_base("Llama")
    lora = LoraSettings(rank=2, targets="all-linear")
    TextEncoder.from_base(TextEncoderConfig(base=str(base), lora=lora)).save(tmp_path / "encoder")
    shutil.rmtree(base)
    out = ("-o", tmp_path / "store")
    done = ours("embed", "--data", conversation / "corpus", "--text", tmp_path / "encoder", *out, code=2)
    assert f"its base '{base}' is not on this machine" in done.stderr.replace("\n", "")
