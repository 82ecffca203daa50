"""Sound to one embedding a turn: Whisper frames pooled over the real ones, and prosody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.audio.level import normalise_level, speech_bounds
from mister_e.audio.prosody import STATISTICS, prosody
from mister_e.audio.vad import LONGEST
from mister_e.conversation import SAMPLE_RATE
from mister_e.encoders.pooling import AttentiveStatisticsPooling
from mister_e.encoders.weights import wheel_folder
from mister_e.errors import InputError

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

_LOGARITHMIC = {"duration", "avg_pitch", "pitch_std", "pitch_range"}


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


class SpeechEncoderConfig(BaseModel):
    """Sizes of the speech encoder.

    :param base: the frozen encoder that makes the frames.
    :param embedding_dim: width of the embedding.
    :param attention_hidden: hidden width of the attentive pooling.
    :param dropout: on the pooled vector and before the classifier, in training only.
    :param classes: size of the classifier that fine-tuning uses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "whisper-tiny.en"
    embedding_dim: int = Field(128, gt=0)
    attention_hidden: int = Field(64, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    classes: int = Field(7, ge=2)


class SpeechEncoder(nn.Module):
    """Attentive statistics pooling of frames, joined with prosody, projected to the embedding.

    Frames may be missing (a corpus that holds statistics alone): a learned vector stands for them.
    Statistics that are undefined (NaN) count as average, and a flag says so.
    """

    statistics_mean: Tensor
    statistics_std: Tensor
    logarithmic: Tensor

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.embedding_dim
        self.pool = AttentiveStatisticsPooling(FRAME_DIM, config.attention_hidden)
        self.norm = nn.LayerNorm(self.pool.width)
        self.missing_frames = nn.Parameter(torch.zeros(self.pool.width))
        self.register_buffer("statistics_mean", torch.zeros(len(STATISTICS)))
        self.register_buffer("statistics_std", torch.ones(len(STATISTICS)))
        logarithmic = torch.tensor([name in _LOGARITHMIC for name in STATISTICS])
        self.register_buffer("logarithmic", logarithmic, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(self.pool.width + 2 * len(STATISTICS), self.dim)
        self.classify = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(self.dim, config.classes)
        )

    def fit_statistics(self, statistics: Tensor) -> None:
        """Standardise by the statistics of the training turns.

        :param statistics: `[N, 8]`, NaN = undefined.
        """
        scaled = self._scale(statistics)
        defined = ~scaled.isnan()
        count = defined.sum(0).clamp(min=1)
        mean = scaled.nan_to_num().sum(0) / count
        squares = torch.where(defined, (scaled - mean).square(), 0.0)
        self.statistics_mean = mean
        self.statistics_std = (squares.sum(0) / count).sqrt().clamp(min=1e-3)

    def pooled(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Pool frames; what a long recording keeps of them.

        :param frames: `[N, F, 384]`.
        :param frame_mask: bool `[N, F]`, True = a real frame; no True in a row = frames missing.
        :return: `[N, 768]`.
        """
        pooled = self.norm(self.pool(frames, frame_mask))
        return torch.where(frame_mask.any(1, keepdim=True), pooled, self.missing_frames)

    def join(self, pooled: Tensor, statistics: Tensor) -> Tensor:
        """Embed pooled frames `[N, 768]` and statistics `[N, 8]` (NaN = undefined) to `[N, dim]`.

        The statistics are those of `centred`: intensity relative to the recording.
        """
        scaled = (self._scale(statistics) - self.statistics_mean) / self.statistics_std
        undefined = scaled.isnan()
        scaled = torch.where(undefined, 0.0, scaled).clamp(-4, 4)
        joined = torch.cat([self.dropout(pooled), scaled, undefined.to(scaled.dtype)], -1)
        embedded: Tensor = self.project(joined)
        return embedded

    def forward(self, frames: Tensor, frame_mask: Tensor, statistics: Tensor) -> Tensor:
        """Embed turns: `pooled`, then `join`."""
        return self.join(self.pooled(frames, frame_mask), statistics)

    def _scale(self, statistics: Tensor) -> Tensor:
        """Put durations and pitches on scales on which equal steps sound equal; decibels stay."""
        return torch.where(self.logarithmic, statistics.clamp(min=1e-2).log(), statistics)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Classify embeddings `[N, dim]` to `[N, C]` (stage 1 only)."""
        logits: Tensor = self.classify(embeddings)
        return logits

    @torch.inference_mode()
    def pool_heard(self, heard: Sequence[Heard], *, batch_frames: int = 20_000) -> Tensor:
        """Pool what was heard, in batches of like length.

        :param heard: N turns of the front end.
        :param batch_frames: frames in a batch, pads included.
        :return: float32 `[N, 768]`, in the given order.
        """
        result = torch.zeros(len(heard), self.pool.width)
        lengths = [turn.length for turn in heard]
        order = sorted(range(len(heard)), key=lambda i: -lengths[i])
        while order:
            batch = order[: max(1, batch_frames // max(1, lengths[order[0]]))]
            order = order[len(batch) :]
            frames, mask, _ = collate([heard[i] for i in batch])
            device = self.missing_frames.device
            result[batch] = self.pooled(frames.to(device), mask.to(device)).float().cpu()
        return result


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


def collate(heard: Sequence[Heard]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad turns to one batch.

    :param heard: N turns.
    :return: frames `[N, F, 384]`, frame mask bool `[N, F]`, statistics `[N, 8]`.
    :raises InputError: there is none.
    """
    if not heard:
        raise InputError("a batch needs at least one turn")
    longest = max(1, *(turn.length for turn in heard))
    frames = torch.zeros(len(heard), longest, FRAME_DIM)
    mask = torch.zeros(len(heard), longest, dtype=torch.bool)
    for row, turn in enumerate(heard):
        if turn.frames is not None:
            frames[row, : len(turn.frames)] = torch.from_numpy(turn.frames.astype(np.float32, copy=False))
            mask[row, : len(turn.frames)] = True
    return frames, mask, torch.from_numpy(np.stack([turn.statistics for turn in heard]))
