"""Time and memory of preparing and reading a corpus, as JSON.

The clips are real AAC in mp4, as MELD's: a few are encoded, the others are links to them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

#: Clips that are encoded; more are links.
DISTINCT = 20

#: Turns of a conversation.
TURNS = 10

#: Runs the command line, then prints the peak memory (MB) of itself and of its children.
_RUN = """
import resource, sys
from mister_e.cli import app
if code := app(sys.argv[1:], standalone_mode=False):
    sys.exit(code)
kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
print(*(resource.getrusage(kind).ru_maxrss // 1024 for kind in kinds), file=sys.stderr)
"""


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000, help="clips of one corpus")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; their median counts")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = measure(Path(folder), arguments.clips, arguments.seconds, arguments.repeats)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measure(folder: Path, clips: int, seconds: float, repeats: int) -> dict[str, object]:
    """Prepare with one job and with two, by turns; then read."""
    table = write_table(folder / "source", clips, seconds)
    few = write_table(folder / "few", max(1, clips // 10), seconds)
    times: dict[int, list[float]] = {1: [], 2: []}
    memory = {}
    for _ in range(repeats):
        for jobs in times:
            spent, peak = prepare(table, folder / "out", jobs)
            times[jobs].append(spent)
            memory[f"jobs {jobs}"] = peak
    _, memory["jobs 2, a tenth of the clips"] = prepare(few, folder / "out-few", 2)
    again = [prepare(table, folder / "out", 2, resume=True)[0] for _ in range(repeats)]
    medians = {jobs: statistics.median(repeats_of) for jobs, repeats_of in times.items()}
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "clips": clips,
        "seconds_a_clip": seconds,
        "prepare_s": {
            f"jobs {jobs}": [round(spent, 2) for spent in repeats_of] for jobs, repeats_of in times.items()
        },
        "jobs_2_is_faster_by": round(medians[1] / medians[2], 2),
        "resume_s": round(statistics.median(again), 2),
        "peak_memory_mb": memory,
        "read_s": [round(read(folder / "out"), 3) for _ in range(repeats)],
        "utterances_read": clips,
    }


def write_table(folder: Path, clips: int, seconds: float) -> Path:
    """Write clips and the table that names them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(clips):
        path = folder / f"{number}.mp4"
        if number < DISTINCT:
            write_clip(path, random.normal(0, 0.1, round(seconds * 44_100)).astype(np.float32))
        else:
            path.hardlink_to(folder / f"{number % DISTINCT}.mp4")
    lines = ["conversation_id,turn,text,audio,label"]
    lines += [f"c{n // TURNS},{n % TURNS},Some words.,{n}.mp4,{'ab'[n % 2]}" for n in range(clips)]
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Encode float32 `[N]` at 44.1 kHz as AAC."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def prepare(table: Path, out: Path, jobs: int, *, resume: bool = False) -> tuple[float, dict[str, int]]:
    """Prepare a table from nothing, or over what was made before, in a process of its own.

    :return: seconds; the largest memory of it, and of its largest decoder, in MB.
    """
    if not resume:
        shutil.rmtree(out, ignore_errors=True)
    words = ["prepare", "table", str(table), str(out), "--audio", "wav", "--jobs", str(jobs), "--quiet"]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    spent = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"mister-e {' '.join(words)} failed: {done.stderr}")
    own, decoder = map(int, done.stderr.split()[-2:])
    return spent, {"itself": own, "largest decoder": decoder}


def read(folder: Path) -> float:
    """Seconds to load a corpus and make every conversation."""
    from mister_e.corpora import Corpus

    begin = time.perf_counter()
    sum(len(conversation) for conversation in Corpus.load(folder).conversations())
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
