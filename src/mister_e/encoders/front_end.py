"""The speech front end: from a turn's samples to a log-mel spectrogram and prosody, the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mister_e.audio.level import normalise_level, speech_bounds
from mister_e.audio.prosody import STATISTICS, prosody
from mister_e.audio.vad import LONGEST
from mister_e.conversation import SAMPLE_RATE
from mister_e.encoders.weights import wheel_folder
from mister_e.encoders.whisper import MELS, MOST_STATES
from mister_e.files import replacing

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

#: Less sound than this is no speech.
MIN_SECONDS = 0.05
#: Samples between two rows of a spectrogram: 10 ms.
HOP = 160


@dataclass(frozen=True)
class Heard:
    """What the front end hears in a turn.

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


def load_whisper(*, threads: int = 0) -> WhisperModel:
    """Whisper tiny.en from its wheel, on the CPU, for recognition.

    :param threads: threads of one call; 0 = the library's default.
    """
    from faster_whisper import WhisperModel

    return WhisperModel(
        str(wheel_folder("whisper-tiny.en")),
        device="cpu",
        compute_type="int8",
        cpu_threads=threads,
    )


class SpeechFrontEnd:
    """From samples to spectrogram and statistics; the same for training and for use.

    Leading and trailing silence is cut and the level is normalised first, so that neither the gain
    of a recording nor the way a turn was cut reaches the encoder.
    """

    def __init__(self) -> None:
        from faster_whisper.feature_extractor import FeatureExtractor

        self._mel = FeatureExtractor(feature_size=MELS)

    def hear(self, turns: Sequence[NDArray[np.float32]]) -> list[Heard | None]:
        """Spectrograms and statistics of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`.
        :return: one `Heard` a turn, in the given order; None for a turn with less than
            `MIN_SECONDS` of sound: its speech is missing.
        """
        heard: list[Heard | None] = []
        for samples in turns:
            sound = sounding(samples)
            audible = len(sound) >= MIN_SECONDS * SAMPLE_RATE
            heard.append(Heard(self.mel(sound), prosody(sound).to_array()) if audible else None)
        return heard

    def mel(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectrogram of a turn that `sounding` cut, at a normalised level.

        :param sound: float32 `[N]` at `SAMPLE_RATE`, at least `MIN_SECONDS`.
        :return: float32 `[M, 80]`, at most 3000 rows.
        """
        rows = self._mel(normalise_level(sound), padding=0).T
        return np.ascontiguousarray(rows[: 2 * MOST_STATES], dtype=np.float32)


def sounding(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut leading and trailing silence, and what is over Whisper's window of 30 s."""
    first, last = speech_bounds(samples)
    return samples[first:last][: int(LONGEST * SAMPLE_RATE)]


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


def save_heard(path: Path, heard: Sequence[Heard | None]) -> None:
    """Keep what was heard of some turns in a file, spectrograms in half precision.

    :param path: an `.npz`, written whole or not at all.
    :param heard: N turns; None = speech is missing.
    """
    silent = Heard(None, np.full(len(STATISTICS), np.nan, dtype=np.float32))
    turns = [silent if turn is None else turn for turn in heard]
    mels = [np.zeros((0, MELS), np.float32) if turn.mel is None else turn.mel for turn in turns]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            mel=np.concatenate([np.zeros((0, MELS), np.float32), *mels]).astype(np.float16),
            lengths=np.array([len(one) for one in mels], dtype=np.int64),
            statistics=np.array([turn.statistics for turn in turns], np.float32).reshape(-1, len(STATISTICS)),
            missing=np.array([turn is None for turn in heard], dtype=bool),
        )


def load_heard(path: Path) -> list[Heard | None]:
    """Read what `save_heard` kept."""
    with np.load(path) as stored:
        mels = np.split(stored["mel"].astype(np.float32), np.cumsum(stored["lengths"])[:-1])
        statistics, missing = stored["statistics"], stored["missing"]
    return [
        None if gone else Heard(one if len(one) else None, row)
        for one, row, gone in zip(mels, statistics, missing, strict=True)
    ]
