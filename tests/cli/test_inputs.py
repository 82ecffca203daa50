from __future__ import annotations

from pathlib import Path

import pytest

from mister_e.cli.inputs import expand
from mister_e.errors import InputError


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def test_a_folder_gives_its_recordings_and_transcripts_by_name(tmp_path):
    b, a, words = touch(tmp_path, "b.WAV", "a.mp4", "c.srt")
    touch(tmp_path, ".hidden.wav", "notes.docx", "README.md")
    (tmp_path / "sub.wav").mkdir()
    assert expand([tmp_path]) == [a, b, words]


def test_files_keep_their_order_and_come_once(tmp_path):
    b, a = touch(tmp_path, "b.wav", "a.wav")
    assert expand([b, a, b, tmp_path]) == [b, a]


def test_a_file_named_by_hand_may_have_any_extension(tmp_path):
    (odd,) = touch(tmp_path, "call.recording")
    assert expand([odd]) == [odd]


def test_a_missing_file_alone_is_an_error_and_among_others_is_left_to_the_pipeline(tmp_path):
    (a,) = touch(tmp_path, "a.wav")
    missing = tmp_path / "missing.wav"
    with pytest.raises(InputError, match=r"missing\.wav: no such file"):
        expand([missing])
    assert expand([a, missing]) == [a, missing]


def test_a_folder_without_recordings_says_what_was_looked_for(tmp_path):
    touch(tmp_path, "notes.docx")
    with pytest.raises(InputError, match=r"no recording or transcript in this folder; looked for .*wav"):
        expand([tmp_path])


def test_a_transcript_goes_with_one_recording(tmp_path):
    a, b, words = touch(tmp_path, "a.wav", "b.wav", "a.srt")
    assert expand([a], words) == [a]
    with pytest.raises(InputError, match="exactly one recording, got 2"):
        expand([a, b], words)
    with pytest.raises(InputError, match=r"a\.srt: is a transcript itself"):
        expand([words], words)
    with pytest.raises(InputError, match=r"none\.srt: no such transcript"):
        expand([a], tmp_path / "none.srt")
