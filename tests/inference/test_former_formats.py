"""Folders of older formats still open, and predict what they predicted."""

import json

import pytest
import torch
from safetensors.torch import save_file
from stores import make_store, small_recipe

from mister_e.conversation import Conversation, Utterance
from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.inference.model_folder import ModelFolder
from mister_e.inference.predict import predict
from mister_e.inference.predictor import Predictor
from mister_e.pretrained import model_folder
from mister_e.training.stage2.run import run_stage2

TALK = Conversation("c", (Utterance("1", "I hate this!"), Utterance("2", "Oh, how nice of you.")))


def test_a_bundled_model_of_format_2(tmp_path):
    model = ModelFolder.from_pretrained("mini")
    folder = tmp_path / "old"
    model.encoders["text"].save(folder / "text")
    weights = {f"mixture.{name}": value for name, value in model.mixture.state_dict().items()}
    speech = model.encoders["speech"]
    weights |= {f"speech_encoder.{name}": value for name, value in speech.state_dict().items()}
    save_file({name: value.half() for name, value in weights.items()}, folder / "model.safetensors")
    today = json.loads((model_folder("mini") / "config.json").read_text())
    kept = ("name", "description", "languages", "labels", "mixture", "calibration", "scores", "terms")
    config = {name: today[name] for name in kept} | {"format": 2, "training": {"speech": {"corpora": ["x"]}}}
    config["speech_encoder"] = speech.config.model_dump(mode="json")
    config["files"] = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in folder.rglob("*")
        if path.suffix in (".json", ".safetensors")
    }
    (folder / "config.json").write_text(json.dumps(config))

    old = ModelFolder.load(folder)
    assert old.config.format == 2
    assert old.labels == model.labels
    expected = Predictor(model).predict([TALK]).predictions
    assert Predictor(old).predict([TALK]).predictions.logits == pytest.approx(expected.logits, abs=1e-5)
    # written again it is of today's format
    old.save_pretrained(tmp_path / "new")
    new = ModelFolder.load(tmp_path / "new")
    assert new.config.format == 3
    assert Predictor(new).predict([TALK]).predictions.logits == pytest.approx(expected.logits, abs=1e-4)
    (folder / "model.safetensors").write_bytes(b"half a fi")
    with pytest.raises(InputError, match=r"model\.safetensors.*SHA-256"):
        ModelFolder.load(folder)


def test_a_run_of_format_1(tmp_path):
    store = make_store(tmp_path / "store")
    run_stage2(small_recipe(tmp_path), store, tmp_path / "run", seeds=[0])
    trained = ModelFolder.load(tmp_path / "run" / "seed-0", encoders=False)
    folder = tmp_path / "run" / "seed-0" / "model"
    (folder / "mixture.safetensors").rename(folder / "model.safetensors")
    today = trained.config
    config = {
        "format": 1,
        "kind": "mixture",
        "version": "0.1.0",
        "labels": today.labels,
        "model": today.mixture.model_dump(mode="json"),
        "calibration": today.calibration.model_dump(),
        "encoders": {name: encoder.model_dump() for name, encoder in today.encoders.items()},
        "protocol": today.training["protocol"],
        "corpus_sha256": "c" * 64,
        "selection": "validation",
        "recipe": "small",
        "seed": 0,
        "loss": {"gamma": 1.0},
        "train": {"rate": 0.01},
        "validation": {"weighted_f1": 50.0},
        "files": {"model.safetensors": sha256(folder / "model.safetensors")},
    }
    (folder / "config.json").write_text(json.dumps(config))
    old = ModelFolder.load(tmp_path / "run" / "seed-0", encoders=False)
    assert old.config.training["recipe"] == "small"
    assert old.config.scores["validation"] == {"weighted_f1": 50.0}
    conversations = list(store.conversations("test"))
    expected = predict(trained.mixture, conversations)
    assert torch.equal(
        torch.from_numpy(predict(old.mixture, conversations).logits), torch.from_numpy(expected.logits)
    )
    with pytest.raises(InputError, match="run mister-e export"):
        ModelFolder.load(tmp_path / "run" / "seed-0")
