"""Decode the clips of speech corpora and measure their prosody, once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mister_e.audio.decode import read_clip
from mister_e.audio.prosody import STATISTICS, prosody
from mister_e.encoders.speech.frontend import trim_silence
from mister_e.files import replacing
from mister_e.training.stage1.acted_speech import LabelledSound
from mister_e.training.turns import ActedClip

log = logging.getLogger(__name__)

#: Clips decoded between two writes of the store.
PIECE = 256


def hear_clips(clips: Sequence[ActedClip], folder: Path) -> list[LabelledSound]:
    """Samples and statistics of clips, kept in pieces of a folder.

    :param clips: what to hear; the silent ones are left out.
    :param folder: finished pieces lie there and are not heard again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[LabelledSound] = []
    for first in range(0, len(clips), PIECE):
        piece = clips[first : first + PIECE]
        path = folder / f"{first:06d}-{_named(piece)}.npz"
        if not path.is_file():
            _keep(piece, path)
            log.info("heard %d of %d clips", first + len(piece), len(clips))
        with np.load(path) as stored:
            sounds = np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1])
            found += [
                LabelledSound(sound, statistics, clip.label, clip.corpus, clip.speaker, clip.gender)
                for clip, sound, statistics in zip(piece, sounds, stored["statistics"], strict=True)
                if len(sound)
            ]
    return found


def _named(piece: Sequence[ActedClip]) -> str:
    """Tell pieces of other clips apart: a digest of which stretches of which files they are."""
    listed = "".join(f"{clip.corpus}/{clip.path.name} {clip.start} {clip.end}\n" for clip in piece)
    return hashlib.sha256(listed.encode()).hexdigest()[:12]


def _keep(piece: Sequence[ActedClip], path: Path) -> None:
    sounds = [trim_silence(read_clip(clip.path, clip.start, clip.end, None)) for clip in piece]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            samples=np.concatenate([(np.clip(one, -1, 1) * 32767).astype(np.int16) for one in sounds]),
            lengths=np.array([len(one) for one in sounds]),
            statistics=np.array([prosody(one).to_array() for one in sounds], np.float32).reshape(
                -1, len(STATISTICS)
            ),
        )
