"""Segmentation: pieces of a recording to turns with words, in memory that does not grow with its length."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Clip, Utterance
from mister_e.progress import Progress, silent
from mister_e.transcription.asr import Recognised, Recogniser
from mister_e.transcription.vad import Speech, TurnCutter

#: Stage that is reported: seconds of the recording so far.
STAGE = "turns"

# Turns are gathered and their words recognised in batches: at most so many, two batches of Whisper, and
# about so many seconds, for their sound is held in memory.
_GROUP_TURNS, _GROUP_SECONDS = 16, 120.0


def transcribe_turns(
    blocks: Iterable[NDArray[np.float32]],
    *,
    recogniser: Recogniser | None,
    total: float | None = None,
    progress: Progress = silent,
) -> Iterator[Utterance]:
    """Cut a recording into turns at its pauses and recognise their words.

    Each channel is cut by itself; the turns of all channels come in the order of their starts.
    How the recording is divided into blocks changes nothing.

    :param blocks: float32 `[C, N]` successive pieces at `SAMPLE_RATE`.
    :param recogniser: recognises the words; None = text is None.
    :param total: seconds of the recording, for progress.
    :param progress: told the seconds so far.
    :return: turns of at most 30 s with their samples, named t0001, t0002, … A turn in which no
        words were recognised has no text; uncertain words are marked.
    """
    return _named(_with_words(_speeches(blocks, total, progress), recogniser))


def _speeches(
    blocks: Iterable[NDArray[np.float32]], total: float | None, progress: Progress
) -> Iterator[Speech]:
    """Cut every channel; give the turns of all in the order of their starts."""
    cutters: list[TurnCutter] = []
    ready: list[tuple[float, int, Speech]] = []
    received = 0
    for block in blocks:
        if not cutters:
            channels = [None] if len(block) == 1 else list(range(len(block)))
            cutters = [TurnCutter(channel) for channel in channels]
        for number, (cutter, samples) in enumerate(zip(cutters, block, strict=True)):
            for speech in cutter.push(samples):
                heapq.heappush(ready, (speech.start, number, speech))
        horizon = min(cutter.horizon for cutter in cutters)
        while ready and ready[0][0] < horizon:
            yield heapq.heappop(ready)[2]
        received += block.shape[1]
        progress(STAGE, received / SAMPLE_RATE, total or 0.0)
    for number, cutter in enumerate(cutters):
        for speech in cutter.finish():
            heapq.heappush(ready, (speech.start, number, speech))
    while ready:
        yield heapq.heappop(ready)[2]


def _with_words(
    speeches: Iterable[Speech], recogniser: Recogniser | None
) -> Iterator[tuple[Speech, str | Recognised | None]]:
    """Give each turn its words, recognised a group of turns at a time."""
    if recogniser is None:
        yield from ((speech, None) for speech in speeches)
        return
    group: list[Speech] = []
    for speech in speeches:
        group.append(speech)
        if len(group) == _GROUP_TURNS or sum(speech.end - speech.start for speech in group) > _GROUP_SECONDS:
            yield from zip(group, recogniser([speech.samples for speech in group]), strict=True)
            group = []
    yield from zip(group, recogniser([speech.samples for speech in group]), strict=True)


def _named(turns: Iterable[tuple[Speech, str | Recognised | None]]) -> Iterator[Utterance]:
    """Make utterances, numbered in order."""
    for number, (speech, text) in enumerate(turns, start=1):
        words = Recognised(text) if isinstance(text, str) else text
        yield Utterance(
            f"t{number:04}",
            words.text if words else None,
            speech.start,
            speech.end,
            speech.channel,
            Clip(samples=speech.samples),
            asr_confidence=words.confidence if words else None,
            text_uncertain=words.uncertain if words else False,
        )
