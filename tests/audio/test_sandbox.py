"""Whatever a recording does to the decoder, this process goes on, and so does the next recording."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sound import tone, write

from mister_e.audio import decode, sandbox
from mister_e.audio.sandbox import limits
from mister_e.errors import InputError


def test_it_decodes_as_this_process_would(tmp_path):
    path = write(tmp_path / "a.flac", tone(3, 300, 900), codec="flac")
    assert sandbox.probe(path) == decode.probe(path)
    for options in ({}, {"channels": "split"}, {"seconds": 0.5}):
        ours, theirs = (list(module.blocks(path, **options)) for module in (sandbox, decode))
        assert [piece.shape for piece in ours] == [piece.shape for piece in theirs]
        np.testing.assert_array_equal(np.concatenate(ours, axis=1), np.concatenate(theirs, axis=1))
    np.testing.assert_array_equal(sandbox.read_clip(path, 1.0, 2.0, 1), decode.read_clip(path, 1.0, 2.0, 1))
    piece = next(iter(sandbox.blocks(path)))
    piece *= 2  # the samples are the caller's


def test_refusals_are_those_of_this_process(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"nothing" * 99)
    messages = []
    for module in (sandbox, decode):
        for call in (module.probe, lambda path, module=module: list(module.blocks(path))):
            with pytest.raises(InputError) as caught:
                call(path)
            messages.append(str(caught.value))
    assert len(set(messages)) == 1
    with pytest.raises(InputError, match="unknown channels 'left'"):
        sandbox.blocks(path, channels="left")


def test_processes_are_used_again_and_several_at_a_time(tmp_path):
    paths = [write(tmp_path / f"{number}.wav", tone(2, 200 + 50 * number)) for number in range(6)]
    streams = [sandbox.blocks(path, seconds=0.5) for path in paths]
    firsts = [next(stream) for stream in streams]
    rests = [list(stream) for stream in streams]
    assert [
        sum(piece.shape[1] for piece in [first, *rest]) for first, rest in zip(firsts, rests, strict=True)
    ] == [32_000] * 6
    assert 0 < len(sandbox._idle) <= sandbox._MAX_IDLE
    before = {worker.process.pid for worker in sandbox._idle}
    sandbox.probe(paths[0])
    assert {worker.process.pid for worker in sandbox._idle} == before


def test_a_stream_that_is_left_takes_its_process_along(tmp_path):
    path = write(tmp_path / "a.wav", tone(60, 440))
    stream = sandbox.blocks(path, seconds=1)
    next(stream)
    stream.close()
    assert sandbox.probe(path).duration == pytest.approx(60)


def test_a_crash_is_an_error_of_its_recording(tmp_path):
    path = write(tmp_path / "a.wav", tone(90, 440))
    stream = sandbox.blocks(path, seconds=1)
    next(stream)
    stream.gi_frame.f_locals["worker"].process.kill()
    with pytest.raises(InputError, match=r"a\.wav: the decoder crashed on it"):
        list(stream)
    assert sandbox.probe(path).channels == 1


def test_one_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tone(300, 440))
    monkeypatch.setattr(sandbox, "wall_seconds", lambda size: 0.0)
    with pytest.raises(InputError, match="takes longer than a recording of its size"):
        list(sandbox.blocks(path))
    monkeypatch.undo()
    assert sum(piece.shape[1] for piece in sandbox.blocks(path)) == 300 * 16_000


def test_waiting_for_the_caller_does_not_count(tmp_path, monkeypatch):
    import time

    path = write(tmp_path / "a.wav", tone(60, 440))
    list(sandbox.blocks(path))  # a process is there
    monkeypatch.setattr(sandbox, "wall_seconds", lambda size: 5.0)
    stream = sandbox.blocks(path, seconds=1)
    next(stream)
    worker = stream.gi_frame.f_locals["worker"]
    left = worker._seconds
    time.sleep(0.3)
    assert worker._seconds == left
    list(stream)


def test_the_limits_grow_with_the_file():
    assert limits.cpu_seconds(0) < limits.cpu_seconds(10 << 20) < limits.cpu_seconds(10 << 30)
    assert limits.wall_seconds(30_000) < 600
    assert limits.file_size("nowhere") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
def test_memory_and_time_are_limited(tmp_path):
    program = (
        "from mister_e.audio.sandbox.limits import limit_process, cpu_seconds; import resource\n"
        "limit_process(0)\n"
        "soft = resource.getrlimit(resource.RLIMIT_CPU)[0]\n"
        "assert soft <= cpu_seconds(0) + 10, soft\n"
        "try:\n    bytearray(1 << 31)\nexcept MemoryError:\n    print('refused')\n"
        "limit_process(1 << 30)\nbytearray(1 << 30)\nprint('allowed')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "allowed"]


def test_a_process_that_died_while_it_waited_is_no_fault_of_the_next_recording(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.5, 440))
    sandbox.probe(path)
    for worker in sandbox._idle:
        worker.process.kill()
        worker.process.poll = lambda: None  # as it is for a moment after the kill
    assert sandbox.probe(path).channels == 1


@pytest.mark.posix
def test_a_folder_that_is_gone_does_not_matter_to_whole_paths(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tone(0.5, 440))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert sandbox.probe(path).channels == 1


@pytest.mark.posix
def test_a_fork_leaves_the_processes_alone(tmp_path):
    program = (
        "import os, sys\n"
        "from mister_e.audio import sandbox\n"
        "stream = sandbox.blocks(sys.argv[1], seconds=1)\n"
        "next(stream)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    stream.close()\n"
        "    sandbox.probe(sys.argv[1])\n"
        "    os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(sum(piece.shape[1] for piece in stream))\n"
    )
    path = write(tmp_path / "a.wav", tone(60, 440))
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) == 59 * 16_000


def test_it_runs_the_code_of_this_process(tmp_path):
    package = Path(decode.__file__).parents[1]
    ignored = shutil.ignore_patterns("pretrained", "__pycache__")
    container = shutil.copytree(package, tmp_path / "mister_e", ignore=ignored) / "audio" / "container.py"
    text = container.read_text(encoding="utf-8").replace("no such file; check the path", "not seen anywhere")
    container.write_text(text, encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mister_e.audio import sandbox\n"
        "try:\n    sandbox.probe('nowhere.wav')\n"
        "except Exception as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "nowhere.wav: not seen anywhere\n", done.stderr


def test_modules_in_the_folder_of_a_recording_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "av.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    write(tmp_path / "a.wav", tone(0.5, 440))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sandbox, "_idle", [])
    assert sandbox.probe("a.wav").duration == pytest.approx(0.5)
