"""The speech front end: from a turn's samples to a log-mel spectrogram and prosody, the same everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.audio.level import normalise_level, speech_bounds
from mister_e.audio.prosody import STATISTICS, prosody
from mister_e.conversation import Clip, Utterance
from mister_e.encoders.speech.whisper_layers import MELS, MOST_STATES
from mister_e.errors import InputError
from mister_e.files import replacing

#: Less sound than this is no speech.
MIN_SECONDS = 0.05
#: Samples between two rows of a spectrogram: 10 ms.
HOP = 160


@dataclass(frozen=True)
class AudioFeatures:
    """What the frontend extracts from the sound of a turn.

    :param mel: float32 `[M, 80]`, log-mel rows, 100 a second; None where only statistics are known.
    :param statistics: float32 `[8]` as `audio.prosody.STATISTICS`, intensity still absolute
        (see `centred`); NaN = undefined.
    """

    mel: NDArray[np.float32] | None
    statistics: NDArray[np.float32]

    @property
    def length(self) -> int:
        """Number of rows M; 0 without sound."""
        return 0 if self.mel is None else len(self.mel)


class SpeechFrontend:
    """From samples to spectrogram and statistics; the same for training and for use.

    Leading and trailing silence is cut and the level is normalised first, so that neither the gain
    of a recording nor the way a turn was cut reaches the encoder.
    """

    def __init__(self) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._mel = FeatureExtractor(feature_size=MELS)

    def extract_features(self, turns: Sequence[NDArray[np.float32]]) -> list[AudioFeatures | None]:
        """Spectrograms and statistics of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`.
        :return: one `AudioFeatures` a turn, in the given order; None for a turn with less than
            `MIN_SECONDS` of sound: its speech is missing.
        """
        found: list[AudioFeatures | None] = []
        for samples in turns:
            sound = trim_silence(samples)
            audible = len(sound) >= MIN_SECONDS * SAMPLE_RATE
            found.append(AudioFeatures(self.mel(sound), prosody(sound).to_array()) if audible else None)
        return found

    def mel(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectrogram of a turn that `trim_silence` cut, at a normalised level.

        :param sound: float32 `[N]` at `SAMPLE_RATE`, at least `MIN_SECONDS`.
        :return: float32 `[M, 80]`, at most 3000 rows.
        """
        rows = self._mel(normalise_level(sound), padding=0).T
        return np.ascontiguousarray(rows[: 2 * MOST_STATES], dtype=np.float32)


def trim_silence(samples: NDArray[np.float32], seconds: float = LONGEST) -> NDArray[np.float32]:
    """Cut leading and trailing silence, and what is over a length.

    :param samples: float32 `[N]` at `SAMPLE_RATE`.
    :param seconds: the length; default: Whisper's window of 30 s.
    """
    first, last = speech_bounds(samples)
    return samples[first:last][: int(seconds * SAMPLE_RATE)]


def measure_statistics(samples: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Measure the prosody of a turn as the frontend does.

    :param samples: float32 `[N]` at `SAMPLE_RATE`.
    :return: float32 `[8]` as `audio.prosody.STATISTICS`, NaN = undefined; None = less than `MIN_SECONDS` of
        sound: speech is missing.
    """
    sound = trim_silence(samples)
    return prosody(sound).to_array() if len(sound) >= MIN_SECONDS * SAMPLE_RATE else None


def centred(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make intensity relative to the recording: the gain of a microphone says nothing.

    :param statistics: `[T, 8]`, the turns of one recording; NaN = undefined.
    :return: the same with the recording's median taken off `avg_intensity`.
    """
    result = np.array(statistics, dtype=np.float32)
    column = result[:, STATISTICS.index("avg_intensity")]
    if not np.isnan(column).all():
        column -= np.nanmedian(column)
    return result


def save_features(path: Path, features: Sequence[AudioFeatures | None]) -> None:
    """Keep the features of turns in a file, spectrograms in half precision.

    :param path: an `.npz`, written whole or not at all.
    :param features: N turns; None = speech is missing.
    """
    silent = AudioFeatures(None, np.full(len(STATISTICS), np.nan, dtype=np.float32))
    turns = [silent if turn is None else turn for turn in features]
    mels = [np.zeros((0, MELS), np.float32) if turn.mel is None else turn.mel for turn in turns]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            mel=np.concatenate([np.zeros((0, MELS), np.float32), *mels]).astype(np.float16),
            lengths=np.array([len(mel) for mel in mels], dtype=np.int64),
            statistics=np.array([turn.statistics for turn in turns], np.float32).reshape(-1, len(STATISTICS)),
            missing=np.array([turn is None for turn in features], dtype=bool),
        )


def load_features(path: Path) -> list[AudioFeatures | None]:
    """Read what `save_features` kept."""
    with np.load(path) as stored:
        mels = np.split(stored["mel"].astype(np.float32), np.cumsum(stored["lengths"])[:-1])
        statistics, missing = stored["statistics"], stored["missing"]
    return [
        None if gone else AudioFeatures(mel if len(mel) else None, row)
        for mel, row, gone in zip(mels, statistics, missing, strict=True)
    ]


#: A clip that does not say how long it is counts as one of this length when batches are made.
_USUAL_SECONDS = 4.0


def seconds_of(clip: Clip) -> float:
    """Length of a clip, about, without decoding it."""
    if clip.samples is not None:
        return len(clip.samples) / SAMPLE_RATE
    return _USUAL_SECONDS if clip.end is None else clip.end - clip.start


@dataclass(frozen=True)
class TurnAudio:
    """What a turn brings: a clip, or the statistics that a table holds."""

    clip: Clip | None
    statistics: dict[str, float]

    @classmethod
    def of(cls, turn: Utterance) -> Self | None:
        """Take it from a turn; None = neither is there.

        :raises InputError: the statistics are not numbers.
        """
        features = turn.custom.get("features") or {}
        try:
            told = {name: float(features[name]) for name in STATISTICS if features.get(name) is not None}
        except (AttributeError, TypeError, ValueError):
            raise InputError(
                f"turn {turn.id}: custom 'features' are the names of statistics and their numbers,"
                f" such as {STATISTICS[0]}"
            ) from None
        known = {name: value for name, value in told.items() if value == value}  # NaN = undefined
        return cls(turn.audio, known) if turn.audio is not None or known else None

    @property
    def length(self) -> int:
        """Rows of the spectrogram, about; 1 without a clip."""
        return 1 if self.clip is None else 1 + round(seconds_of(self.clip) * SAMPLE_RATE) // HOP

    def to_features(self) -> AudioFeatures:
        """Statistics without sound."""
        return AudioFeatures(
            None, np.array([self.statistics.get(name, np.nan) for name in STATISTICS], np.float32)
        )

    def key(self, clip_key: str | None) -> str:
        """What the embedding depends on: the hash of the clip, or of the statistics.

        :param clip_key: hash of the clip; None = there is none.
        """
        return clip_key if clip_key is not None else digest([json.dumps(self.statistics, sort_keys=True)])


def digest(keys: Sequence[str | None]) -> str:
    """One SHA-256 over some keys."""
    return hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()
