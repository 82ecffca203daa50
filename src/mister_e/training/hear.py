"""Let the front end hear the clips of speech corpora, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mister_e.audio.decode import read_clip
from mister_e.audio.prosody import STATISTICS
from mister_e.encoders.front_end import Heard, SpeechFrontEnd, centred, load_heard, save_heard
from mister_e.training.turns import ActedClip

log = logging.getLogger(__name__)

#: Clips heard between two writes of the store.
PIECE = 256


def hear_clips(clips: Sequence[ActedClip], front_end: SpeechFrontEnd, folder: Path) -> list[Heard]:
    """Frames and statistics of clips, each clip a recording of its own; kept in pieces of a folder.

    :param clips: what to hear; silent ones count as statistics without frames.
    :param front_end: the front end that inference uses too.
    :param folder: finished pieces lie there and are not heard again.
    :return: one `Heard` a clip, frames in half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heard: list[Heard] = []
    for first in range(0, len(clips), PIECE):
        piece = clips[first : first + PIECE]
        path = folder / f"{first:06d}.npz"
        if not path.is_file():
            _hear_piece(piece, front_end, path)
            log.info("heard %d of %d clips", first + len(piece), len(clips))
        heard += _read_piece(path)
    return heard


def _hear_piece(clips: Sequence[ActedClip], front_end: SpeechFrontEnd, path: Path) -> None:
    save_heard(path, front_end.hear([read_clip(clip.path, clip.start, clip.end, None) for clip in clips]))


def _read_piece(path: Path) -> list[Heard]:
    silent = Heard(None, np.full(len(STATISTICS), np.nan, dtype=np.float32))
    turns = [silent if turn is None else turn for turn in load_heard(path)]
    return [Heard(turn.frames, centred(turn.statistics[None])[0]) for turn in turns]
