"""Segmentation: a recording to turns with words, in memory that does not grow with its length.

A recording is cut into stretches at its long pauses. The words of a stretch are recognised in one piece, for
each helps to understand the others; then the stretch is cut into turns.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip, Utterance
from mister_e.errors import InputError
from mister_e.progress import Progress, silent
from mister_e.transcription.asr import Recognised, Recogniser, parted
from mister_e.transcription.channels.leak import LeakFilter
from mister_e.transcription.cutting.crosstalk import turn_notes
from mister_e.transcription.cutting.pieces import Piece, cut_stretch, moments
from mister_e.transcription.cutting.vad import Speech, TurnCutter
from mister_e.transcription.cutting.voices import VoiceChanges, VoiceMarks
from mister_e.transcription.recognition import groups, placed, recognise

#: Stage that is reported: seconds of the recording so far.
STAGE = "turns"

#: Where a recording is cut: at pauses of half a second; also at short ones and where sentences end; where
#: the voice changes, and at those places unless one voice goes on.
Turns = Literal["pauses", "sentences", "voices"]


def transcribe_turns(
    blocks: Iterable[NDArray[np.float32]],
    *,
    recogniser: Recogniser | None,
    turns: Turns = "sentences",
    voices: VoiceChanges | None = None,
    total: float | None = None,
    progress: Progress = silent,
    notes: list[str] | None = None,
) -> Iterator[Utterance]:
    """Cut a recording into turns and recognise their words.

    Each channel is cut by itself, without what is but a fainter copy of another (`LeakFilter`); the turns of
    all channels come in the order of their starts.
    How the recording is divided into blocks changes nothing.

    :param blocks: float32 `[C, N]` successive pieces at `SAMPLE_RATE`.
    :param recogniser: recognises the words; None = text is None. One that gives no times of words leaves
        stretches between pauses of half a second whole where it finds words.
    :param turns: where to cut; sentences have no say without words, and voices none without `voices`.
    :param voices: tells changes of voice; it is asked if `turns` is "voices".
    :param total: seconds of the recording, for progress.
    :param progress: told the seconds so far.
    :param notes: told of copies that were left out.
    :return: turns of at most 30 s with their samples, named t0001, t0002, … A turn in which no
        words were recognised has no text, and says so; uncertain words are marked.
    :raises InputError: there is no such way to cut.
    """
    if turns not in get_args(Turns):
        raise InputError(f"turns {turns!r}: expected {', '.join(get_args(Turns))}")
    stretches = _stretches(blocks, total, progress, [] if notes is None else notes)
    cutter = None if turns == "pauses" else _Cutter(voices if turns == "voices" else None)
    return _named(_in_order(_turns(stretches, recogniser, cutter)))


def _stretches(
    blocks: Iterable[NDArray[np.float32]], total: float | None, progress: Progress, notes: list[str]
) -> Iterator[Speech]:
    """Cut every channel at pauses; give the stretches of all in the order of their starts."""
    cutters: list[TurnCutter] = []
    leaks = LeakFilter()
    ready: list[tuple[float, int, Speech]] = []
    received = 0
    for block in blocks:
        if not cutters:
            channels = [None] if len(block) == 1 else list(range(len(block)))
            cutters = [TurnCutter(channel) for channel in channels]
        leaks.push(block)
        for number, (cutter, samples) in enumerate(zip(cutters, block, strict=True)):
            for speech in leaks.without(cutter.push(samples)):
                heapq.heappush(ready, (speech.start, number, speech))
        horizon = min(cutter.horizon for cutter in cutters)
        leaks.forget(horizon)
        while ready and ready[0][0] < horizon:
            yield heapq.heappop(ready)[2]
        received += block.shape[1]
        progress(STAGE, received / SAMPLE_RATE, total or 0.0)
    for number, cutter in enumerate(cutters):
        for speech in leaks.without(cutter.finish()):
            heapq.heappush(ready, (speech.start, number, speech))
    notes += leaks.notes()
    while ready:
        yield heapq.heappop(ready)[2]


class _Cutter:
    """Cuts stretches into turns.

    :param voices: tells changes of voice; None = they are not looked for.
    """

    def __init__(self, voices: VoiceChanges | None) -> None:
        self._voices = voices

    def __call__(
        self, stretches: Sequence[Speech], recognised: Sequence[Recognised | None]
    ) -> Iterator[list[tuple[Piece, Recognised | None]]]:
        """Give the turns of each stretch, with their words."""
        marks = self._marks(stretches, recognised)
        for speech, found, mark in zip(stretches, recognised, marks, strict=True):
            if found is not None and not found.words:  # words without times are not parted
                overlapped = None if mark is None else mark.overlapped(0.0, speech.end - speech.start)
                yield [(Piece(speech, (), 0.0, overlapped), found)]
                continue
            pieces = cut_stretch(speech, found.words if found else (), mark)
            said = [None] * len(pieces) if found is None else parted(found, [piece.words for piece in pieces])
            yield list(zip(pieces, said, strict=True))

    def _marks(
        self, stretches: Sequence[Speech], recognised: Sequence[Recognised | None]
    ) -> Sequence[VoiceMarks | None]:
        """Ask where the voice changes: between words, or where there are none at any moment."""
        if self._voices is None:
            return [None] * len(stretches)
        marks: list[VoiceMarks | None] = [None] * len(stretches)
        words = [found.words if found else () for found in recognised]
        for spoken in (True, False):  # a stretch is asked the same whatever its neighbours are
            places = [place for place, own in enumerate(words) if bool(own) == spoken]
            if places:
                sound = [stretches[place].samples for place in places]
                asked = [moments(words[place], stretches[place]) for place in places] if spoken else None
                for place, mark in zip(places, self._voices(sound, asked), strict=True):
                    marks[place] = mark
        return marks


def _turns(
    stretches: Iterable[Speech], recogniser: Recogniser | None, cutter: _Cutter | None
) -> Iterator[list[tuple[Piece, Recognised | None, bool]]]:
    """Give the turns of each stretch, with their words and whether words were looked for."""
    for group in groups(stretches, lambda speech: speech.end - speech.start):
        recognised: list[Recognised | None] = [None] * len(group)
        if recogniser is not None:
            recognised = recognise(recogniser, [speech.samples for speech in group])
        cut: Iterable[list[tuple[Piece, Recognised | None]]]
        if cutter is None:
            cut = ([(_whole(speech), found)] for speech, found in zip(group, recognised, strict=True))
        else:
            cut = cutter(group, recognised)
        for pieces in cut:
            yield [(piece, own, recogniser is not None) for piece, own in pieces]


def _whole(speech: Speech) -> Piece:
    return Piece(speech, (), 0.0)


def _in_order(
    turns: Iterable[list[tuple[Piece, Recognised | None, bool]]],
) -> Iterator[tuple[Piece, Recognised | None, bool]]:
    """Put turns in the order of their starts: stretches of different channels may overlap."""
    waiting: list[tuple[float, int, tuple[Piece, Recognised | None, bool]]] = []
    number = 0
    for of_stretch in turns:
        start = of_stretch[0][0].speech.start
        while waiting and waiting[0][0] < start:
            yield heapq.heappop(waiting)[2]
        for turn in of_stretch:
            number += 1
            heapq.heappush(waiting, (turn[0].speech.start, number, turn))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _named(turns: Iterable[tuple[Piece, Recognised | None, bool]]) -> Iterator[Utterance]:
    """Make utterances, numbered in order."""
    for number, (piece, found, looked_for) in enumerate(turns, start=1):
        speech = piece.speech
        yield Utterance(
            f"t{number:04}",
            found.text if found else None,
            round(speech.start, 6),
            round(speech.end, 6),
            speech.channel,
            Clip(samples=speech.samples),
            asr_confidence=found.confidence if found else None,
            text_uncertain=found.uncertain if found else False,
            language=found.language if found else None,
            notes=turn_notes(piece.overlapped, wordless=looked_for and not found),
            words=placed(found.words, speech.start - piece.begin) if found else (),
        )
