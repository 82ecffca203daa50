"""A recording is a local file that holds its sound, and opens nothing else."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from sound import tone, write

from mister_e.audio import blocks, decode, probe
from mister_e.errors import InputError


def refusal(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        probe(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.posix
@pytest.mark.parametrize(
    "name", ["10:30.wav", "file:a.wav", "concat:a|b", "subfile,,start,0,end,9,,:a.wav", "-"]
)
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(Path("plain.wav"), tone(0.5, 440)).rename(name)
    assert probe(name).duration == pytest.approx(0.5)
    assert sum(block.shape[1] for block in blocks(name)) == 8000


@pytest.mark.parametrize("scheme", ["tcp:127.0.0.1:{port}", "http://127.0.0.1:{port}/a.wav"])
def test_an_address_is_never_opened(scheme):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        assert "no such file" in refusal(scheme.format(port=server.getsockname()[1]))
        with pytest.raises(TimeoutError):
            server.accept()


LISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n",
    "M3U": "#EXTM3U\n{path}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "PLS": "[playlist]\nFile1={path}\n",
    "DASH": '<?xml version="1.0"?>\n<MPD><Period><BaseURL>{path}</BaseURL></Period></MPD>\n',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "ASX": '<asx version="3.0"><entry><ref href="{path}"/></entry></asx>\n',
    "SMIL": '<smil><body><audio src="{path}"/></body></smil>\n',
    "RTSP": "rtsp://127.0.0.1/a\n",
}


@pytest.mark.parametrize("suffix", [".wav", ".m3u8", ".mp4", ".txt", ".sdp", ""])
@pytest.mark.parametrize("kind", LISTS)
def test_what_only_names_recordings_is_none(tmp_path, kind, suffix):
    inside = write(tmp_path / "inside.wav", tone(0.5, 440))
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind].format(path=inside), encoding="utf-8")
    message = refusal(path)
    assert "holds no sound itself; give" in message
    assert kind in message or kind == "M3U"


def test_a_movie_that_refers_to_another_file_does_not_open_it(tmp_path):
    write(tmp_path / "other.mov", tone(0.5, 440), codec="pcm_s16le")
    data = bytearray((tmp_path / "other.mov").read_bytes())
    # the data reference of a track: an alias to a file instead of "in this file"
    place = data.find(b"url \0\0\0\1")
    assert place > 0
    data[place : place + 8] = b"alis\0\0\0\0"
    path = tmp_path / "refers.mov"
    path.write_bytes(data)
    (tmp_path / "other.mov").unlink()
    # what it refers to is not looked for: its own bytes are all that is read
    assert sum(block.shape[1] for block in blocks(path)) == 8000


@pytest.mark.posix
def test_pipes_and_devices_are_no_recordings(tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        assert "is a pipe or device" in refusal(path)
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(("rate", "stated"), [(1, "1 Hz"), (2_000_000_000, "2,000,000,000 Hz")])
def test_a_rate_that_nothing_is_recorded_at_is_refused(tmp_path, rate, stated):
    path = write(tmp_path / "a.wav", tone(0.5, 440))
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    message = refusal(path)
    assert stated in message or "not audio or video" in message


def test_a_codec_that_is_not_known_is_refused(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.5, 440))
    data = bytearray(path.read_bytes())
    data[20:22] = (0xBEEF).to_bytes(2, "little")
    path.write_bytes(data)
    assert "codec" in refusal(path)


def two_tracks(path: Path, first: np.ndarray, second: np.ndarray, default: int) -> Path:
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else 0
        for stream, sound in zip(streams, (first, second), strict=True):
            frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def loud(path: Path, **options) -> tuple[float, list[str]]:
    notes: list[str] = []
    sound = np.concatenate(list(blocks(path, notes=notes, **options)), axis=1)
    return float(np.abs(sound).max()), notes


def test_the_default_track_is_taken_or_the_one_that_is_named(tmp_path):
    speech, silence = tone(0.5, 440), np.zeros((1, 8000), np.float32)
    path = two_tracks(tmp_path / "a.mkv", silence, speech, default=1)
    assert probe(path).tracks == 2
    assert loud(path) == (pytest.approx(0.3, abs=0.01), [])
    peak, notes = loud(path, track=1)
    assert peak == 0
    assert notes == ["sound track 1 of 2 is silent; to take another: --track 2"]
    with pytest.raises(InputError, match="has 2 sound tracks, there is no track 3"):
        probe(path, track=3)
    first = two_tracks(tmp_path / "b.mkv", silence, speech, default=0)
    assert loud(first)[1] == ["sound track 1 of 2 is silent; to take another: --track 2"]


def test_channels_in_opposite_phase_do_not_cancel_out(tmp_path):
    voice = tone(1, 440)
    path = write(tmp_path / "a.wav", np.concatenate([voice, -voice]))
    peak, notes = loud(path)
    assert peak == pytest.approx(0.3, abs=0.01)
    assert notes == [
        "the two channels are in opposite phase: where they are, one was turned over before they were mixed"
    ]
    # two voices, an echo, or one silent channel are none of that
    for other in (tone(1, 300), 0.9 * voice, np.zeros_like(voice), -0.3 * voice):
        assert loud(write(tmp_path / "b.wav", np.concatenate([voice, other])))[1] == []
    # split, both are as they were
    assert np.concatenate(list(blocks(path, channels="split")), axis=1).shape[0] == 2


def test_a_phase_that_turns_midway_is_followed(tmp_path):
    voice = tone(10, 440)
    for signs in ((1, -1), (-1, 1)):
        parts = [np.concatenate([voice, sign * voice]) for sign in signs]
        path = write(tmp_path / "a.wav", np.concatenate(parts, axis=1))
        notes: list[str] = []
        (mixed,) = np.concatenate(list(blocks(path, notes=notes)), axis=1)
        halves = [np.sqrt(np.mean(half[16_000:-16_000] ** 2)) for half in (mixed[:160_000], mixed[160_000:])]
        assert halves == pytest.approx([0.3 / 2**0.5] * 2, abs=0.01)
        assert len(notes) == 1


def test_gaps_do_not_make_days_of_a_small_file(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(40):
            frame = av.AudioFrame.from_ndarray(np.full((1, 800), 9000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, number * 3000 * 16_000
            for packet in stream.encode(frame):
                container.mux(packet)
        container.mux(stream.encode(None))
    notes: list[str] = []
    length = sum(block.shape[1] for block in decode.blocks(path, notes=notes)) / 16_000
    assert 3000 < length < 3700
    assert any("more gaps than sound" in note for note in notes)


def test_a_small_file_holds_no_more_than_hours(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "_MAX_SECONDS", 5.0)
    monkeypatch.setattr(decode, "_MAX_SECONDS_PER_BYTE", 0.0)
    path = write(tmp_path / "a.flac", np.zeros((1, 1_600_000), np.float32), codec="flac")
    notes: list[str] = []
    length = sum(block.shape[1] for block in decode.blocks(path, notes=notes)) / 16_000
    assert 5 < length < 20
    assert any("in so small a file: the rest was left out" in note for note in notes)


def test_decoding_in_this_process_is_as_guarded(tmp_path):
    path = tmp_path / "list.m3u8"
    path.write_text(LISTS["HLS"].format(path=write(tmp_path / "a.wav", tone(0.5, 440))), encoding="utf-8")
    before = threading.active_count()
    with pytest.raises(InputError, match="a playlist"):
        decode.probe(path)
    assert threading.active_count() == before
