"""What is given to be analysed: one input is one conversation, under a name of its own."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mister_e.conversation import Conversation


class Sound(NamedTuple):
    """Sound in memory, see `mister_e.audio.resampling.array_blocks`.

    :param samples: `[N]`, `[C, N]` or `[N, C]`.
    :param rate: Hz.
    """

    samples: NDArray[Any]
    rate: int


if TYPE_CHECKING:
    #: A recording or a transcript by its path, sound in memory, or a conversation.
    Source = str | Path | Sound | Conversation


@dataclass(frozen=True)
class Input:
    """One conversation to analyse.

    :param source: a recording, a transcript (words alone), sound in memory or a conversation.
    :param transcript: the words and times of the recording; None = they are recognised, if at all.
    :param name: the id of its result, unique within a run (see `named_inputs`).
    :param cuts: where the recording is cut into turns; None = that is found in its sound, or its transcript.
    """

    source: Source
    transcript: str | Path | None
    name: str
    cuts: str | Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        places = (self.source, self.transcript, self.cuts)
        return tuple(Path(place) for place in places if isinstance(place, (str, Path)))

    def __str__(self) -> str:
        name, file = _name_and_file(self.source)
        return file if isinstance(self.source, (str, Path)) and file else name


def named_inputs(sources: Iterable[tuple[Source, str | Path | None]]) -> tuple[Input, ...]:
    """Give each source a name of its own, in the order given.

    :param sources: each with the transcript of its recording, if there is one.
    """
    pairs = tuple(sources)
    names = unique_names(_name_and_file(source) for source, _ in pairs)
    return tuple(
        Input(source, transcript, name) for (source, transcript), name in zip(pairs, names, strict=True)
    )


def unique_names(sources: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Names of conversations that differ: the first keeps its own, an equal one takes its file's.

    :param sources: of each conversation its name and its file, if it has one.
    :return: `cut`, `cut.mp4`, `cut-2`, `cut-3`, … for equal names.
    """
    taken: set[str] = set()
    for name, file in sources:
        full_name = Path(file).name if file else name
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        free = next(
            candidate for candidate in itertools.chain((name, full_name), numbered) if candidate not in taken
        )
        taken.add(free)
        yield free


def _name_and_file(source: Source) -> tuple[str, str | None]:
    """Name of a conversation before it is made unique, and its file if it has one."""
    if isinstance(source, (str, Path)):
        return Path(source).stem, str(source)
    if isinstance(source, Sound):
        return "recording", None
    return source.id, source.source


def as_sources(inputs: object) -> list[Source]:
    """Make a list of one source, or of several; `(samples, rate)` becomes `Sound`.

    :raises TypeError: something is no source.
    """
    expected = "expected a path, a Conversation, or (samples, sample rate)"
    source = _as_source(inputs)
    if source is not None:
        return [source]
    if isinstance(inputs, bytes | bytearray) or hasattr(inputs, "dtype") or not isinstance(inputs, Iterable):
        raise TypeError(f"an input of type {type(inputs).__name__}: {expected}")
    sources = []
    for value in inputs:
        source = _as_source(value)
        if source is None:
            raise TypeError(f"an input of type {type(value).__name__}: {expected}")
        sources.append(source)
    return sources


def _as_source(value: object) -> Source | None:
    """Take a value as a source; None = it is none."""
    from mister_e.conversation import Conversation

    if isinstance(value, str | Path | Conversation | Sound):
        return value
    if isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "dtype"):
        samples, rate = value
        if isinstance(rate, numbers.Real) and not isinstance(rate, bool) and math.isfinite(float(rate)):
            return Sound(samples, int(float(rate)))
    return None
