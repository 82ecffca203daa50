"""The speech front end: from a turn's samples to Whisper frames and prosody, the same everywhere."""

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
from mister_e.files import replacing

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

#: Less sound than this is no speech.
MIN_SECONDS = 0.05
#: Turns are padded to multiples of this before the encoder, so that turns of one length make a
#: batch and the result depends on the turn alone, never on its neighbours in the batch.
GRID_SECONDS = 0.5
#: Samples behind one frame of the encoder: a hop of 160 and a stride of 2.
SAMPLES_A_FRAME = 320
FRAME_DIM = 384


@dataclass(frozen=True)
class Heard:
    """What the front end hears in a turn.

    :param frames: float32 `[F, 384]`, 50 a second; None where only statistics are known.
    :param statistics: float32 `[8]` as `audio.prosody.STATISTICS`, intensity still absolute
        (see `centred`); NaN = undefined.
    """

    frames: NDArray[np.float32] | None
    statistics: NDArray[np.float32]

    @property
    def length(self) -> int:
        """Number of frames F; 0 without frames."""
        return 0 if self.frames is None else len(self.frames)


def load_whisper(*, threads: int = 0) -> WhisperModel:
    """Whisper tiny.en from its wheel, on the CPU: one copy serves recognition and embedding.

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
    """From samples to frames and statistics; the same for training and for use.

    Leading and trailing silence is cut and the level is normalised first, so that neither the gain
    of a recording nor the way a turn was cut reaches the frames.
    """

    def __init__(self, whisper: WhisperModel) -> None:
        self.whisper = whisper

    def hear(
        self, turns: Sequence[NDArray[np.float32]], *, batch_seconds: float = 30.0
    ) -> list[Heard | None]:
        """Frames and statistics of turns.

        :param turns: float32 `[N]` each, at `SAMPLE_RATE`.
        :param batch_seconds: audio in one call of the encoder.
        :return: one `Heard` a turn, in the given order; None for a turn with less than
            `MIN_SECONDS` of sound: its speech is missing.
        """
        sounding = [self._sounding(samples) for samples in turns]
        heard: list[Heard | None] = [None] * len(turns)
        grid = int(GRID_SECONDS * SAMPLE_RATE)
        lengths = [-(-len(samples) // grid) * grid for samples in sounding]
        audible = [i for i, samples in enumerate(sounding) if len(samples) >= MIN_SECONDS * SAMPLE_RATE]
        order = sorted(audible, key=lambda i: lengths[i])
        while order:
            length = lengths[order[0]]
            most = max(1, int(batch_seconds * SAMPLE_RATE / length))
            batch = [i for i in order[:most] if lengths[i] == length]
            order = order[len(batch) :]
            level = [normalise_level(sounding[i]) for i in batch]
            frames = self._encode(np.stack([np.pad(one, (0, length - len(one))) for one in level]))
            for i, encoded in zip(batch, frames, strict=True):
                real = encoded[: len(sounding[i]) // SAMPLES_A_FRAME]
                heard[i] = Heard(real, prosody(sounding[i]).to_array())
        return heard

    def _sounding(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut leading and trailing silence, and what is over Whisper's window."""
        first, last = speech_bounds(samples)
        return samples[first:last][: int(LONGEST * SAMPLE_RATE)]

    def _encode(self, padded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode `[B, N]` samples to `[B, N / 320, 384]` frames."""
        mel = np.stack([self.whisper.feature_extractor(row, padding=0) for row in padded])
        return np.asarray(self.whisper.encode(mel), dtype=np.float32)


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
    """Keep what was heard of some turns in a file, frames in half precision.

    :param path: an `.npz`, written whole or not at all.
    :param heard: N turns; None = speech is missing.
    """
    silent = Heard(None, np.full(len(STATISTICS), np.nan, dtype=np.float32))
    turns = [silent if turn is None else turn for turn in heard]
    frames = [np.zeros((0, FRAME_DIM), np.float32) if t.frames is None else t.frames for t in turns]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            frames=np.concatenate([np.zeros((0, FRAME_DIM), np.float32), *frames]).astype(np.float16),
            lengths=np.array([len(one) for one in frames], dtype=np.int64),
            statistics=np.array([turn.statistics for turn in turns], np.float32).reshape(-1, len(STATISTICS)),
            missing=np.array([turn is None for turn in heard], dtype=bool),
        )


def load_heard(path: Path) -> list[Heard | None]:
    """Read what `save_heard` kept."""
    with np.load(path) as stored:
        frames = np.split(stored["frames"], np.cumsum(stored["lengths"])[:-1])
        statistics, missing = stored["statistics"], stored["missing"]
    return [
        None if gone else Heard(one if len(one) else None, row)
        for one, row, gone in zip(frames, statistics, missing, strict=True)
    ]
