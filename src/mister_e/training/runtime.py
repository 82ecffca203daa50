"""Settings of the whole process: seeds of the random number generators, and memory allocation."""

from __future__ import annotations

import ctypes
import random
import sys

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries still draw from the old generator
    torch.manual_seed(seed)


def generator(seed: int) -> torch.Generator:
    """Make a torch generator that is independent of the global one."""
    return torch.Generator().manual_seed(seed)


#: Names of glibc's `malloc.h`.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Ask glibc not to give freed memory back to the system.

    A step allocates hundreds of megabytes and frees them again; having the system clear the same pages
    anew at every step took a quarter of a step's time. The process's peak stays what it was.

    :return: whether the C library could be asked.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    asked = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, (2 << 30) - 1), (_TOP_PAD, 64 << 20))
    return {mallopt(name, value) for name, value in asked} == {1}
