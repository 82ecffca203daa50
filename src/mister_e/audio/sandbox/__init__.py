"""Decoding of recordings in processes with limits: whatever a file does to a decoder, this process goes on.

The functions are those of `decode`. Decoders crash, hang or grow on some files, and some are made for that;
here that is an `InputError` of this one recording.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mister_e.audio.decode import Recording
from mister_e.audio.format import Channels
from mister_e.audio.resampling import Samples
from mister_e.audio.sandbox.limits import file_size, wall_seconds
from mister_e.audio.sandbox.process import python_command
from mister_e.errors import InputError, MisterEError

#: Processes that wait for the next recording, at most.
_MAX_IDLE = 4


def probe(path: str | Path, *, track: int | None = None) -> Recording:
    """Read the header of a recording; see `mister_e.audio.decode.probe`."""
    answer = _Answer("probe", path, {"track": track}, [])
    for _ in answer:
        raise AssertionError("a header has no samples")
    assert answer.found is not None
    return Recording(**answer.found)


def blocks(
    path: str | Path,
    *,
    channels: Channels = "mix",
    track: int | None = None,
    seconds: float = 30.0,
    notes: list[str] | None = None,
) -> Iterator[Samples]:
    """Decode a recording in pieces; see `mister_e.audio.decode.blocks`."""
    if channels not in get_args(Channels):
        raise InputError(f"unknown channels {channels!r}: expected mix or split")
    options = {"channels": channels, "track": track, "seconds": seconds}
    return iter(_Answer("blocks", path, options, [] if notes is None else notes))


def read_clip(path: str | Path, start: float, end: float | None, channel: int | None) -> Samples:
    """Decode a part of a recording; see `mister_e.audio.decode.read_clip`."""
    (samples,) = _Answer("read_clip", path, {"start": start, "end": end, "channel": channel}, [])
    return np.asarray(samples[0])


class _Answer:
    """The pieces that a process decodes, once.

    :param do: a function of `decode`.
    :param path: of the recording.
    :param options: of the function.
    :param notes: gets those of the function.
    """

    def __init__(self, do: str, path: str | Path, options: dict[str, Any], notes: list[str]) -> None:
        self.job = {"do": do, "path": str(path), "options": options}
        self.notes = notes
        self.found: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Samples]:
        """Yield float32 `[C, N]` pieces.

        :raises InputError: the function refuses the recording, or decoding it crashes or takes too much.
        """
        path = str(self.job["path"])
        worker, answer = self._begun(path)
        finished = False
        try:
            while answer.get("shape") is not None:
                yield worker.samples(path, answer["shape"])
                answer = worker.line(path)
            finished = True
        finally:
            if finished:
                _give(worker)
            else:
                worker.end()
        if "refused" in answer:
            raise InputError(answer["refused"])
        self.notes += answer["notes"]
        self.found = answer["found"]

    def _begun(self, path: str) -> tuple[_Worker, dict[str, Any]]:
        """Give a process that began, and the first line of its answer."""
        worker = _take()
        try:
            return worker, worker.first_line(self.job, path)
        except BaseException as error:
            worker.end()
            if not isinstance(error, InputError) or worker.jobs < 2 or worker.expired:
                raise
        # one that was there may have been ended while it waited, which is no fault of this recording
        worker = _Worker()
        try:
            return worker, worker.first_line(self.job, path)
        except BaseException:
            worker.end()
            raise


class _Worker:
    """A process that decodes; it ends with this one, for its input does."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(  # noqa: S603  (our own module)
            python_command("mister_e.audio.sandbox.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.jobs = 0
        self.expired = False
        self._seconds = 0.0

    def first_line(self, job: dict[str, Any], path: str) -> dict[str, Any]:
        """Send a job, and read the first line of its answer.

        :param job: see `worker.main`.
        :param path: of its recording, whose size limits how long one waits.
        """
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.jobs += 1
        if self.jobs == 1 and not self.process.stdout.readline():
            raise MisterEError(
                "the decoder does not start: python -m mister_e.audio.sandbox.worker shows why"
            )
        self._seconds = wall_seconds(file_size(path))
        line = json.dumps({**job, "folder": _folder()}) + "\n"
        try:
            self.process.stdin.write(line.encode("ascii"))
            self.process.stdin.flush()
        except OSError:
            raise self._failure(path) from None
        return self.line(path)

    def line(self, path: str) -> dict[str, Any]:
        """Read a line of the answer."""
        assert self.process.stdout is not None
        with _Patience(self):
            line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._failure(path)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def samples(self, path: str, shape: tuple[int, int]) -> Samples:
        """Read float32 samples of a shape."""
        assert self.process.stdout is not None
        size = 4 * shape[0] * shape[1]
        with _Patience(self):
            data = self.process.stdout.read(size)
        if len(data) < size:
            raise self._failure(path)
        return np.frombuffer(bytearray(data), np.float32).reshape(shape)

    def end(self) -> None:
        """End the process; a fork of the one that began it lets it go on."""
        if self.owner != os.getpid():
            return
        self.process.kill()
        with contextlib.suppress(OSError, ValueError):
            self.process.communicate()

    def expire(self) -> None:
        """End the process, for it took too long."""
        self.expired = True
        self.process.kill()

    def _failure(self, path: str) -> InputError:
        code = self.process.wait()
        if self.expired or code == -getattr(signal, "SIGXCPU", 0):
            return InputError(
                f"{path}: decoding it takes longer than a recording of its size may; export it again as WAV"
            )
        return InputError(
            f"{path}: the decoder crashed on it; if it plays elsewhere, export it as WAV or FLAC"
        )


class _Patience:
    """Waits for a process for as long as it has left, and ends it then."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker

    def __enter__(self) -> None:
        self.began = time.monotonic()
        self.timer = threading.Timer(max(0.0, self.worker._seconds), self.worker.expire)
        self.timer.daemon = True
        self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        self.worker._seconds -= time.monotonic() - self.began


_idle: list[_Worker] = []
_lock = threading.Lock()


def _folder() -> str | None:
    """Where this process stands; None = that folder is gone, and paths relative to it are too."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _take() -> _Worker:
    """Take a process that waits, or start one."""
    with _lock:
        while _idle:
            worker = _idle.pop()
            # a fork of this process has the same pipes, and would read its answers
            if worker.owner == os.getpid() and worker.process.poll() is None:
                return worker
    return _Worker()


def _give(worker: _Worker) -> None:
    """Let a process wait for the next recording."""
    with _lock:
        if len(_idle) < _MAX_IDLE:
            _idle.append(worker)
            return
    worker.end()


@atexit.register
def _end_all() -> None:
    with _lock:
        for worker in _idle:
            if worker.owner == os.getpid():
                worker.end()
        _idle.clear()
