"""From a recording to turns: at the pauses, in order, in bounded memory, however it is divided."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sound import write

from mister_e.audio import blocks
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import NO_WORDS, Utterance, Word
from mister_e.errors import InputError
from mister_e.transcription import read_transcript, transcribe_turns
from mister_e.transcription.asr import Recognised
from mister_e.transcription.cutting.vad import TurnCutter, _Silero, longest_pause
from mister_e.transcription.cutting.voices import VoiceMarks
from mister_e.transcription.whisper import WhisperRecogniser, load_whisper

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"
RATE = SAMPLE_RATE


@pytest.fixture(scope="module")
def recogniser() -> WhisperRecogniser:
    return WhisperRecogniser(whisper=load_whisper(threads=1))


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """The sample conversation, float32 `[N]`."""
    return np.concatenate([block[0] for block in blocks(SAMPLE)])


@pytest.fixture(scope="module")
def said() -> tuple[Utterance, ...]:
    return read_transcript(SAMPLE.with_suffix(".srt"))


def pieces(sound: np.ndarray, seconds: float) -> Iterator[np.ndarray]:
    sound = np.atleast_2d(sound)
    size = round(seconds * RATE)
    return (sound[:, begin : begin + size] for begin in range(0, sound.shape[1], size))


def words(text: str | None) -> list[str]:
    return re.findall(r"[a-z']+", (text or "").lower())


def test_turns_are_those_of_the_transcript(talk, said):
    turns = list(transcribe_turns(pieces(talk, 30), recogniser=None, turns="pauses"))
    assert [turn.id for turn in turns] == [cue.id for cue in said]
    for turn, cue in zip(turns, said, strict=True):
        assert turn.start == pytest.approx(cue.start, abs=0.25)
        assert turn.end == pytest.approx(cue.end, abs=0.25)
        assert (turn.text, turn.channel) == (None, None)
        begin = round(turn.start * RATE)
        np.testing.assert_array_equal(turn.audio.samples, talk[begin : begin + len(turn.audio.samples)])
        assert turn.end - turn.start == pytest.approx(len(turn.audio.samples) / RATE)


@pytest.mark.parametrize("seconds", [0.05, 1.7, 13.0])
def test_the_length_of_blocks_changes_nothing(talk, seconds):
    whole = list(transcribe_turns([talk[None]], recogniser=None))
    divided = list(transcribe_turns(pieces(talk, seconds), recogniser=None))
    assert divided == whole
    for part, turn in zip(divided, whole, strict=True):
        np.testing.assert_array_equal(part.audio.samples, turn.audio.samples)


def test_probabilities_are_those_of_silero(talk):
    from faster_whisper.vad import get_vad_model

    sound = talk[: 600 * 512]
    streamed = _Silero()
    ours = np.concatenate([streamed(sound[: 100 * 512]), streamed(sound[100 * 512 :])])
    # it is called once for all, and forgets the end of the last window
    np.testing.assert_allclose(ours[:-1], get_vad_model()(sound.copy()).reshape(-1)[:-1], atol=1e-4)


def test_words_are_recognised_turn_by_turn(talk, said, recogniser):
    turns = list(transcribe_turns(pieces(talk, 10), recogniser=recogniser, turns="pauses"))
    assert len(turns) == len(said)
    right = [set(words(cue.text)) & set(words(turn.text)) for turn, cue in zip(turns, said, strict=True)]
    assert sum(map(len, right)) > 0.85 * sum(len(set(words(cue.text))) for cue in said)


def test_neighbours_do_not_change_the_words_of_a_turn(talk, said, recogniser):
    turns = [talk[round(cue.start * RATE) : round(cue.end * RATE)] for cue in said[3:6]]
    assert recogniser(turns) == [recogniser([turn])[0] for turn in turns]


def test_no_words_are_invented_in_noise(recogniser):
    rng = np.random.default_rng(0)
    noises = [rng.normal(0, level, 2 * RATE).astype(np.float32) for level in (0.001, 0.01, 0.1)]
    assert recogniser([*noises, np.zeros(RATE, np.float32), np.zeros(10, np.float32)]) == [None] * 5


def test_english_only():
    with pytest.raises(InputError, match=r"only English.*--asr base.*--transcript.*--asr none"):
        WhisperRecogniser("de")


def test_any_function_may_recognise(talk):
    def count_samples(turns: Sequence[np.ndarray]) -> list[str | None]:
        assert 0 < len(turns) <= 16
        return [f"{len(turn)} samples" for turn in turns]

    turns = list(transcribe_turns(pieces(talk, 10), recogniser=count_samples))
    assert [turn.text for turn in turns] == [f"{len(turn.audio.samples)} samples" for turn in turns]


def test_channels_are_cut_apart_and_merged_by_time(talk, said):
    both = np.zeros((2, len(talk)), np.float32)
    for number, cue in enumerate(said):
        begin, end = round((cue.start - 0.1) * RATE), round((cue.end + 0.1) * RATE)
        both[number % 2, begin:end] = talk[begin:end]
    # somebody talks through the second and third turn on a channel of their own
    double = np.concatenate([both, np.roll(both[:1], 2 * RATE, axis=1)])
    turns = list(transcribe_turns(pieces(double, 7), recogniser=None, turns="pauses"))
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
    assert [turn.id for turn in turns] == [f"t{n:04}" for n in range(1, len(turns) + 1)]
    own = [turn for turn in turns if turn.channel != 2]
    assert [turn.channel for turn in own] == [number % 2 for number in range(len(said))]
    assert [turn.start for turn in own] == pytest.approx([cue.start for cue in said], abs=0.25)
    for turn in turns:
        begin = round(turn.start * RATE)
        part = double[turn.channel, begin : begin + len(turn.audio.samples)]
        np.testing.assert_array_equal(turn.audio.samples, part)


def test_long_speech_is_cut_at_its_pauses_without_losing_any(talk):
    # pauses inside a turn: short enough not to end it
    speech = [turn.audio.samples for turn in transcribe_turns([talk[None]], recogniser=None)]
    monologue = np.concatenate([sound[3_200:-1_600] for sound in speech * 2])
    turns = list(transcribe_turns(pieces(monologue, 20), recogniser=None))
    assert all(turn.end - turn.start <= LONGEST for turn in turns)
    assert max(turn.end - turn.start for turn in turns) > 10
    assert sum(turn.end - turn.start for turn in turns) > 0.95 * len(monologue) / RATE
    assert all(turn.end <= following.start for turn, following in pairwise(turns))


def test_a_turn_that_never_pauses_is_cut_all_the_same(said, talk):
    cue = said[4]
    vowel = talk[round(cue.start * RATE) + 4_000 : round(cue.end * RATE) - 8_000]
    endless = np.tile(vowel, 120)
    turns = list(transcribe_turns(pieces(endless, 30), recogniser=None))
    assert all(turn.end - turn.start <= LONGEST for turn in turns)
    assert sum(turn.end - turn.start for turn in turns) > 0.8 * len(endless) / RATE


def test_longest_pause():
    def find(pattern):
        return longest_pause([sign == "." for sign in pattern])

    assert find("..##.##...#.##....") == (7, 3)
    assert find("#..#..#") == (4, 2)
    assert find("####") == find("....") == find("") == find("..##..") == (0, 0)


def test_turns_come_while_the_recording_is_still_heard(talk):
    heard = []

    def endless():
        for number in range(1_000):
            heard.append(number)
            yield talk[None]

    turns = transcribe_turns(endless(), recogniser=None)
    for _ in range(30):
        next(turns)
    assert len(heard) <= 4


def test_an_hour_of_silence_has_no_turns_and_needs_no_memory(recogniser):
    silence = np.zeros((1, 30 * RATE), np.float32)
    told = []

    def progress(*row):
        told.append(row)

    assert (
        list(transcribe_turns([silence] * 120, recogniser=recogniser, total=3_600, progress=progress)) == []
    )
    assert told[0] == ("turns", 30.0, 3_600)
    assert told[-1] == ("turns", 3_600.0, 3_600)
    cutter = TurnCutter()
    for _ in range(3):
        cutter.push(silence[0])
    assert len(cutter._sound) < 3 * RATE


@pytest.mark.parametrize("length", [0, 1, 100, 1_600])
def test_hardly_any_sound_is_no_turn(length):
    assert list(transcribe_turns([np.zeros((1, length), np.float32)], recogniser=None)) == []
    assert list(transcribe_turns([], recogniser=None)) == []


def test_eight_kilohertz_files_have_the_same_turns(talk, said, tmp_path):
    short = talk[: round(said[3].end * RATE) + 8_000]
    path = write(tmp_path / "phone.wav", short[None, ::2], 8_000)
    turns = list(transcribe_turns(blocks(path), recogniser=None, turns="pauses"))
    assert [turn.start for turn in turns] == pytest.approx([cue.start for cue in said[:4]], abs=0.25)


def test_sentences_are_turns_and_keep_their_words(talk, said, recogniser):
    turns = list(transcribe_turns(pieces(talk, 10), recogniser=recogniser))
    whole = list(transcribe_turns(pieces(talk, 10), recogniser=recogniser, turns="pauses"))
    assert len(whole) == len(said) < 25 < len(turns) < 36
    assert " ".join(turn.text for turn in turns) == " ".join(turn.text for turn in whole)
    assert [turn.id for turn in turns] == [f"t{n:04}" for n in range(1, len(turns) + 1)]
    texts = [turn.text for turn in turns]
    assert {"Your little fish died.", "That's disgusting.", "I'm really scared.", "Hi, it's me."} <= set(
        texts
    )
    for turn in turns:
        assert turn.end - turn.start == pytest.approx(len(turn.audio.samples) / RATE)
        assert turn.end - turn.start >= 0.6
        begin = round(turn.start * RATE)
        np.testing.assert_array_equal(turn.audio.samples, talk[begin : begin + len(turn.audio.samples)])
        assert " ".join(word.text for word in turn.words) == turn.text
        assert all(turn.start - 0.25 <= word.start <= word.end <= turn.end + 0.25 for word in turn.words)
        assert 0 < turn.asr_confidence <= 1
        assert turn.notes == ()
    assert all(turn.end <= following.start + 1e-6 for turn, following in pairwise(turns))


@pytest.mark.parametrize("seconds", [0.7, 13.0])
def test_the_length_of_blocks_changes_no_sentence(talk, recogniser, seconds):
    assert list(transcribe_turns(pieces(talk, seconds), recogniser=recogniser)) == list(
        transcribe_turns([talk[None]], recogniser=recogniser)
    )


def test_turns_of_two_channels_come_in_order(talk, recogniser):
    both = np.stack([talk, np.roll(talk, round(1.3 * RATE))])
    turns = list(transcribe_turns(pieces(both, 5), recogniser=recogniser))
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
    assert {turn.channel for turn in turns} == {0, 1}
    alone = list(transcribe_turns(pieces(talk, 5), recogniser=recogniser))
    assert [turn.text for turn in turns if turn.channel == 0] == [turn.text for turn in alone]


def test_a_recogniser_without_times_leaves_stretches_whole(talk, said):
    turns = list(transcribe_turns([talk[None]], recogniser=lambda turns: ["One. Two. Three."] * len(turns)))
    assert [turn.text for turn in turns] == ["One. Two. Three."] * len(said)
    # where it finds no words there is nothing that a cut could part
    silent = list(transcribe_turns([talk[None]], recogniser=lambda turns: [None] * len(turns)))
    assert len(silent) > len(said)
    assert all(turn.notes == (NO_WORDS,) for turn in silent)
    assert all(turn.notes == () for turn in transcribe_turns([talk[None]], recogniser=None))


def test_voices_are_asked_and_part_turns(talk, said):
    asked: list[int] = []

    def half_way(stretches, moments=None):
        asked.extend(len(own) for own in stretches)
        assert moments is None  # without words it finds them itself
        return [
            VoiceMarks(np.float32([len(own) / RATE / 2]), np.float32([0.9]), np.zeros(300, np.float32))
            for own in stretches
        ]

    whole = list(transcribe_turns([talk[None]], recogniser=None, turns="pauses"))
    turns = list(transcribe_turns([talk[None]], recogniser=None, turns="voices", voices=half_way))
    assert asked == [len(turn.audio.samples) for turn in whole]
    middles = [turn.start + (turn.end - turn.start) / 2 for turn in whole]
    edges = [turn.end for turn in turns] + [turn.start for turn in turns]
    assert all(min(abs(edge - middle) for edge in edges) < 0.4 for middle in middles)
    asked.clear()
    list(transcribe_turns([talk[None]], recogniser=None, turns="sentences", voices=half_way))
    assert asked == []


def test_a_doubtful_piece_of_a_sure_stretch_is_uncertain(talk):
    words = (Word("Sure.", 0.1, 0.9, 0.95), Word("Zt?", 1.5, 2.4, 0.1))
    found = Recognised("Sure. Zt?", 0.6, False, words)
    turns = list(transcribe_turns([talk[None]], recogniser=lambda turns: [found] * len(turns)))
    sure = [turn for turn in turns if turn.text == "Sure."]
    doubtful = [turn for turn in turns if turn.text == "Zt?"]
    assert sure
    assert doubtful
    # on the scale of the whole, of which the words together have 0.6
    scale = 0.6 / (0.95 * 0.1) ** 0.5
    assert all((turn.asr_confidence, turn.text_uncertain) == (1.0, False) for turn in sure)
    assert all(turn.asr_confidence == pytest.approx(0.1 * scale) and turn.text_uncertain for turn in doubtful)


def test_a_stretch_that_is_suspect_as_a_whole_is_so_in_its_parts(talk):
    words = (Word("Sure.", 0.1, 0.9, 0.95), Word("Yes.", 1.5, 2.4, 0.9))
    for confidence, expected in ((0.9, True), (0.45, False)):
        found = Recognised("Sure. Yes.", confidence, True, words)
        turns = transcribe_turns([talk[None]], recogniser=lambda turns, one=found: [one] * len(turns))
        parts = [turn for turn in turns if turn.text == "Yes."]
        assert parts
        assert all(turn.text_uncertain for turn in parts) or not expected


def test_the_text_of_a_turn_is_spaced_as_it_was_written(talk):
    words = (Word("\u4f60", 0.1, 0.5), Word("\u597d\u3002", 0.5, 1.0), Word("\u597d", 1.6, 2.4))
    found = Recognised("\u4f60\u597d\u3002\u597d", None, words=words)
    turns = list(transcribe_turns([talk[None]], recogniser=lambda turns: [found] * len(turns)))
    assert {turn.text for turn in turns} <= {"\u4f60\u597d\u3002", "\u597d", found.text, None}
    assert "\u597d" in {turn.text for turn in turns}


def test_a_neighbour_with_words_changes_no_wordless_stretch(talk):
    def first_alone(stretches):
        return [Recognised("Yes.", 0.9, words=(Word("Yes.", 0.1, 0.5, 0.9),)), *[None] * (len(stretches) - 1)]

    asked: list[bool] = []

    def voices(stretches, moments=None):
        asked.extend([moments is None] * len(stretches))
        return [VoiceMarks(np.float32([]), np.float32([]), np.zeros(300, np.float32)) for _ in stretches]

    list(transcribe_turns([talk[None]], recogniser=first_alone, turns="voices", voices=voices))
    assert asked.count(False) == 1
    assert asked.count(True) > 10
