"""Batches of turns as the frontend extracts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mister_e.encoders.speech.frontend import (
    AudioFeatures,
    SpeechFrontend,
    TurnAudio,
    digest,
    load_features,
    save_features,
)
from mister_e.encoders.speech.preprocess import clip_key
from mister_e.encoders.speech.whisper_layers import MELS
from mister_e.errors import InputError

#: Batches are as long as a multiple of so many rows: torch keeps memory for every shape that it has met,
#: and a recording of hours meets all.
GRID = 50
#: Mel rows that run at once, pads included: 30 s of sound stay in the caches, and more take twice as long.
ROWS = 3000


def on_grid(length: int) -> int:
    """The next multiple of `GRID`."""
    return -(-length // GRID) * GRID


def by_length(lengths: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Bring turns of like length together, the longest first; those without sound are left out.

    :param lengths: mel rows of N turns.
    :param rows: in a batch, pads included, or one turn that has more.
    :return: batches of positions.
    """
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i])
    while order:
        batch = order[: max(1, rows // on_grid(lengths[order[0]]))]
        order = order[len(batch) :]
        yield batch


def collate(turns: Sequence[AudioFeatures]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad turns to one batch.

    :param turns: N of them.
    :return: mels `[N, M, 80]`, their lengths int64 `[N]`, statistics `[N, 8]`.
    :raises InputError: there is none.
    """
    if not turns:
        raise InputError("a batch needs at least one turn")
    longest = max(1, *(turn.length for turn in turns))
    mels = torch.zeros(len(turns), on_grid(longest), MELS)
    for row, turn in enumerate(turns):
        if turn.mel is not None:
            mels[row, : len(turn.mel)] = torch.from_numpy(turn.mel.astype(np.float32, copy=False))
    lengths = torch.tensor([turn.length for turn in turns])
    return mels, lengths, torch.from_numpy(np.stack([turn.statistics for turn in turns]))


def cropped(turn: AudioFeatures, most: int, random: np.random.Generator) -> AudioFeatures:
    """Show a random stretch of at most so many rows."""
    extra = turn.length - most
    if turn.mel is None or extra <= 0:
        return turn
    first = int(random.integers(extra + 1))
    return replace(turn, mel=turn.mel[first : first + most])


def extract_turns(
    turns: Sequence[TurnAudio], frontend: SpeechFrontend | None, kept: Path | None
) -> list[AudioFeatures | None]:
    """Extract the features of a conversation's turns.

    :param turns: N of them.
    :param frontend: None = no turn has a clip.
    :param kept: folder where features are kept, and found again by the sound; None = nowhere.
    :return: N features: of the clip, else the statistics that are told; None = silence.
    """
    result: list[AudioFeatures | None] = [turn.to_features() for turn in turns]
    clips = {number: turn.clip for number, turn in enumerate(turns) if turn.clip is not None}
    if frontend is None or not clips:
        return result
    path = None
    if kept is not None:
        path = kept / f"{digest([clip_key(clip) for clip in clips.values()])}.npz"
    if path is not None and path.is_file():
        found = load_features(path)
    else:
        found = frontend.extract_features([clip.load() for clip in clips.values()])
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_features(path, found)
            found = load_features(path)  # in its half precision, as every later epoch takes it
    for number, features in zip(clips, found, strict=True):
        result[number] = features
    return result
