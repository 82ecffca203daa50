"""Weights of the classes in the loss, for corpora where some classes are rare."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mister_e.errors import InputError

#: One weight a class; or the power to which a class's inverse frequency in train is raised ("balanced" = 1).
ClassWeights = tuple[float, ...] | Annotated[float, Field(gt=0, le=1)] | Literal["balanced"]


def resolve_class_weights(chosen: ClassWeights | None, counts: NDArray[np.int64]) -> tuple[float, ...] | None:
    """Compute the weights for a corpus: `(mean count / count of the class) ** power`.

    With power 1 these are scikit-learn's "balanced" weights; a class without turns counts as one turn.

    :param chosen: the value in the recipe; None = equal weights.
    :param counts: labelled training turns of each class `[C]`.
    :return: one weight a class, or None for equal weights.
    :raises InputError: the number of weights is not that of the classes.
    """
    if chosen is None:
        return None
    if isinstance(chosen, tuple):
        if len(chosen) != len(counts):
            raise InputError(f"class_weights: {len(chosen)} weights, but there are {len(counts)} classes")
        return chosen
    power = 1.0 if chosen == "balanced" else float(chosen)
    inverse = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return tuple((inverse**power).tolist())
