"""Speech recognition: what gives words, and how far they are believed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mister_e.conversation import Word, has_words

# A phrase of up to three words that is said once and then four times more without a break is a loop: a short
# one compresses too badly to be found by that.
_PHRASE_WORDS, _MAX_REPETITIONS = 3, 4
# Less likely than this is no word: its logarithm would drown those of the others.
_LEAST = 1e-6


@dataclass(frozen=True)
class Recognised:
    """Words of a turn, and how far they are to be believed.

    :param text: the words.
    :param confidence: 0 to 1, on the recogniser's own scale; None = it does not say.
    :param uncertain: so doubtful that no model is to read them; they are kept, and marked.
    :param words: each with its times from the start of the samples, in order; () = not known.
    :param language: its code; None = not known.
    """

    text: str
    confidence: float | None = None
    uncertain: bool = False
    words: tuple[Word, ...] = ()
    language: str | None = None


class Recogniser(Protocol):
    """Recognises the words of turns; a function of this signature will do."""

    def __call__(self, turns: Sequence[NDArray[np.float32]], /) -> Sequence[str | Recognised | None]:
        """Recognise the words of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`, at most 30 s.
        :return: the words of each, alone or with what is known of them; None where there are none.
        """


@runtime_checkable
class RecordingRecogniser(Recogniser, Protocol):
    """A `Recogniser` that learns from one call about a recording for the next, such as its languages."""

    def for_recording(self) -> Recogniser:
        """Make one for another recording, which knows nothing of those before."""


def for_recording(recogniser: Recogniser) -> Recogniser:
    """Make a recogniser ready for a recording; one that keeps nothing between calls stays as it is."""
    return recogniser.for_recording() if isinstance(recogniser, RecordingRecogniser) else recogniser


@dataclass(frozen=True)
class Decoded:
    """What Whisper makes of a turn, before it is judged.

    :param text: maybe words.
    :param no_speech: probability that nobody speaks.
    :param log_probability: mean of the natural logarithm over its tokens, the end of the text included.
    :param looped: the first text compressed so well that it was decoded once more, without repetition.
    :param words: of the text, with their times from the start of the turn.
    :param language: its code.
    :param cut_off: it has as many tokens as it may have: the rest of what was said is missing.
    """

    text: str
    no_speech: float
    log_probability: float
    looped: bool = False
    words: tuple[Word, ...] = ()
    language: str | None = None
    cut_off: bool = False

    @property
    def confidence(self) -> float:
        """The geometric mean of the probabilities of its tokens, 0 to 1."""
        return math.exp(min(self.log_probability, 0.0))


@dataclass(frozen=True)
class Thresholds:
    """When Whisper's texts are no words, and when they are uncertain; see `judge`.

    :param words: confidence below which a text is no words.
    :param uncertain: confidence below which words are uncertain.
    :param no_speech: probability of no speech above which words are uncertain, and are none unless they are
        confident.
    """

    words: float = 0.3
    uncertain: float = 0.5
    no_speech: float = 0.6


#: For tiny.en, chosen by `benchmarks/recognition.py`; the last is Whisper's own (Radford et al. 2022).
THRESHOLDS = Thresholds()


def judge(decoded: Decoded, thresholds: Thresholds = THRESHOLDS) -> Recognised | None:
    """Judge whether a decoded text is words, and whether they are to be believed.

    :return: None where it is no words. A loop, and what is cut off, is uncertain however confident it is.
    """
    confidence, silent = decoded.confidence, decoded.no_speech > thresholds.no_speech
    doubtful = confidence < thresholds.uncertain
    if not has_words(decoded.text) or confidence < thresholds.words or (silent and doubtful):
        return None
    uncertain = doubtful or silent or decoded.looped or decoded.cut_off or _repeats(decoded.text)
    return Recognised(decoded.text, confidence, uncertain, decoded.words, decoded.language)


def _repeats(text: str) -> bool:
    """Tell whether a phrase is said over and over."""
    words = re.findall(r"\w+", text.casefold())
    for length in range(1, _PHRASE_WORDS + 1):
        run = 0
        for word, earlier in zip(words[length:], words, strict=False):
            run = run + 1 if word == earlier else 0
            if run == _MAX_REPETITIONS * length:
                return True
    return False


def parted(found: Recognised, shares: Sequence[tuple[Word, ...]]) -> list[Recognised | None]:
    """Divide what was recognised of a stretch among its turns.

    A turn is as confident as its own words are, on the scale of the whole: over all words the mean of the
    logarithms is that of the stretch.

    :param found: of the stretch, with the times of its words.
    :param shares: the words of each turn, in order; together they are all words.
    :return: what was said in each turn; None where nothing was.
    """
    scale = 0.0 if found.confidence is None else math.log(max(found.confidence, _LEAST)) - _level(found.words)
    # a stretch that is uncertain for a loop, or for sound that may be no speech, is so in all its parts
    suspect = found.uncertain and (found.confidence is None or found.confidence >= THRESHOLDS.uncertain)
    parts: list[Recognised | None] = []
    for words, text in zip(shares, _texts(found.text, shares), strict=True):
        if not words:
            parts.append(None)
        elif len(words) == len(found.words):
            parts.append(found)
        else:
            known = found.confidence is not None
            confidence = min(math.exp(_level(words) + scale), 1.0) if known else None
            doubtful = confidence is not None and confidence < THRESHOLDS.uncertain
            parts.append(
                replace(found, text=text, words=words, confidence=confidence, uncertain=suspect or doubtful)
            )
    return parts


def _level(words: Sequence[Word]) -> float:
    """Mean of the logarithms of the probabilities of words; 0 where none is known."""
    known = [math.log(max(word.probability, _LEAST)) for word in words if word.probability is not None]
    return sum(known) / len(known) if known else 0.0


def _texts(text: str, shares: Sequence[tuple[Word, ...]]) -> list[str]:
    """The text of each share, spaced as it is written."""
    found, at = [], 0
    for words in shares:
        begin = end = at
        for number, word in enumerate(words):
            place = text.find(word.text, at)
            if place < 0:  # words that are not those of the text
                return [" ".join(word.text for word in own) for own in shares]
            begin, end = (place if number == 0 else begin), place + len(word.text)
            at = end
        found.append(text[begin:end])
    return found
