"""A header that says another length than the file has, and files that are cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sound import tone, write

from mister_e.audio import blocks


def seconds(path: Path) -> tuple[float, list[str]]:
    notes: list[str] = []
    return sum(block.shape[1] for block in blocks(path, notes=notes)) / 16_000, notes


def with_length(path: Path, stated: int) -> Path:
    """Change what a WAV says of its data."""
    data = bytearray(path.read_bytes())
    place = data.find(b"data") + 4
    data[place : place + 4] = stated.to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("stated", [0, 16_000, 0xFFFFFFFF])
def test_a_wav_whose_header_says_less_is_read_whole(tmp_path, stated):
    path = with_length(write(tmp_path / "a.wav", tone(4, 440)), stated)
    found, notes = seconds(path)
    assert found == pytest.approx(4, abs=0.01)
    expected = "the header says less sound than the file holds; all of it was read"
    assert notes == ([] if stated == 0xFFFFFFFF else [expected])


def test_silence_behind_a_short_header_is_sound_too(tmp_path):
    sound = np.concatenate([tone(1, 440), np.zeros((1, 48_000), np.float32)], axis=1)
    assert seconds(with_length(write(tmp_path / "a.wav", sound), 32_000))[0] == pytest.approx(4, abs=0.01)


def test_a_wav_whose_header_says_more_is_told(tmp_path):
    path = write(tmp_path / "a.wav", tone(4, 440))
    path.write_bytes(path.read_bytes()[:-64_000])
    found, notes = seconds(path)
    assert found == pytest.approx(2, abs=0.01)
    assert len(notes) == 1
    assert "it may be cut off" in notes[0]


@pytest.mark.parametrize(
    "chunk", [b"LIST\x10\x00\x00\x00INFOIART\x04\x00\x00\x00abc\0", b"ID3\x04\0\0\0\0\0\0"]
)
def test_what_follows_the_data_is_no_sound(tmp_path, chunk):
    path = write(tmp_path / "a.wav", tone(1, 440))
    path.write_bytes(path.read_bytes() + chunk + (b"" if chunk.startswith(b"LIST") else b"\0" * 3000))
    found, notes = seconds(path)
    assert (found, notes) == (pytest.approx(1, abs=0.001), [])


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.ogg", "libopus"), ("a.oga", "flac"), ("a.m4a", "aac")],
)
def test_a_cut_file_is_told_and_a_whole_one_is_not(tmp_path, name, codec):
    rate = 48_000 if codec == "libopus" else 44_100
    path = write(tmp_path / name, tone(12, 440, rate=rate), rate, codec)
    found, notes = seconds(path)
    assert (found, notes) == (pytest.approx(12, abs=0.2), [])
    if name == "a.m4a":
        return  # its index is at the end: a cut one cannot be opened at all
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found, notes = seconds(path)
    assert 4 < found < 10
    assert any("cut off" in note for note in notes)


def test_an_odd_length_without_its_pad_is_not_wrong(tmp_path):
    path = write(tmp_path / "a.wav", tone(1, 440), codec="pcm_u8")
    data = bytearray(path.read_bytes())
    place = data.find(b"data") + 4
    data[place : place + 4] = (15_999).to_bytes(4, "little")
    del data[place + 4 + 15_999 :]
    path.write_bytes(bytes(data) + b"LIST" + (2000).to_bytes(4, "little") + b"INFO" + bytes(1996))
    found, notes = seconds(path)
    assert (found, notes) == (pytest.approx(1, abs=0.001), [])
