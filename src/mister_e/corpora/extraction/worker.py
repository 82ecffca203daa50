"""Decoding process: writes clips as 16 kHz mono files; one JSON job a line in, one JSON answer a line out.

A process of its own, because decoders hang or crash on some damaged files and can be killed then.
"""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from mister_e.audio.decode import blocks, read_clip
from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.resampling import Samples
from mister_e.audio.sandbox.limits import file_size, limit_process
from mister_e.errors import InputError
from mister_e.files import replacing

#: A recording may end so much (s) before the end of a stretch without a note: times are rounded.
_SLACK = 0.1


def main() -> None:
    """Answer `{"source", "stretch", "target"}` with `{"notes"}`, `{"bad": reason}` or `{"failed": reason}`.

    "notes" tell of damage that could be repaired; "bad" means a clip that cannot be decoded, after which the
    run goes on; "failed" (a full disk) ends the run. The first line says that the process is ready.
    """
    _say({})
    for line in sys.stdin:
        _say(_answer(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    """Write one line and flush."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    target = Path(job["target"])
    notes: list[str] = []
    # a bad clip is found before the target is touched
    try:
        limit_process(file_size(job["source"]))
        sound = _sound(job["source"], job["stretch"], notes)
        first = next(sound)
    except InputError as error:
        return {"bad": str(error).removeprefix(f"{job['source']}: ")}
    except MemoryError:
        return {"bad": "takes more memory than a recording of its size"}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            write = _write_flac if target.suffix == ".flac" else _write_wav
            write(temporary, _chained(first, sound))
    except (OSError, av.FFmpegError, InputError) as error:
        return {"failed": getattr(error, "strerror", None) or str(error)}
    return {"notes": notes}


def _sound(source: str, stretch: list[float] | None, notes: list[str]) -> Iterator[Samples]:
    """Decode a clip, or a stretch of a recording, float32 `[N]` pieces."""
    if stretch is not None:
        sound = read_clip(source, stretch[0], stretch[1], None)
        end = stretch[0] + len(sound) / SAMPLE_RATE
        if end < stretch[1] - _SLACK:
            notes.append(f"its times end at {stretch[1]:.2f} s, the recording at {end:.2f} s")
        yield sound
        return
    for block in blocks(source, notes=notes):
        yield block[0]


def _chained(first: Samples, rest: Iterable[Samples]) -> Iterator[Samples]:
    """Yield the first piece, then the rest."""
    yield first
    yield from rest


def _pcm(samples: Samples) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Round to 16 bits, as little-endian as WAV wants it."""
    return np.round(samples * 32767).astype("<i2")


def _write_wav(path: Path, pieces: Iterable[Samples]) -> None:
    """Write 16-bit mono WAV."""
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        for piece in pieces:
            out.writeframes(_pcm(piece).tobytes())


def _write_flac(path: Path, pieces: Iterable[Samples]) -> None:
    """Write 16-bit mono FLAC."""
    with path.open("wb") as file, av.open(file, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for piece in pieces:
            frame = av.AudioFrame.from_ndarray(_pcm(piece)[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


if __name__ == "__main__":
    main()
