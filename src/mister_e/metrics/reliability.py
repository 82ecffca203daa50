"""How far confidence can be trusted: the reliability table and its error (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass

#: Bins of confidence, of equal width.
BINS = 15

#: Turns that a bin needs for a point in a plot: the accuracy of fewer says nothing.
DRAWN = 10


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin.

    :param sums: of each bin its turns, the sum of their confidence, and how many of them are right: `[B, 3]`.
        Those of several runs may be added.
    """

    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls, probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, bins: int = BINS
    ) -> Reliability:
        """Count turns by confidence.

        :param probabilities: `[N, C]`.
        :param labels: true classes `[N]`.
        :param bins: B, of equal width over 0 to 1.
        """
        confidence = probabilities.max(1)
        right = probabilities.argmax(1) == labels
        place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
        columns = (np.ones_like(confidence), confidence, right)
        return cls(np.stack([np.bincount(place, column, minlength=bins) for column in columns], axis=1))

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: mean distance of confidence and accuracy, by turns."""
        turns, confidence, right = self.sums.T
        return float(np.abs(right - confidence).sum() / max(turns.sum(), 1))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; an empty bin has no confidence and no accuracy."""
        bins = len(self.sums)
        rows = []
        for number, (turns, confidence, right) in enumerate(self.sums.tolist()):
            rows.append(
                {
                    "from": round(number / bins, 4),
                    "to": round((number + 1) / bins, 4),
                    "turns": int(turns),
                    "confidence": round(confidence / turns, 6) if turns else None,
                    "accuracy": round(right / turns, 6) if turns else None,
                }
            )
        return {"ece": round(self.error, 6), "bins": rows}
