"""Process that decodes recordings for `sandbox`: one JSON job a line in, JSON lines and samples out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

from mister_e.audio.decode import blocks, probe, read_clip
from mister_e.audio.resampling import Samples
from mister_e.audio.sandbox.limits import file_size, limit_process
from mister_e.errors import InputError


def main() -> None:
    """Answer jobs until the input ends.

    A job is `{"do": "probe" | "blocks" | "read_clip", "folder", "path", "options"}`. Its answer: for each
    piece a line `{"shape": [C, N]}` and the float32 samples, then a line `{"notes": [...], "found": ...}`, or
    `{"refused": why}`. A line is there before the first job, when all is loaded.
    """
    out = sys.stdout.buffer
    _say(out, {})
    for line in sys.stdin:
        job = json.loads(line)
        notes: list[str] = []
        found: dict[str, Any] | None = None
        try:
            if job["folder"] is not None:
                os.chdir(job["folder"])
            limit_process(file_size(job["path"]))
            if job["do"] == "probe":
                found = asdict(probe(job["path"], **job["options"]))
            for piece in _pieces(job, notes):
                _say(out, {"shape": piece.shape}, piece.astype("float32", copy=False).tobytes())
        except InputError as error:
            _say(out, {"refused": str(error)})
        except MemoryError:
            _say(out, {"refused": f"{job['path']}: takes more memory than a recording of its size"})
        else:
            _say(out, {"notes": notes, "found": found})


def _pieces(job: dict[str, Any], notes: list[str]) -> Iterator[Samples]:
    """Decode `[C, N]` pieces."""
    if job["do"] == "blocks":
        yield from blocks(job["path"], notes=notes, **job["options"])
    elif job["do"] == "read_clip":
        yield read_clip(job["path"], **job["options"])[None]


def _say(out: BinaryIO, answer: dict[str, Any], samples: bytes = b"") -> None:
    out.write(json.dumps(answer).encode("ascii") + b"\n" + samples)
    out.flush()


if __name__ == "__main__":
    main()
