"""States of the frozen base for stretches, computed once: every epoch and every seed compares the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.encoders.voices.network import VoiceChangeNetwork
from mister_e.files import replacing
from mister_e.progress import Progress, silent
from mister_e.training.settings.voices import VoicesRecipe
from mister_e.training.voices.clips import Voices
from mister_e.training.voices.stretches import Stretch, draw_stretch

#: Of the random draws of a split, so that no two share a stretch.
_SPLITS = {"train": 1, "validation": 2, "test": 3}


@dataclass(frozen=True)
class Batch:
    """Stretches of one length, and what is true of them.

    :param states: float16 `[N, F, layers * 384]`, see `VoiceChangeNetwork.read`.
    :param moments: `[N, K]` seconds that are asked about.
    :param change: `[N, K]`, 1 = the voice changes, 0 = it stays, below 0 = not asked.
    :param joins: `[N, K]`, 1 = two pieces meet, of one voice or of two.
    :param overlap: `[N, V]`, fraction of each tenth of a second in which several speak.
    """

    states: Tensor
    moments: Tensor
    change: Tensor
    joins: Tensor
    overlap: Tensor


def keep_states(
    network: VoiceChangeNetwork,
    recipe: VoicesRecipe,
    split: str,
    voices: Callable[[], Sequence[Voices]],
    kept: Path,
    *,
    progress: Progress = silent,
) -> list[Path]:
    """Draw the stretches of a split and keep their states; files that are there are not made again.

    :param network: its base reads them.
    :param recipe: how many, and of what.
    :param split: "train", "validation" or "test".
    :param voices: reads those of the split; called where a file is missing.
    :param kept: folder for the files.
    :param progress: told of stretches, as stage "stretches".
    :return: files, one a batch, for `load_batch`.
    """
    settings = recipe.train
    count = settings.stretches if split == "train" else settings.validation_stretches
    key = hashlib.sha256(json.dumps(_decides(recipe), sort_keys=True).encode()).hexdigest()[:12]
    folder = kept / f"{split}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:05d}.safetensors" for number in range(-(-count // settings.batch_size))]
    frontend, read = SpeechFrontend(), None
    for number, file in enumerate(files):
        if not file.is_file():
            read = voices() if read is None else read
            random = np.random.default_rng((_SPLITS[split], number))
            seconds = random.uniform(*recipe.stretches.seconds)
            stretches = [
                draw_stretch(read, recipe.stretches, recipe.augmentation, seconds, random)
                for _ in range(settings.batch_size)
            ]
            tensors = _tensors(network, stretches, frontend, half=settings.precision == "bfloat16")
            with replacing(file) as temporary:
                save_file(tensors, temporary)
        progress("stretches", number + 1, len(files))
    return files


def load_batch(file: Path) -> Batch:
    """Read what `keep_states` kept."""
    return Batch(**load_file(file))


def _decides(recipe: VoicesRecipe) -> dict[str, object]:
    """What decides the states of a stretch."""
    return {
        "corpora": dict(recipe.corpora),
        "layers": recipe.network.layers,
        "base": recipe.network.base,
        "stretches": recipe.stretches.model_dump(mode="json"),
        "augmentation": recipe.augmentation.model_dump(mode="json"),
        "batch_size": recipe.train.batch_size,
        "clips_per_voice": recipe.train.clips_per_voice,
        "precision": recipe.train.precision,
    }


@torch.inference_mode()
def _tensors(
    network: VoiceChangeNetwork, stretches: Sequence[Stretch], frontend: SpeechFrontend, *, half: bool
) -> dict[str, Tensor]:
    """What is kept of stretches of one length."""
    mels = torch.stack([torch.from_numpy(frontend.mel(stretch.sound)) for stretch in stretches])
    lengths = torch.full((len(mels),), mels.shape[1])
    with torch.autocast(mels.device.type, torch.bfloat16, enabled=half):
        states, _ = network.read(mels, lengths)

    def padded(rows: Sequence[np.ndarray], fill: float) -> Tensor:
        tensors = [torch.from_numpy(np.asarray(row, np.float32)) for row in rows]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)

    return {
        "states": states.to(torch.float16).contiguous(),
        "moments": padded([stretch.moments for stretch in stretches], 0.0),
        "change": padded([stretch.change for stretch in stretches], -1.0),
        "joins": padded([stretch.joins for stretch in stretches], 0.0),
        "overlap": torch.from_numpy(np.stack([stretch.overlap for stretch in stretches])),
    }
