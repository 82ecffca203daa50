"""Reliability of confidence: accuracy by bins of confidence, and the calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bins of confidence, of equal width; 15 as in Guo et al. 2017.
BINS = 15

#: Turns that a bin needs for a point in a plot: the accuracy of fewer is mostly chance.
MIN_PLOTTED_TURNS = 10


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of predictions, by bin of confidence (a reliability diagram as numbers).

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

    :param sums: for each bin its number of turns, the sum of their confidences, and the number of correct
        ones: `[B, 3]`. Those of several runs may be added.
    """

    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls, probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, bins: int = BINS
    ) -> Reliability:
        """Sort turns into bins by their confidence, the highest probability.

        :param probabilities: `[N, C]`.
        :param labels: true classes `[N]`.
        :param bins: B, of equal width over 0 to 1.
        """
        confidence = probabilities.max(1)
        correct = probabilities.argmax(1) == labels
        bin_index = np.minimum((confidence * bins).astype(np.int64), bins - 1)  # 1.0 falls into the last bin
        columns = (np.ones_like(confidence), confidence, correct)
        return cls(np.stack([np.bincount(bin_index, column, minlength=bins) for column in columns], axis=1))

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: the mean over turns of |accuracy - confidence| of their bin."""
        turns, confidence, correct = self.sums.T
        # turns_b / N * |correct_b / turns_b - confidence_b / turns_b|, summed over the bins
        return float(np.abs(correct - confidence).sum() / max(turns.sum(), 1))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dict; an empty bin has no confidence and no accuracy."""
        bins = len(self.sums)
        rows = []
        for number, (turns, confidence, correct) in enumerate(self.sums.tolist()):
            rows.append(
                {
                    "from": round(number / bins, 4),
                    "to": round((number + 1) / bins, 4),
                    "turns": int(turns),
                    "confidence": round(confidence / turns, 6) if turns else None,
                    "accuracy": round(correct / turns, 6) if turns else None,
                }
            )
        return {"ece": round(self.error, 6), "bins": rows}
