"""How sure a score is: intervals from conversations drawn again, whole, for turns of one hang together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.metrics.classification import class_scores, overall_scores

RESAMPLES = 2000
LEVEL = 0.95

#: Draws held in memory at once.
_CHUNK = 4_000_000

Interval = tuple[float, float]


def metadata(unit: str = "conversation") -> dict[str, Any]:
    """How the intervals are made, to be stored with them.

    :param unit: what is drawn again, whole.
    """
    return {"unit": unit, "resamples": RESAMPLES, "level": LEVEL, "seed": 0}


def draws(conversations: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Draw as many conversations as there are, with replacement, again and again.

    :param conversations: K.
    :param resamples: how many times.
    :param seed: of the draws.
    :return: how often each conversation was drawn, a few resamples at a time: `[R, K]`.
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

    A resample is a sum of the conversations' counts, so all of them are one product of matrices. The
    calibration error has none: it is a distance, which drawing again makes larger.

    :param confusions: of each conversation `[K, C, C]`, at least two.
    :param resamples: how many.
    :param level: share of the resamples inside.
    :param seed: of the draws.
    :return: low and high of each of `OVERALL`, and of each class's F1; 0 to 100.
    """
    conversations, classes = confusions.shape[:2]
    flat = confusions.reshape(conversations, -1).astype(np.float64)
    overall: list[dict[str, NDArray[np.float64]]] = []
    each = []
    for drawn in draws(conversations, resamples=resamples, seed=seed):
        sums = (drawn.astype(np.float64) @ flat).reshape(-1, classes, classes)
        overall.append(overall_scores(sums))
        each.append(class_scores(sums)["f1"])
    named = {name: np.concatenate([part[name] for part in overall]) for name in overall[0]}
    edges = [50 * (1 - level), 50 * (1 + level)]
    of_classes = np.percentile(np.concatenate(each), edges, axis=0).T
    return (
        {name: _interval(np.percentile(values, edges)) for name, values in named.items()},
        [_interval(row) for row in of_classes],
    )


def _interval(edges: NDArray[np.float64]) -> Interval:
    return float(edges[0]), float(edges[1])
