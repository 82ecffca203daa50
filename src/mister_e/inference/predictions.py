"""Predictions for every turn of a split: what scores, pages and tables are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Predictions for the N turns of a split, labelled or not, conversation after conversation.

    :param ids: of the N turns.
    :param conversations: N places in `conversation_ids`, rising.
    :param conversation_ids: of the conversations.
    :param labels: int64 `[N]`, positions in the label set; -1 = unlabelled.
    :param logits: float32 `[N, C]`.
    :param predicted: bool `[N]`, False = nothing was there to predict from.
    :param experts: float32 `[N, 3, C]` in the order of `mister_e.experts.EXPERTS`; None = it has none.
    :param present: bool `[N, 3]`, the experts that had something to predict from; None = the model has none.
    :param gate: float32 `[N, 3]`; None = the model has none.
    :param shown: bool `[N, 2]`, whether text and whether speech was there to predict from; None = not known.
    """

    ids: Sequence[str]
    conversations: NDArray[np.int64]
    conversation_ids: Sequence[str]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    predicted: NDArray[np.bool_]
    experts: NDArray[np.float32] | None = None
    present: NDArray[np.bool_] | None = None
    gate: NDArray[np.float32] | None = None
    shown: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which turns count in a score `[N]`: labelled, and predicted from something."""
        return (self.labels >= 0) & self.predicted

    def probabilities(self, temperature: float = 1.0) -> NDArray[np.float64]:
        """Calibrated probabilities `[N, C]`.

        :param temperature: what the logits are divided by.
        """
        return softmax(self.logits.astype(np.float64) / temperature)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities `[N, C]` of logits `[N, C]`."""
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(1, keepdims=True)
    exponentials = np.exp(scaled)
    result: NDArray[np.float64] = exponentials / exponentials.sum(1, keepdims=True)
    return result
