"""Clips by voice, of which training makes stretches. Which voice it is serves that alone, and is not kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import normalise_level
from mister_e.conversation import Clip
from mister_e.corpora.clips import MANIFEST, read_manifest, split_by_voice
from mister_e.encoders.speech.frontend import trim_silence
from mister_e.errors import InputError
from mister_e.files import replacing
from mister_e.progress import Progress, silent

#: Full scale of the 16-bit samples that are held in memory.
_SCALE = 32767
#: Shorter clips (s) are left out.
_SHORTEST = 0.5


@dataclass(frozen=True)
class Voices:
    """The voices of a corpus in one split.

    :param weight: how often the corpus is drawn, relative to others.
    :param clips: of each voice, int16 `[N]` at `SAMPLE_RATE`, at one level and without silence around them.
    """

    weight: float
    clips: Sequence[Sequence[NDArray[np.int16]]]

    def clip(self, voice: int, random: np.random.Generator) -> NDArray[np.float32]:
        """Draw a clip of a voice, samples from -1 to 1."""
        own = self.clips[voice]
        return own[int(random.integers(len(own)))].astype(np.float32) / np.float32(_SCALE)


def find_folders(names: Sequence[str], given: Sequence[Path]) -> dict[str, Path]:
    """Find the folders of clips that a recipe names.

    :param names: of the corpora.
    :param given: folders that hold them, each under its name.
    :raises InputError: one is in none of them.
    """
    found = {}
    for name in names:
        places = [folder / name for folder in given if (folder / name / MANIFEST).is_file()]
        if not places:
            looked = ", ".join(str(folder / name / MANIFEST) for folder in given)
            raise InputError(
                f"no clips {name!r}: no file {looked}; give the folder that holds {name}/ with --data"
            )
        found[name] = places[0]
    return found


def read_voices(
    folders: Mapping[str, Path],
    weights: Mapping[str, float],
    split: str,
    kept: Path,
    *,
    clips_per_voice: int,
    progress: Progress = silent,
) -> list[Voices]:
    """Decode the clips of a split's voices.

    :param folders: corpus to its folder of clips.
    :param weights: corpus to how often it is drawn.
    :param split: "train", "validation" or "test"; voices are split 70 : 15 : 15, the same for every seed.
    :param kept: folder where the samples are kept, so that they are decoded once.
    :param clips_per_voice: at most, evenly from all that a voice has.
    :param progress: told of clips, as stage "decode".
    :raises InputError: a manifest tells no voices, a clip cannot be read, or there is one voice alone.
    """
    chosen = {name: _files_of(folder, split, clips_per_voice) for name, folder in folders.items()}
    total, done, found = sum(len(files) for voices in chosen.values() for files in voices), 0, []
    for name, voices in chosen.items():
        path = kept / f"{name}-{split}-{_key(voices)}.npz"
        if not path.is_file():
            _decode(voices, path, progress, done, total)
        done += sum(map(len, voices))
        progress("decode", done, total)
        with np.load(path) as stored:
            sounds = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
            voice = stored["voice"].tolist()
        own: list[list[NDArray[np.int16]]] = [[] for _ in voices]
        for number, sound in zip(voice, sounds, strict=True):
            if len(sound) >= _SHORTEST * SAMPLE_RATE:
                own[number].append(sound)
        found.append(Voices(weights[name], [clips for clips in own if clips]))
    for name, usable in zip(folders, found, strict=True):
        if not usable.clips:
            raise InputError(
                f"{folders[name] / MANIFEST}: no voice for {split} with a clip of {_SHORTEST} s or more; give"
                f" more voices, or leave {name} out of the recipe"
            )
    if sum(len(voices.clips) for voices in found) < 2:
        raise InputError(f"{', '.join(map(str, folders.values()))}: one voice for {split}; two are needed")
    return found


def _files_of(folder: Path, split: str, most: int) -> list[list[Path]]:
    """Files of each voice of a split."""
    clips = read_manifest(folder)
    if any(clip.voice is None for clip in clips):
        raise InputError(f"{folder / MANIFEST}: has no column speaker: it cannot be told where voices change")
    try:
        splits = split_by_voice(clips)
    except InputError as error:
        raise InputError(f"{folder / MANIFEST}: {error}") from None
    voices: dict[str, list[Path]] = {}
    for clip in clips:
        if splits[clip.file] == split:
            voices.setdefault(str(clip.voice), []).append(folder / clip.file)
    return [
        [files[i] for i in np.unique(np.linspace(0, len(files) - 1, most).astype(int))]
        for _, files in sorted(voices.items())
    ]


def _key(voices: Sequence[Sequence[Path]]) -> str:
    """Tell other clips apart: a digest of their names and sizes."""
    listed = [[(file.name, file.stat().st_size) for file in files] for files in voices]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:12]


def _decode(voices: Sequence[Sequence[Path]], path: Path, progress: Progress, done: int, total: int) -> None:
    """Decode the clips of voices and write their samples; so many of all clips were done before."""
    sounds: list[NDArray[np.int16]] = []
    voice: list[int] = []
    for number, files in enumerate(voices):
        for file in files:
            sounds.append(to_int16(normalise_level(trim_silence(Clip(source=str(file)).load()))))
            voice.append(number)
        progress("decode", done + len(sounds), total)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as written:
        lengths = np.array([len(sound) for sound in sounds])
        np.savez(written, samples=np.concatenate(sounds), lengths=lengths, voice=np.array(voice))


def to_int16(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples from -1 to 1 in half the memory."""
    return (np.clip(sound, -1, 1) * _SCALE).astype(np.int16)
