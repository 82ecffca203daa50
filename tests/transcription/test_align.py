"""The sound of cues, cut out of a recording: each its own, in order, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sound import write_misjudged

from mister_e.audio import Recording, blocks, probe, read_clip
from mister_e.audio.format import SAMPLE_RATE
from mister_e.conversation import NO_WORDS, Utterance
from mister_e.errors import InputError
from mister_e.transcription import cut_turns, read_transcript
from mister_e.transcription.align import _check_overlap, _CueCutter, _Names

SAMPLE = Path(__file__).parents[2] / "samples" / "conversation.flac"
RATE = SAMPLE_RATE


@pytest.fixture(scope="module")
def said() -> tuple[Utterance, ...]:
    return read_transcript(SAMPLE.with_suffix(".srt"))


def pieces(sound: np.ndarray, seconds: float) -> Iterator[np.ndarray]:
    sound = np.atleast_2d(sound)
    size = round(seconds * RATE)
    return (sound[:, begin : begin + size] for begin in range(0, sound.shape[1], size))


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


def test_a_part_of_a_long_cue_that_gets_no_words_says_so():
    cues = [cue("a", 5.0, 90.0, "Oh."), cue("b", 92.0, 93.0, None)]
    *parts, other = cut_turns(pieces(ramp, 30), cues)
    assert len(parts) > 1
    assert " ".join(turn.text for turn in parts if turn.text) == "Oh."
    assert all(turn.notes == (() if turn.text else (NO_WORDS,)) for turn in parts)
    assert other.notes == ()  # nobody looked for its words


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


def test_sound_is_cut_out_when_a_turn_is_given():
    cutter = _CueCutter([cue(f"c{n}", 0.0, 29.0) for n in range(40)], _Names("", ""), [])
    tracemalloc.start()
    # 40 copies would be 74 MB
    given = sum(turn.audio is not None for turn in cutter.push(np.zeros((1, 30 * RATE), np.float32)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert given == 40
    assert peak < 20e6


@pytest.mark.parametrize("seconds", [30, 100])
@pytest.mark.parametrize("more", [[], [cue("late", 5_000_000.0, 9_000_000.0)]])
def test_cues_that_overlap_without_measure_are_refused(seconds, more):
    sound = ramp[: seconds * RATE]
    crosstalk = [cue(f"c{n}", 0.0, 29.0) for n in range(60)]
    assert len(list(cut_turns(pieces(sound, 30), crosstalk[:50]))) == 50
    with pytest.raises(InputError, match=r"^a.srt: its cues up to 29.00 s hold 1,740 s of sound, more than"):
        cut_turns(pieces(sound, 30), [*more, *crosstalk], origin="a.srt")


def test_cues_of_a_short_recording_may_overlap():
    short = [cue(f"c{n}", 0.0, 0.5) for n in range(2_000)]
    assert len(list(cut_turns(pieces(ramp[:RATE], 30), short))) == 2_000
    # what runs beyond a recording of known length counts for nothing
    header = Recording("a.wav", 1.0, exact=True, channels=1, sample_rate=RATE)
    endless = [cue(f"c{n}", 0.0, 9_999.0) for n in range(200)]
    assert len(list(cut_turns(pieces(ramp[:RATE], 30), endless, recording=header))) == 200
    with pytest.raises(InputError, match=r"up to 30.00 s hold 6,000 s of sound"):
        cut_turns(pieces(ramp[:RATE], 30), endless)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=400), st.integers(1, 100))
def test_the_sound_of_cues_is_within_the_bound_or_refused(spans, length):
    cues = [cue(f"c{n}", start / 2, (start + more) / 2) for n, (start, more) in enumerate(spans)]
    up_to = [
        (moment, sum(max(0.0, min(one.end, moment) - one.start) for one in cues))
        for moment in np.arange(0.5, min(length, 60) + 0.5, 0.5)
    ]
    refused = any(sound > 50 * max(moment, 30) for moment, sound in up_to)
    header = Recording("a.wav", float(min(length, 60)), exact=True, channels=1, sample_rate=RATE)
    try:
        _check_overlap(cues, header.duration, _Names("", ""))
    except InputError:
        assert refused
    else:
        assert not refused


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
        for some, strict in ((cues, True), (cues[1:], False)):
            with pytest.raises(InputError) as caught:
                cut_turns(pieces(ramp, 30), some, origin=origin, strict=strict)
            assert str(caught.value) == message
    notes: list[str] = []
    assert [turn.id for turn in cut_turns(pieces(ramp, 30), cues, notes=notes)] == ["a"]
    assert notes == ["b: without start or end, left out"]
