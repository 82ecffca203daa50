"""Recognition: turns gathered into batches, and the words of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mister_e.conversation import Word
from mister_e.errors import InputError
from mister_e.transcription.asr import Recognised, Recogniser

_T = TypeVar("_T")

# Turns are recognised together: at most so many, two batches of Whisper, and about so many seconds, for their
# sound is held in memory.
_GROUP_TURNS, _GROUP_SECONDS = 16, 120.0


def groups(turns: Iterable[_T], seconds: Callable[[_T], float]) -> Iterator[list[_T]]:
    """Gather turns until they are worth a few batches.

    :param turns: any, in order.
    :param seconds: length of one.
    """
    group: list[_T] = []
    held = 0.0
    for turn in turns:
        group.append(turn)
        held += seconds(turn)
        if len(group) == _GROUP_TURNS or held > _GROUP_SECONDS:
            yield group
            group, held = [], 0.0
    if group:
        yield group


def recognise(recogniser: Recogniser, sounds: Sequence[NDArray[np.float32]]) -> list[Recognised | None]:
    """Recognise the words of turns.

    :param sounds: float32 `[N]` each, at `SAMPLE_RATE`; without any, the recogniser is not asked.
    :return: what was recognised in each; None = no words.
    :raises InputError: the recogniser does not give one result a turn.
    """
    if not sounds:
        return []
    found = list(recogniser(sounds))
    if len(found) != len(sounds):
        raise InputError(
            f"the recogniser gave {len(found)} results for {len(sounds)} turns;"
            " it has to give one for each, None where there are no words"
        )
    return [Recognised(words) if isinstance(words, str) else words for words in found]


def placed(words: Sequence[Word], start: float) -> tuple[Word, ...]:
    """Put words into their recording, times to the millisecond.

    :param words: with times from where their sound begins.
    :param start: second of the recording at which it does.
    """
    return tuple(
        replace(word, start=round(start + word.start, 3), end=round(start + word.end, 3)) for word in words
    )
