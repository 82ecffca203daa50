"""When each word was said: Whisper's attention from words to sound, as one path through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import Word, has_words

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

# Whisper's spectrogram has a row for so many samples, and its encoder a state for two rows.
_ROW = 160
# Languages that are written without spaces between words.
_WITHOUT_SPACES = frozenset(["zh", "yue", "ja", "th", "lo", "my", "km"])


def align(
    whisper: WhisperModel,
    tokenizer: Tokenizer,
    encoded: Any,
    tokens: Sequence[Sequence[int]],
    lengths: Sequence[int],
) -> list[tuple[Word, ...]]:
    """Find the words of turns and their times, by dynamic time warping of cross-attention.

    The method is that of Whisper's authors; CTranslate2 has it built in. Times are rough: good to about a
    tenth of a second, and what is said before a pause may seem to last through it.

    :param whisper: whose attention is followed.
    :param tokenizer: of the language.
    :param encoded: the encoder's output of a batch of turns.
    :param tokens: of the text of each turn.
    :param lengths: samples of each turn, at `SAMPLE_RATE`; the padding is not looked at.
    :return: the words of each turn, in order, with times within the turn that never run backwards. A mark of
        punctuation belongs to the word before it, its time to none.
    """
    found: list[tuple[Word, ...]] = [()] * len(tokens)
    texts = [[token for token in own if token < tokenizer.eot] for own in tokens]
    said = [number for number, own in enumerate(texts) if own and lengths[number] >= 2 * _ROW]
    if not said:
        return found
    rows = [lengths[number] // _ROW if number in said else 2 for number in range(len(texts))]
    # every turn of the batch has to have a token; what is found of the silent ones is not used
    some = texts[said[0]][:1]
    aligned = whisper.model.align(encoded, tokenizer.sot_sequence, [own or some for own in texts], rows)
    for number in said:
        found[number] = _words(tokenizer, texts[number], aligned[number], lengths[number] / SAMPLE_RATE)
    return found


def _words(tokenizer: Tokenizer, tokens: list[int], aligned: Any, seconds: float) -> tuple[Word, ...]:
    """Join the tokens of a turn of so many seconds to words."""
    of_text, of_time = np.array(aligned.alignments).reshape(-1, 2).T
    steps = np.searchsorted(of_text, np.arange(len(tokens) + 1))
    times = np.minimum(np.append(of_time, of_time[-1:] + 1)[steps] * 2 * _ROW / SAMPLE_RATE, seconds)
    probabilities = np.maximum(aligned.text_token_probs, 1e-6)
    words: list[Word] = []
    begin = 0
    for text, sizes in _spelt(tokenizer, tokens):
        spans, first = [], begin
        for part, size in sizes:
            if has_words(part):
                spans.append((first, first + size))
            first += size
        if spans:
            own = probabilities[begin:first]
            likely = min(float(np.exp(np.log(own).mean())), 1.0)
            words.append(Word(text.strip(), float(times[spans[0][0]]), float(times[spans[-1][1]]), likely))
        elif words:
            words[-1] = replace(words[-1], text=words[-1].text + text.rstrip())
        begin = first
    return tuple(words)


def _spelt(tokenizer: Tokenizer, tokens: list[int]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Divide the tokens of a text into words: at spaces, or where a language has none at every character.

    "left-kind", "U.S." and "7:30" are one word each, though faster-whisper parts them.

    :return: the text of each, as it is spaced, and its parts with their numbers of tokens.
    """
    spaced = tokenizer.language_code not in _WITHOUT_SPACES
    found: list[tuple[str, list[tuple[str, int]]]] = []
    for part, own in zip(*tokenizer.split_tokens_on_unicode(tokens), strict=True):
        if found and spaced and not part[:1].isspace():
            text, parts = found[-1]
            found[-1] = text + part, [*parts, (part, len(own))]
        else:
            found.append((part, [(part, len(own))]))
    return found
