"""Whisper as a recogniser: the words of several turns at a time, in one language or in what is spoken."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.errors import InputError
from mister_e.pretrained.whisper import BUNDLED
from mister_e.transcription.asr import Decoded, Recognised, Recogniser, judge
from mister_e.transcription.whisper.languages import AUTO, Languages, normalised
from mister_e.transcription.whisper.models import load_whisper
from mister_e.transcription.whisper.word_times import align

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

# Whisper was trained on windows of 30 s, mostly padded with silence. Encoding the padding is
# most of the cost of a short turn; five seconds of it are enough for the same words, and lengths
# in steps (s) let turns go into one batch. A turn's length alone decides its padding: neighbours
# never change its words.
_WINDOW_SECONDS, _PADDING_SECONDS, _STEP_SECONDS = 30, 5, 5
# In shorter windows than this (s) multilingual models may say a sentence twice; tiny.en does not.
_LEAST_SECONDS = 15
_BATCH_SIZE = 8

# The limit of tokens ends a decoder that repeats itself. Fast English has about 5 tokens a second. Whisper's
# tokens are made for English: a sentence of 5 s has about 35 in Greek, 80 in Hindi, 135 in Georgian. 224 is
# half of Whisper's context, its own limit of a window.
_MIN_TOKENS, _MAX_TOKENS = 5, 224
_TOKENS_PER_SECOND, _TOKENS_PER_SECOND_ENGLISH = 40, 5

# Text that compresses better than this is a loop (Radford et al. 2022, section 4.5).
_MAX_COMPRESSION = 2.4


class WhisperRecogniser:
    """A `Recogniser` by Whisper, several turns at a time.

    With the language left open, the languages of a recording are learnt as it goes: see `for_recording`.
    """

    def __init__(self, language: str = AUTO, whisper: WhisperModel | None = None) -> None:
        """Prepare for one language, or for what is spoken.

        :param language: code of the language spoken, such as "en" or "en-US"; `auto` = each turn's own, and
            "en" for a model that knows only English.
        :param whisper: of `load_whisper`; None = the bundled one.
        :raises InputError: the model does not know the language.
        """
        from faster_whisper.transcribe import get_suppressed_tokens

        self._whisper = whisper = whisper or load_whisper()
        known = whisper.supported_languages
        if not whisper.model.is_multilingual:
            language = "en" if language == AUTO else language
        given, language = language, normalised(language, known)
        if language not in (AUTO, *known):
            raise InputError(
                f"language {given!r}: this recogniser knows only English; take another (--asr base), give"
                " a transcript (--transcript) or leave the words out (--asr none)"
                if known == ["en"]
                else f"language {given!r}: this recogniser does not know it; it knows {', '.join(known)};"
                f" {AUTO} = what is spoken"
            )
        self._tokenizers: dict[str, Tokenizer] = {}
        # brackets, musical notes and other signs that are not words
        self._suppressed = get_suppressed_tokens(self._tokenizer(known[0]), [-1])
        self._language = language
        self._languages = Languages()

    def for_recording(self) -> Self:
        """Make one for another recording, whose languages are not known yet; the model is the same."""
        other = copy.copy(self)
        other._languages = Languages()
        return other

    def __call__(self, turns: Sequence[NDArray[np.float32]]) -> list[Recognised | None]:
        """Recognise the words of turns; see `Recogniser`."""
        return [judge(decoded) for decoded in self.decode(turns)]

    def decode(self, turns: Sequence[NDArray[np.float32]]) -> list[Decoded]:
        """Decode turns, and leave open what of it are words.

        :param turns: as for `Recogniser`.
        """
        # digital silence has no words, though Whisper may find one
        results = dict.fromkeys(range(len(turns)), Decoded("", 1.0, 0.0))
        least = _LEAST_SECONDS * SAMPLE_RATE if self._whisper.model.is_multilingual else 0
        encoded = (
            (batch, self._encode([turns[i] for i in batch], max(length, least)))
            for batch, length in _batches(turns)
        )
        for batch, states, language in self._in_languages(turns, encoded):
            lengths = [len(turns[index]) for index in batch]
            results.update(zip(batch, self._decode_batch(states, lengths, language), strict=True))
        return [results[index] for index in range(len(turns))]

    def _encode(self, turns: Sequence[NDArray[np.float32]], length: int) -> Any:
        """Encode a batch, padded to `length` samples."""
        extract = self._whisper.feature_extractor
        padded = [np.pad(samples[:length], (0, max(0, length - len(samples)))) for samples in turns]
        return self._whisper.encode(np.stack([extract(samples, padding=0) for samples in padded]))

    def _in_languages(
        self, turns: Sequence[NDArray[np.float32]], encoded: Iterator[tuple[list[int], Any]]
    ) -> Iterator[tuple[list[int], Any, str]]:
        """Tell the language of each batch; one of several languages is divided.

        What is spoken is decided when all turns were listened to: the long ones decide for the short.
        """
        if self._language != AUTO:
            yield from ((batch, states, self._language) for batch, states in encoded)
            return
        batches = list(encoded)
        heard: dict[int, dict[str, float]] = {}
        for batch, states in batches:
            for index, found in zip(batch, self._whisper.model.detect_language(states), strict=True):
                heard[index] = {token.strip("<|>"): probability for token, probability in found}
        order = sorted(heard)
        lengths = [len(turns[index]) / SAMPLE_RATE for index in order]
        decided = dict(zip(order, self._languages.decide(lengths, [heard[i] for i in order]), strict=True))
        for batch, states in batches:
            for language in sorted({decided[index] for index in batch}):
                rows = [row for row, index in enumerate(batch) if decided[index] == language]
                yield [batch[row] for row in rows], _select(states, rows), language

    def _decode_batch(self, states: Any, lengths: Sequence[int], language: str) -> list[Decoded]:
        """Decode a batch of one language.

        :param lengths: samples of each turn.
        """
        tokenizer = self._tokenizer(language)
        limit = _most_tokens(max(map(_padded, lengths)), language)
        results, tokens = self._generate(states, tokenizer, len(lengths), limit)
        loops = [_compression_ratio(decoded.text) > _MAX_COMPRESSION for decoded in results]
        if any(loops):
            again, other = self._generate(states, tokenizer, len(lengths), limit, no_repeat_ngram_size=3)
            for number in (number for number, loop in enumerate(loops) if loop):
                results[number], tokens[number] = replace(again[number], looped=True), other[number]
        found = align(self._whisper, tokenizer, states, tokens, lengths)
        return [replace(decoded, words=words) for decoded, words in zip(results, found, strict=True)]

    def _generate(
        self, states: Any, tokenizer: Tokenizer, count: int, most: int, **options: Any
    ) -> tuple[list[Decoded], list[list[int]]]:
        """Decode a batch greedily: the same sound always gives the same words, and their tokens."""
        prompt = self._whisper.get_prompt(tokenizer, [], without_timestamps=True)
        results = self._whisper.model.generate(
            states,
            [prompt] * count,
            beam_size=1,
            max_length=2 * most,  # of which CTranslate2 gives the text half
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        tokens = [list(result.sequences_ids[0]) for result in results]
        return [
            Decoded(
                tokenizer.decode(own).strip(),
                result.no_speech_prob,
                _mean_log_probability(result.scores[0], len(own)),
                language=tokenizer.language_code,
                cut_off=len(own) >= most,
            )
            for result, own in zip(results, tokens, strict=True)
        ], tokens

    def _tokenizer(self, language: str) -> Tokenizer:
        """The tokenizer of a language that the model knows."""
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._whisper.hf_tokenizer, self._whisper.model.is_multilingual, "transcribe", language
            )
        return self._tokenizers[language]


def whisper_recognisers(
    model: str | Path = BUNDLED, *, device: str = "cpu", compute_type: str = "default"
) -> Callable[[str], Recogniser]:
    """Make what makes the recogniser of a language; the model is loaded once, when it is first needed.

    Parameters as for `load_whisper`.
    """
    load = cache(lambda: load_whisper(model, device=device, compute_type=compute_type))
    return lambda language: WhisperRecogniser(language, load())


def _batches(turns: Sequence[NDArray[np.float32]]) -> Iterator[tuple[list[int], int]]:
    """Places of turns that are decoded together, and the samples that they are padded to."""
    by_length: dict[int, list[int]] = {}
    for index, samples in enumerate(turns):
        if samples.any():
            by_length.setdefault(_padded(len(samples)), []).append(index)
    for length, indices in by_length.items():
        for begin in range(0, len(indices), _BATCH_SIZE):
            yield indices[begin : begin + _BATCH_SIZE], length


def _padded(length: int) -> int:
    """Samples that a turn is padded to."""
    step = _STEP_SECONDS * SAMPLE_RATE
    return min(-(-(length + _PADDING_SECONDS * SAMPLE_RATE) // step) * step, _WINDOW_SECONDS * SAMPLE_RATE)


def _most_tokens(padded: int, language: str) -> int:
    """Tokens that the texts of turns, padded to so many samples, may have."""
    seconds = max(padded / SAMPLE_RATE - _PADDING_SECONDS, _STEP_SECONDS)
    if padded == _WINDOW_SECONDS * SAMPLE_RATE:  # some of these have no padding
        seconds = _WINDOW_SECONDS
    rate = _TOKENS_PER_SECOND_ENGLISH if language == "en" else _TOKENS_PER_SECOND
    return min(_MAX_TOKENS, round(_MIN_TOKENS + rate * seconds))


def _select(states: Any, rows: Sequence[int]) -> Any:
    """Some rows of what the encoder made of a batch."""
    from ctranslate2 import DataType, Device, StorageView

    if len(rows) == states.shape[0]:
        return states
    values = np.array(states.to(DataType.float32).to_device(Device.cpu))
    return StorageView.from_array(np.ascontiguousarray(values[rows]))


def _mean_log_probability(score: float, tokens: int) -> float:
    """Mean over the tokens of a text and its end, of a score that CTranslate2 divides by the former alone."""
    return score * tokens / (tokens + 1)


def _compression_ratio(text: str) -> float:
    """How many times smaller a text gets: loops compress well."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
