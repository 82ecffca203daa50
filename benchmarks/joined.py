"""Conversations joined of acted and read clips, which `cutting.py` cuts and `confidence.py` listens to.

The voices are those that the bundled models never trained on: validation voices for choosing, test voices for
the report, as `mister_e.corpora.clips.split_by_voice` tells them. RAVDESS, nEMO and CREMA-D give emotions,
LibriSpeech gives neutral speech. Two to four voices talk in a recording of 60 to 90 s; mostly the voice
changes from clip to clip, and an emotion often stays for a while. Between two clips lie 0 to 0.4 s, drawn
uniformly, or they overlap by 0.1 to 0.6 s. A voice has a level of its own, and all of a recording goes
through one microphone, room, line and codec.

`joined.py --data DIR --out DIR` writes some of them as WAV, to be listened to, with what is said when beside.
"""

from __future__ import annotations

import argparse
import json
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.audio.level import normalise_level, speech_bounds
from mister_e.conversation import Clip
from mister_e.corpora.clips import LabelledClip, cut, read_manifest, split_by_voice
from mister_e.labels import MELD_EMOTIONS, match_names
from mister_e.training.stage1.augmentation import coloured, echo, half_band, mu_law, noise, opus, telephone
from mister_e.transcription.segment import transcribe_turns

Sound = NDArray[np.float32]

#: Fraction of the voices that a corpus gives; nEMO has one voice a split.
CORPORA = {"ravdess": 0.5, "crema_d": 0.3, "librispeech": 0.15, "nemo": 0.05}
#: The split whose voices are heard, for each part.
SPLITS = {"choosing": "validation", "reporting": "test"}
SEEDS = {"choosing": 1, "reporting": 2}
#: Seconds of a recording.
SECONDS = (60.0, 90.0)
#: Chance that another voice goes on, that a voice keeps its emotion, and that another voice begins too early.
CHANGES, KEEPS, OVERLAPS = 0.75, 0.5, 0.15
#: The same chance, and the seconds of an overlap, where people interrupt each other: at most a whole clip.
CROSSTALK, INTERRUPTION = 0.5, (0.4, 2.5)
#: Seconds of a gap, and of an overlap.
GAP, OVERLAP = (0.0, 0.4), (0.1, 0.6)
#: Weight of neutral among the emotions that a voice has; each of the others has one.
NEUTRAL = 2.0
#: Seconds of a clip. Acted clips are mostly of 1 to 3 s.
SHORTEST, LONGEST = 0.5, 6.0


@dataclass(frozen=True)
class Piece:
    """Where a clip lies in a recording.

    :param start: first second of its sound.
    :param end: last second.
    :param emotion: its label; None = not known.
    :param voice: position of its voice among those of the recording: to tell overlap and change alone.
    :param corpus: which it came from.
    """

    start: float
    end: float
    emotion: str | None
    voice: int
    corpus: str = ""


@dataclass(frozen=True)
class Joined:
    """A recording of known parts.

    :param name: of it.
    :param sound: float32 `[N]` at `SAMPLE_RATE`.
    :param pieces: in the order of their starts.
    """

    name: str
    sound: Sound
    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.sound) / SAMPLE_RATE


@dataclass(frozen=True)
class _Voice:
    """The sounds of a voice, by emotion."""

    corpus: str
    sounds: Mapping[str, Sequence[Sound]]


def joined(
    data: Path, part: str, count: int = 40, work: Path | None = None, *, crosstalk: bool = False
) -> Iterator[Joined]:
    """Join recordings; the same ones every time.

    :param data: holds the folders of `CORPORA`.
    :param part: "choosing" or "reporting".
    :param count: number of recordings.
    :param work: keeps them, and gives those that it has; None = keep nothing.
    :param crosstalk: others with much overlap, as people interrupt each other.
    """
    kind = f"{part} crosstalk" if crosstalk else part
    voices: dict[str, list[_Voice]] = {}
    for number in range(count):
        name = f"{kind} {number + 1:02}"
        path = None if work is None else work / "joined" / f"{name}.npz"
        if path is not None and path.is_file():
            kept = np.load(path)
            pieces = tuple(Piece(**piece) for piece in json.loads(str(kept["pieces"])))
            yield Joined(name, kept["sound"], pieces)
            continue
        voices = voices or {corpus: _voices(data / corpus, corpus, SPLITS[part]) for corpus in CORPORA}
        random = np.random.default_rng((SEEDS[part], number, int(crosstalk))[: 3 if crosstalk else 2])
        made = _join(name, _draw(voices, random), random, crosstalk)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            listed = json.dumps([asdict(piece) for piece in made.pieces])
            np.savez(path, sound=made.sound, pieces=np.array(listed))
        yield made


def unseen_clips(folder: Path, corpus: str, split: str) -> list[tuple[LabelledClip, str]]:
    """Labelled clips of the voices of a split, with their emotions.

    :param folder: holds the clips and `manifest.csv`.
    :param corpus: its name; of LibriSpeech, those voices that neither the encoders nor the network knew.
    :param split: one of the splits of `split_by_voice`.
    """
    clips = read_manifest(folder)
    splits = split_by_voice(clips)
    if corpus == "librispeech":  # the encoders and the network were trained on other divisions
        of_encoders = split_by_voice(cut(clips, folder, 3.0, 3))
        splits = {file: own for file, own in of_encoders.items() if splits[file] != "train"}
    told = {"unlabelled_read": "neutral"} if corpus == "librispeech" else {}
    names = match_names(
        {clip.emotion for clip in clips if clip.emotion is not None}, MELD_EMOTIONS, told, corpus
    )
    return [
        (clip, names[clip.emotion])
        for clip in clips
        if splits.get(clip.file) == split and clip.emotion in names
    ]


def _voices(folder: Path, corpus: str, split: str) -> list[_Voice]:
    """Sounds of the voices of a split, their silence cut off."""
    found: dict[str, dict[str, list[Sound]]] = {}
    for clip, emotion in unseen_clips(folder, corpus, split):
        sound = Clip(str(folder / clip.file)).load()
        parts = [sound]
        if corpus == "librispeech":  # at the pauses, so that no word is cut
            turns = transcribe_turns([sound[None]], recogniser=None, turns="pauses")
            parts = [turn.audio.load() for turn in turns if turn.audio is not None]
        for whole in parts:
            first, last = speech_bounds(whole)
            if SHORTEST <= (last - first) / SAMPLE_RATE <= LONGEST:
                kinds = found.setdefault(clip.voice or clip.file, {})
                kinds.setdefault(emotion, []).append(_faded(normalise_level(whole[first:last])))
    return [_Voice(corpus, found[name]) for name in sorted(found)]


def _faded(sound: Sound, seconds: float = 0.005) -> Sound:
    """Fade both ends, so that nothing clicks."""
    ramp = np.linspace(0, 1, int(seconds * SAMPLE_RATE), dtype=np.float32)
    sound = sound.copy()
    sound[: len(ramp)] *= ramp
    sound[-len(ramp) :] *= ramp[::-1]
    return sound


def _draw(voices: Mapping[str, Sequence[_Voice]], random: np.random.Generator) -> list[_Voice]:
    """Draw the voices of a recording: two to four, no two the same."""
    wanted, chosen = int(random.integers(2, 5)), []
    while len(chosen) < wanted:
        corpus = str(random.choice(list(CORPORA), p=list(CORPORA.values())))
        voice = voices[corpus][int(random.integers(len(voices[corpus])))]
        if all(voice is not other for other in chosen):
            chosen.append(voice)
    return chosen


def _join(name: str, voices: Sequence[_Voice], random: np.random.Generator, crosstalk: bool) -> Joined:
    """Join clips of some voices to a recording."""
    seconds = random.uniform(*SECONDS)
    gains = 10 ** (random.uniform(-4, 4, len(voices)) / 20)
    emotions = [_emotion(voice, random) for voice in voices]
    speaker = int(random.integers(len(voices)))
    mix = np.zeros(int((seconds + 2 * LONGEST) * SAMPLE_RATE), np.float32)
    pieces: list[Piece] = []
    end = 0.0
    while end < seconds:
        before = speaker
        if random.random() < CHANGES:
            others = [number for number in range(len(voices)) if number != speaker]
            speaker = int(random.choice(others))
        if random.random() > KEEPS:
            emotions[speaker] = _emotion(voices[speaker], random)
        sounds = voices[speaker].sounds[emotions[speaker]]
        sound = sounds[int(random.integers(len(sounds)))]
        gap = random.uniform(*GAP)
        overlap = random.uniform(*(INTERRUPTION if crosstalk else OVERLAP))
        early = random.random() < (CROSSTALK if crosstalk else OVERLAPS)
        if early and pieces and speaker != before:
            shorter = min(pieces[-1].end - pieces[-1].start, len(sound) / SAMPLE_RATE)
            gap = -min(overlap, shorter if crosstalk else shorter / 2)
        first = max(0, round((end + gap) * SAMPLE_RATE))
        mix[first : first + len(sound)] += gains[speaker] * 10 ** (random.uniform(-2, 2) / 20) * sound
        end = (first + len(sound)) / SAMPLE_RATE
        pieces.append(Piece(first / SAMPLE_RATE, end, emotions[speaker], speaker, voices[speaker].corpus))
    sound = _as_one_recording(mix[: int((end + 0.3) * SAMPLE_RATE)], random)
    return Joined(name, sound, tuple(pieces))


def _emotion(voice: _Voice, random: np.random.Generator) -> str:
    """Draw one of the emotions that a voice has."""
    names = sorted(voice.sounds)
    weights = np.array([NEUTRAL if name == "neutral" else 1.0 for name in names])
    return str(random.choice(names, p=weights / weights.sum()))


def _as_one_recording(sound: Sound, random: np.random.Generator) -> Sound:
    """Take all through one microphone, room, line and codec; no time moves."""
    length = len(sound)
    sound = coloured(sound, 6.0, random)
    if random.random() < 0.5:
        sound = echo(sound, random.uniform(0.15, 0.5), random.uniform(0.1, 0.5), random)
    sound = noise(sound, random.uniform(18, 40), random, float(random.integers(3)))
    line = random.random()
    if line < 0.25:
        sound = telephone(sound)
    elif line < 0.4:
        sound = half_band(sound)
    sound = normalise_level(sound[:length])
    codec = random.random()
    if codec < 0.15:
        sound = mu_law(sound)
    elif codec < 0.4:
        sound = opus(sound, int(random.uniform(12_000, 32_000)))
    return np.pad(sound[:length], (0, max(0, length - len(sound))))


def main() -> None:
    """Read the command line and write recordings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with ravdess/, crema_d/, …")
    parser.add_argument("--out", type=Path, required=True, help="gets the recordings")
    parser.add_argument("--part", choices=list(SPLITS), default="choosing")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--crosstalk", action="store_true", help="those in which people interrupt each other")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for made in joined(arguments.data, arguments.part, arguments.count, crosstalk=arguments.crosstalk):
        with wave.open(str(arguments.out / f"{made.name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes((np.clip(made.sound, -1, 1) * 32767).astype("<i2").tobytes())
        rows = [f"{piece.start:.2f}\t{piece.end:.2f}\t{piece.emotion}\n" for piece in made.pieces]
        (arguments.out / f"{made.name}.txt").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
