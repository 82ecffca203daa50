"""What a run must never touch: the source, other people's files, another run; and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from test_base import CLI, clips, prepare, row, write_slow, write_tone

from mister_e.corpora import Corpus, table
from mister_e.corpora.places import only_run
from mister_e.errors import InputError

HEAD = "conversation_id,utterance_id,text,audio,label,split\n"


def own_table(path: Path, audio: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        HEAD + f"a,x,Hi.,{audio},calm,train\nb,x,No.,,glad,dev\nc,x,No.,,glad,test\nd,x,No.,,calm,train\n"
    )
    return path


@pytest.mark.parametrize("out", ["own", "own/audio", "."])
def test_the_audio_of_a_table_is_never_written_over(tmp_path, out):
    (tmp_path / "own" / "audio").mkdir(parents=True)
    clip = write_tone(tmp_path / "own" / "audio" / "a" / "x.wav")
    before = clip.read_bytes()
    source = own_table(tmp_path / "own" / "t.csv", "audio/a/x.wav")
    with pytest.raises(InputError, match="stays untouched"):
        table.prepare(source, tmp_path / out, audio="wav")
    assert clip.read_bytes() == before


def test_a_folder_of_other_audio_is_left_alone(tmp_path):
    (tmp_path / "src").mkdir()
    rows = clips(tmp_path / "src", 1)
    (tmp_path / "out" / "audio" / "a").mkdir(parents=True)
    mine = write_tone(tmp_path / "out" / "audio" / "a" / "a0.wav", 0.7)
    before = mine.read_bytes()
    with pytest.raises(InputError, match="files that prepare did not write"):
        prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    assert mine.read_bytes() == before


@pytest.mark.posix
def test_a_link_to_the_source_is_not_written_through(tmp_path):
    (tmp_path / "src").mkdir()
    rows = clips(tmp_path / "src", 1)
    prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    before = write_tone(tmp_path / "src" / "0.wav", 0.4).read_bytes()
    target = tmp_path / "out" / "audio" / "a" / "a0.wav"
    target.unlink()
    target.symlink_to(tmp_path / "src" / "0.wav")
    with pytest.raises(InputError, match="link to a file of the source"):
        prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    assert (tmp_path / "src" / "0.wav").read_bytes() == before


def test_only_parts_of_our_own_are_swept(tmp_path):
    (tmp_path / "src").mkdir()
    rows = clips(tmp_path / "src", 1)
    prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    ours, other = (tmp_path / "out" / "audio" / "a" / name for name in (".a0.wav.x1.part", ".mine.part"))
    ours.touch()
    other.touch()
    prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
    assert not ours.exists()
    assert other.exists()


@pytest.mark.posix
@pytest.mark.slow
def test_killed_over_a_corpus_nothing_looks_whole(tmp_path):
    clip = write_tone(tmp_path / "src" / "x.wav")
    source = own_table(tmp_path / "src" / "t.csv", "x.wav")
    out = tmp_path / "out"
    table.prepare(source, out, audio="wav")
    write_slow(clip)
    run = subprocess.Popen(
        [*CLI, "prepare", "table", str(source), str(out), "--audio", "wav"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while run.poll() is None and (out / "corpus.json").exists():
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    with pytest.raises(InputError, match="run mister-e prepare"):
        Corpus.load(out)
    write_tone(clip)
    corpus = table.prepare(source, out, audio="wav")
    assert corpus.table.filter(id="x", conversation="a")["speech_missing"].null_count() == 1


def test_a_clip_begun_anew_is_not_taken_for_finished(tmp_path):
    """The file was replaced, and the run killed before it could say so."""
    (tmp_path / "src").mkdir()
    write_tone(tmp_path / "src" / "x.wav", 1.0)
    out = tmp_path / "out"
    prepare(tmp_path / "src", out, [row(audio="x.wav", stretch=(0.0, 0.5))], audio="wav")
    (tmp_path / "src" / "x.wav").rename(tmp_path / "src" / "y.wav")
    with pytest.raises(InputError):  # "begins" a0.wav, and is stopped by what cannot be opened
        prepare(tmp_path / "src", out, [row(audio="no.tar.gz::x.wav")], audio="wav")
    write_tone(out / "audio" / "a" / "a0.wav", 0.9)
    (tmp_path / "src" / "y.wav").rename(tmp_path / "src" / "x.wav")
    corpus = prepare(tmp_path / "src", out, [row(audio="x.wav", stretch=(0.0, 0.5))], audio="wav")
    assert len(next(corpus.conversations()).utterances[0].audio.load()) == 8000


@pytest.mark.posix
def test_two_runs_do_not_write_into_one_folder(tmp_path):
    with only_run(tmp_path / "out"), pytest.raises(InputError, match="another prepare is writing here"):
        prepare(tmp_path / "src", tmp_path / "out", [row()])
    assert len(prepare(tmp_path / "src", tmp_path / "out", [row()])) == 1
    import fcntl

    handle = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again
    os.close(handle)


def test_a_failing_run_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="label 'sad'"):
        prepare(tmp_path / "src", tmp_path / "out", [row(label="sad")])
    assert not (tmp_path / "out").exists()


def test_files_of_earlier_runs_that_nothing_refers_to_are_removed(tmp_path):
    (tmp_path / "src").mkdir()
    rows = clips(tmp_path / "src", 2)
    out = tmp_path / "out"
    prepare(tmp_path / "src", out, rows, audio="wav")
    (out / "audio" / "a" / "mine.wav").touch()
    prepare(tmp_path / "src", out, rows[:1], audio="wav")
    assert {path.name for path in out.rglob("*.wav")} == {"a0.wav", "mine.wav"}
    assert "a1.wav" not in (out / "audio" / "done.jsonl").read_text()


def test_a_corpus_and_its_originals_can_be_moved_together(tmp_path):
    (tmp_path / "all" / "src").mkdir(parents=True)
    prepare(tmp_path / "all" / "src", tmp_path / "all" / "out", clips(tmp_path / "all" / "src", 1))
    (tmp_path / "all").rename(tmp_path / "moved")
    corpus = Corpus.load(tmp_path / "moved" / "out")
    assert len(next(corpus.conversations()).utterances[0].audio.load()) == 3200
    assert not Path(corpus.metadata["audio_root"]).is_absolute()


def test_a_clip_that_is_cut_off_is_noted_and_stays_so(tmp_path):
    (tmp_path / "src").mkdir()
    write_tone(tmp_path / "src" / "x.wav", 8.0)
    prepare(tmp_path / "src", tmp_path / "whole", [row(audio="x.wav")], audio="flac")
    whole = (tmp_path / "whole" / "audio" / "a" / "a0.flac").read_bytes()
    (tmp_path / "src" / "x.flac").write_bytes(whole[: len(whole) // 2])
    write_tone(tmp_path / "src" / "y.wav", 1.0)
    rows = [row(audio="x.flac"), row(turn=1, audio="y.wav", stretch=(0.5, 3.0))]
    for _ in range(2):
        corpus = prepare(tmp_path / "src", tmp_path / "out", rows, audio="wav")
        notes = "; ".join(corpus.metadata["repaired"])
        assert "a0: the header says 8.0 s, only" in notes
        assert "a1: its times end at 3.00 s, the recording at 1.00 s" in notes
    assert np.isclose(len(next(corpus.conversations()).utterances[1].audio.load()), 8000, atol=16)
