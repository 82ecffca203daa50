"""The one place that randomness comes from."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries still draw from the old generator
    torch.manual_seed(seed)


def generator(seed: int) -> torch.Generator:
    """Make a generator of its own, untouched by what others draw."""
    return torch.Generator().manual_seed(seed)
