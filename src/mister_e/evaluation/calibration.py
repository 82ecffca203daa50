"""How far confidence can be trusted: the reliability table and its error (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mister_e.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from mister_e.pretrained.folder import Calibration

#: Bins of confidence, of equal width.
BINS = 15

#: Turns that a bin needs for a point in a plot: the accuracy of fewer says nothing.
DRAWN = 10


#: What logits are divided by: one number, or one for each turn `[N, 1]`.
Temperature = float | NDArray[np.float64]


def calibrated(predictions: Predictions, temperature: Temperature) -> Predictions:
    """Divide the logits of predictions, so that their probabilities are honest.

    :param predictions: of N turns.
    :param temperature: one, or one for each turn.
    """
    return replace(predictions, logits=(predictions.logits / temperature).astype(np.float32))


def temperatures(calibration: Calibration, predictions: Predictions) -> NDArray[np.float64]:
    """What the logits of each turn are divided by, so that confidence is honest.

    :return: `[N, 1]`; the modalities that were shown of the turn decide it.
    """
    if predictions.shown is None:
        return np.ones((len(predictions), 1))
    text, speech = predictions.shown.T
    chosen = np.where(text & speech, calibration.both, np.where(speech, calibration.speech, calibration.text))
    return chosen[:, None].astype(np.float64)


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
