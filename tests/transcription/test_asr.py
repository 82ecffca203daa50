"""Words and how far they are believed: confidence, loops, and sound that is no speech."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import log_softmax

from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.transcription import Recognised, WhisperRecogniser, read_transcript
from mister_e.transcription.asr import Decoded, _repeats, judge
from mister_e.transcription.whisper import load_whisper

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"
RATE = SAMPLE_RATE


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return WhisperRecogniser(whisper=load_whisper(threads=1))


@pytest.fixture(scope="module")
def turns() -> list[np.ndarray]:
    """The turns of the sample conversation."""
    talk = np.concatenate([block[0] for block in blocks(SAMPLE)])
    said = read_transcript(SAMPLE.with_suffix(".srt"))
    return [talk[round(cue.start * RATE) : round(cue.end * RATE)] for cue in said]


def seconds(length: float) -> np.ndarray:
    return np.arange(round(length * RATE)) / RATE


def vowel(length: float, pitch: float, formants: tuple[float, ...]) -> np.ndarray:
    """A sung vowel: pulses through resonances."""
    trill = 1 + 0.01 * np.sin(2 * np.pi * 5 * seconds(length))
    sound = np.diff(np.floor(np.cumsum(pitch * trill) / RATE), prepend=0.0)
    for formant in formants:
        radius = math.exp(-math.pi * 90 / RATE)
        turn = 2 * math.pi * formant / RATE
        sound = lfilter([1.0], [1.0, -2 * radius * math.cos(turn), radius**2], sound)
    return 0.3 * sound / np.abs(sound).max()


def pulsed(sound: np.ndarray, on: float, off: float) -> np.ndarray:
    """Swell for `on` seconds, be silent for `off`, and again."""
    wave = np.concatenate([np.hanning(round(on * RATE)), np.zeros(round(off * RATE))])
    return sound * np.resize(wave, len(sound))


def tones(*frequencies: float, length: float) -> np.ndarray:
    return 0.2 * sum(np.sin(2 * np.pi * frequency * seconds(length)) for frequency in frequencies)


def melody(length: float) -> np.ndarray:
    notes = [
        sum(tones(f * k, length=0.3) / k for k in range(1, 7)) * np.exp(-3 * seconds(0.3))
        for f in (262, 330, 392, 523, 440, 349, 294, 247)
    ]
    return np.resize(np.concatenate(notes), round(length * RATE))


AH, OOH, EE = (730, 1090, 2440), (300, 870, 2240), (270, 2290, 3010)
RANDOM = np.random.default_rng(0)
NO_SPEECH = {
    "a vowel, 2 s": vowel(2, 140, AH),
    "a vowel, 25 s": vowel(25, 140, AH),
    "aah, aah": pulsed(vowel(5, 140, AH), 0.4, 0.2),
    "aah, aah, for long": pulsed(vowel(25, 140, AH), 0.4, 0.2),
    "aah, aah, fast and high": pulsed(vowel(10, 220, AH), 0.25, 0.15),
    "ooh, ooh": pulsed(vowel(8, 220, OOH), 0.5, 0.3),
    "ee, ee": pulsed(vowel(12, 120, EE), 0.3, 0.3),
    "hum": 0.1 * tones(50, 100, 150, 200, length=6),
    "hum and noise": 0.1 * tones(50, 100, 150, length=6) + RANDOM.normal(0, 0.003, 6 * RATE),
    "keys of a telephone": pulsed(tones(770, 1336, length=4), 0.15, 0.1),
    "ringing": pulsed(tones(440, 480, length=9), 2, 1),
    "a beep": tones(1000, length=3),
    "a melody": melody(8),
    "noise in syllables": pulsed(RANDOM.normal(0, 0.1, 6 * RATE), 0.2, 0.1),
    "clicks": 0.5 * (RANDOM.random(5 * RATE) < 0.001),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_sound_that_is_no_speech_has_no_words_or_marked_ones(recogniser, name):
    (words,) = recogniser([NO_SPEECH[name].astype(np.float32)])
    assert words is None or words.uncertain


def test_speech_is_believed_and_speech_backwards_is_not(recogniser, turns):
    forwards = recogniser(turns)
    assert all(words is not None and not words.uncertain for words in forwards)
    backwards = recogniser([turn[::-1].copy() for turn in turns])
    assert sum(words is None or words.uncertain for words in backwards) > 0.7 * len(turns)


def test_loud_noise_takes_the_confidence_away(recogniser, turns):
    def mean(level: float) -> float:
        noise = RANDOM.normal(0, level, max(map(len, turns)))
        noisy = [(turn + noise[: len(turn)]).astype(np.float32) for turn in turns]
        return float(np.mean([decoded.confidence for decoded in recogniser.decode(noisy)]))

    assert mean(0.0) > 0.75 > mean(0.1) > mean(1.0)


def test_confidence_is_the_geometric_mean_of_the_probabilities_of_the_tokens(recogniser, turns):
    decoded = recogniser.decode(turns[:1])[0]
    tokenizer = recogniser._tokenizer("en")
    padded = np.pad(turns[0], (0, 10 * RATE - len(turns[0])))
    whisper = recogniser._whisper
    (result,) = whisper.model.generate(
        whisper.encode(whisper.feature_extractor(padded, padding=0)[None]),
        [whisper.get_prompt(tokenizer, [], without_timestamps=True)],
        beam_size=1,
        suppress_blank=True,
        suppress_tokens=recogniser._suppressed,
        return_logits_vocab=True,
    )
    logits = np.stack([np.asarray(row, np.float64) for row in result.logits[0]])
    tokens = [*result.sequences_ids[0], tokenizer.eot]
    assert len(logits) == len(tokens)
    expected = log_softmax(logits, axis=-1)[range(len(tokens)), tokens]
    assert decoded.log_probability == pytest.approx(expected.mean(), abs=0.02)
    assert decoded.confidence == pytest.approx(math.exp(expected.mean()), abs=0.02)


def decoded(
    text: str = "I know.", confidence: float = 0.9, no_speech: float = 0.1, **fields: bool
) -> Decoded:
    return Decoded(text, no_speech, math.log(confidence), **fields)


@pytest.mark.parametrize(
    ("found", "uncertain"),
    [
        (decoded(), False),
        (decoded(confidence=0.45), True),
        (decoded(confidence=0.2), None),
        (decoded(no_speech=0.8), True),
        (decoded(no_speech=0.8, confidence=0.45), None),
        (decoded(looped=True), True),
        (decoded(cut_off=True), True),
        (decoded("Ah, ah, ah! Ah... ah."), True),
        (decoded("No, no, no, no!"), False),
        (decoded(" ... ♪"), None),
        (decoded(""), None),
    ],
)
def test_what_is_words_and_what_is_believed(found, uncertain):
    words = judge(found)
    if uncertain is None:
        assert words is None
    else:
        assert words == Recognised(found.text, pytest.approx(found.confidence), uncertain)


@given(st.lists(st.sampled_from("ab"), max_size=18).map(" ".join))
def test_a_phrase_over_and_over_is_found(text):
    said = re.search(r"(?=\b((?:\w ){1,3})\1{4})", text + " ")
    assert _repeats(text) == (said is not None)


def test_words_are_those_of_any_script_and_case():
    assert _repeats("Да, да, ДА! Да. Да")
    assert _repeats("go on, Go on. go ON go on go on")
    assert not _repeats("Yes. No. Yes. No. Yes. No. Maybe.")
