"""From a recording to turns: at the pauses, in order, in bounded memory, however it is divided."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sound import write, write_misjudged

from mister_e.audio import Recording, blocks, probe, read_clip
from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.conversation import Utterance
from mister_e.errors import InputError
from mister_e.transcription import cut_turns, read_transcript, transcribe_turns
from mister_e.transcription.asr import WhisperRecogniser, load_whisper
from mister_e.transcription.vad import TurnCutter, _Silero, longest_pause

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
    turns = list(transcribe_turns(pieces(talk, 30), recogniser=None))
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
    turns = list(transcribe_turns(pieces(talk, 10), recogniser=recogniser))
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
    with pytest.raises(InputError, match=r"only English.*--transcript.*--no-asr"):
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
    turns = list(transcribe_turns(pieces(double, 7), recogniser=None))
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
    turns = list(transcribe_turns(blocks(path), recogniser=None))
    assert [turn.start for turn in turns] == pytest.approx([cue.start for cue in said[:4]], abs=0.25)


# A ramp tells where each sample comes from.
ramp = np.linspace(0, 1, 100 * RATE, dtype=np.float32)


def cue(name, start, end, text="words", channel=None):
    return Utterance(name, text, start, end, channel)


@pytest.mark.parametrize("seconds", [0.4, 30.0, 200.0])
def test_cues_get_their_own_sound_in_order(seconds):
    times = {"d": (99.0, 99.5), "a": (1.0, 9.0), "b": (2.0, 3.0), "c": (29.5, 31.25), "z": (4.0, 4.0)}
    cues = [cue(name, start, end) for name, (start, end) in times.items()]
    turns = list(cut_turns(pieces(ramp, seconds), cues))
    assert [turn.id for turn in turns] == ["a", "b", "z", "c", "d"]
    for turn in turns:
        assert turn.text == "words"
        if turn.id == "z":
            assert turn.audio is None
            continue
        np.testing.assert_array_equal(
            turn.audio.samples, ramp[round(turn.start * RATE) : round(turn.end * RATE)]
        )


def test_cues_give_the_same_sound_as_reading_them_from_the_file(said):
    for turn in cut_turns(blocks(SAMPLE, seconds=3), said):
        same = read_clip(SAMPLE, turn.start, turn.end, None)
        np.testing.assert_allclose(turn.audio.samples, same[: len(turn.audio.samples)], atol=1e-4)


def test_a_cue_takes_its_channel_or_the_mean():
    both = np.stack([ramp, -ramp])
    cues = [cue("a", 1.0, 2.0), cue("b", 1.0, 2.0, channel=1)]
    mixed, second = cut_turns(pieces(both, 30), cues)
    assert np.abs(mixed.audio.samples).max() == 0
    np.testing.assert_array_equal(second.audio.samples, -ramp[RATE : 2 * RATE])
    (alone,) = cut_turns(pieces(ramp, 30), cues[1:])
    np.testing.assert_array_equal(alone.audio.samples, ramp[RATE : 2 * RATE])
    with pytest.raises(InputError, match="c: there is no channel 5, the recording has 2"):
        list(cut_turns(pieces(both, 30), [cue("c", 1.0, 2.0, channel=5)]))


@pytest.mark.parametrize("seconds", [1.0, 200.0])
def test_long_cues_are_cut_at_quiet_moments_with_their_words(seconds):
    sound = np.random.default_rng(0).normal(0, 0.1, 100 * RATE).astype(np.float32)
    for quiet in (26.0, 47.0):
        sound[round(quiet * RATE) - 3_200 : round(quiet * RATE) + 3_200] = 0
    text = [f"w{number}" for number in range(70)]
    cues = [cue("a", 5.0, 75.0, " ".join(text)), cue("b", 30.0, 31.0)]
    turns = list(cut_turns(pieces(sound, seconds), cues))
    assert [turn.id for turn in turns] == ["a.1", "a.2", "b", "a.3"]
    parts = [turn for turn in turns if turn.id != "b"]
    assert [turn.start for turn in parts] == pytest.approx([5.0, 26.0, 47.0], abs=0.2)
    assert [turn.end for turn in parts] == pytest.approx([26.0, 47.0, 75.0], abs=0.2)
    assert [word for turn in parts for word in turn.text.split()] == text
    assert [len(turn.text.split()) for turn in parts] == [21, 21, 28]
    np.testing.assert_array_equal(
        np.concatenate([turn.audio.samples for turn in parts]), sound[5 * RATE : 75 * RATE]
    )


def test_cues_come_while_the_recording_is_still_heard():
    heard = []

    def endless():
        for number in range(1_000):
            heard.append(number)
            yield np.zeros((1, 30 * RATE), np.float32)

    short = [cue(f"c{n}", n * 10.0, n * 10 + 5.0) for n in range(1, 3_000)]
    turns = cut_turns(endless(), [cue("whole", 0.0, 30_000.0, "a b c"), *short])
    for _ in range(20):
        next(turns)
    assert len(heard) < 10


def test_times_beyond_the_recording():
    notes: list[str] = []
    (turn,) = cut_turns(pieces(ramp, 30), [cue("a", 99.0, 100.4)], notes=notes)
    assert (turn.start, turn.end, len(turn.audio.samples), notes) == (99.0, 100.0, RATE, [])
    (turn,) = cut_turns(pieces(ramp, 30), [cue("a", 99.0, 110.0)], notes=notes)
    assert (turn.end, len(turn.audio.samples)) == (100.0, RATE)
    assert notes == ["a runs to 110.00 s, the recording ends at 100.00 s; its sound ends there"]


@pytest.mark.parametrize("start", [99.99, 100.0, 100.2])
def test_a_cue_that_loses_its_sound_to_the_end_is_noted(start):
    notes: list[str] = []
    # a cue without any length has no sound anywhere, and no note
    cues = [cue("a", start, 100.4), cue("b", 100.4, 100.4)]
    turns = list(cut_turns(pieces(ramp, 30), cues, notes=notes))
    assert [(turn.text, turn.audio) for turn in turns] == [("words", None)] * 2
    assert notes == [f"a starts at {start:.2f} s, the recording ends at 100.00 s; it has no sound"]


def header(duration: float | None, *, exact: bool) -> Recording:
    return Recording("call.wav", duration, exact, 1, RATE)


HEADERS = [header(100.0, exact=True), header(50.0, exact=False), header(None, exact=False)]


@pytest.mark.parametrize("recording", HEADERS)
def test_a_cue_beyond_the_recording_is_left_out_with_a_note(recording):
    cues = [cue("a", 1.0, 2.0), cue("b", 100.6, 101.0)]
    notes: list[str] = []
    turns = cut_turns(pieces(ramp, 30), cues, recording=recording, origin="talk.srt", notes=notes)
    assert [turn.id for turn in turns] == ["a"]
    assert notes == ["beyond the end of the recording at 100.00 s, left out: b at 100.60 s"]


@pytest.mark.parametrize("recording", HEADERS)
def test_cues_beyond_the_recording_are_refused_by_name_where_they_are_most_or_all_must_fit(recording):
    message = (
        "talk.srt: b starts at 100.60 s, but call.wav ends at 100.00 s;"
        " is this the transcript of another recording?"
    )
    one, more = [cue("a", 1.0, 2.0), cue("b", 100.6, 101.0)], [cue("c", 200.0, 201.0)]
    # where the header is sure, before any sound is heard
    sound = iter(()) if recording.exact else pieces(ramp, 30)
    for cues, strict in ((one, True), (one + more, False)):
        with pytest.raises(InputError) as caught:
            list(cut_turns(sound, cues, recording=recording, origin="talk.srt", strict=strict))
        assert str(caught.value) == message
        sound = pieces(ramp, 30)
    with pytest.raises(InputError) as caught:
        list(cut_turns(pieces(ramp, 30), one, total=100.0, strict=True))
    assert str(caught.value).startswith("b starts at 100.60 s, but the recording ends at 100.00 s; ")


@pytest.mark.parametrize("name", ["a.aac", "a.mp3"])
def test_cues_beyond_a_wrong_guess_of_the_length_are_kept(tmp_path, name):
    path = write_misjudged(tmp_path / name)
    recording = probe(path)
    cues = [cue("a", 1.0, 2.0), cue("b", 30.0, 31.0)]
    turns = list(cut_turns(blocks(path), cues, total=recording.duration, recording=recording))
    assert [len(turn.audio.samples) for turn in turns] == [RATE, RATE]


def test_cues_need_times():
    cues = [cue("a", 1.0, 2.0), Utterance("b", "words")]
    reason = "b: has no start and end; a transcript of a recording needs times"
    for origin, message in (("", reason), (Path("in/talk.csv"), f"in/talk.csv: {reason}")):
        for given, strict in ((cues, True), (cues[1:], False)):
            with pytest.raises(InputError) as caught:
                cut_turns(pieces(ramp, 30), given, origin=origin, strict=strict)
            assert str(caught.value) == message
    notes: list[str] = []
    assert [turn.id for turn in cut_turns(pieces(ramp, 30), cues, notes=notes)] == ["a"]
    assert notes == ["b: without start or end, left out"]
