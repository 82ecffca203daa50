"""Leak between channels: a copy is left out, whoever talks at the same time is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mister_e.audio import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.transcription import transcribe_turns
from mister_e.transcription.channels import tell_mono
from mister_e.transcription.channels.leak import compare

SAMPLE = Path(__file__).parents[3] / "samples" / "conversation-stereo.ogg"
MARGIN = SAMPLE_RATE // 20


@pytest.fixture(scope="module")
def call():
    """Two people, each in a channel of their own, for half a minute."""
    return np.concatenate(list(blocks(SAMPLE, channels="split")), axis=1)[:, : 30 * SAMPLE_RATE]


def heard(sound, decibels, delay=0.02):
    """Sound as it is heard in another channel: late, dull, fainter."""
    late = np.concatenate([np.zeros(round(delay * SAMPLE_RATE)), sound])[: len(sound)]
    dull = np.convolve(late, np.hanning(9) / np.hanning(9).sum(), "same")
    return 10 ** (decibels / 20) * dull


def leaking(call, decibels):
    return (call + np.stack([heard(call[1], decibels), heard(call[0], decibels)])).astype(np.float32)


def telephoned(sound):
    """Below 4 kHz, in the steps of mu-law."""
    spectrum = np.fft.rfft(sound)
    spectrum[:, spectrum.shape[1] // 2 :] = 0
    narrow = np.fft.irfft(spectrum, sound.shape[1])
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(np.clip(narrow, -1, 1))) / np.log(256)
    steps = np.round(compressed * 127) / 127
    return (np.sign(steps) * (256 ** np.abs(steps) - 1) / 255).astype(np.float32)


def turns_of(sound, seconds=30, notes=None):
    size = round(seconds * SAMPLE_RATE)
    pieces = (sound[:, begin : begin + size] for begin in range(0, sound.shape[1], size))
    turns = transcribe_turns(pieces, recogniser=None, turns="pauses", notes=notes)
    return [(turn.channel, turn.start, turn.end) for turn in turns]


def test_a_call_without_leak_stays_as_it_is(call):
    notes = []
    turns = turns_of(call, notes=notes)
    assert {channel for channel, _, _ in turns} == {0, 1}
    assert notes == []


@pytest.mark.parametrize("decibels", [-8, -16, -26])
def test_what_leaks_is_said_once(call, decibels):
    clean = turns_of(call)
    notes = []
    turns = turns_of(telephoned(leaking(call, decibels)), notes=notes)
    assert len(turns) == len(clean)
    for (channel, start, end), (known, begin, stop) in zip(turns, clean, strict=True):
        assert channel == known
        assert abs(start - begin) < 0.3
        assert abs(end - stop) < 0.3
    assert notes
    assert all("fainter copy of another channel" in note for note in notes)


def test_how_a_recording_is_divided_changes_nothing(call):
    sound = leaking(call, -14)
    notes = [[], [], []]
    turns = [turns_of(sound, seconds, told) for seconds, told in zip((0.7, 7, 30), notes, strict=True)]
    assert turns[0] == turns[1] == turns[2]
    assert notes[0] == notes[1] == notes[2] != []


@pytest.mark.parametrize("decibels", [-8, -20])
def test_who_talks_at_the_same_time_stays(call, decibels):
    own = turns_of(call)
    _, start, end = max((turn for turn in own if turn[0] == 0), key=lambda turn: turn[2] - turn[1])
    voice = call[0, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    _, start, end = max((turn for turn in own if turn[0] == 1), key=lambda turn: turn[2] - turn[1])
    other = np.resize(call[1, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], len(voice))
    copy = heard(voice, decibels)
    beside = np.pad(voice + heard(other, decibels), MARGIN).astype(np.float32)
    kept = compare((other + copy).astype(np.float32), beside).own
    assert sum(end - begin for begin, end in kept) > 0.9 * len(voice)
    assert compare(copy.astype(np.float32), np.pad(voice, MARGIN).astype(np.float32)).own == []


def test_a_plain_copy_of_both_sides_is_no_single_sound(call):
    notes = []
    turns = turns_of((call + 0.3 * call[::-1]).astype(np.float32), notes=notes)
    assert {channel for channel, _, _ in turns} == {0, 1}
    assert notes
    assert all("fainter copy" in note for note in notes)


SECONDS = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE


@pytest.mark.parametrize(
    "steady",
    [
        np.full(len(SECONDS), 0.5),
        0.14 * np.sin(2 * np.pi * 50 * SECONDS),
        sum(0.02 / n * np.sin(2 * np.pi * 60 * n * SECONDS + n) for n in range(1, 8)),
        0.03 * np.sin(2 * np.pi * 1000 * SECONDS),
    ],
    ids=["offset", "hum", "buzz", "tone"],
)
@pytest.mark.parametrize("shares", [(1.0, 1.0), (1.0, 0.6), (0.6, 1.0)])
def test_a_steady_sound_on_all_channels_hides_nobody(call, steady, shares):
    quiet = 0.1 * call + np.outer(shares, steady)
    alone, notes = [], []
    for channel, samples in enumerate(quiet):
        only = np.zeros_like(quiet)
        only[channel] = samples
        alone += turns_of(only.astype(np.float32))
    turns = turns_of(quiet.astype(np.float32), notes=notes)
    assert turns == sorted(alone, key=lambda turn: (turn[1], turn[0]))
    assert {channel for channel, _, _ in turns} == {0, 1}
    assert notes == []


@pytest.mark.parametrize("decibels", [-8, -20])
def test_what_leaks_under_a_hum_is_said_once(call, decibels):
    hum = 0.05 * np.sin(2 * np.pi * 50 * SECONDS)
    clean = (call + hum).astype(np.float32)
    turns = turns_of((leaking(call, decibels) + hum).astype(np.float32))
    assert [channel for channel, _, _ in turns] == [channel for channel, _, _ in turns_of(clean)]


@pytest.mark.parametrize("gain", [1.0, 0.8, 0.25, 3.0])
def test_one_channel_written_twice_is_analysed_once(call, gain):
    mono = call.mean(0) / 3
    notes = []
    turns = turns_of(np.stack([mono, gain * mono]).astype(np.float32), notes=notes)
    assert {channel for channel, _, _ in turns} == {int(gain > 1)}
    assert notes == ["all channels hold the same sound, which is analysed once; there is nothing to split"]
    assert turns == turns_of(np.stack([mono, np.zeros_like(mono)])[:: -1 if gain > 1 else 1] * max(1, gain))


def test_a_silent_channel_is_no_copy(call):
    notes = []
    sound = np.stack([call[0], np.zeros_like(call[0])])
    assert turns_of(sound, notes=notes) == [turn for turn in turns_of(call) if turn[0] == 0]
    assert notes == []


def test_short_and_silent_turns_are_none():
    for length in (0, 1, 100, 5000):
        silence = np.zeros(length, np.float32)
        assert compare(silence, np.zeros(length + 2 * MARGIN, np.float32)).own == [(0, length)]


def test_one_channel_is_told_once():
    mono, stereo = np.zeros((1, 10), np.float32), np.zeros((2, 10), np.float32)
    notes = []
    assert len(list(tell_mono(iter([mono, mono]), notes))) == 2
    assert notes == ["it has one channel: --channels split has nothing to split"]
    notes = []
    list(tell_mono([stereo], notes))
    assert notes == []
