"""Damaged recordings: each gives its sound or one line, and takes neither memory nor time."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzzing import SEED, TIMES, keep
from sound import tone, write

from mister_e.audio import decode
from mister_e.errors import InputError

pytestmark = pytest.mark.posix

#: Recordings of every family of containers.
SEEDS: dict[str, tuple[str, int]] = {
    "a.wav": ("pcm_s16le", 8_000),
    "b.wav": ("pcm_f32le", 16_000),
    "a.w64": ("pcm_s16le", 16_000),
    "a.aiff": ("pcm_s16be", 16_000),
    "a.au": ("pcm_s16be", 16_000),
    "a.caf": ("pcm_s16le", 16_000),
    "a.flac": ("flac", 16_000),
    "a.mp3": ("libmp3lame", 16_000),
    "a.ogg": ("libopus", 16_000),
    "b.oga": ("flac", 16_000),
    "a.m4a": ("aac", 16_000),
    "a.mp4": ("aac", 16_000),
    "a.mkv": ("pcm_s16le", 16_000),
    "a.webm": ("libopus", 48_000),
    "a.aac": ("aac", 16_000),
    "a.avi": ("pcm_s16le", 16_000),
    "a.mpg": ("mp2", 16_000),
    "a.ts": ("aac", 16_000),
    "a.wma": ("wmav2", 16_000),
    "a.ac3": ("ac3", 48_000),
}
#: Mutations of each.
COUNT = 26 * TIMES
#: Seconds of CPU and bytes of memory that one recording of a few kB may take; an hour of silence, which a
#: damaged time asks for, takes most of it on a slow machine.
MAX_CPU, MAX_BYTES = 60.0, 1_500_000_000


def flip(data: bytearray, chosen: random.Random) -> None:
    for _ in range(chosen.choice((1, 3, 20, 200))):
        data[chosen.randrange(len(data))] = chosen.randrange(256)


def flip_header(data: bytearray, chosen: random.Random) -> None:
    for _ in range(chosen.choice((1, 2, 6))):
        data[chosen.randrange(min(len(data), 256))] = chosen.choice((0, 1, 127, 128, 255))


def cut(data: bytearray, chosen: random.Random) -> None:
    del data[chosen.randrange(1, len(data)) :]


def remove(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    del data[start : start + chosen.choice((1, 4, 100, 3000))]


def repeat(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(len(data))
    data[start:start] = data[start : start + chosen.choice((4, 64, 1000))] * chosen.choice((1, 10))


def large_number(data: bytearray, chosen: random.Random) -> None:
    start = chosen.randrange(min(len(data) - 4, 512))
    number = chosen.choice((0, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x10000))
    data[start : start + 4] = number.to_bytes(4, chosen.choice(("little", "big")))


def join(data: bytearray, chosen: random.Random) -> None:
    data[len(data) // 2 :] = bytes(chosen.randrange(256) for _ in range(500))


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip, flip_header, cut, remove, repeat, large_number, join,
)  # fmt: skip


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    return {
        name: write(folder / name, tone(1.5, 300, 500, rate=rate), rate, codec, 64_000).read_bytes()
        for name, (codec, rate) in SEEDS.items()
    }


def mutants(name: str, data: bytes) -> Iterator[bytes]:
    chosen = random.Random(f"{SEED} {name}")
    for _ in range(COUNT):
        changed = bytearray(data)
        for _ in range(chosen.choice((1, 1, 2))):
            if len(changed) > 8:
                chosen.choice(MUTATIONS)(changed, chosen)
        yield bytes(changed)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def check(path: Path) -> None:
    """Read a recording as `analyze` does: its header, then all of it."""
    began = cpu()
    try:
        header = decode.probe(path)
        notes: list[str] = []
        length = 0
        for piece in decode.blocks(path, notes=notes):
            assert piece.dtype == np.float32
            assert np.isfinite(piece).all()
            assert np.abs(piece).max(initial=0) <= 1
            length += piece.shape[1]
        assert length > 0
        assert header.channels > 0
    except InputError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    assert cpu() - began < MAX_CPU, f"{path}: {cpu() - began:.1f} s of CPU"


@pytest.mark.parametrize("name", SEEDS)
def test_a_damaged_recording_gives_sound_or_one_line(tmp_path, seeds, name):
    path = tmp_path / name
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, data in enumerate(mutants(name, seeds[name])):
        if not data:
            continue
        path.write_bytes(data)
        try:
            check(path)
        except BaseException:
            keep(f"{number}-{name}", data, tmp_path)
            raise
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MAX_BYTES
