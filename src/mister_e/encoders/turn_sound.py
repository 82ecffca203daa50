"""What a turn brings to the speech encoder: a clip, or the statistics that a table holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import SAMPLE_RATE, Clip, Utterance
from mister_e.encoders.front_end import HOP, Heard

#: A clip that does not say how long it is counts as one of this length when batches are made.
_USUAL_SECONDS = 4.0


@dataclass(frozen=True)
class TurnSound:
    """What a turn brings: a clip, or the statistics that a table holds."""

    clip: Clip | None
    statistics: dict[str, float]

    @classmethod
    def of(cls, turn: Utterance) -> Self | None:
        """Take it from a turn; None = neither is there."""
        features = turn.custom.get("features") or {}
        known = {name: float(features[name]) for name in STATISTICS if features.get(name) is not None}
        return cls(turn.audio, known) if turn.audio is not None or known else None

    @property
    def length(self) -> int:
        """Rows of the spectrogram, about; 1 without a clip."""
        if self.clip is None:
            return 1
        if self.clip.samples is not None:
            return 1 + len(self.clip.samples) // HOP
        seconds = _USUAL_SECONDS if self.clip.end is None else self.clip.end - self.clip.start
        return 1 + int(seconds * SAMPLE_RATE / HOP)

    def as_heard(self) -> Heard:
        """Statistics without sound."""
        return Heard(None, np.array([self.statistics.get(name, np.nan) for name in STATISTICS], np.float32))

    def key(self, heard: str | None) -> str:
        """What the embedding depends on: the hash of the clip, or of the statistics.

        :param heard: that of the clip; None = there is none.
        """
        return heard if heard is not None else digest([json.dumps(self.statistics, sort_keys=True)])


def digest(keys: Sequence[str | None]) -> str:
    """One SHA-256 over some keys."""
    return hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()
