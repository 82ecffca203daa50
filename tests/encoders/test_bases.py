"""Where the base of a saved encoder may lie: a folder that is opened is data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.registry import load_encoder
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError

REVISION = "0123456789" * 4


@pytest.fixture
def base(tmp_path, byte_tokenizer) -> Path:
    """A tiny Llama."""
    import transformers as t

    torch.manual_seed(0)
    tokenizer = byte_tokenizer(["<pad>", "<s>", "</s>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    t.LlamaModel(t.LlamaConfig(**sizes, vocab_size=len(tokenizer))).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Caches of a person who never trained here."""
    monkeypatch.setenv("MISTER_E_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


def tuned(base: str | Path, folder: Path) -> TextEncoder:
    """An encoder with adapters on a base, saved."""
    lora = LoraSettings(rank=2, targets=("q_proj",))
    encoder = TextEncoder.from_base(TextEncoderConfig(base=str(base), lora=lora)).eval()
    encoder.save(folder, dtype=torch.float32)
    return encoder


def change(folder: Path, base: str, identity: str | None = None) -> None:
    """Let the folder name another base."""
    path = folder / "encoder.json"
    settings = json.loads(path.read_text())
    settings["config"]["base"] = base
    settings["base"] = identity or settings["base"]
    path.write_text(json.dumps(settings))


def test_who_trained_on_a_folder_opens_the_encoder(base, cache, tmp_path):
    encoder = tuned(base, tmp_path / "encoder")
    assert load_encoder(tmp_path / "encoder").identity == encoder.identity
    # which folder it is decides its identity, not what the JSON calls it
    change(tmp_path / "encoder", "/dev/null")
    assert load_encoder(tmp_path / "encoder").dim == encoder.dim


def test_a_folder_elsewhere_is_not_opened_because_json_says_so(base, cache, tmp_path, monkeypatch):
    tuned(base, tmp_path / "encoder")
    shutil.rmtree(cache)
    with pytest.raises(InputError, match=rf"opens no other by itself; .* set MISTER_E_BASES={base}"):
        load_encoder(tmp_path / "encoder")
    monkeypatch.setenv("MISTER_E_BASES", f"/no/such:{base}")
    assert load_encoder(tmp_path / "encoder").dim == 16


def test_a_folder_may_bring_its_base(base, cache, tmp_path):
    tuned(base, tmp_path / "encoder")
    shutil.rmtree(cache)
    base.rename(tmp_path / "encoder" / "base")
    assert load_encoder(tmp_path / "encoder").dim == 16
    weights = tmp_path / "encoder" / "base" / "model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link to what is not in the folder"):
        load_encoder(tmp_path / "encoder")


def snapshot(base: Path, hub: Path) -> None:
    """Put a base into a Hub cache as huggingface_hub lays it out: links to blobs."""
    folder, blobs = (hub / "models--some--llama" / name for name in (f"snapshots/{REVISION}", "blobs"))
    folder.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(sorted(base.iterdir())):
        shutil.copy(path, blobs / str(number))
        (folder / path.name).symlink_to(f"../../blobs/{number}")


def test_who_trained_on_a_hub_model_opens_the_encoder_from_the_cache(base, cache, tmp_path):
    snapshot(base, tmp_path / "hub")
    (tmp_path / "hub" / "models--some--llama" / "refs").mkdir()
    (tmp_path / "hub" / "models--some--llama" / "refs" / "main").write_text(REVISION)
    identity = tuned("some/llama", tmp_path / "encoder").identity
    assert json.loads((tmp_path / "encoder" / "encoder.json").read_text())["base"] == REVISION
    # the branch moved on: the revision is what counts
    (tmp_path / "hub" / "models--some--llama" / "refs" / "main").unlink()
    assert load_encoder(tmp_path / "encoder").identity == identity


@pytest.mark.parametrize("online", [True, False])
def test_a_hub_model_that_is_not_in_the_cache_is_not_fetched(base, cache, tmp_path, monkeypatch, online):
    tuned(base, tmp_path / "encoder")
    change(tmp_path / "encoder", "some/llama", REVISION)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", not online)
    # the guard of conftest.py fails the test if anything is looked up
    with pytest.raises(InputError, match=f"by itself: hf download some/llama --revision {REVISION}"):
        load_encoder(tmp_path / "encoder")


@pytest.mark.parametrize("name", ["//host/share", "../base", "a/b/c", "https://host/x", "host:/x", "", "a b"])
def test_no_other_name_of_a_base_is_looked_at(base, cache, tmp_path, name):
    tuned(base, tmp_path / "encoder")
    change(tmp_path / "encoder", name, REVISION)
    with pytest.raises(InputError, match="opens no other by itself"):
        load_encoder(tmp_path / "encoder")


@pytest.mark.parametrize(
    ("change_config", "message"),
    [
        ({"attn_implementation": "some/kernel"}, "'attn_implementation' names code of another repository"),
        ({"model_type": "none", "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.C"}}, "no text"),
        ({"auto_map": {"AutoConfig": "some/repo--evil.C"}, "model_type": "none"}, "no text"),
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers' is 1000000000, over 1000"),
    ],
)
def test_a_base_runs_no_code_and_asks_nothing(base, tmp_path, monkeypatch, change_config, message):
    (base / "evil.py").write_text("raise SystemExit('ran')\n")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | change_config))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on stdin"))
    with pytest.raises(InputError, match=message):
        TextEncoder.from_base(TextEncoderConfig(base=str(base)))


def test_adapters_of_peft_do_not_name_a_base(base):
    (base / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(InputError, match=r"adapter_config\.json: adapters of PEFT"):
        TextEncoder.from_base(TextEncoderConfig(base=str(base)))


def test_pickled_weights_are_never_read(base):
    from safetensors.torch import load_file

    weights = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    torch.save(weights, base / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds pickled weights alone .* are not read"):
        TextEncoder.from_base(TextEncoderConfig(base=str(base)))
