"""Standard streams that are closed, or whose reader has left: writing to them does not fail."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


def prepare_streams() -> None:
    """Make the standard streams fit to be written to, whatever the shell made of them.

    A closed one becomes the null device, so that no file of ours gets its number and what a library prints.
    A pipe that nobody reads any more swallows what it gets; so does stderr on a full disk.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        _reopen_closed(number, name)
    for name, errors in (("stdout", (BrokenPipeError,)), ("stderr", (OSError,))):
        _replace(name, _tolerant(getattr(sys, name), errors))


def _replace(name: str, stream: Any) -> None:
    """Make a stream the standard one of a name, also for the interpreter's end."""
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _reopen_closed(number: int, name: str) -> None:
    """Open the null device as a standard stream if that is closed."""
    try:
        os.fstat(number)
    except OSError:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle != number:
            os.dup2(handle, number)
            os.close(handle)
        os.set_inheritable(number, True)
    else:
        if getattr(sys, name) is not None:
            return
    mode = "r" if number == 0 else "w"
    _replace(name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))


def _tolerant(stream: TextIO, errors: tuple[type[OSError], ...]) -> TextIO:
    """The same stream, whose writes pass over some errors; a terminal or a test's stream stays as it is."""
    if not isinstance(stream, io.TextIOWrapper) or stream.isatty():
        return stream
    stream.flush()
    raw = _TolerantFile(stream.fileno(), errors)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through or stream is sys.stderr,
    )


class _TolerantFile(io.FileIO):
    """A file that takes what cannot be written because of some errors as written."""

    def __init__(self, number: int, errors: tuple[type[OSError], ...]) -> None:
        super().__init__(number, "w", closefd=False)
        self._passed_over = errors

    def write(self, data: Any) -> Any:
        """Write bytes, perhaps in vain.

        :return: how many were taken.
        """
        try:
            return super().write(data)
        except self._passed_over:
            return memoryview(data).nbytes
