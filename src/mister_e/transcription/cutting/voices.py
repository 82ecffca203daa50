"""Changes of voice as places to cut at: what cutting asks, and what it is told.

The network that tells lies with the encoders (`mister_e.encoders.voices`). It says of a moment
whether the voice after it is another than before it, and of a stretch where several speak at once. It never
says whose voice it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Values of `VoiceMarks.overlap` in a second.
OVERLAP_RATE = 10


@dataclass(frozen=True, eq=False)
class VoiceMarks:
    """What is told of one stretch.

    :param moments: float32 `[M]`, seconds from the start of the stretch, ascending.
    :param change: float32 `[M]`, probability that the voice after a moment is another than before it.
    :param overlap: float32 `[F]`, probability that several speak at once, `OVERLAP_RATE` values a second;
        F = tenths of a second that the stretch has, one that has begun counts.
    """

    moments: NDArray[np.float32]
    change: NDArray[np.float32]
    overlap: NDArray[np.float32]

    def overlapped(self, start: float, end: float) -> float:
        """Mean probability over a span that several speak at once, 0 to 1.

        :param start: first second of the span, from the start of the stretch.
        :param end: its last second.
        """
        first = max(0, int(start * OVERLAP_RATE))
        values = self.overlap[first : max(first + 1, round(end * OVERLAP_RATE))]
        return float(values.mean()) if len(values) else 0.0


class VoiceChanges(Protocol):
    """Tells changes of voice; neighbours in the batch change nothing."""

    def __call__(
        self,
        stretches: Sequence[NDArray[np.float32]],
        moments: Sequence[Sequence[float]] | None = None,
    ) -> list[VoiceMarks]:
        """Tell of each stretch where its voice changes.

        :param stretches: S of them, float32 `[N]` at `SAMPLE_RATE`, at most 30 s each.
        :param moments: of each stretch the seconds that are asked about, such as the gaps between its words;
            None = the moments at which a change is most likely are found too.
        :return: S marks, with the moments that were asked about, or those that were found.
        """
