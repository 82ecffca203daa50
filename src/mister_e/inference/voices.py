"""Changes of voice in stretches of a recording, as cutting asks for them.

What the network makes of a voice stays within a call: a moment gets one probability, a tenth of a second
another, and nothing else leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.encoders.speech.batching import ROWS, by_length, on_grid
from mister_e.encoders.speech.frontend import MIN_SECONDS, SpeechFrontend
from mister_e.encoders.speech.whisper_layers import MELS
from mister_e.encoders.voices.network import VoiceChangeConfig, VoiceChangeNetwork
from mister_e.encoders.voices.persistence import load_network, save_network
from mister_e.transcription.cutting.voices import OVERLAP_RATE, VoiceMarks

#: Where no moments are given, one a tenth of a second is looked at (s), and of those closer together than
#: the second number the likeliest is kept, if a change is likelier there than the third.
_GRID, _APART, _LIKELY = 0.1, 0.4, 0.2


class VoiceChangeDetector:
    """Tells changes of voice; see `mister_e.transcription.cutting.voices.VoiceChanges`.

    :param network: what compares voices.
    """

    def __init__(self, network: VoiceChangeNetwork) -> None:
        self.network = network.eval()
        self._frontend = SpeechFrontend()

    @property
    def config(self) -> VoiceChangeConfig:
        """Sizes of the network."""
        return self.network.config

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read the folder `voices` of a model, or of a run.

        :raises InputError: a file is missing or damaged, or the weights are of other sizes.
        """
        return cls(load_network(Path(folder)))

    def save(self, folder: str | Path) -> None:
        """Write the weights in half precision, and the sizes."""
        save_network(self.network, Path(folder))

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""
        self.network.to(device)
        return self

    @torch.inference_mode()
    def __call__(
        self,
        stretches: Sequence[NDArray[np.float32]],
        moments: Sequence[Sequence[float]] | None = None,
    ) -> list[VoiceMarks]:
        """Tell of each stretch where its voice changes; see `VoiceChanges`."""
        asked = [
            np.asarray(_grid(sound) if moments is None else moments[number], np.float32)
            for number, sound in enumerate(stretches)
        ]
        mels = [self._mel(sound) for sound in stretches]
        found = [
            VoiceMarks(own, np.zeros(len(own), np.float32), np.zeros(_tenths(sound), np.float32))
            for own, sound in zip(asked, stretches, strict=True)
        ]
        device = self.network.project.weight.device
        for batch in by_length([len(mel) for mel in mels], ROWS):
            padded = torch.zeros(len(batch), on_grid(len(mels[batch[0]])), MELS)
            times = torch.zeros(len(batch), max(1, *(len(asked[i]) for i in batch), 1))
            for row, i in enumerate(batch):
                padded[row, : len(mels[i])] = torch.from_numpy(mels[i])
                times[row, : len(asked[i])] = torch.from_numpy(asked[i])
            lengths = torch.tensor([len(mels[i]) for i in batch])
            change, overlap = self.network(padded.to(device), lengths.to(device), times.to(device))
            changes, overlaps = change.sigmoid().cpu().numpy(), overlap.sigmoid().cpu().numpy()
            for row, i in enumerate(batch):
                found[i].change[:] = changes[row, : len(asked[i])]
                told = -(-len(mels[i]) // (100 // OVERLAP_RATE))
                count = min(len(found[i].overlap), told)
                found[i].overlap[:count] = overlaps[row, :count]
        return found if moments is not None else [_likely(marks) for marks in found]

    def _mel(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Spectrogram `[M, 80]`; M = 0 where there is next to no sound, in which no voice changes."""
        if len(sound) < MIN_SECONDS * SAMPLE_RATE or not np.any(sound):
            return np.zeros((0, MELS), np.float32)
        return self._frontend.mel(sound)


def _tenths(sound: NDArray[np.float32]) -> int:
    """Tenths of a second that a stretch has; one that has begun counts."""
    return -(-len(sound) * OVERLAP_RATE // SAMPLE_RATE)


def _grid(sound: NDArray[np.float32]) -> list[float]:
    """Moments that are looked at where none are given."""
    return [_GRID * step for step in range(1, int(len(sound) / SAMPLE_RATE / _GRID))]


def _likely(marks: VoiceMarks) -> VoiceMarks:
    """Keep the moments at which a change is likeliest."""
    kept: list[int] = []
    for place in np.argsort(-marks.change, kind="stable").tolist():
        if marks.change[place] < _LIKELY:
            break
        if all(abs(marks.moments[place] - marks.moments[other]) >= _APART for other in kept):
            kept.append(place)
    kept.sort()
    return VoiceMarks(marks.moments[kept], marks.change[kept], marks.overlap)
