"""The converted weights in the user's cache heal themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from mister_e.errors import MisterEError
from mister_e.pretrained import smollm2
from mister_e.pretrained.smollm2 import converted


@pytest.fixture
def made(tmp_path, monkeypatch) -> list[Path]:
    """What was converted; writing a few bytes stands for a conversion of minutes."""
    calls: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        calls.append(source)
        (folder / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setattr(smollm2, "_convert", convert)
    (tmp_path / "weights.gguf").write_bytes(b"weights")
    return calls


def test_it_is_converted_once(made, tmp_path):
    for _ in range(2):
        folder = converted(lambda: tmp_path / "weights.gguf", tmp_path / "cache" / "it", "pip install it")
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert len(made) == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "no hashes", "hashes", "file"])
def test_what_is_damaged_is_made_again(made, tmp_path, damage):
    folder = converted(lambda: tmp_path / "weights.gguf", tmp_path / "cache" / "it", "pip install it")
    if damage == "cut":
        (folder / "model.safetensors").write_bytes(b"weig")
    elif damage == "gone":
        (folder / "model.safetensors").unlink()
    elif damage == "no hashes":
        (folder / "sha256.json").unlink()
    elif damage == "hashes":
        (folder / "sha256.json").write_text("{")
    else:
        folder.rename(tmp_path / "old")
        folder.write_text("not a folder")
    again = converted(lambda: tmp_path / "weights.gguf", folder, "pip install it")
    assert (again / "model.safetensors").read_bytes() == b"weights"
    assert len(made) == 2
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["it", "it.lock"]


def test_what_a_killed_conversion_left_is_removed(made, tmp_path):
    (tmp_path / "cache" / ".it-abc" / "new").mkdir(parents=True)
    (tmp_path / "cache" / ".it-abc" / "new" / "model.safetensors").write_bytes(b"we")
    converted(lambda: tmp_path / "weights.gguf", tmp_path / "cache" / "it", "pip install it")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["it", "it.lock"]


def test_an_extra_that_is_missing_is_named(made, tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MisterEError, match="pip install it"):
        converted(lambda: tmp_path / "weights.gguf", tmp_path / "cache" / "it", "pip install it")
