"""How far recognised words are believed: `benchmarks/recognition.py --data DIR`, to `recognition.json`.

DIR holds `librispeech`, `crema_d`, `ravdess` and `emogator`, each with its clips and a `manifest.csv`
(`file`, `speaker`, `text`). One turn of each reader or actor and the turns of `samples/` are recognised
clean, in noise, in babble of five other readers and backwards, and bursts of voices without words once and
five times in a row. A turn is right if its word error rate (WER) is at most 0.3, wrong from 0.7 on; backwards
and of bursts, all words are invented. Where a clip has no text, the words recognised in the clean one stand
for it: only the change is measured then. Thresholds are chosen on half of the speakers and reported on the
others. It takes about three minutes of CPU. `--asr MODEL` measures another recogniser by the same
thresholds, to `recognition-MODEL.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.decode import blocks
from mister_e.audio.format import SAMPLE_RATE
from mister_e.files import write_text
from mister_e.pretrained.whisper import BUNDLED
from mister_e.training.stage1.augmentation import noise
from mister_e.transcription.asr import THRESHOLDS, Decoded, Thresholds, judge
from mister_e.transcription.segment import transcribe_turns
from mister_e.transcription.transcripts import read_transcript
from mister_e.transcription.whisper import WhisperRecogniser, load_whisper

Sound = NDArray[np.float32]
SAMPLE = Path(__file__).parent.parent / "samples" / "conversation.flac"

#: Clips of so many speakers, one each.
SPEAKERS = {"crema_d": 60, "ravdess": 24, "librispeech": 60}
BURSTS = 150
#: A right turn has at most this WER, a wrong one at least that.
RIGHT, WRONG = 0.3, 0.7
#: Of right turns, in sound of whatever kind, so many in a hundred may be hidden.
MOST_HIDDEN = 5.0
GRID = {
    "uncertain": [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7],
    "no_speech": [0.3, 0.4, 0.5, 0.6, 0.7],
}


@dataclass(frozen=True)
class Turn:
    """A turn before it is recognised.

    :param words: None = not known.
    """

    corpus: str
    speaker: str
    words: str | None
    sound: Sound


@dataclass(frozen=True)
class Outcome:
    """What was recognised of a turn.

    :param half: 0 = thresholds are chosen by it, 1 = it is reported.
    :param wer: word error rate; None = no words were said.
    """

    condition: str
    half: int
    wer: float | None
    decoded: Decoded


def read(data: Path, corpus: str, most: int, random: np.random.Generator) -> Iterator[Turn]:
    """One clip each of the first speakers of a corpus; of readers, the first turn of 1.5 to 8 s."""
    clips: dict[str, list[dict[str, str]]] = {}
    with (data / corpus / "manifest.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            clips.setdefault(row["speaker"], []).append(row)
    for speaker in sorted(clips)[:most]:
        # files are named by sentence and emotion: the first ones would all be alike
        clip = clips[speaker][random.integers(len(clips[speaker]))]
        sound = load(data / corpus / clip["file"])
        if corpus == "librispeech":
            turns = transcribe_turns([sound[None]], recogniser=None, turns="pauses")
            parts = (turn.audio.load() for turn in turns if turn.audio is not None)
            sound = next((part for part in parts if 1.5 <= len(part) / SAMPLE_RATE <= 8), sound[:0])
        if len(sound):
            yield Turn(corpus, speaker, clip["text"] or None, sound)


def sample() -> Iterator[Turn]:
    """The turns of the sample conversation."""
    sound = load(SAMPLE)
    for turn in read_transcript(SAMPLE.with_suffix(".srt")):
        assert turn.start is not None
        assert turn.end is not None
        part = sound[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]
        yield Turn("sample", turn.id.zfill(2), turn.text, part)


def load(path: Path) -> Sound:
    """The mean of a recording's channels."""
    return np.concatenate([block[0] for block in blocks(path)])


def conditions(turns: Sequence[Turn], random: np.random.Generator) -> dict[str, Callable[[Sound], Sound]]:
    """What is done to the turns of speech."""
    readers = [turn.sound for turn in turns if turn.corpus == "librispeech"]

    def babble(sound: Sound, snr: float) -> Sound:
        others = [other for other in readers if other is not sound]
        chosen = random.choice(len(others), 5, replace=False)
        voices = [np.roll(others[k], random.integers(len(others[k]))) for k in chosen]
        mixed = sum(np.resize(voice, len(sound)) / level(voice) for voice in voices)
        return np.asarray(sound + mixed * level(sound) / level(mixed) * 10 ** (-snr / 20), np.float32)

    return {
        "clean": lambda sound: sound,
        "white noise, 10 dB": lambda sound: noise(sound, 10, random),
        "white noise, 0 dB": lambda sound: noise(sound, 0, random),
        "babble, 5 dB": lambda sound: babble(sound, 5),
        "babble, 0 dB": lambda sound: babble(sound, 0),
        "backwards": lambda sound: sound[::-1].copy(),
    }


def level(sound: NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)) + 1e-12))


def five_times(sound: Sound) -> Sound:
    """The loudest 1.2 s, five times in a row."""
    loudest = int(np.convolve(np.abs(sound), np.ones(4_000), "same").argmax())
    begin = max(0, loudest - round(0.6 * SAMPLE_RATE))
    return np.tile(sound[begin : begin + round(1.2 * SAMPLE_RATE)], 5)


def recognise(data: Path, asr: str) -> list[Outcome]:
    """Recognise every turn under every condition, and compare with the words."""
    random = np.random.default_rng(0)
    recogniser = WhisperRecogniser("en", load_whisper(asr))
    turns = [turn for corpus, most in SPEAKERS.items() for turn in read(data, corpus, most, random)]
    turns += sample()
    bursts = list(read(data, "emogator", BURSTS, random))
    plan = [(name, turns, change) for name, change in conditions(turns, random).items()]
    plan += [("bursts", bursts, lambda sound: sound), ("bursts, five times", bursts, five_times)]
    clean: list[Decoded] = []
    outcomes = []
    for name, own, change in plan:
        decoded = recogniser.decode([change(turn.sound) for turn in own])
        clean = clean or decoded
        for number, (turn, result) in enumerate(zip(own, decoded, strict=True)):
            invented = name == "backwards" or own is bursts
            wer = None if invented else word_error_rate(turn.words or clean[number].text, result.text)
            # one turn a speaker: every other speaker
            outcomes.append(Outcome(name, number % 2, wer, result))
        logging.info("%s: %d turns", name, len(own))
    return outcomes


def word_error_rate(said: str, recognised: str) -> float:
    """Word error rate, case and punctuation aside."""
    truth, words = _words(said), _words(recognised)
    row = list(range(len(words) + 1))
    for i, word in enumerate(truth, start=1):
        before, row = row, [i]
        for j, other in enumerate(words, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
    return row[-1] / max(1, len(truth))


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold().replace("11 o'clock", "eleven o'clock"))


def summarise(outcomes: Sequence[Outcome], thresholds: Thresholds) -> dict[str, Any]:
    """Shares of turns in percent, and the WER of what is shown; None where there is no such turn."""
    judged = [judge(outcome.decoded, thresholds) for outcome in outcomes]
    shown = [words is not None and not words.uncertain for words in judged]
    right, wrong, rates = [], [], []
    for outcome, there in zip(outcomes, shown, strict=True):
        wer = outcome.wer
        if not any(map(str.isalnum, outcome.decoded.text)):
            continue
        if wer is None or wer >= WRONG:
            wrong.append(not there)
        elif wer <= RIGHT:
            right.append(not there)
        if there and wer is not None:
            rates.append(wer)
    return {
        "turns": len(outcomes),
        "no words": percent([words is None for words in judged]),
        "uncertain": percent([words is not None and words.uncertain for words in judged]),
        "shown": percent(shown),
        "wer_shown": round(100 * float(np.mean(rates)), 1) if rates else None,
        "right": len(right),
        "right_hidden": percent(right),
        "wrong": len(wrong),
        "wrong_hidden": percent(wrong),
    }


def percent(truths: Sequence[bool]) -> float | None:
    """How many in a hundred are true."""
    return round(100 * float(np.mean(truths)), 1) if truths else None


def choose(outcomes: Sequence[Outcome]) -> tuple[Thresholds, list[dict[str, Any]]]:
    """Choose what hides most wrong words among thresholds that hide few right ones; `words` stays."""
    rows: list[dict[str, Any]] = []
    for values in product(*GRID.values()):
        setting = dict(zip(GRID, values, strict=True))
        summary = summarise(outcomes, replace(THRESHOLDS, **setting))
        rows.append(setting | {name: summary[name] for name in ("right_hidden", "wrong_hidden")})
    good = [row for row in rows if row["right_hidden"] <= MOST_HIDDEN]
    best = max(good, key=lambda row: (row["wrong_hidden"], -row["right_hidden"]))
    return replace(THRESHOLDS, **{name: best[name] for name in GRID}), rows


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--asr", default=BUNDLED)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    outcomes = recognise(arguments.data, arguments.asr)
    chosen, grid = choose([outcome for outcome in outcomes if outcome.half == 0])
    reported = [outcome for outcome in outcomes if outcome.half == 1]
    names = dict.fromkeys(outcome.condition for outcome in outcomes)
    result = {
        "used": vars(THRESHOLDS),
        "chosen": vars(chosen),
        "conditions": {
            name: summarise([outcome for outcome in reported if outcome.condition == name], THRESHOLDS)
            for name in names
        },
        "all": summarise(reported, THRESHOLDS),
        "choice": grid,
    }
    name = "recognition" if arguments.asr == BUNDLED else f"recognition-{Path(arguments.asr).name}"
    out = arguments.out or Path(__file__).with_name(f"{name}.json")
    write_text(out, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
