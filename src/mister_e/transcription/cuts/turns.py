"""Turns of a recording whose places to cut are known, and their words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import Recording
from mister_e.conversation import NO_WORDS, Utterance
from mister_e.progress import Progress, silent
from mister_e.transcription.align import cut_turns
from mister_e.transcription.asr import Recognised, Recogniser
from mister_e.transcription.cuts import read_cuts
from mister_e.transcription.recognition import groups, placed, recognise


def transcribe_cuts(
    blocks: Iterable[NDArray[np.float32]],
    cuts: str | Path,
    *,
    recogniser: Recogniser | None,
    total: float | None = None,
    recording: Recording | None = None,
    strict: bool = False,
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> Iterator[Utterance]:
    """Cut a recording into turns at given places and recognise the words of each.

    What no turn covers is not analysed. Turns may overlap; long ones are cut at quiet moments. Channels that
    the file tells count where the sound has several. What one channel repeats of another stays: the file
    decides what is a turn.

    :param blocks: float32 `[C, N]` successive pieces at `SAMPLE_RATE`.
    :param cuts: a file, see `read_cuts`.
    :param recogniser: recognises the words; None = text is None.
    :param total: seconds of the recording, for progress alone.
    :param recording: its header, to find its lines, and to refuse cuts beyond an exact length early.
    :param strict: refuse an interval that cannot be read, or lies wholly beyond the recording; else it is
        left out.
    :param progress: told the seconds so far.
    :param notes: told of turns that are left out or end with the recording.
    :return: the turns in the order of their starts. One in which no words were recognised says so.
    :raises InputError: the cuts cannot be read, or are not of this recording; see `cut_turns`.
    """
    notes = [] if notes is None else notes
    remarks: list[str] = []
    blocks = iter(blocks)
    first = list(islice(blocks, 1))
    places = read_cuts(
        cuts,
        recording=recording.path if recording else None,
        split=bool(first) and len(first[0]) > 1,
        strict=strict,
        notes=remarks,
    )
    notes += [f"{Path(cuts).name}: {remark}" for remark in remarks]
    turns = cut_turns(
        chain(first, blocks),
        places,
        total=total,
        recording=recording,
        origin=cuts,
        strict=strict,
        progress=progress,
        notes=notes,
        noun="file of cuts",
    )
    return turns if recogniser is None else _with_words(turns, recogniser)


def _with_words(turns: Iterable[Utterance], recogniser: Recogniser) -> Iterator[Utterance]:
    """Recognise the words of turns, a group at a time; those without sound have none."""
    for group in groups(turns, lambda turn: (turn.end or 0.0) - (turn.start or 0.0)):
        sounds = [(turn.audio.samples if turn.audio is not None else None) for turn in group]
        found = iter(recognise(recogniser, [sound for sound in sounds if sound is not None]))
        for turn, sound in zip(group, sounds, strict=True):
            yield _saying(turn, next(found) if sound is not None else None)


def _saying(turn: Utterance, found: Recognised | None) -> Utterance:
    """A turn with its words, their times in the recording."""
    if found is None:
        return replace(turn, notes=(*turn.notes, NO_WORDS))
    return replace(
        turn,
        text=found.text,
        asr_confidence=found.confidence,
        text_uncertain=found.uncertain,
        language=found.language,
        words=placed(found.words, turn.start or 0.0),
    )
