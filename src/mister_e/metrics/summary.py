"""A score over several seeds: its mean and standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np


class MeanStd(TypedDict):
    """Mean and sample standard deviation of a score, as they stand in JSON files.

    :param mean: over the seeds.
    :param sd: with n - 1 below the root (Bessel's correction); None = one seed, which has none.
    """

    mean: float
    sd: float | None


def mean_std(values: Sequence[float], *, places: int | None = None) -> MeanStd:
    """Mean and standard deviation over seeds.

    :param values: one a seed, at least one.
    :param places: decimal places to round to; None = all of them.
    """
    mean = float(np.mean(values))
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    if places is None:
        return {"mean": mean, "sd": std}
    return {"mean": round(mean, places), "sd": None if std is None else round(std, places)}


def mean_std_by_name(rows: Sequence[Mapping[str, float]]) -> dict[str, MeanStd]:
    """Mean and standard deviation of every score that all seeds have, in the order of the first seed.

    Rounded as far as it means something: scores of 0 to 100 to 4 places, calibration errors (0 to 1,
    `ece` in the name) to 6.

    :param rows: name to score, one row a seed.
    """
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: mean_std([row[name] for row in rows], places=6 if "ece" in name else 4) for name in shared}


def mean_std_text(score: MeanStd, places: int = 1) -> str:
    """Write "mean ± sd", or the mean alone for one seed.

    :param score: what `mean_std` gives.
    :param places: decimal places.
    """
    std = score.get("sd")
    return f"{score['mean']:.{places}f}" + ("" if std is None else f" ± {std:.{places}f}")
