"""Speed and memory of `analyze`: `make bench ARGS="--data DIR"`.

A recording is put together from read speech (`--data`) or from the bundled sample, with pauses. Each
way of analysing it runs in a process of its own, several times in turn; medians are reported. Each way
includes the one before it, so that the time of a stage is a difference of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).parent.parent
RATE = 16_000


def make_recording(path: Path, minutes: float, data: Path | None) -> None:
    """Write a FLAC of speech with pauses of half a second to a second.

    :param path: the file.
    :param minutes: its length.
    :param data: folder with `librispeech/`; None = the bundled sample, again and again.
    """
    from mister_e.audio.decode import read_clip

    sources = (
        sorted((data / "librispeech").glob("*.ogg")) if data else [ROOT / "samples" / "conversation.flac"]
    )
    random = np.random.default_rng(0)
    left = round(minutes * 60 * RATE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        number = 0
        while left > 0:
            speech = read_clip(sources[number % len(sources)], 0.0, None, None)
            pause = np.zeros(int(random.uniform(0.5, 1.0) * RATE), np.float32)
            piece = np.concatenate([speech, pause])[:left]
            frame = av.AudioFrame.from_ndarray((piece[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            left -= len(piece)
            number += 1
        container.mux(stream.encode(None))


def measured(way: str, recording: Path) -> dict[str, float]:
    """Analyse a recording in one way, in this process.

    :return: seconds to load, seconds of work (wall and CPU), and the peak of resident memory in GB.
    """
    began = time.perf_counter()
    from mister_e.audio.decode import blocks
    from mister_e.pipeline import Pipeline
    from mister_e.transcription.segment import transcribe_turns
    from mister_e.transcription.whisper import WhisperRecogniser

    pipeline = Pipeline.from_pretrained("mini", device="cpu")
    recogniser = WhisperRecogniser()
    loaded = time.perf_counter()
    cpu = time.process_time()
    ways: dict[str, Callable[[], object]] = {
        "decode": lambda: sum(block.shape[1] for block in blocks(recording)),
        "turns": lambda: list(transcribe_turns(blocks(recording), recogniser=None)),
        "turns and words": lambda: list(
            transcribe_turns(
                blocks(recording), recogniser=recogniser, turns="voices", voices=pipeline.model.voices
            )
        ),
        "analyze": lambda: pipeline(recording),
        "analyze without asr": lambda: pipeline(recording, asr=False),
    }
    ways[way]()
    return {
        "load": loaded - began,
        "seconds": time.perf_counter() - loaded,
        "cpu": time.process_time() - cpu,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def run(way: str, recording: Path) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", way, "--recording", str(recording)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def bench(minutes: float, runs: int, data: Path | None, ways: list[str]) -> dict[str, object]:
    """Measure every way in turn, `runs` times."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.flac"
        make_recording(recording, minutes, data)
        rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for number in range(runs):
            for way in ways:
                rows[way].append(run(way, recording))
                print(f"run {number + 1}: {way}: {rows[way][-1]['seconds']:.1f} s", file=sys.stderr)
    seconds = minutes * 60
    result: dict[str, object] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "minutes": minutes,
        "runs": runs,
        "speech": "read speech" if data else "the bundled sample",
    }
    for way, measurements in rows.items():
        median = {key: statistics.median(row[key] for row in measurements) for key in measurements[0]}
        result[way] = {
            "real_time_factor": round(median["seconds"] / seconds, 4),
            "cpu_real_time_factor": round(median["cpu"] / seconds, 4),
            "load_seconds": round(median["load"], 2),
            "peak_rss_gb": round(max(row["rss"] for row in measurements), 2),
        }
    return result


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with librispeech/; default: the bundled sample")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ways", nargs="+", help="only these, such as 'analyze without asr'")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "speed.json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--recording", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments.measure, arguments.recording)))
        return
    ways = arguments.ways or ["decode", "turns", "turns and words", "analyze", "analyze without asr"]
    result = bench(arguments.minutes, arguments.runs, arguments.data, ways)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
