"""Recordings that are no tidy dialogue: music under speech, laughter, interjections, talk without a pause."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from mister_e import Pipeline
from mister_e.audio import blocks
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import NO_WORDS, Word
from mister_e.transcription import Recognised, WhisperRecogniser, read_transcript, transcribe_turns
from mister_e.transcription.whisper import load_whisper

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"
RATE = SAMPLE_RATE


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return WhisperRecogniser(whisper=load_whisper(threads=1))


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    return np.concatenate([block[0] for block in blocks(SAMPLE)])


def in_blocks(sound: np.ndarray, seconds: float = 30.0) -> Iterator[np.ndarray]:
    size = round(seconds * RATE)
    return (sound[None, begin : begin + size] for begin in range(0, len(sound), size))


def music(length: int, level: float) -> np.ndarray:
    """Chords that change every second and a beat."""
    time = np.arange(length) / RATE
    roots = 110 * 2 ** (np.array([0, 5, 7, 3])[time.astype(int) % 4] / 12)
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    chord = sum(np.sin(phase * factor) / factor for factor in (1, 1.26, 1.5, 2, 3, 4))
    beat = np.exp(-8 * (time % 0.5)) * np.random.default_rng(0).normal(0, 1, length)
    sound = chord / np.std(chord) + 0.5 * beat
    return (level * sound / np.std(sound)).astype(np.float32)


def words_of(texts: Sequence[str | None]) -> list[str]:
    return re.findall(r"[a-z']+", " ".join(text or "" for text in texts).lower())


def test_music_under_speech_costs_few_words_and_makes_no_turns_of_its_own(recogniser, talk):
    mixed = talk + music(len(talk), 0.2 * float(np.std(talk)))
    turns = list(transcribe_turns(in_blocks(mixed), recogniser=recogniser))
    said = words_of([cue.text for cue in read_transcript(SAMPLE.with_suffix(".srt"))])
    heard = words_of([turn.text for turn in turns])
    assert len(set(said) & set(heard)) > 0.8 * len(set(said))
    alone = list(transcribe_turns(in_blocks(music(20 * RATE, 0.1)), recogniser=recogniser))
    assert all(turn.text is None or turn.text_uncertain for turn in alone)


def test_six_hundred_interjections_are_six_hundred_turns(talk):
    okay = talk[round(53.98 * RATE) : round(54.6 * RATE)]
    pause = np.zeros(round(0.9 * RATE), np.float32)
    sound = np.tile(np.concatenate([okay, pause]), 600)

    def recognise(stretches: Sequence[np.ndarray]) -> list[Recognised]:
        words = (Word("Okay.", 0.2, 0.6, 0.9),)
        return [Recognised("Okay.", 0.9, words=words) for _ in stretches]

    turns = list(transcribe_turns(in_blocks(sound), recogniser=recognise))
    assert len(turns) == 600
    assert {turn.text for turn in turns} == {"Okay."}
    assert turns[-1].id == "t0600"


@pytest.mark.slow
def test_talk_of_hours_without_a_pause_is_cut_at_sentences_in_bounded_memory(talk):
    cue = read_transcript(SAMPLE.with_suffix(".srt"))[4]
    vowel = talk[round(cue.start * RATE) + 4_000 : round(cue.end * RATE) - 8_000]
    block = np.tile(vowel, -(-30 * RATE // len(vowel)))[None, : 30 * RATE]
    longest: list[int] = []

    def recognise(stretches: Sequence[np.ndarray]) -> list[Recognised]:
        longest.append(sum(map(len, stretches)))
        found = []
        for samples in stretches:
            count = int(len(samples) / RATE / 0.4)
            words = tuple(
                Word("End." if k % 9 == 8 else "On", 0.4 * k, 0.4 * k + 0.35, 0.9) for k in range(count)
            )
            found.append(Recognised(" ".join(word.text for word in words), 0.9, words=words))
        return found

    blocks_of_three_hours = (block for _ in range(360))
    ended = first = 0.0
    count = 0
    for turn in transcribe_turns(blocks_of_three_hours, recogniser=recognise):
        assert turn.end - turn.start <= LONGEST
        assert turn.start >= ended - 1e-6
        first = first or turn.start
        ended, count = turn.end, count + 1
    assert ended - first > 0.99 * 3 * 3600
    assert count > 2 * 360
    assert max(longest) < 180 * RATE


def laughter(seconds: float, pitch: float, rate: float) -> np.ndarray:
    """Bursts of a voiced "ah", so many a second and each with a breath after it, that get weaker."""
    time = np.arange(round(seconds * RATE)) / RATE
    voice = np.diff(np.floor(pitch * time), prepend=0.0)
    for formant in (730, 1090, 2440):
        radius = np.exp(-np.pi * 90 / RATE)
        voice = lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], voice)
    breath = np.random.default_rng(0).normal(0, 0.03, len(time))
    phase = time * rate % 1

    def swell(first: float) -> np.ndarray:
        return np.sin(np.pi * np.clip((phase - first) / 0.5, 0, 1)) ** 2

    sound = swell(0.0) * voice / np.abs(voice).max() + swell(0.4) * breath
    return (0.5 * np.exp(-0.25 * time) * sound).astype(np.float32)


def test_synthetic_laughter_is_a_turn_without_words_and_judged_by_its_sound():
    gap = np.zeros(RATE, np.float32)
    bouts = [laughter(3, *voice) for voice in ((180, 4), (260, 4.5), (330, 5), (220, 4.8))]
    sound = np.concatenate([gap, *(part for bout in bouts for part in (bout, gap))])
    turns = list(Pipeline.from_pretrained("mini")((sound, RATE)))
    assert len(turns) >= len(bouts)
    assert sum(turn.end - turn.start for turn in turns) > 0.8 * 3 * len(bouts)
    for turn in turns:
        assert turn.text is None or turn.text_uncertain
        assert (turn.text is None) == (NO_WORDS in turn.notes)
        assert turn.missing == ("text",)
        assert turn.gate["speech"] == pytest.approx(1.0)


def test_laughter_alone_gets_no_words_that_are_believed(recogniser):
    data = os.environ.get("MISTER_E_DATA")
    if not data:
        pytest.skip("needs real laughter: set MISTER_E_DATA to a folder with emogator/")
    laughs = sorted(Path(data, "emogator").glob("*.ogg"))[:200:10]
    gap = np.zeros(RATE, np.float32)
    sound = np.concatenate([part for clip in laughs for part in (next(iter(blocks(clip)))[0], gap)])
    turns = list(transcribe_turns(in_blocks(sound), recogniser=recogniser))
    assert turns
    believed = [turn for turn in turns if turn.text and not turn.text_uncertain]
    assert len(believed) <= len(turns) / 4
    assert all(turn.notes == (NO_WORDS,) for turn in turns if turn.text is None)
    assert all(turn.end <= following.start + 1e-6 for turn, following in pairwise(turns))
