"""Whatever the container, the rate and the channels: the same sound at the same time, or a clear error."""

from __future__ import annotations

import os
import wave
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from sound import frequency, tone, write, write_misjudged, write_silent_film

from mister_e.audio import blocks, decode, probe, read_clip
from mister_e.audio.encode import encode
from mister_e.conversation import Clip
from mister_e.errors import InputError


def whole(path: Path, **options) -> np.ndarray:
    return np.concatenate(list(blocks(path, **options)), axis=1)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.wav", "pcm_s16le", 16_000),
        ("a.wav", "pcm_u8", 8_000),
        ("a.wav", "pcm_s32le", 96_000),
        ("a.wav", "pcm_f32le", 44_100),
        ("a.flac", "flac", 96_000),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.m4a", "aac", 44_100),
        ("a.mp4", "aac", 8_000),
        ("a.ogg", "libopus", 48_000),
        ("a.opus", "libopus", 16_000),
        ("a.mkv", "pcm_s16le", 22_050),
        ("a.webm", "libopus", 48_000),
    ],
)
def test_formats_and_rates_give_the_same_sound(tmp_path, name, codec, rate):
    path = write(tmp_path / name, tone(2.0, 440, rate=rate), rate, codec)
    sound = whole(path)
    assert sound.dtype == np.float32
    assert sound.shape[0] == 1
    assert sound.shape[1] == pytest.approx(32_000, abs=1_600)
    middle = sound[0, 8_000:24_000]
    assert frequency(middle) == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.03)
    assert probe(path).channels == 1


@pytest.mark.parametrize("channels", ["banana", "", None])
def test_unknown_channels_are_refused_at_once(tmp_path, channels):
    path = write(tmp_path / "a.wav", tone(0.1, 440))
    with pytest.raises(InputError) as caught:
        blocks(path, channels=channels)
    assert str(caught.value) == f"unknown channels {channels!r}: expected mix or split"


@pytest.mark.parametrize("name", ["a.aac", "a.mp3"])
def test_a_guessed_length_is_called_a_guess(tmp_path, name):
    path = write_misjudged(tmp_path / name)
    assert whole(path).shape[1] > 32 * 16_000
    assert probe(path).duration < 20
    assert not probe(path).exact


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.ogg", "libopus"), ("a.mkv", "aac")],
)
def test_a_stated_length_is_exact(tmp_path, name, codec):
    recording = probe(write(tmp_path / name, tone(3.0, 440, rate=48_000), 48_000, codec))
    assert recording.exact
    assert recording.duration == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8])
def test_split_gives_each_channel_and_mix_their_mean(tmp_path, count):
    tones = [200.0 * (index + 1) for index in range(count)]
    path = write(tmp_path / "a.wav", tone(1.0, *tones, rate=48_000), 48_000)
    split = whole(path, channels="split")
    assert probe(path).channels == len(split) == count
    assert [frequency(row) for row in split] == pytest.approx(tones, abs=2)
    assert whole(path) == pytest.approx(split.mean(axis=0, keepdims=True), abs=1e-4)


def test_six_channels_of_a_lossy_film_keep_their_order(tmp_path):
    tones = [300.0, 500.0, 700.0, 60.0, 900.0, 1100.0]
    path = write(tmp_path / "a.mp4", tone(1.0, *tones, rate=48_000), 48_000, "aac")
    assert [frequency(row) for row in whole(path, channels="split")] == pytest.approx(tones, abs=3)


def test_block_length_does_not_change_the_samples(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 44_100)).astype(np.float32)
    path = write(tmp_path / "a.flac", sound, 44_100, "flac")
    pieces = list(blocks(path, channels="split", seconds=0.13))
    assert [piece.shape[1] for piece in pieces[:-1]] == [2_080] * (len(pieces) - 1)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole(path, channels="split"))


def test_a_sound_track_that_starts_late_keeps_its_times(tmp_path):
    path = tmp_path / "late.mkv"
    late = tone(1.0, 440)[0]
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for index in range(40):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            image.pts = index
            container.mux(video.encode(image))
        # one second of tone at second 2, and again at second 4: a gap within the track
        for second in (2, 4):
            frame = av.AudioFrame.from_ndarray(
                (late * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate = 16_000
            frame.pts = second * 16_000
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    heard = np.abs(whole(path)[0]).reshape(-1, 1_600).max(axis=1) > 0.1
    assert heard.tolist() == [False] * 20 + [True] * 10 + [False] * 10 + [True] * 10
    assert np.abs(read_clip(path, 4.2, 4.8, None)).max() > 0.2
    assert np.abs(read_clip(path, 3.1, 3.8, None)).max() < 0.01


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.mp4", "aac"), ("a.ogg", "libopus")])
def test_a_clip_is_the_same_stretch_of_the_whole(tmp_path, name, codec):
    rng = np.random.default_rng(1)
    steps = np.repeat(rng.uniform(0.05, 0.6, 60), 4_800)
    path = write(tmp_path / name, tone(6.0, 440, 660, rate=48_000) * steps, 48_000, codec)
    both = whole(path, channels="split")
    clip = Clip(str(path), 3.25, 4.5, channel=1).load()
    assert clip.shape == (20_000,)
    assert np.abs(clip - both[1, 52_000:72_000]).max() < 0.02
    assert np.abs(read_clip(path, 5.0, None, None) - both.mean(axis=0)[80_000:]).max() < 0.02


def test_a_clip_outside_the_recording_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", tone(1.0, 440))
    assert len(read_clip(path, 0.5, 9.0, 0)) == 8_000
    with pytest.raises(InputError, match=r"a\.wav.*no sound at 5\.00 s"):
        read_clip(path, 5.0, 6.0, None)
    with pytest.raises(InputError, match=r"a\.wav.*no channel 2"):
        read_clip(path, 0.0, 1.0, 2)


def test_nan_and_infinite_samples_become_silence_and_are_noted(tmp_path):
    sound = tone(1.0, 440, rate=44_100)
    sound[0, 1_000:1_100] = np.nan
    sound[0, 30_000] = np.inf
    notes: list[str] = []
    decoded = whole(write(tmp_path / "a.wav", sound, 44_100, "pcm_f32le"), notes=notes)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded).max() < 0.5
    assert frequency(decoded[0]) == pytest.approx(440, abs=2)
    assert len(notes) == 1
    assert "NaN" in notes[0]


def test_far_over_full_scale_is_clipped_and_noted(tmp_path):
    notes: list[str] = []
    decoded = whole(write(tmp_path / "a.wav", tone(0.5, 440, level=9_000), codec="pcm_f32le"), notes=notes)
    assert np.abs(decoded).max() <= 1
    assert "full scale" in notes[0]


def test_a_tenth_of_a_second_is_a_recording(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.1, 440))
    assert whole(path).shape == (1, 1_600)
    assert probe(path).duration == pytest.approx(0.1, abs=0.01)


def test_a_film_without_its_index_is_an_error(tmp_path):
    path = write(tmp_path / "cut.mp4", tone(3.0, 440, rate=44_100), 44_100, "aac")
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(InputError, match=r"cut\.mp4.*cut off"):
        whole(path)


def test_a_film_cut_after_its_index_gives_what_is_there(tmp_path):
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (1, 441_000))
    path = write(tmp_path / "cut.mp4", noise, 44_100, "aac", movflags="+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    notes: list[str] = []
    sound = whole(path, notes=notes)
    assert 3 * 16_000 < sound.shape[1] < 8 * 16_000
    (note,) = [note for note in notes if "cut off" in note]
    decoded = f"{sound.shape[1] / 16_000:.1f}"
    assert note == f"the header says 10.0 s, only {decoded} s could be decoded; it may be cut off"
    assert not any("cut.mp4" in note for note in notes)


def test_damage_in_the_middle_is_passed_over_and_noted(tmp_path):
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, (1, 441_000))
    path = write(tmp_path / "bad.mp4", noise, 44_100, "aac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4_000] = bytes(range(256)) * 15 + bytes(160)
    path.write_bytes(data)
    notes: list[str] = []
    sound = whole(path, notes=notes)
    # what follows the damage stays at its time
    assert sound.shape[1] == pytest.approx(160_000, abs=4_000)
    assert any("damaged" in note for note in notes)


def missing(folder: Path) -> Path:
    return folder / "none.wav"


def a_folder(folder: Path) -> Path:
    return folder


def empty(folder: Path) -> Path:
    (folder / "empty.wav").touch()
    return folder / "empty.wav"


def not_audio(folder: Path) -> Path:
    (folder / "words.wav").write_text("These are words, not sound.\n" * 20)
    return folder / "words.wav"


def random_bytes(folder: Path) -> Path:
    (folder / "noise.mp3").write_bytes(np.random.default_rng(4).bytes(5_000))
    return folder / "noise.mp3"


def header_only(folder: Path) -> Path:
    with wave.open(str(folder / "header.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    return folder / "header.wav"


def silent_film(folder: Path) -> Path:
    return write_silent_film(folder / "film.mp4")


NOT_AUDIO = (
    "not audio or video that can be read (Invalid data found when processing input);"
    " if it plays elsewhere, export it as WAV or FLAC; if it was cut off, copy it again"
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "no such file; check the path"),
        (a_folder, "is a folder, expected an audio or video file"),
        (empty, "is empty (0 bytes); record or copy it again"),
        (not_audio, NOT_AUDIO),
        (random_bytes, NOT_AUDIO),
        (header_only, "no sound could be decoded; it may be damaged, export it again"),
        (silent_film, "has no sound track; expected an audio file, or a video with sound"),
    ],
)
def test_bad_files_are_named_once_with_the_reason(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        whole(path)
    assert str(caught.value) == f"{path}: {message}"


@contextmanager
def as_somebody():
    """Give up root's right to read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.posix
def test_a_file_that_may_not_be_read_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.5, 440))
    path.chmod(0)
    # in this process: one that decodes is started as whoever was here before
    with as_somebody(), pytest.raises(InputError) as caught:
        decode.probe(path)
    assert str(caught.value) == f"{path}: may not be read; check its permissions"


def test_encoded_sound_plays_at_the_same_times(tmp_path):
    path = write(tmp_path / "a.wav", np.concatenate([tone(1, 300, 300), tone(1, 900, 900)], axis=1))
    page = tmp_path / "small.ogg"
    page.write_bytes(encode(path))
    assert page.read_bytes()[:4] == b"OggS"
    assert page.stat().st_size < 12_000
    assert probe(page).channels == 1
    assert frequency(read_clip(page, 0.2, 0.8, None)) == pytest.approx(300, abs=5)
    assert frequency(read_clip(page, 1.2, 1.8, None)) == pytest.approx(900, abs=5)
    assert encode([tone(1, 300)[0], tone(1, 900)[0]]) == page.read_bytes()
