import shutil

import numpy as np
import pytest
import torch

from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.encoders.backbones import memory
from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.base import embed
from mister_e.encoders.registry import load_encoder, new_encoder
from mister_e.encoders.speech.audio_llm import AudioLLMConfig, AudioLLMEncoder
from mister_e.errors import InputError, MisterEError

FAMILIES = ("qwen2_audio", "audioflamingo3", "voxtral")
LORA = LoraSettings(rank=2, alpha=4, targets=("q_proj", "k_proj"))


def encoder_on(base, **config):
    torch.manual_seed(1)
    made = new_encoder("audio-llm", AudioLLMConfig(base=str(base), **{"lora": LORA, **config}))
    assert isinstance(made, AudioLLMEncoder)
    return made


@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "frozen"])
@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tune_save_load_embed(llm_base, talk, tuned, tmp_path, family, lora):
    encoder = encoder_on(llm_base(family), classes=2, embedding_dim=8, lora=lora)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    tuned(encoder, tmp_path / "run")
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    touched = {name for name in moved if name.startswith("backbone.")}
    # the tower has layers of these names too: adapters are in the language model alone
    assert touched == {name for name in before if "lora_A" in name or "lora_B" in name}
    assert len(touched) == (2 * 2 * 2 if lora else 0)
    assert not any("audio_tower" in name for name in touched)
    encoder.save(tmp_path / "encoder", dtype=torch.float32)
    again = load_encoder(tmp_path / "encoder")
    turns = [talk(0.4, 1.1, None, 0.8)]
    expected, present = embed(encoder, turns)
    found, _ = embed(again, turns)
    assert found.shape == (4, 8)
    assert present.tolist() == [True, True, False, True]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert again.identity == encoder.identity
    assert {path.name for path in (tmp_path / "encoder").iterdir()} == {"encoder.json", "model.safetensors"}


@pytest.mark.parametrize("pooling", ["mean", "attentive", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_company_changes_nothing(llm_base, talk, family, pooling):
    encoder = encoder_on(llm_base(family), pooling=pooling).eval()
    turns = [talk(0.06, 1.9, 0.6, 0.61, 1.2)]
    together, _ = embed(encoder, turns, budget=10**9)
    alone, _ = embed(encoder, turns, budget=1)
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["qwen2_audio", "audioflamingo3"])
def test_the_side_of_the_pads_changes_nothing(llm_base, voice, family, side):
    encoder = encoder_on(llm_base(family), lora=None).eval()
    sounds = [voice(0.3), voice(1.7)]
    alone = torch.cat([encoder(**encoder.read([sound])) for sound in sounds])
    inputs = encoder.read(sounds)
    # a batch of one length more, all pads on the other side or on the same
    ids, mask, real = inputs["input_ids"], inputs["attention_mask"], inputs["real"]
    for row in range(2):
        kept = mask[row].bool()
        for name, value, pad in (("input_ids", ids, 0), ("attention_mask", mask, 0), ("real", real, False)):
            own, rest = value[row][kept], torch.full((int((~kept).sum()),), pad, dtype=value.dtype)
            inputs[name][row] = torch.cat([rest, own] if side == "left" else [own, rest])
    assert inputs["attention_mask"][0, 0 if side == "left" else -1] == 0
    torch.testing.assert_close(encoder(**inputs), alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_are_those_that_the_head_would_read(llm_base, voice, family):
    """The model of the published class, with its head, is the oracle; here the head is not even there."""
    import transformers

    base = llm_base(family)
    encoder = encoder_on(base, lora=None).eval()
    assert not any("lm_head" in name for name, _ in encoder.named_modules())
    (name,) = encoder.prompt.config.architectures
    whole = getattr(transformers, name).from_pretrained(base).eval()
    inputs = encoder.read([voice(0.8)])
    states, real = encoder.states(inputs)
    given = {name: value for name, value in inputs.items() if name != "real"}
    expected = whole(**given, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=0)
    # 25 tokens a second of sound; Voxtral joins twice as many frames in one
    assert real.sum() == (10 if family == "voxtral" else 20)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_instruction_is_read_before_the_sound(llm_base, voice, family):
    base = llm_base(family)
    encoders = [
        encoder_on(base, lora=None, instruction=words).eval()
        for words in ("which emotion ?", "speaker express", "")
    ]
    embedded = [one(**one.read([voice(0.5)])) for one in encoders]
    assert not torch.allclose(embedded[0], embedded[1], atol=1e-4)
    assert not torch.allclose(embedded[0], embedded[2], atol=1e-4)
    assert len({one.identity for one in encoders}) == 3
    token = encoders[0].prompt.processor.audio_token
    assert encoders[0].prompt.text.endswith(token)
    with pytest.raises(InputError, match=r"instruction: leave '.*' out, the sound follows"):
        encoder_on(base, instruction=f"{token} which emotion ?")


def test_sound_that_is_none_is_missing_and_no_crash(llm_base, voice):
    encoder = encoder_on(llm_base("qwen2_audio")).eval()
    sounds = [voice(0.01), np.zeros(16_000, np.float32), np.zeros(0, np.float32), voice(0.5)]
    turns = tuple(Utterance(str(i), audio=Clip(samples=sound)) for i, sound in enumerate(sounds))
    embedded, present = embed(encoder, [Conversation("c", turns)])
    assert present.tolist() == [False] * 3 + [True]
    assert not embedded[:3].any()
    assert torch.isfinite(embedded).all()


def test_only_training_crops(llm_base, talk):
    encoder = encoder_on(llm_base("qwen2_audio"), crop_seconds=0.5)
    examples = encoder.examples([talk(1.5)])
    first, second = (encoder.collate(examples, random=np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.equal(first["input_features"], second["input_features"])
    assert first["real"].sum() == 12
    plain = encoder.collate(examples)
    assert plain["real"].sum() > 30
    torch.testing.assert_close(plain["input_features"], encoder.collate(examples)["input_features"])


def test_half_precision_and_checkpointing_learn(llm_base, tuned, tmp_path):
    for family in FAMILIES:
        encoder = encoder_on(llm_base(family), classes=2, dtype="bfloat16", gradient_checkpointing=True)
        assert np.isfinite(tuned(encoder, tmp_path / family).history[0]["train_loss"])


def test_checkpointing_does_not_move_a_gradient(llm_base, talk):
    gradients = []
    for checkpointing in (False, True):
        lora = LORA.model_copy(update={"dropout": 0.0})
        encoder = encoder_on(llm_base("qwen2_audio"), lora=lora, gradient_checkpointing=checkpointing)
        encoder.train()
        inputs = encoder.collate(encoder.examples([talk(0.4, 0.6)]))
        inputs.pop("absent")
        encoder(**inputs).square().sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert len(gradients[0]) >= 8
    assert gradients[0].keys() == gradients[1].keys()
    for name, one in gradients[0].items():
        torch.testing.assert_close(one, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_the_layout_of_the_published_files_is_read(llm_base, voice, tmp_path):
    """Qwen2-Audio's files on the Hub name their weights as transformers once did."""
    import shutil

    from safetensors.torch import load_file, save_file

    base = llm_base("qwen2_audio")
    old = shutil.copytree(base, tmp_path / "old")
    renamed = {}
    for name, value in load_file(base / "model.safetensors").items():
        name = name.replace("model.language_model.", "language_model.model.")
        name = name.replace("lm_head", "language_model.lm_head").removeprefix("model.")
        renamed[name] = value
    assert "language_model.model.embed_tokens.weight" in renamed
    save_file(renamed, old / "model.safetensors", {"format": "pt"})
    encoders = [encoder_on(folder, lora=None).eval() for folder in (base, old)]
    one, other = (encoder(**encoder.read([voice(0.5)])) for encoder in encoders)
    torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_layers_that_a_base_lacks_are_named(llm_base):
    with pytest.raises(
        InputError, match=r"Qwen2AudioModel has no linear layer 'fc1'; it has down_proj, gate_proj"
    ):
        encoder_on(llm_base("qwen2_audio"), lora=LoraSettings(targets=("fc1",)))


def test_another_base_is_refused(llm_base, tmp_path):
    encoder_on(llm_base("voxtral")).save(tmp_path / "encoder")
    shutil.copytree(llm_base("voxtral", seed=5), tmp_path / "encoder" / "base")
    with pytest.raises(InputError, match=r"its adapters belong on .* but the base here is"):
        load_encoder(tmp_path / "encoder")


def test_what_is_no_audio_llm_is_told(speech_base, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'no-such/model': no such bundled name or folder"):
        encoder_on("no-such/model")
    with pytest.raises(
        InputError, match="a model of type 'hubert'; an encoder of kind audio-llm is one of qwen2_"
    ):
        encoder_on(speech_base("hubert"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no audio LLM that transformers loads"):
        encoder_on(tmp_path / "empty")


def test_too_little_memory_is_told_before_loading(llm_base, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    with pytest.raises(MisterEError, match=r"its weights need .* take a smaller base"):
        encoder_on(llm_base("qwen2_audio"))


def test_four_bits_need_a_gpu(llm_base):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(MisterEError, match="four_bit: needs a CUDA GPU"):
        encoder_on(llm_base("qwen2_audio"), four_bit=True)
