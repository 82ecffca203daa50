"""A model folder is data: whatever is in it, opening it works or tells in one line what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch
from fuzzing import SEED, TIMES

from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.registry import load_encoder
from mister_e.encoders.speech.features import FeaturesConfig, FeaturesEncoder
from mister_e.encoders.speech.pretrained import SpeechModelConfig, SpeechModelEncoder
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError
from mister_e.inference import ModelConfig, ModelFolder, Predictor
from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig

#: Each is one folder with one thing changed; `make fuzz` asks for more.
COUNT = 160 * TIMES

pytestmark = [pytest.mark.slow, pytest.mark.posix]

TALK = [Conversation("c", (Utterance("0", "Oh no."), Utterance("1", "So it goes.")))]

VALUES = [
    *(None, True, -1, 0, 1, 3, 2**31, 2**63, 10**30, 1.5, -0.0, "", "x", "../..", "/etc/passwd", "a/b"),
    *([], {}, [[]], [1, 2], {"a": {"b": []}}, "\ud800", "\x00", "kernels-community/x", "é" * 5000),
    *(float("nan"), float("inf")),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, byte_tokenizer, speech_base):
    """Tiny models of the real classes, by what their encoders are."""
    import transformers as t

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    tokenizer = byte_tokenizer(["<pad>", "<s>", "</s>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocabulary = len(tokenizer)
    bert = t.BertModel(t.BertConfig(**sizes, vocab_size=vocabulary, max_position_embeddings=64))
    base = place / "llama"
    t.LlamaModel(t.LlamaConfig(**sizes, vocab_size=vocabulary)).save_pretrained(base)
    tokenizer.save_pretrained(base)
    lora = LoraSettings(rank=2, targets=("q_proj",))
    texts = {
        "whole": TextEncoder(TextEncoderConfig(base="b", max_tokens=20), bert, tokenizer),
        "lora": TextEncoder.from_base(TextEncoderConfig(base=str(base), lora=lora)),
    }
    features = FeaturesEncoder(FeaturesConfig(names=("duration", "avg_pitch")))
    wavlm = SpeechModelEncoder.from_base(SpeechModelConfig(base=str(speech_base("wavlm")), frozen=False))
    made: dict[str, Path] = {}
    for name, (text, speech) in {"whole": ("whole", wavlm), "lora": ("lora", features)}.items():
        config = MixtureConfig(
            classes=2,
            text_dim=texts[text].dim,
            speech_dim=speech.dim,
            hidden=8,
            kernels=(1,),
            gru_layers=1,
            gru_hidden=4,
            fusion_dim=8,
            fusion_blocks=1,
            attention_dim=6,
        )
        described = ModelConfig(name=name, labels=["sad", "glad"], mixture=config)
        model = ModelFolder(described, MisterE(config), {"text": texts[text], "speech": speech})
        made[name] = place / name
        model.save_pretrained(made[name])
    shutil.copytree(base, made["lora"] / "text" / "base")
    return made


def signed(folder: Path) -> None:
    """Say in `config.json` that what is there now is what should be there."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        for name in config["files"]:
            config["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for encoder in config["encoders"].values():
            encoder["identity"] = ""
        path.write_text(json.dumps(config), encoding="utf-8")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # then that file is what was changed


def places(data, path=()):
    """Where each value of a JSON lies."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def change_json(path: Path, chance: random.Random) -> str:
    """Put something else in place of a value, take one away, or add one."""
    data = json.loads(path.read_text(encoding="utf-8"))
    where = chance.choice(sorted(places(data), key=lambda place: (len(place), str(place)))[:400])
    inner = data
    for key in where[:-1]:
        inner = inner[key]
    kind, value = chance.choice(("put", "put", "put", "drop", "add")), chance.choice(VALUES)
    if kind == "drop":
        del inner[where[-1]]
    elif kind == "add" and isinstance(inner, dict):
        name = chance.choice(["attn_implementation", "auto_map", "quantization_config", "rope_scaling", "x"])
        inner[name] = value
    else:
        inner[where[-1]] = value
    path.write_text(json.dumps(data), encoding="utf-8")
    return f"{kind} {where} {value!r:.40}"


def change_text(path: Path, chance: random.Random) -> str:
    """Put in place of a JSON what is none, or none that anybody writes."""
    texts = {
        "deep": "[" * 100_000,
        "deep object": '{"a":' * 5000 + "1" + "}" * 5000,
        "list": "[]",
        "empty": "",
        "number": "1" * 5000,
        "latin": b'{"a": "\xe9"}',
        "utf-16": '{"kind": "text"}'.encode("utf-16"),
        "large": '{"a": "' + "x" * (17 << 20) + '"}',
        "infinite": '{"format": 1e999}',
    }
    name = chance.choice(sorted(texts))
    text = texts[name]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def change_bytes(path: Path, chance: random.Random) -> str:
    """Cut a file, or change some bytes at its beginning or anywhere."""
    data = bytearray(path.read_bytes())
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    for _ in range(chance.choice((1, 3, 30)) if data else 0):
        data[chance.randrange(min(len(data), chance.choice((16, 2000, 10**9))))] = chance.randrange(256)
    path.write_bytes(data)
    return "bytes"


def change_header(path: Path, chance: random.Random) -> str:
    """Let the header of safetensors say what is not so."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    name = chance.choice(sorted(header.keys() - {"__metadata__"}))
    kind = chance.choice(
        ("length", "end", "dtype", "shape", "twice", "huge", "nan", "rename", "odd", "empty")
    )
    tensor = header[name]
    if kind == "length":
        length = chance.choice((0, 1, 2**32, 2**63, 10**9))
        path.write_bytes(struct.pack("<Q", length) + data[8:])
        return kind
    if kind == "end":
        tensor["data_offsets"] = [0, 2**62]
    elif kind == "dtype":
        tensor["dtype"] = chance.choice(("I64", "F8_E4M3", "BOOL", "F64", "X"))
    elif kind == "shape":
        tensor["shape"] = [*tensor["shape"][::-1], 1]
    elif kind == "huge":
        tensor["shape"] = [2**40, 2**40]
    elif kind == "rename":
        header["../x"] = header.pop(name)
    elif kind == "odd":
        header[name] = chance.choice(VALUES[:20])
    elif kind == "empty":
        header = {}
    text = json.dumps(header)
    if kind == "twice":
        text = text[:-1] + f", {json.dumps(name)}: {json.dumps(tensor)}}}"
    if kind == "nan":
        rest = b"\xff" * len(rest)
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + rest)
    return f"{kind} {name}"


def change_file(path: Path, chance: random.Random) -> str:
    """Put something else than a file there, or nothing."""
    kind = chance.choice(("gone", "link", "loop", "pipe", "folder", "null"))
    path.unlink()
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "null":
        path.symlink_to("/dev/zero")
    return kind


def changed(folder: Path, chance: random.Random) -> str:
    """Change one thing in a model folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("README.md", "LICENSE.md"))
    path = chance.choice(files)
    if path.suffix == ".json":
        change = chance.choice(
            (change_json, change_json, change_json, change_text, change_bytes, change_file)
        )
    else:
        change = chance.choice((change_header, change_header, change_bytes, change_file))
    told = f"{path.relative_to(folder)}: {change(path, chance)}"
    if change is not change_file and chance.random() < 0.9:
        signed(folder)
    return told


def outcome(folder: Path) -> str:
    """What a person is told who uses it; "" = it works."""
    try:
        Predictor(ModelFolder.load(folder)).predict(TALK)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_changed_folder_opens_or_tells_why_in_one_line(folders, tmp_path, seed):
    chance = random.Random(f"{SEED} {seed}")
    folder = tmp_path / "model"
    shutil.copytree(folders[chance.choice(("whole", "lora"))], folder)
    told = changed(folder, chance)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = outcome(folder)
    assert "\n" not in message, told
    assert len(message) < 1500, told
    assert not message or str(folder) in message, f"{told}: {message}"
    assert time.process_time() - began < 5, told
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000, told


def test_a_folder_that_is_not_changed_opens(folders):
    for folder in folders.values():
        assert Predictor(ModelFolder.load(folder)).predict(TALK)
        assert load_encoder(folder / "text").dim == 16
