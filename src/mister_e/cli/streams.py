"""Standard input and pipes as inputs: each is read once, into a file of limited size."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue

from mister_e.analysis.result import Analysis
from mister_e.errors import InputError

STDIN = Path("-")

#: Bytes that are read of a stream: eleven hours of stereo at 48 kHz.
_MAX_BYTES = 8 << 30
#: Bytes at once.
_STEP = 1 << 20
#: Seconds that a named pipe may be without anyone who writes to it.
_PATIENCE = 10.0


@contextmanager
def as_files(paths: Sequence[Path]) -> Iterator[Mapping[Path, Path]]:
    """Read those of some paths that are streams into files, which are there as long as the context.

    :param paths: `-` is standard input.
    :return: path of a stream to its file; errors that name the file name the stream instead.
    :raises InputError: nothing comes, or too much, or a device is named.
    """
    streams = [path for path in dict.fromkeys(paths) if _is_stream(path)]
    if not streams:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="mister-e-") as folder:
        files: dict[Path, Path] = {}
        for number, path in enumerate(streams):
            name = "stdin" if path == STDIN else path.name
            target = Path(folder) / str(number) / name
            target.parent.mkdir()
            (_read_stdin if path == STDIN else _read_pipe)(path, target)
            files[path] = _named_by_content(target)
        try:
            yield files
        except InputError as error:
            message = str(error)
            for path, file in files.items():
                message = message.replace(str(file), str(path))
            raise InputError(message) from error


def named_as_given(analysis: Analysis, streams: Mapping[Path, Path]) -> Analysis:
    """Name the streams that results are of, and not the files that were made of them.

    :param streams: of `as_files`.
    """
    names = {str(file): "stdin" if path == STDIN else str(path) for path, file in streams.items()}
    if not names:
        return analysis
    begins = {f"{Path(file).name}: ": f"{name}: " for file, name in names.items()}
    conversations = tuple(
        replace(
            conversation,
            source=names.get(conversation.source or "", conversation.source),
            notes=tuple(_renamed(note, begins) for note in conversation.notes),
        )
        for conversation in analysis.conversations
    )
    errors = tuple(
        replace(
            failed,
            source=names.get(failed.source, failed.source),
            error=failed.error.replace(failed.source, names.get(failed.source, failed.source)),
        )
        for failed in analysis.errors
    )
    return replace(analysis, conversations=conversations, errors=errors)


def _renamed(note: str, begins: Mapping[str, str]) -> str:
    """A note that begins with the name of a file, with that of its stream."""
    for begin, name in begins.items():
        if note.startswith(begin):
            return name + note.removeprefix(begin)
    return note


def _is_stream(path: Path) -> bool:
    """Tell whether a path has to be read once and in order."""
    if path == STDIN:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False  # whoever opens it says what is wrong
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise InputError(f"{path}: is a device, expected a file, a folder, a pipe or - for standard input")
    return stat.S_ISFIFO(mode)


def _read_stdin(path: Path, target: Path) -> None:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("-: standard input is closed; give a file, or send one")
    if sys.stdin.isatty():
        raise InputError("-: standard input is the terminal; send a file: mister-e analyze - < call.wav")
    _copy(path, lambda: sys.stdin.buffer.read(_STEP), target)


def _read_pipe(path: Path, target: Path) -> None:
    descriptor = _opened(path)
    try:
        _copy(path, lambda: os.read(descriptor, _STEP), target)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    """Open a pipe to read; one with a name that nobody opens to write is not waited for without an end."""
    if path.is_relative_to("/dev") or path.is_relative_to("/proc"):
        return os.open(path, os.O_RDONLY)  # of the shell: who writes is there
    opened: Queue[int] = Queue()
    threading.Thread(target=lambda: opened.put(os.open(path, os.O_RDONLY)), daemon=True).start()
    try:
        return opened.get(timeout=_PATIENCE)
    except Empty:
        # lets the thread go on, which waits for somebody who writes
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        os.close(opened.get())
        raise InputError(f"{path}: nobody writes to this pipe; give a file") from None


def _copy(path: Path, read: Callable[[], bytes], target: Path) -> None:
    size = 0
    with target.open("wb") as file:
        while data := read():
            size += len(data)
            if size > _MAX_BYTES:
                raise InputError(f"{path}: more than {_MAX_BYTES >> 30} GiB; give a file")
            try:
                file.write(data)
            except OSError as error:
                raise InputError(
                    f"{path}: what comes cannot be kept in {target.parent} ({error.strerror}); make room, or"
                    " give a file"
                ) from error
    if not size:
        raise InputError(f"{path}: nothing came (0 bytes)")


def _named_by_content(file: Path) -> Path:
    """Give a file without an extension that of a transcript, where it begins like one."""
    if file.suffix:
        return file
    with file.open("rb") as opened:
        start = opened.read(4096).decode("utf-8-sig", errors="replace").lstrip()
    if start.startswith("WEBVTT"):
        suffix = ".vtt"
    elif start.startswith(("{", "[")):
        suffix = ".json"
    elif start[:1].isdecimal() and "-->" in start:
        suffix = ".srt"
    else:
        return file
    return file.rename(file.with_suffix(suffix))
