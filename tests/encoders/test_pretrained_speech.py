import shutil

import numpy as np
import pytest
import torch

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.encoders.backbones import memory
from mister_e.encoders.backbones.lora import LoraSettings
from mister_e.encoders.base import embed
from mister_e.encoders.registry import load_encoder, new_encoder
from mister_e.encoders.speech.preprocess import sound_of
from mister_e.encoders.speech.pretrained import SpeechModelConfig, SpeechModelEncoder
from mister_e.errors import InputError, MisterEError
from mister_e.pretrained import weights

FAMILIES = ("whisper", "wavlm", "wavlm-layer", "wav2vec2", "wav2vec2-layer", "hubert", "hubert-layer")
LORA = {
    "whisper": ("q_proj", "v_proj"),
    "wavlm": ("intermediate_dense", "output_dense"),
    "wav2vec2": ("q_proj", "k_proj"),
    "hubert": ("q_proj", "v_proj"),
}


def encoder_on(base, **config):
    torch.manual_seed(1)
    made = new_encoder("speech-model", SpeechModelConfig(base=str(base), **config))
    assert isinstance(made, SpeechModelEncoder)
    return made


def settings_of(family, how):
    if how == "lora":
        return {"lora": LoraSettings(rank=2, targets=LORA[family.partition("-")[0]])}
    return {"frozen": how == "frozen"}


@pytest.mark.parametrize("how", ["frozen", "lora", "whole"])
@pytest.mark.parametrize("family", ["whisper", "wavlm", "wav2vec2", "hubert"])
def test_fine_tune_save_load_embed(speech_base, talk, tuned, tmp_path, family, how):
    base = speech_base(family)
    encoder = encoder_on(base, classes=2, embedding_dim=8, pooling="attentive", **settings_of(family, how))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    tuned(encoder, tmp_path / "run")
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    touched = {name for name in moved if name.startswith("backbone.")}
    assert "project.1.weight" in moved
    if how == "frozen":
        assert not touched
    elif how == "lora":
        # every adapter acts: a matrix that starts at zero moved in each of them
        assert touched == {name for name in before if "lora_A" in name or "lora_B" in name}
    else:
        assert len(touched) > 10
    encoder.save(tmp_path / "encoder", dtype=torch.float32)
    again = load_encoder(tmp_path / "encoder")
    turns = [talk(0.4, 1.1, None, 0.8)]
    expected, present = embed(encoder, turns)
    found, _ = embed(again, turns)
    assert found.shape == (4, 8)
    assert present.tolist() == [True, True, False, True]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert again.identity == encoder.identity
    kept = {path.name for path in (tmp_path / "encoder").iterdir()}
    own = {"config.json", "preprocessor_config.json"} if how == "whole" else set()
    assert kept == {"encoder.json", "model.safetensors"} | own


@pytest.mark.parametrize("pooling", ["mean", "attentive", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_company_changes_nothing(speech_base, talk, family, pooling):
    encoder = encoder_on(speech_base(family), pooling=pooling).eval()
    turns = [talk(0.15, 1.9, 0.6, 0.61, 1.2)]
    together, _ = embed(encoder, turns, budget=10**9)
    alone, _ = embed(encoder, turns, budget=1)
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["wavlm", "wav2vec2-layer", "hubert"])
def test_states_are_those_of_the_model_itself(speech_base, voice, family):
    """The whole model, called as its own documentation says, is the oracle."""
    encoder = encoder_on(speech_base(family)).eval()
    inputs = encoder.read([voice(1.0), voice(0.4)])
    with torch.inference_mode():
        states, real = encoder.states(inputs)
        for row, length in enumerate(inputs["lengths"].tolist()):
            plain = encoder.backbone(inputs["samples"][row : row + 1, :length]).last_hidden_state[0]
            torch.testing.assert_close(states[row, real[row]], plain, atol=1e-4, rtol=0)


def test_whisper_pools_the_turn_and_not_the_silence_behind_it(speech_base, voice):
    encoder = encoder_on(speech_base("whisper")).eval()
    inputs = encoder.read([voice(0.5), voice(2.0)])
    states, real = encoder.states(inputs)
    assert real.sum(1).tolist() == [25, 100]
    pooled = encoder(**inputs)
    torch.testing.assert_close(pooled[0], states[0, :25].mean(0))
    assert {one.cost for one in encoder.examples([Conversation("c", (_turn(voice(0.3)),))])} == {2000}


def test_sound_that_is_none_is_missing_and_no_crash(speech_base, voice):
    encoder = encoder_on(speech_base("wav2vec2")).eval()
    few = voice(0.01)
    sounds = [few, np.zeros(SAMPLE_RATE, np.float32), np.zeros(0, np.float32), few[:1], voice(0.5)]
    embedded, present = embed(
        encoder, [Conversation("c", tuple(_turn(s, str(i)) for i, s in enumerate(sounds)))]
    )
    assert present.tolist() == [False] * 4 + [True]
    assert not embedded[:4].any()
    assert torch.isfinite(embedded).all()


def test_only_training_crops(speech_base, talk):
    encoder = encoder_on(speech_base("wav2vec2"), crop_seconds=0.5)
    examples = encoder.examples([talk(1.5, 0.3)])
    first, second = (encoder.collate(examples, random=np.random.default_rng(seed)) for seed in (0, 1))
    assert first["lengths"].tolist()[0] == 0.5 * SAMPLE_RATE
    assert not torch.equal(first["samples"][0], second["samples"][0])
    torch.testing.assert_close(first["samples"][1], second["samples"][1])
    assert encoder.collate(examples)["lengths"].tolist()[0] > 1.4 * SAMPLE_RATE
    torch.testing.assert_close(encoder.collate(examples)["samples"], encoder.collate(examples)["samples"])


def test_neither_gain_nor_silence_nor_length_over_the_most_is_heard(voice):
    plain = voice(1.0)
    silence = np.zeros(5000, np.float32)
    changed = sound_of(Clip(samples=np.concatenate([silence, 3 * plain, silence])))
    np.testing.assert_allclose(changed, sound_of(Clip(samples=plain)), atol=1e-6)
    assert len(sound_of(Clip(samples=voice(40.0)))) == 30 * SAMPLE_RATE
    assert len(sound_of(Clip(samples=voice(0.06)))) == 0.1 * SAMPLE_RATE


def test_keys_are_of_the_sound(speech_base, talk):
    encoder = encoder_on(speech_base("hubert"))
    a, b = talk(0.4, None, 0.5), talk(0.4, 0.6)
    keys = encoder.content_keys([a, b])
    assert keys[1] is None
    assert keys[0] == keys[3]
    assert len({keys[0], keys[2], keys[4]}) == 3


def test_identity_tells_encoders_apart(speech_base):
    base = speech_base("hubert")
    one = encoder_on(base, embedding_dim=4)
    assert encoder_on(base, embedding_dim=4).identity == one.identity
    assert encoder_on(base, embedding_dim=4, max_seconds=1).identity != one.identity
    assert encoder_on(speech_base("hubert", seed=7), embedding_dim=4).identity != one.identity


def test_half_precision_and_checkpointing_learn(speech_base, tuned, tmp_path):
    for family in ("whisper", "wavlm", "wav2vec2-layer", "hubert"):
        encoder = encoder_on(
            speech_base(family),
            classes=2,
            dtype="bfloat16",
            gradient_checkpointing=True,
            **settings_of(family, "lora"),
        )
        assert np.isfinite(tuned(encoder, tmp_path / family).history[0]["train_loss"])


def test_checkpointing_does_not_move_a_gradient(speech_base, talk):
    gradients = []
    for checkpointing in (False, True):
        encoder = encoder_on(
            speech_base("wav2vec2"), frozen=False, classes=2, gradient_checkpointing=checkpointing
        )
        encoder.train()
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        encoder.sound.config.layerdrop = 0.0
        inputs = encoder.collate(encoder.examples([talk(0.4, 0.6)]))
        inputs.pop("absent")
        encoder(**inputs).square().sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, one in gradients[0].items():
        torch.testing.assert_close(one, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_layers_that_a_base_lacks_are_named(speech_base):
    with pytest.raises(
        InputError, match=r"WhisperEncoder has no linear layer 'query'; it has fc1, fc2, k_proj"
    ):
        encoder_on(speech_base("whisper"), lora=LoraSettings(targets=("query",)))
    # WavLM reads the weights of its attention past the layers: adapters there would do nothing
    with pytest.raises(
        InputError, match=r"no linear layer 'q_proj' that can be adapted; it has .*intermediate_d"
    ):
        encoder_on(speech_base("wavlm"), lora=LoraSettings(targets=("q_proj",)))
    everywhere = encoder_on(speech_base("wavlm"), lora=LoraSettings(targets="all-linear"))
    assert not any("_proj.lora" in name for name in everywhere.state_dict())


def test_another_base_is_refused(speech_base, tmp_path):
    base, other = speech_base("hubert"), speech_base("hubert", seed=5)
    encoder_on(base, embedding_dim=4).save(tmp_path / "encoder")
    shutil.copytree(other, tmp_path / "encoder" / "base")
    with pytest.raises(InputError, match=r"its adapters belong on .* but the base here is"):
        load_encoder(tmp_path / "encoder")


def test_loading_is_strict(speech_base, tmp_path):
    from safetensors.torch import load_file, save_file

    encoder_on(speech_base("hubert"), embedding_dim=4, frozen=False).save(tmp_path / "encoder")
    path = tmp_path / "encoder" / "model.safetensors"
    whole = load_file(path)
    save_file({n: v for n, v in whole.items() if n != "project.1.bias"}, path)
    with pytest.raises(InputError, match=r"lacks weight 'project\.1\.bias'"):
        load_encoder(tmp_path / "encoder")
    save_file({**whole, "more": torch.ones(1)}, path)
    with pytest.raises(InputError, match="unexpected weight 'more'"):
        load_encoder(tmp_path / "encoder")
    path.unlink()
    with pytest.raises(InputError, match="not a whole speech-model encoder"):
        load_encoder(tmp_path / "encoder")


def test_a_base_with_holes_is_refused(speech_base, tmp_path):
    from safetensors.torch import load_file, save_file

    base = speech_base("hubert")
    path = base / "model.safetensors"
    whole = load_file(path)
    save_file({n: v for n, v in whole.items() if not n.endswith("q_proj.weight")}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"its files lack weight .*q_proj\.weight' \(2 such\)"):
        encoder_on(base)


def test_what_is_no_speech_model_is_told(tmp_path, monkeypatch):
    from transformers import LlamaConfig

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="'no-such/model': no such bundled name or folder"):
        encoder_on("no-such/model")
    LlamaConfig().save_pretrained(tmp_path / "llama")
    with pytest.raises(
        InputError, match="a model of type 'llama'; an encoder of kind speech-model is one of wh"
    ):
        encoder_on(tmp_path / "llama")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no speech model that transformers loads"):
        encoder_on(tmp_path / "empty")


def test_a_gated_base_says_how_to_get_in(monkeypatch):
    from types import SimpleNamespace

    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    def gated(name, **_):
        raise GatedRepoError(f"{name} is gated", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    with pytest.raises(InputError, match=r"'some/model' is gated: accept its terms .* `hf auth login`"):
        weights.resolve("some/model")
    with pytest.raises(InputError, match="is gated"):
        encoder_on("some/model")


def test_too_little_memory_is_told_before_loading(speech_base, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    with pytest.raises(MisterEError, match=r"its weights need .* take a smaller base"):
        encoder_on(speech_base("wav2vec2"))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"frozen": False, "lora": {}}, "lora is of a frozen base"),
        ({"frozen": False, "dtype": "bfloat16"}, "dtype is of a frozen base"),
        ({"max_seconds": 31}, "less than or equal to 30"),
    ],
)
def test_settings_that_contradict_are_refused(field, message):
    with pytest.raises(ValueError, match=message):
        SpeechModelConfig(base="b", **field)


def _turn(samples, name="0"):
    return Utterance(name, audio=Clip(samples=samples))
