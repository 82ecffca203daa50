"""Turns within a stretch of speech: cut where sentences end, at short pauses, and where the voice changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Word
from mister_e.transcription.cutting.sentences import sentences
from mister_e.transcription.cutting.vad import AFTER, BEFORE, Speech
from mister_e.transcription.cutting.voices import VoiceMarks

#: A pause this long (s) parts turns within a stretch.
SHORT_PAUSE = 0.25
#: A piece shorter than this (s) joins a neighbour unless a change of voice parts them.
SHORTEST = 0.6
#: A sentence of fewer words stays with a neighbour unless a pause or a change of voice parts them: words are
#: understood together. On MELD's validation text parts of any length cost 3.2 points of weighted F1, of five
#: words 1.1, and of the changes of voice few get lost (`benchmarks/cut_words.py`, `benchmarks/cutting.py`).
MIN_WORDS = 5
#: A change of voice that is at least this probable is a place to cut at.
CHANGE = 0.5
#: Where a change is less probable than this, neither a pause nor the end of a sentence parts turns, unless
#: they would be longer together than so many seconds. Of 0, 0.02, 0.1 and 0.2 the second had the right
#: emotion for most of the time by sound alone, on the validation recordings of `benchmarks/cutting.py`.
SAME_VOICE, LONGEST_TOGETHER = 0.02, 10.0
#: A piece shorter than this (s) joins a neighbour even so: hardly an answer is as short.
SHORTEST_ANSWER = 0.4

# Times of words are good to about a tenth of a second: the quietest moment is searched for so far
# beyond the gap between two words. Two places to cut at that are nearer than the second number are one.
_SLACK, _SAME = 0.1, 0.2
# A moment that was asked about tells of a place to cut at that is no farther (s).
_NEAR = 0.15
# Frames in which the quietest moment is looked for: 10 ms.
_FRAME = SAMPLE_RATE // 100


@dataclass(frozen=True)
class Cut:
    """A place to cut at.

    :param begin: second at which the sound before it ends, from the start of the stretch.
    :param end: second at which the sound after it begins; the same where there is no pause.
    :param voice: whether the voice changes there.
    """

    begin: float
    end: float
    voice: bool = False


@dataclass(frozen=True)
class Piece:
    """A turn within a stretch.

    :param speech: its sound.
    :param words: those that were said in it, with times from the start of the stretch.
    :param begin: second at which it begins, from the start of the stretch.
    :param overlapped: see `VoiceMarks.overlapped`; None = not looked for.
    """

    speech: Speech
    words: tuple[Word, ...]
    begin: float
    overlapped: float | None = None


def moments(words: Sequence[Word], speech: Speech) -> list[float]:
    """Moments at which the voice may change: between words, and in pauses.

    :return: seconds from the start of the stretch, ascending.
    """
    gaps = {round((a.end + max(a.end, b.start)) / 2, 3) for a, b in pairwise(words)}
    pauses = {round((begin + end) / 2, 3) for begin, end in speech.pauses}
    return sorted(moment for moment in gaps | pauses if 0 < moment < speech.end - speech.start)


def cut_stretch(speech: Speech, words: Sequence[Word] = (), marks: VoiceMarks | None = None) -> list[Piece]:
    """Cut a stretch into turns.

    :param speech: a stretch, with its pauses.
    :param words: of the stretch, in order, with times from its start.
    :param marks: changes of voice; None = they are not looked for.
    :return: in order; one where there is nothing to cut at. Together they have all words, and all sound but
        the middle of long pauses.
    """
    places = [
        *(Cut(begin, end) for begin, end in speech.pauses if end - begin >= SHORT_PAUSE),
        *(
            _place(speech, words[own.stop - 1].end, words[own.stop].start)
            for own in sentences([word.text for word in words], MIN_WORDS)[:-1]
        ),
        *([] if marks is None else _changes(speech, marks)),
    ]
    length = speech.end - speech.start
    cuts = _merged(cut for cut in places if cut.begin > 0 and cut.end < length)
    if marks is not None:
        cuts = _without_breaks(cuts, marks, length)
    cuts = _without_crumbs(cuts, length)
    opens = [Cut(0.0, 0.0), *cuts]
    closes = [*cuts, Cut(length, length)]
    shares = _shared(words, [(a.end, b.begin) for a, b in zip(opens, closes, strict=True)])
    return [
        _piece(speech, *_bounds(before, after), own, marks)
        for before, after, own in zip(opens, closes, shares, strict=True)
    ]


def _changes(speech: Speech, marks: VoiceMarks) -> list[Cut]:
    """Places at which the voice changes; of moments close together the most probable."""
    found: list[Cut] = []
    taken: list[float] = []
    for index in np.argsort(-marks.change, kind="stable").tolist():
        moment, likely = float(marks.moments[index]), float(marks.change[index])
        if likely < CHANGE:
            break
        if all(abs(moment - other) > SHORTEST for other in taken):
            taken.append(moment)
            place = _place(speech, moment, moment)
            found.append(Cut(place.begin, place.end, voice=True))
    return found


def _place(speech: Speech, first: float, last: float) -> Cut:
    """Where to cut between two words: in the pause between them, or else at the quietest moment.

    :param first: second at which the word before ends.
    :param last: second at which the word after begins.
    """
    first, last = first - _SLACK, max(first, last) + _SLACK
    pauses = [(begin, end) for begin, end in speech.pauses if begin < last and end > first]
    if pauses:
        return Cut(*max(pauses, key=lambda pause: min(pause[1], last) - max(pause[0], first)))
    begin = max(0, round(first * SAMPLE_RATE))
    sound = speech.samples[begin : round(last * SAMPLE_RATE)]
    frames = sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME)
    if not len(frames):
        return Cut(first, first)
    power = np.convolve(np.square(frames, dtype=np.float64).mean(1), np.ones(3) / 3, "same")
    power[[0, -1]] *= 3 / 2 if len(power) > 1 else 1  # the frame beyond the end counts as silence
    moment = (begin + (int(power.argmin()) + 0.5) * _FRAME) / SAMPLE_RATE
    return Cut(moment, moment)


def _merged(cuts: Iterable[Cut]) -> list[Cut]:
    """Places in order; those that are nearly the same are one, with the longest pause of them."""
    found: list[Cut] = []
    for cut in sorted(cuts, key=lambda cut: (cut.begin, cut.end)):
        if found and cut.begin <= found[-1].end + _SAME:
            longer = max(found[-1], cut, key=lambda one: one.end - one.begin)
            found[-1] = Cut(longer.begin, longer.end, found[-1].voice or cut.voice)
        else:
            found.append(cut)
    return found


def _without_breaks(cuts: Sequence[Cut], marks: VoiceMarks, length: float) -> list[Cut]:
    """Leave out places at which one voice goes on, up to `LONGEST_TOGETHER`."""
    kept: list[Cut] = []
    for cut, following in pairwise([*cuts, Cut(length, length)]):
        near = (marks.moments >= cut.begin - _NEAR) & (marks.moments <= cut.end + _NEAR)
        goes_on = near.any() and float(marks.change[near].max()) < SAME_VOICE
        together = following.begin - (kept[-1].end if kept else 0.0)
        if cut.voice or not goes_on or together > LONGEST_TOGETHER:
            kept.append(cut)
    return kept


def _without_crumbs(cuts: list[Cut], length: float) -> list[Cut]:
    """Leave out places that would make pieces shorter than `SHORTEST`, the shortest first.

    A piece joins the neighbour that is nearer in time. Where the voice changes, a place stays, unless the
    piece would be shorter than `SHORTEST_ANSWER`.
    """
    cuts = list(cuts)
    while True:
        opens, closes = [Cut(0.0, 0.0), *cuts], [*cuts, Cut(length, length)]
        lengths = [end - begin for begin, end in map(_bounds, opens, closes)]
        for number in np.argsort(lengths, kind="stable").tolist():
            if lengths[number] >= SHORTEST:
                return cuts
            beside = [place for place in (number - 1, number) if 0 <= place < len(cuts)]
            joins = [place for place in beside if not cuts[place].voice]
            if not joins and lengths[number] < SHORTEST_ANSWER:
                joins = beside
            if joins:
                del cuts[min(joins, key=lambda place: cuts[place].end - cuts[place].begin)]
                break
        else:
            return cuts


def _bounds(before: Cut, after: Cut) -> tuple[float, float]:
    """Seconds at which a piece between two places begins and ends, with a little of the pauses."""
    begin = max(before.end - BEFORE, (before.begin + before.end) / 2)
    return begin, min(after.begin + AFTER, (after.begin + after.end) / 2)


def _shared(words: Sequence[Word], spans: Sequence[tuple[float, float]]) -> list[tuple[Word, ...]]:
    """Give each word to the span that most of it lies in, or is nearest to, in order."""
    owned: list[list[Word]] = [[] for _ in spans]
    at = 0
    for word in words:

        def distance(place: int, word: Word = word) -> tuple[float, float]:
            begin, end = spans[place]
            inside = min(word.end, end) - max(word.start, begin)
            return (-max(inside, 0.0), max(-inside, 0.0))

        at = min(range(at, len(spans)), key=distance)
        owned[at].append(word)
    return [tuple(own) for own in owned]


def _piece(
    speech: Speech, begin: float, end: float, words: tuple[Word, ...], marks: VoiceMarks | None
) -> Piece:
    """Cut the sound of a piece out of its stretch."""
    first, last = round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE)
    samples: NDArray[np.float32] = speech.samples[first:last]
    sound = Speech(speech.start + first / SAMPLE_RATE, speech.channel, samples)
    return Piece(sound, words, begin, None if marks is None else marks.overlapped(begin, end))
