"""Decoding of audio and video files to 16 kHz float32, in pieces, with the file's own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from mister_e.audio.container import opened, sound_track
from mister_e.audio.format import MAX_RATE, MIN_RATE, SAMPLE_RATE, Channels
from mister_e.audio.headers import length_note
from mister_e.audio.resampling import (
    OPPOSITE_NOTE,
    Mixer,
    Samples,
    new_resampler,
    repaired,
    resampled,
    to_floats,
    to_frame,
)
from mister_e.errors import InputError

#: Seconds of silence that gaps are filled with, or as many as there is sound: damaged times ask for days.
_MAX_SILENCE = 3600.0

#: Seconds that a file may hold, and more for each of its bytes: silence, in codecs that hardly code it, takes
#: 50 bytes a second and more.
_MAX_SECONDS, _MAX_SECONDS_PER_BYTE = 7200.0, 1 / 50

#: A frame that starts so much later (s) than the one before ended follows a gap, which is filled with
#: silence. A shorter gap is the rounding of timestamps, a longer one a broken timestamp.
_MIN_GAP, _MAX_GAP = 0.1, 3600.0

#: Seconds decoded before the wanted start: after a seek a decoder needs some frames until it is exact.
_PREROLL = 1.0

_LEFT_GAPS = "it has more gaps than sound: the later ones were left out, and what follows them is earlier"

_UNCONVERTED = "some sound of a kind that does not exist was left out; the file is damaged"

#: A track without any sample of this amplitude is silent: the last bit of 16.
_SILENCE = 2**-15

#: Containers whose header states the duration. For others, such as bare MP3 and AAC streams, FFmpeg
#: estimates it from the bit rate of the first frames, which may be wrong many times over.
_STATES_LENGTH = frozenset(
    {"wav", "w64", "aiff", "caf", "flac", "ogg", "avi", "asf", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}
)


@dataclass(frozen=True)
class Recording:
    """Properties of a recording from its header.

    :param path: the file.
    :param duration: seconds; None = unknown.
    :param exact: whether the header states the duration; if not, it is an estimate, good only for a
        progress bar.
    :param channels: number of channels.
    :param sample_rate: Hz, before resampling.
    :param tracks: number of sound tracks.
    """

    path: str
    duration: float | None
    exact: bool
    channels: int
    sample_rate: int
    tracks: int = 1


def probe(path: str | Path, *, track: int | None = None) -> Recording:
    """Read the header of a recording.

    :param path: an audio or video file.
    :param track: 1-based among its sound tracks; None = the one flagged as default, else the first.
    :return: its properties.
    :raises InputError: the file cannot be read or has no sound.
    """
    with opened(path) as container:
        stream = sound_track(path, container, track)
        return Recording(
            str(path),
            _duration(container),
            _states_length(container),
            stream.codec_context.channels,
            stream.rate,
            len(container.streams.audio),
        )


def blocks(
    path: str | Path,
    *,
    channels: Channels = "mix",
    track: int | None = None,
    seconds: float = 30.0,
    notes: list[str] | None = None,
) -> Iterator[Samples]:
    """Decode a recording in pieces; memory holds one piece at a time.

    The first sample is second 0 of the container: a sound track that starts late, or has gaps,
    is filled with silence.

    :param path: an audio or video file.
    :param channels: "mix" = the mean of all channels (of two in opposite phase, of one and the other turned
        over), "split" = every channel by itself.
    :param track: 1-based among its sound tracks; None = the one flagged as default, else the first.
    :param seconds: length of a piece; the last one is shorter.
    :param notes: sentences about damage that could be repaired are appended here.
    :return: float32 `[C, N]` pieces at `SAMPLE_RATE`, within [-1, 1].
    :raises InputError: `channels` is neither; while decoding: the file cannot be read, has no
        sound, or none of it can be decoded.
    """
    if channels not in get_args(Channels):
        raise InputError(f"unknown channels {channels!r}: expected mix or split")
    return _blocks(path, channels, track, seconds, [] if notes is None else notes)


def _blocks(
    path: str | Path, channels: Channels, track: int | None, seconds: float, notes: list[str]
) -> Iterator[Samples]:
    """Decode, and divide into pieces of `seconds` each."""
    size = round(seconds * SAMPLE_RATE)
    waiting: list[Samples] = []
    count = total = 0
    loudest = 0.0
    with opened(path) as container:
        most = SAMPLE_RATE * (_MAX_SECONDS + _MAX_SECONDS_PER_BYTE * container.size)
        stream = sound_track(path, container, track)
        for piece in _sound(container, stream, 0.0, channels, notes):
            if total > most:
                hours = total / SAMPLE_RATE / 3600
                notes.append(f"more than {hours:.1f} hours in so small a file: the rest was left out")
                break
            loudest = max(loudest, float(np.abs(piece).max(initial=0)))
            waiting.append(piece)
            count += piece.shape[1]
            total += piece.shape[1]
            if count < size:
                continue
            joined = np.concatenate(waiting, axis=1)
            full = count - count % size
            for begin in range(0, full, size):
                yield joined[:, begin : begin + size]
            waiting, count = [joined[:, full:].copy()], count - full
        if total == 0:
            raise InputError(f"{path}: no sound could be decoded; it may be damaged, export it again")
        if count:
            yield np.concatenate(waiting, axis=1)
        tracks = len(container.streams.audio)
        if loudest < _SILENCE and tracks > 1:
            number = container.streams.audio.index(stream) + 1
            other = 2 if number == 1 else 1
            notes.append(f"sound track {number} of {tracks} is silent; to take another: --track {other}")
        if (note := length_note(path)) is not None:
            notes.append(note)
            return
        stated = _duration(container)
        decoded = total / SAMPLE_RATE
        # 2 % and a second of tolerance: headers count encoder padding, and round
        if stated is not None and _states_length(container) and decoded < 0.98 * stated - 1.0:
            notes.append(
                f"the header says {stated:.1f} s, only {decoded:.1f} s could be decoded; it may be cut off"
            )


def read_clip(path: str | Path, start: float, end: float | None, channel: int | None) -> Samples:
    """Decode a part of a recording without decoding all that comes before it.

    :param path: an audio or video file.
    :param start: first second.
    :param end: last second; None = to the end of the recording.
    :param channel: 0-based; None = the mean of all channels.
    :return: float32 `[N]` at `SAMPLE_RATE`; shorter where the recording ends before `end`.
    :raises InputError: the file cannot be read, or has no such channel or stretch.
    """
    with opened(path) as container:
        stream = sound_track(path, container, None)
        if channel is not None and not 0 <= channel < stream.codec_context.channels:
            raise InputError(
                f"{path}: has {stream.codec_context.channels} channels, there is no channel {channel}"
                " (the first is 0)"
            )
        if start > _PREROLL:
            container.seek(round((_origin(container) + start - _PREROLL) * av.time_base))
        size = None if end is None else max(0, round((end - start) * SAMPLE_RATE))
        pieces: list[Samples] = []
        count = 0
        for piece in _sound(container, stream, start, "mix" if channel is None else "split", []):
            pieces.append(piece[channel or 0])
            count += piece.shape[1]
            if size is not None and count >= size:
                break
    if not count:
        raise InputError(f"{path}: has no sound at {start:.2f} s; the recording ends before")
    return np.concatenate(pieces)[:size]


def _duration(container: InputContainer) -> float | None:
    """Duration in seconds, exact or estimated; None = unknown."""
    return container.duration / av.time_base if container.duration else None


def _states_length(container: InputContainer) -> bool:
    """Whether the header states the duration, so that it is no estimate."""
    return container.duration is not None and container.format.name in _STATES_LENGTH


def _origin(container: InputContainer) -> float:
    """Timestamp (s) of the start of the container, which counts as second 0."""
    return (container.start_time or 0) / av.time_base


def _sound(
    container: InputContainer, stream: AudioStream, start: float, channels: Channels, notes: list[str]
) -> Iterator[Samples]:
    """Decode from second `start` on, at `SAMPLE_RATE`, with gaps filled.

    :return: float32 `[C, N]` pieces of any length.
    """
    origin = _origin(container)
    width = 1 if channels == "mix" else stream.codec_context.channels
    mixer = Mixer()
    as_floats = resampler = None
    shape, rate = None, 0
    position = start  # the second up to which sound was yielded
    filled = 0.0
    faults: set[str] = set()
    for frame in _frames(container, stream, notes):
        if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
            faults.add(_UNCONVERTED)
            continue
        if as_floats is None or shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            # the first frame, or a track whose format changes midway
            if resampler is not None:
                yield from resampled(resampler, None, width)
            shape, rate = (frame.format.name, frame.layout.name, frame.sample_rate), frame.sample_rate
            as_floats = av.AudioResampler(format="flt")
            resampler = new_resampler(width)
        assert resampler is not None
        gap = 0.0 if frame.time is None else frame.time - origin - position
        try:
            samples = repaired(to_floats(as_floats, frame), width, mixer, faults)
        except av.FFmpegError:
            faults.add(_UNCONVERTED)
            continue
        if gap < 0 and position == start:
            samples = samples[:, min(round(-gap * rate), samples.shape[1]) :]
            if samples.shape[1] == 0:
                continue
        elif _MIN_GAP < gap < _MAX_GAP and filled + gap > max(_MAX_SILENCE, position - filled):
            faults.add(_LEFT_GAPS)
            origin += gap
        elif _MIN_GAP < gap < _MAX_GAP:
            filled += gap
            for begin in range(0, round(gap * rate), rate):
                silence = np.zeros((width, min(rate, round(gap * rate) - begin)), np.float32)
                yield from resampled(resampler, to_frame(silence, rate), width)
            position += gap
        yield from resampled(resampler, to_frame(samples, rate), width)
        position += samples.shape[1] / rate
    if resampler is not None:
        yield from resampled(resampler, None, width)
    if mixer.turned:
        faults.add(OPPOSITE_NOTE)
    notes.extend(sorted(faults))


def _frames(container: InputContainer, stream: AudioStream, notes: list[str]) -> Iterator[av.AudioFrame]:
    """Decode all frames that can be decoded, skip damaged packets, and note them."""
    damaged = 0
    first: float | None = None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except IndexError:  # a packet of a track that began midway
            packets = container.demux(stream)
            continue
        except (av.FFmpegError, OSError) as error:
            notes.append(f"reading stopped at a damaged place ({error.strerror})")
            break
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError):
            damaged += 1
            if first is None and packet.pts is not None and packet.time_base is not None:
                first = float(packet.pts * packet.time_base)
    if damaged:
        where = "" if first is None else f", the first at {first:.1f} s"
        notes.append(f"{damaged} damaged pieces could not be decoded{where}")
