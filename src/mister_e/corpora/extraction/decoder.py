"""Client of a decoding process (`worker`): decodes a clip within a time limit."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mister_e.audio.sandbox.process import python_command
from mister_e.errors import InputError, MisterEError


@dataclass(frozen=True)
class DecodingResult:
    """Result of decoding a clip.

    :param fault: what is wrong with it; None = it was written.
    :param notes: damage that could be repaired, or a clip that is cut off.
    """

    fault: str | None = None
    notes: tuple[str, ...] = ()


class Decoder:
    """One decoding process, started when first needed, and again after a clip that crashed it."""

    def __init__(self, time_limit: float) -> None:
        """:param time_limit: seconds that one clip may take."""
        self.time_limit = time_limit
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, source: Path, target: Path, stretch: tuple[float, float] | None) -> DecodingResult:
        """Write a clip as a 16 kHz mono file.

        :param source: the clip, or the recording it is cut from.
        :param target: a `.wav` or `.flac`, written atomically.
        :param stretch: the seconds to take; None = all.
        :return: the result.
        :raises InputError: the target cannot be written.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        expired = threading.Event()

        def end() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(self.time_limit, end)
        timer.start()
        try:
            job = {"source": str(source), "target": str(target), "stretch": stretch}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
            timer.join()
        if expired.is_set() or not line.endswith("\n"):
            self.close()
            for rest in target.parent.glob(f".{target.name}.*.part"):
                rest.unlink()
        if line.endswith("\n"):
            return _result(json.loads(line), target)
        if expired.is_set():
            return DecodingResult(f"decoding it took longer than {self.time_limit:g} s")
        return DecodingResult("the decoder crashed on it")

    def kill(self) -> None:
        """Interrupt the clip that is being decoded, from another thread."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        """Start a process and wait until it is ready."""
        command = python_command("mister_e.corpora.extraction.worker")
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self._process = process
        assert process.stdout is not None
        if not process.stdout.readline():
            self.close()
            raise MisterEError(
                "the decoder does not start: python -m mister_e.corpora.extraction.worker shows why"
            )
        return process


def _result(answer: dict[str, Any], target: Path) -> DecodingResult:
    """Read an answer of the process: a bad clip is a result, a full disk an error."""
    if "failed" in answer:
        raise InputError(
            f"{target}: cannot be written ({answer['failed']}); make room, then run the same again:"
            " finished clips are kept"
        )
    return DecodingResult(answer.get("bad"), tuple(answer.get("notes", ())))
