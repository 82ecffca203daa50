"""The channels of a recording: what one has to do with another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mister_e.transcription.channels.leak import LeakFilter

__all__ = ["LeakFilter", "tell_mono"]


def tell_mono(blocks: Iterable[NDArray[np.float32]], notes: list[str]) -> Iterator[NDArray[np.float32]]:
    """Give blocks as they are, and note that there is but one channel where channels were to be split.

    :param blocks: float32 `[C, N]` successive pieces.
    :param notes: told.
    """
    told = False
    for block in blocks:
        if len(block) == 1 and not told:
            notes.append("it has one channel: --channels split has nothing to split")
            told = True
        yield block
