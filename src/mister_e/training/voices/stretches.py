"""Stretches of sound with known changes of voice, put together from clips of single voices.

Pieces of one voice and of several follow each other with pauses, without, or overlapping. What else changes
from piece to piece (level, sound of the microphone, what is said) changes within a voice too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import SAMPLE_RATE
from mister_e.training.settings import AugmentationConfig
from mister_e.training.settings.voices import StretchConfig
from mister_e.training.stage1.augmentation import augment, coloured, speed
from mister_e.training.voices.clips import Voices
from mister_e.transcription.cutting.voices import OVERLAP_RATE

Sound = NDArray[np.float32]

# A moment is one of change up to so far (s) beside where the voices change; further out, up to the second
# number, it is not asked about: what is right there is a matter of taste.
_NEAR, _UNSURE = 0.12, 0.4
# Samples over which a piece fades in and out, so that no join clicks.
_FADE = 160
# Power is looked at in steps of 10 ms; a piece sounds where its power is above this part of its mean.
_STEP, _SOUNDING = 160, 0.03
# Stretches and pieces are as long as a multiple of so many samples: a Fourier transform of a length with
# large prime factors takes ten times as long.
_GRID, _PIECE_GRID = 1600, 160


@dataclass(frozen=True)
class Stretch:
    """A stretch and what is true of it.

    :param sound: float32 `[N]` at `SAMPLE_RATE`.
    :param moments: `[K]` seconds that are asked about.
    :param change: `[K]`, 1 = the voice changes there, 0 = it stays.
    :param joins: bool `[K]`, whether two pieces meet there, of one voice or of two.
    :param overlap: `[F]`, 1 where several speak, `OVERLAP_RATE` values a second.
    """

    sound: Sound
    moments: NDArray[np.float32]
    change: NDArray[np.float32]
    joins: NDArray[np.bool_]
    overlap: NDArray[np.float32]


@dataclass(frozen=True)
class _Piece:
    """A piece of one voice in the stretch."""

    voice: tuple[int, int]
    start: int
    sound: Sound

    @property
    def end(self) -> int:
        return self.start + len(self.sound)


def draw_stretch(
    corpora: Sequence[Voices],
    config: StretchConfig,
    augmentation: AugmentationConfig,
    seconds: float,
    random: np.random.Generator,
) -> Stretch:
    """Draw a stretch.

    :param corpora: voices to draw from.
    :param config: of what it is made.
    :param augmentation: through which recording it is heard.
    :param seconds: its length, to the next tenth.
    :param random: two calls with generators of one state give the same stretch.
    """
    length = max(1, round(seconds * SAMPLE_RATE / _GRID)) * _GRID
    pieces, over = _pieces(corpora, config, length, random)
    sound = np.zeros(length, np.float32)
    for piece in [*pieces, *over]:
        sound[piece.start : piece.end] += piece.sound[: max(0, length - piece.start)]
    moments, change, joins = _asked(pieces, over, sound, random)
    overlap = _overlap([*pieces, *over], length)
    heard = augment(sound, augmentation, random)[:length]
    heard = np.pad(heard, (0, length - len(heard)))
    peak = float(np.abs(heard).max(initial=0.0))
    return Stretch(heard / max(1.0, peak), moments, change, joins, overlap)


def _pieces(
    corpora: Sequence[Voices], config: StretchConfig, length: int, random: np.random.Generator
) -> tuple[list[_Piece], list[_Piece]]:
    """Pieces one after the other, and short ones that lie over them."""
    weights = np.array([corpus.weight for corpus in corpora])
    weights /= weights.sum()

    def corpus() -> int:
        return int(random.choice(len(corpora), p=weights))

    count = 1 if random.random() < config.one_voice else int(random.integers(2, config.max_voices + 1))
    count = min(count, sum(len(corpus.clips) for corpus in corpora))
    mixed, home = random.random() < config.other_corpus, corpus()
    voices: list[tuple[int, int]] = []
    while len(voices) < count:
        place = corpus() if mixed else home
        voice = (place, int(random.integers(len(corpora[place].clips))))
        if voice not in voices:
            voices.append(voice)
        elif len(corpora[home].clips) <= len(voices):
            mixed = True
    speeds = random.uniform(*config.voice_speed, count)
    levels = random.normal(0, config.voice_level_db, count)

    def sound_of(who: int, seconds: float) -> Sound:
        clip = corpora[voices[who][0]].clip(voices[who][1], random)
        return _cut(clip, seconds, speeds[who], levels[who], config, random)

    low, high = np.log(config.piece_seconds)
    pieces: list[_Piece] = []
    over: list[_Piece] = []
    who, end = 0, 0
    while end < length:
        if pieces and count > 1 and random.random() < config.change:
            who = (who + int(random.integers(1, count))) % count
        sound = sound_of(who, float(np.exp(random.uniform(low, high))))
        start = end
        changed = bool(pieces) and pieces[-1].voice != voices[who]
        if pieces and random.random() >= config.no_gap:
            start += int(random.uniform(*config.gap_seconds) * SAMPLE_RATE)
        if changed and random.random() < config.overlap:
            most = min(len(pieces[-1].sound), len(sound)) // 2
            start = end - min(most, int(random.uniform(*config.overlap_seconds) * SAMPLE_RATE))
        pieces.append(_Piece(voices[who], start, sound))
        end = pieces[-1].end
        if count > 1 and len(sound) > 2 * SAMPLE_RATE and random.random() < config.over:
            other = (who + int(random.integers(1, count))) % count
            short = sound_of(other, random.uniform(0.3, 1.0))[: len(sound) // 2]
            first = start + int(random.integers(len(sound) - len(short)))
            over.append(_Piece(voices[other], first, short))
    return pieces, over


def _cut(
    clip: Sound,
    seconds: float,
    factor: float,
    level: float,
    config: StretchConfig,
    random: np.random.Generator,
) -> Sound:
    """Cut a piece out of a clip, at quiet moments where there are some near."""
    length = min(len(clip), int(seconds * factor * SAMPLE_RATE))
    first = int(random.integers(len(clip) - length + 1))
    first, last = _quietest(clip, first), _quietest(clip, first + length)
    if last - first < 4 * _FADE:
        first, last = 0, len(clip)
    sound = speed(clip[first:last], factor)
    sound = np.pad(sound, (0, -len(sound) % _PIECE_GRID))
    if random.random() < config.piece_microphone:
        sound = coloured(sound, config.piece_microphone_db, random)
    fade = np.linspace(0, 1, _FADE, dtype=np.float32)
    sound = sound * np.float32(10 ** ((level + random.normal(0, config.piece_level_db)) / 20))
    sound[:_FADE] *= fade
    sound[-_FADE:] *= fade[::-1]
    return np.asarray(sound, np.float32)


def _quietest(clip: Sound, place: int, reach: float = 0.15) -> int:
    """Find the quietest 20 ms within a reach (s) of a place; the ends of a clip are quiet."""
    side = int(reach * SAMPLE_RATE)
    if place < side // 4 or place > len(clip) - side // 4:
        return 0 if place < side else len(clip)
    first, last = max(0, place - side), min(len(clip), place + side)
    power = _power(clip[first:last])
    if len(power) < 3:
        return place
    return first + _STEP * (1 + int(np.argmin(power[:-1] + power[1:])))


def _power(sound: Sound) -> NDArray[np.float32]:
    """Mean power in steps of 10 ms."""
    steps = len(sound) // _STEP
    return np.asarray(np.square(sound[: steps * _STEP]).reshape(steps, _STEP).mean(1), np.float32)


def _asked(
    pieces: Sequence[_Piece], over: Sequence[_Piece], sound: Sound, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Moments that are asked about: joins, quiet moments within pieces, and any."""
    joins = [
        (min(before.end, after.start), max(before.end, after.start), before.voice != after.voice)
        for before, after in pairwise(pieces)
    ]
    unsure = [(piece.start, piece.end) for piece in over]
    near, far = int(_NEAR * SAMPLE_RATE), int(_UNSURE * SAMPLE_RATE)
    places = [
        *(int(random.uniform(first - near / 2, last + near / 2)) for first, last, _ in joins),
        *_dips(sound),
        *(int(place) for place in random.uniform(0, len(sound), 2)),
    ]
    moments, change, joined = [], [], []
    for place in sorted(places):
        if not near < place < len(sound) - near:
            continue
        if any(first - far < place < last + far for first, last in unsure):
            continue
        there = [new for first, last, new in joins if first - near <= place <= last + near]
        close = any(new and first - far <= place <= last + far for first, last, new in joins)
        if close and not any(there):
            continue
        moments.append(place / SAMPLE_RATE)
        change.append(float(any(there)))
        joined.append(bool(there))
    return np.array(moments, np.float32), np.array(change, np.float32), np.array(joined, bool)


def _dips(sound: Sound) -> list[int]:
    """Quiet moments between louder ones, as gaps between words are."""
    power = np.convolve(_power(sound), np.ones(5) / 5, "same")
    if len(power) < 30:
        return []
    level = power.mean()
    found: list[int] = []
    for place in np.argsort(power[10:-10]) + 10:
        if power[place] > 0.3 * level or len(found) == 8:
            break
        if all(abs(place * _STEP - other) > 0.3 * SAMPLE_RATE for other in found):
            found.append(int(place) * _STEP + _STEP // 2)
    return found


def _overlap(pieces: Sequence[_Piece], length: int) -> NDArray[np.float32]:
    """Fraction of each tenth of a second in which several voices sound."""
    steps = -(-length // _STEP)
    voices: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for piece in pieces:
        power = np.convolve(_power(piece.sound), np.ones(9) / 9, "same")
        sounding = power > _SOUNDING * power.mean()
        first = piece.start // _STEP
        own = voices.setdefault(piece.voice, np.zeros(steps, bool))
        own[first : first + len(sounding)] |= sounding[: max(0, steps - first)]
    several = np.sum([*voices.values()], axis=0) > 1
    size = SAMPLE_RATE // OVERLAP_RATE // _STEP
    several = np.pad(several, (0, -len(several) % size)).reshape(-1, size)
    return np.asarray(several.mean(1), np.float32)
