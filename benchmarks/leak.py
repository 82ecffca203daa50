"""How well leak between the channels of a call is told from talk: `benchmarks/leak.py --data DIR`.

DIR holds folders of clips, each with a `manifest.csv` that has `file`, `speaker` and `seconds`. Calls of
two voices are built of them, one a channel, with gaps and with talk at the same time; each side is heard in
the other channel, fainter by 6 to 30 dB, filtered and up to 30 ms late, and all is coded as 8 kHz mu-law. One
half of the voices is to choose by (`--half choose`), the other to report; written to `leak.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import read_clip
from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import normalise_level, speech_bounds
from mister_e.audio.resampling import array_blocks
from mister_e.files import write_text
from mister_e.transcription.channels.leak import LeakFilter
from mister_e.transcription.cutting.vad import Speech, TurnCutter

FOLDERS = ("crema_d", "ravdess", "librispeech")
HALVES = ("choose", "report")
LEVELS = (-6, -12, -18, -24, -30)
#: Clips of a call, chance of talk at the same time, and the seconds of a gap.
CLIPS, DOUBLE, GAPS = 16, 0.3, (0.1, 1.5)
#: Seconds of own speech below which a turn is but a copy, and from which it is somebody's turn.
COPY, TALK = 0.05, 0.3

Sound = NDArray[np.float32]
Spans = list[tuple[float, float]]


def voices(data: Path, half: str) -> list[list[Path]]:
    """Clips of each voice of one half."""
    found: dict[str, list[Path]] = {}
    for folder in FOLDERS:
        with (data / folder / "manifest.csv").open(encoding="utf-8") as opened:
            for row in csv.DictReader(opened):
                if float(row["seconds"]) < 8:
                    found.setdefault(f"{folder} {row['speaker']}", []).append(data / folder / row["file"])
    return [found[name] for number, name in enumerate(sorted(found)) if number % 2 == HALVES.index(half)]


def call(
    people: list[list[Path]], level: float | None, random: np.random.Generator
) -> tuple[Sound, list[Spans]]:
    """Build a call of two voices.

    :param level: of the leak in dB; None = there is none.
    :return: float32 `[2, N]`, and the spans of speech of each.
    """
    chosen = random.choice(len(people), 2, replace=False)
    clips: list[tuple[int, float, Sound]] = []
    at, side = 0.5, 0
    for _ in range(CLIPS):
        sound = clip(people[chosen[side]], random)
        clips.append((side, at, sound))
        seconds = len(sound) / SAMPLE_RATE
        if random.random() < DOUBLE:
            meanwhile = clip(people[chosen[1 - side]], random)
            begin = at + random.uniform(0, seconds)
            clips.append((1 - side, begin, meanwhile))
            seconds = max(seconds, begin - at + len(meanwhile) / SAMPLE_RATE)
        at += seconds + random.uniform(*GAPS)
        side = 1 - side if random.random() < 0.8 else side
    spoken = np.zeros((2, round((at + 1) * SAMPLE_RATE)))
    spans: list[Spans] = [[], []]
    for number, begin, sound in clips:
        first = round(begin * SAMPLE_RATE)
        spoken[number, first : first + len(sound)] += sound
        spans[number].append((begin, begin + len(sound) / SAMPLE_RATE))
    spoken *= 10 ** (random.uniform(-6, 6, (2, 1)) / 20)
    heard = spoken + 10 ** (random.uniform(-75, -55, (2, 1)) / 20) * random.standard_normal(spoken.shape)
    if level is not None:
        for number in range(2):
            heard[number] += 10 ** (level / 20) * filtered(spoken[1 - number], random)
    return coded(heard), spans


def clip(files: list[Path], random: np.random.Generator) -> Sound:
    """The speech of a clip, at one level."""
    sound = read_clip(files[random.integers(len(files))], 0.0, None, None)
    begin, end = speech_bounds(sound)
    return normalise_level(sound[begin:end])


def filtered(sound: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Sound as it is heard elsewhere: late, with an early echo tail, and without low or high parts."""
    size = round(0.06 * SAMPLE_RATE)
    response = random.standard_normal(size) * np.exp(
        -np.arange(size) / SAMPLE_RATE / random.uniform(1e-3, 1e-2)
    )
    response *= random.uniform(0, 0.3)
    response[0] = 1.0
    delay = round(random.uniform(0, 0.03) * SAMPLE_RATE)
    length = len(sound) + size
    spectrum = np.fft.rfft(sound, length) * np.fft.rfft(response, length)
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    low, high = random.uniform(50, 400), random.uniform(1500, 4000)
    spectrum *= 1 / np.sqrt((1 + (low / np.maximum(hertz, 1)) ** 4) * (1 + (hertz / high) ** 4))
    changed = np.fft.irfft(spectrum, length)[: len(sound)]
    changed *= np.sqrt(np.mean(sound**2) / np.mean(changed**2))
    return np.concatenate([np.zeros(delay), changed])[: len(sound)]


def coded(sound: NDArray[np.float64]) -> Sound:
    """8 kHz mu-law and back."""
    spectrum = np.fft.rfft(sound)
    length = sound.shape[1] // 2 * 2
    half = np.fft.irfft(spectrum[:, : length // 4 + 1], length // 2) / 2
    compressed = np.sign(half) * np.log1p(255 * np.minimum(np.abs(half), 1)) / np.log(256)
    steps = np.round(compressed * 127) / 127
    expanded = np.sign(steps) * (256 ** np.abs(steps) - 1) / 255
    return np.concatenate(list(array_blocks(expanded, 8000, channels="split")), axis=1)


def turns_of(sound: Sound, leaks: LeakFilter) -> list[tuple[Speech, list[Speech]]]:
    """Turns of every channel, and what is left of each."""
    leaks.push(sound)
    found: list[tuple[Speech, list[Speech]]] = []
    for channel in range(len(sound)):
        cutter = TurnCutter(channel)
        for speech in cutter.push(sound[channel]) + cutter.finish():
            found.append((speech, leaks.own(speech)))
    return found


def shared(begin: float, end: float, spans: Spans) -> float:
    """Seconds of a turn that spans cover."""
    return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in spans)


def score(people: list[list[Path]], level: float | None, calls: int) -> dict[str, Any]:
    """Count, over calls, copies that are found and turns of somebody that are lost."""
    random = np.random.default_rng([abs(round(level or 0)), level is None])
    copies = found = talk = lost = 0
    own_seconds = lost_seconds = leaked_seconds = kept_seconds = sound_seconds = 0.0
    spent = 0.0
    for _ in range(calls):
        sound, spans = call(people, level, random)
        sound_seconds += sound.shape[1] / SAMPLE_RATE
        leaks = LeakFilter()
        turns = turns_of(sound, leaks)
        began = time.process_time()
        for speech, _ in turns:
            leaks.own(speech)
        spent += time.process_time() - began
        for speech, left in turns:
            assert speech.channel is not None
            mine, theirs = spans[speech.channel], spans[1 - speech.channel]
            own = shared(speech.start, speech.end, mine)
            kept = sum(shared(part.start, part.end, mine) for part in left)
            own_seconds, lost_seconds = own_seconds + own, lost_seconds + own - kept
            alone = minus(theirs, mine)
            leaked_seconds += shared(speech.start, speech.end, alone)
            kept_seconds += sum(shared(part.start, part.end, alone) for part in left)
            if own < COPY and shared(speech.start, speech.end, theirs) > 0.2:
                copies, found = copies + 1, found + (not left)
            elif own >= TALK:
                talk, lost = talk + 1, lost + (kept < 0.5 * own)
    return {
        "copies": copies,
        "found": round(100 * found / copies, 1) if copies else None,
        "turns": talk,
        "lost": round(100 * lost / talk, 2),
        "leaked_time_kept": round(100 * kept_seconds / leaked_seconds, 1) if leaked_seconds else None,
        "own_time_lost": round(100 * lost_seconds / own_seconds, 2),
        "cpu_per_second": round(spent / sound_seconds, 5),
    }


def minus(spans: Spans, others: Spans) -> Spans:
    """Parts of spans that others do not cover."""
    left = list(spans)
    for first, last in others:
        left = [
            part
            for begin, end in left
            for part in ((begin, min(end, first)), (max(begin, last), end))
            if part[1] > part[0]
        ]
    return left


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folders of clips with their manifests")
    parser.add_argument("--half", choices=HALVES, default="report", help="of the voices")
    parser.add_argument("--calls", type=int, default=12, help="of each level")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    people = voices(arguments.data, arguments.half)
    rows = {}
    for level in (None, *LEVELS):
        name = "no leak" if level is None else f"{level} dB"
        rows[name] = score(people, level, arguments.calls)
        print(name, rows[name], flush=True)
    if arguments.half == "report":
        write_text(
            arguments.out,
            json.dumps({"voices": len(people), "calls": arguments.calls, **rows}, indent=1) + "\n",
        )


if __name__ == "__main__":
    main()
