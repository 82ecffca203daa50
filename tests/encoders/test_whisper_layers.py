"""The encoder in torch is CTranslate2's, layer after layer; its file is read with care."""

import copy

import numpy as np
import pytest
import torch

from mister_e.encoders.speech.whisper_layers import LowRank, WhisperStates, read_ctranslate2
from mister_e.errors import InputError
from mister_e.pretrained.weights import wheel_folder
from mister_e.transcription.whisper import load_whisper


@pytest.fixture(scope="module")
def whisper():
    return WhisperStates(0).eval()


def test_the_last_layer_gives_what_ctranslate2_gives(whisper):
    """The oracle computes in 8 bits, and normalises what comes out."""
    random = np.random.default_rng(0)
    sound = (random.normal(0, 0.05, 32_000) * np.linspace(0, 1, 32_000)).astype(np.float32)
    engine = load_whisper(threads=1)
    mel = engine.feature_extractor(sound, padding=0)
    expected = np.asarray(engine.encode(mel[None]))[0]
    with torch.inference_mode():
        layers, real = whisper(torch.from_numpy(mel.T.copy())[None], torch.tensor([mel.shape[1]]))
    assert len(layers) == 5
    assert real.all()
    weights = read_ctranslate2(wheel_folder("whisper-tiny.en") / "model.bin")
    scale, shift = (
        torch.from_numpy(weights[f"encoder/layer_norm/{name}"].astype(np.float32))
        for name in ("gamma", "beta")
    )
    found = torch.nn.functional.layer_norm(layers[-1][0], (384,), scale, shift).numpy()
    assert found.shape == expected.shape == (100, 384)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


def test_pads_never_count(whisper):
    torch.manual_seed(0)
    mels = torch.randn(3, 60, 80)
    lengths = torch.tensor([60, 33, 2])
    padded = mels.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = float("nan")
    with torch.inference_mode():
        layers, real = whisper(padded, lengths)
        assert real.sum(1).tolist() == [30, 17, 1]
        for row, length in enumerate(lengths.tolist()):
            alone, _ = whisper(mels[row : row + 1, :length], lengths[row : row + 1])
            for one, other in zip(alone, layers, strict=True):
                torch.testing.assert_close(one[0], other[row, : one.shape[1]], atol=1e-4, rtol=1e-4)


def test_an_untrained_update_changes_nothing_and_the_base_is_not_kept(whisper):
    adapted = WhisperStates(4).eval()
    mels, lengths = torch.randn(1, 20, 80), torch.tensor([20])
    with torch.inference_mode():
        torch.testing.assert_close(adapted(mels, lengths)[0][-1], whisper(mels, lengths)[0][-1])
    assert not whisper.state_dict()
    assert all(name.endswith((".up", ".down")) for name in adapted.state_dict())
    assert all(parameter.requires_grad for parameter in adapted.parameters())


def test_the_update_counts_the_same_with_and_without_gradients_whatever_changed_it():
    layer = low_rank()
    check_low_rank(layer)
    assert layer._whole() is layer._whole()
    torch.nn.init.normal_(layer.up)
    check_low_rank(layer)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1)
    layer(torch.randn(3, 6)).square().sum().backward()
    optimizer.step()
    check_low_rank(layer)
    layer.load_state_dict(other_weights(layer))
    check_low_rank(layer)
    layer.load_state_dict(other_weights(layer), assign=True)
    check_low_rank(layer)
    layer.weight.copy_(torch.randn(5, 6))
    check_low_rank(layer)
    layer.half().float()
    check_low_rank(layer)
    copied = copy.deepcopy(layer)
    for _ in range(2):
        copied.load_state_dict(other_weights(copied))
        check_low_rank(copied)
    check_low_rank(layer)


def test_the_update_is_joined_in_full_precision_and_works_where_it_was_made():
    with torch.inference_mode():
        check_low_rank(low_rank())
    layer = low_rank()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 6)).dtype == torch.bfloat16
    check_low_rank(layer)


def low_rank() -> LowRank:
    layer = LowRank(6, 5, 2)
    layer.weight.copy_(torch.randn(5, 6))
    layer.bias.copy_(torch.randn(5))
    with torch.no_grad():
        layer.up.copy_(torch.randn(5, 2))
    return layer


def other_weights(layer: LowRank) -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(value) for name, value in layer.state_dict().items()}


def check_low_rank(layer: LowRank) -> None:
    states = torch.randn(3, 6)
    expected = states @ (layer.weight + 2 * layer.up @ layer.down).T + layer.bias
    torch.testing.assert_close(layer(states), expected)
    for without in (torch.inference_mode, torch.no_grad):
        with without():
            torch.testing.assert_close(layer(states), expected)


@pytest.mark.parametrize("content", [b"", b"\x06\0\0\0\x04\0abc", b"\x07" + b"\0" * 40, b"PK" * 100])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.bin"):
        read_ctranslate2(path)


def test_an_update_starts_at_the_scale_of_its_inputs():
    torch.manual_seed(0)
    for inputs in (64, 1024):
        down = LowRank(inputs, 8, rank=64).down
        assert down.std().item() == pytest.approx(inputs**-0.5, rel=0.05)
