"""Confidence intervals of scores: the percentile bootstrap over whole conversations.

Whole conversations are resampled, because their turns are not independent: an interval over single turns
would be too narrow (cluster bootstrap; Efron and Tibshirani 1993, chapter 13 for percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.metrics.classification import class_scores, overall_scores

#: Resamples: enough for the 2.5 % percentile, which then rests on 50 of them.
RESAMPLES = 2000

#: Fraction of the resampled scores inside an interval.
LEVEL = 0.95

#: Numbers of the matrix of draws held in memory at once (32 MB of int64).
_CHUNK = 4_000_000

Interval = tuple[float, float]


def metadata(unit: str = "conversation") -> dict[str, Any]:
    """Describe how the intervals are computed, to be stored with them.

    :param unit: what is resampled as a whole.
    :return: JSON-ready dict.
    """
    return {"unit": unit, "resamples": RESAMPLES, "level": LEVEL, "seed": 0}


def draws(conversations: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Draw resamples: as many conversations as there are, with replacement.

    :param conversations: number of conversations K.
    :param resamples: number of resamples.
    :param seed: of the draws.
    :return: how often each conversation was drawn, some resamples R at a time: int64 `[R, K]`.
    """
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // conversations)
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        yield random.multinomial(conversations, np.full(conversations, 1 / conversations), size=size)


def intervals(
    confusions: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[dict[str, Interval], list[Interval]]:
    """Percentile intervals of every score.

    The counts of a resample are a weighted sum of the conversations' counts, so all resamples are one
    matrix product. The calibration error has no interval here: it is a sum of absolute values, which
    resampling biases upwards.

    :param confusions: confusion matrix of each conversation `[K, C, C]`, at least two.
    :param resamples: number of resamples.
    :param level: fraction of the resamples inside the interval.
    :param seed: of the draws.
    :return: low and high of each of `OVERALL`, then of each class's F1; 0 to 100.
    """
    conversations, classes = confusions.shape[:2]
    flat = confusions.reshape(conversations, -1).astype(np.float64)
    overall: list[dict[str, NDArray[np.float64]]] = []
    f1 = []
    for drawn in draws(conversations, resamples=resamples, seed=seed):
        sums = (drawn.astype(np.float64) @ flat).reshape(-1, classes, classes)
        overall.append(overall_scores(sums))
        f1.append(class_scores(sums)["f1"])
    named = {name: np.concatenate([part[name] for part in overall]) for name in overall[0]}
    edges = [50 * (1 - level), 50 * (1 + level)]  # percentiles that leave out equal tails
    of_classes = np.percentile(np.concatenate(f1), edges, axis=0).T
    return (
        {name: _interval(np.percentile(values, edges)) for name, values in named.items()},
        [_interval(row) for row in of_classes],
    )


def _interval(edges: NDArray[np.float64]) -> Interval:
    return float(edges[0]), float(edges[1])
