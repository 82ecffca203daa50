"""Every family of language models goes the same way through the text encoder; tiny, random, real classes."""

import pytest
import torch

from mister_e.conversation import Conversation, Utterance
from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.base import embed
from mister_e.encoders.registry import load_encoder, new_encoder
from mister_e.encoders.text.encoder import TextEncoderConfig, is_causal
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.task import finetune

SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
DECODER = {**SMALL, "num_key_value_heads": 1, "head_dim": 8}
#: Name of the family: its sizes, and layers for adapters (None = trained whole).
FAMILIES = {
    "Llama": (DECODER, ("q_proj", "v_proj")),
    "Qwen2": ({**DECODER, "use_sliding_window": False}, ("q_proj", "v_proj")),
    "Gemma": (DECODER, ("q_proj", "v_proj")),
    "Mistral": (DECODER, ("q_proj", "v_proj")),
    "Roberta": ({**SMALL, "pad_token_id": 0}, ("query", "value")),
    "MPNet": ({**SMALL, "pad_token_id": 0}, ("q", "v")),
    "DebertaV2": (
        {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pad_token_id": 0},
        ("query_proj", "value_proj"),
    ),
    "ModernBert": ({**SMALL, "pad_token_id": 0}, ("Wqkv",)),
}
CAUSAL = ("Llama", "Qwen2", "Gemma", "Mistral")
TURNS = [
    ("it hurts", "sad"),
    (None, None),
    ("what a lovely day !", "glad"),
    ("  ", None),
    ("we are so sad now", "sad"),
    ("happy", "glad"),
]
TALK = [
    Conversation("c", tuple(Utterance(str(i), text, label=label) for i, (text, label) in enumerate(TURNS)))
]


@pytest.fixture(scope="module")
def base(tmp_path_factory, byte_tokenizer):
    def make(family, seed=0):
        """Folder of a tiny model and its tokenizer."""
        import transformers

        names = {"bos_token": "<s>"} if family in CAUSAL else {"cls_token": "[CLS]", "sep_token": "[SEP]"}
        tokenizer = byte_tokenizer(["<pad>", *names.values()], pad_token="<pad>", **names)
        folder = tmp_path_factory.mktemp(family)
        tokenizer.save_pretrained(folder)
        torch.manual_seed(seed)
        # a class of its own may add a mark or two
        config = getattr(transformers, f"{family}Config")(**FAMILIES[family][0], vocab_size=300)
        getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
        return str(folder)

    return make


def encoder_on(base, **config):
    torch.manual_seed(1)
    return new_encoder("text", TextEncoderConfig(base=base, classes=2, embedding_dim=8, history=1, **config))


@pytest.mark.parametrize("how", ["lora", "whole"])
@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tune_save_load_embed(base, tmp_path, family, how):
    lora = LoraSettings(rank=2, targets=FAMILIES[family][1]) if how == "lora" else None
    encoder = encoder_on(base(family), lora=lora, pooling="last" if family in CAUSAL else "attentive")
    assert is_causal(encoder.backbone) == (family in CAUSAL)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    settings = FinetuneSettings(epochs=1, learning_rate=1e-2, batch_examples=2, warmup=0, trackers=())
    finetune(encoder, TALK, TALK, LabelSet(["sad", "glad"]), settings, tmp_path / "run")
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    touched = {name for name in moved if name.startswith("backbone.")}
    if how == "lora":
        assert touched == {name for name in before if "lora_A" in name or "lora_B" in name}
    else:
        assert len(touched) > 10
    encoder.save(tmp_path / "encoder", dtype=torch.float32)
    again = load_encoder(tmp_path / "encoder")
    expected, present = embed(encoder, TALK)
    found, _ = embed(again, TALK)
    assert present.tolist() == [True, False, True, False, True, True]
    assert expected[present].std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert again.identity == encoder.identity


@pytest.mark.parametrize("family", FAMILIES)
def test_company_changes_nothing(base, family):
    encoder = encoder_on(base(family), pooling="mean")
    together, _ = embed(encoder, TALK, budget=10**6)
    alone, _ = embed(encoder, TALK, budget=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_another_base_is_refused(base, tmp_path):
    import shutil

    encoder_on(base("Qwen2"), lora=LoraSettings(rank=2)).save(tmp_path)
    shutil.copytree(base("Qwen2", seed=3), tmp_path / "base")
    with pytest.raises(InputError, match=r"its adapters belong on .* but the base here is"):
        load_encoder(tmp_path)


def test_layers_that_a_base_lacks_are_named(base):
    with pytest.raises(InputError, match="MPNetModel has no linear layer 'query'; it has dense, k, o, q, v"):
        encoder_on(base("MPNet"), lora=LoraSettings(targets=("query",)))
