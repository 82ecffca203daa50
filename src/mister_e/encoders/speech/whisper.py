"""Sound to one embedding a turn: states of an adapted Whisper, relative to the recording, and prosody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.audio.format import LONGEST, SAMPLE_RATE
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Conversation
from mister_e.encoders.backbones.loading import identify
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.layers import AttentiveStatisticsPooling
from mister_e.encoders.persistence import fill, read, write
from mister_e.encoders.speech.batching import ROWS, by_length, collate, cropped, extract_turns, on_grid
from mister_e.encoders.speech.frontend import (
    HOP,
    AudioFeatures,
    SpeechFrontend,
    TurnAudio,
    centred,
    digest,
)
from mister_e.encoders.speech.preprocess import sound_keys
from mister_e.encoders.speech.whisper_layers import LAYERS, WIDTH, WhisperStates
from mister_e.errors import InputError

_LOGARITHMIC = {"duration", "avg_pitch", "pitch_std", "pitch_range"}
#: Turns after which a recording's own mean and deviation count as much as the typical ones: shrinkage of a
#: sample estimate towards a prior that is worth so many turns.
SHRINK = 8.0
#: Weight of a batch in the running mean that the typical mean and deviation are, in fine-tuning.
_FOLLOW = 0.02
_INTENSITY = torch.tensor([STATISTICS.index("avg_intensity")])


class WhisperEncoderConfig(BaseModel):
    """Sizes of the speech encoder.

    :param base: the frozen encoder that makes the states.
    :param rank: of the trained update of each of its linear layers; 0 = it stays as it is.
    :param embedding_dim: width of the embedding.
    :param attention_hidden: hidden width of the attentive pooling.
    :param dropout: on the pooled vector and before the classifier, in training only.
    :param loudness: whether intensity, relative to the recording, counts beside sound; False = only where
        statistics are all there is.
    :param crop_seconds: in fine-tuning a random stretch of this length stands for a longer turn.
    :param classes: size of the classifier that fine-tuning uses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "whisper-tiny.en"
    rank: int = Field(16, ge=0, le=1024)
    embedding_dim: int = Field(128, gt=0, le=16384)
    attention_hidden: int = Field(64, gt=0, le=16384)
    dropout: float = Field(0.2, ge=0, lt=1)
    loudness: bool = True
    crop_seconds: float = Field(4.0, gt=0.1)
    classes: int = Field(7, ge=2, le=10_000)


class WhisperEncoder(UtteranceEncoder):
    """Layers of an adapted Whisper, weighted and pooled, relative to the recording, joined with prosody.

    A conversation is one example: pooled states and loudness (see `loudness` of the configuration) count
    relative to those of its turns. The
    mean and deviation of a recording tell its microphone, room and voices more than any emotion; they are
    those of the recording as far as it has turns, and typical ones as far as it lacks them (`SHRINK`).

    Sound may be missing (a corpus that holds statistics alone): a learned vector stands for it.
    Statistics that are undefined (NaN) count as average, and a flag says so.
    """

    modality: ClassVar[Literal["speech"]] = "speech"
    kind: ClassVar[str] = "whisper"
    batch_cost: ClassVar[int] = 40_000
    recording_relative: ClassVar[bool] = True
    config: WhisperEncoderConfig
    typical_mean: Tensor
    typical_spread: Tensor
    statistics_mean: Tensor
    statistics_std: Tensor
    logarithmic: Tensor

    def __init__(self, config: WhisperEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.embedding_dim
        self.states = WhisperStates(config.rank)
        self.mix = nn.Parameter(torch.zeros(LAYERS + 1))
        self.layer_norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS + 1))
        self.pool = AttentiveStatisticsPooling(WIDTH, config.attention_hidden)
        self.norm = nn.LayerNorm(self.pool.width)
        self.register_buffer("typical_mean", torch.zeros(self.pool.width))
        self.register_buffer("typical_spread", torch.ones(self.pool.width))
        self.missing_sound = nn.Parameter(torch.zeros(self.pool.width))
        self.register_buffer("statistics_mean", torch.zeros(len(STATISTICS)))
        self.register_buffer("statistics_std", torch.ones(len(STATISTICS)))
        logarithmic = torch.tensor([name in _LOGARITHMIC for name in STATISTICS])
        self.register_buffer("logarithmic", logarithmic, persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(self.pool.width + 2 * len(STATISTICS), self.dim)
        self.classify = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(self.dim, config.classes)
        )
        self._frontend: SpeechFrontend | None = None
        self._kept: Path | None = None

    @classmethod
    def from_base(cls, config: WhisperEncoderConfig) -> Self:
        """Start from the base as it is; updates, pooling and projection are new.

        :raises InputError: the base is not the bundled Whisper.
        """
        if config.base != "whisper-tiny.en":
            raise InputError(
                f"base {config.base!r}: an encoder of kind whisper stands on the bundled 'whisper-tiny.en';"
                " for other bases take an encoder of kind speech-model or audio-llm"
            )
        return cls(config)

    def keep_in(self, folder: Path) -> None:
        """Let frames be kept in a folder: every epoch and every seed hears the same."""
        self._kept = folder

    @property
    def feature_dim(self) -> int:
        """Pooled states and statistics, which are kept of a turn."""
        return self.pool.width + len(STATISTICS)

    @property
    def max_seconds(self) -> float:
        """Whisper's window."""
        return LONGEST

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Give each conversation, with the turns that bring a clip or statistics; the cost is in mel rows."""
        found, first = [], 0
        for conversation in conversations:
            sounds = {
                first + i: sound for i, turn in enumerate(conversation) if (sound := TurnAudio.of(turn))
            }
            first += len(conversation)
            if sounds:
                longest = max(sound.length for sound in sounds.values())
                found.append(Example(tuple(sounds), longest * len(sounds), tuple(sounds.values())))
        return found

    def fit(self, examples: Sequence[Example]) -> None:
        """Standardise by the statistics of the training turns."""
        rows = [centred(self._statistics(self._extract(example.content))) for example in examples]
        self.fit_statistics(torch.from_numpy(np.concatenate(rows)))

    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Extract and pad the features of conversations.

        :return: `mels` `[R, M, 80]`, `lengths` `[R]`, `statistics` `[R, 8]`, `recording` `[R]`: the
            conversation of each turn, and `absent` `[R]`.
        """
        features: list[AudioFeatures] = []
        absent: list[bool] = []
        recording: list[int] = []
        for number, example in enumerate(examples):
            turns = self._extract(example.content)
            for turn, statistics in zip(turns, centred(self._statistics(turns)), strict=True):
                absent.append(turn is None)
                recording.append(number)
                features.append(AudioFeatures(None if turn is None else turn.mel, statistics))
        if random is not None:
            max_rows = int(self.config.crop_seconds * SAMPLE_RATE / HOP)
            features = [cropped(turn, max_rows, random) for turn in features]
        mels, lengths, table = collate(features)
        return {
            "mels": mels,
            "lengths": lengths,
            "statistics": table,
            "recording": torch.tensor(recording),
            "absent": torch.tensor(absent),
        }

    @torch.inference_mode()
    def encode_batch(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Pool turns, in batches of like length; see `UtteranceEncoder.encode_batch`.

        :return: float32 `[R, 776]`: pooled states (NaN where the sound is missing) and statistics as
            measured (NaN = undefined).
        """
        found = [turn for example in examples for turn in self._extract(example.content)]
        silence = AudioFeatures(None, np.full(len(STATISTICS), np.nan, dtype=np.float32))
        turns = [silence if turn is None else turn for turn in found]
        statistics = torch.from_numpy(self._statistics(found))
        present = torch.tensor([turn is not None for turn in found], dtype=torch.bool)
        return torch.cat([self.pool_features(turns), statistics], -1), present

    def embed_recording(self, features: Tensor) -> Tensor:
        """Embed all turns of one recording, each relative to the others.

        :param features: float32 `[T, 776]` of `encode_batch`.
        :return: float32 `[T, dim]`.
        """
        pooled, statistics = features.split([self.pool.width, len(STATISTICS)], dim=-1)
        return self.embed_pooled(pooled, statistics.numpy())

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the sound of each turn and of its recording, which an embedding is relative to."""
        keys: list[str | None] = []
        for conversation in conversations:
            turns = [TurnAudio.of(turn) for turn in conversation]
            own = [
                None if turn is None else turn.key(clip_key)
                for turn, clip_key in zip(turns, sound_keys([conversation]), strict=True)
            ]
            whole = digest(own)
            keys += [None if key is None else digest([key, whole]) for key in own]
        return keys

    @property
    def identity(self) -> str:
        """One SHA-256 over configuration, the bundled Whisper and the weights."""
        return fingerprint(self.kind, self.config, identify(self.config.base), self.state_dict())

    def save(self, folder: Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write `model.safetensors`, then `encoder.json`.

        :param dtype: precision of the weights on disk.
        """
        write(self, folder, dtype=dtype)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        :raises InputError: a file or a weight is missing, or one is unexpected.
        """
        saved = read(folder, WhisperEncoderConfig, "whisper encoder")
        encoder = cls.from_base(saved.config)
        fill(encoder, saved.weights, folder)
        return encoder

    def _extract(self, turns: Sequence[TurnAudio]) -> list[AudioFeatures | None]:
        """Extract the features of a conversation's turns, or find those that are kept; None = silence."""
        if self._frontend is None and any(turn.clip is not None for turn in turns):
            self._frontend = SpeechFrontend()
        return extract_turns(turns, self._frontend, self._kept)

    @staticmethod
    def _statistics(turns: Sequence[AudioFeatures | None]) -> NDArray[np.float32]:
        """Statistics `[N, 8]`, NaN = undefined."""
        undefined = np.full(len(STATISTICS), np.nan, dtype=np.float32)
        return np.stack([undefined if turn is None else turn.statistics for turn in turns])

    def fit_statistics(self, statistics: Tensor) -> None:
        """Standardise by the statistics of the training turns.

        :param statistics: `[N, 8]`, NaN = undefined.
        """
        scaled = self._scale(statistics)
        defined = ~scaled.isnan()
        count = defined.sum(0).clamp(min=1)
        mean = scaled.nan_to_num().sum(0) / count
        squares = torch.where(defined, (scaled - mean).square(), 0.0)
        self.statistics_mean = mean.to(self.statistics_mean.device)
        self.statistics_std = (squares.sum(0) / count).sqrt().clamp(min=1e-3).to(self.statistics_std.device)

    def pooled(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """Pool the states of turns; what a long recording keeps of them.

        :param mels: `[N, M, 80]`.
        :param lengths: int64 `[N]`, real rows; 0 = the sound is missing.
        :return: `[N, 768]`; NaN where the sound is missing.
        """
        pooled = torch.full((len(mels), self.pool.width), torch.nan, device=mels.device)
        for batch in by_length(lengths.tolist(), ROWS):
            longest = on_grid(int(lengths[batch[0]]))
            pooled[batch] = self._pooled(mels[batch, :longest], lengths[batch])
        return pooled

    def _pooled(self, mels: Tensor, lengths: Tensor) -> Tensor:
        """Pool the states of turns of like length that all have sound."""
        layers, real = self.states(mels, lengths)
        normed = [norm(layer.float()) for norm, layer in zip(self.layer_norms, layers, strict=True)]
        states = torch.stack(
            [weight * layer for weight, layer in zip(self.mix.softmax(0), normed, strict=True)]
        ).sum(0)
        pooled: Tensor = self.norm(self.pool(states, real))
        return pooled

    def relative(self, pooled: Tensor) -> Tensor:
        """Take the recording off the pooled states of its turns.

        :param pooled: `[T, 768]`, all turns of one recording; NaN = the sound is missing.
        :return: `[T, 768]`, a learned vector where the sound is missing.
        """
        there = ~pooled.isnan().any(-1)
        mean, std = self.typical_mean, self.typical_spread
        if there.any():
            weight = float(there.sum()) / (float(there.sum()) + SHRINK)
            own = pooled[there].detach()
            mean = weight * own.mean(0) + (1 - weight) * mean
            std = weight * own.std(0, correction=0) + (1 - weight) * std
        return self.standardised(pooled, mean, std)

    def standardised(self, pooled: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Standardise pooled states `[N, 768]`; a learned vector stands where they are NaN."""
        missing = pooled.isnan().any(-1, keepdim=True)
        return torch.where(missing, self.missing_sound, (pooled.nan_to_num() - mean) / std.clamp(min=1e-2))

    def join(self, relative: Tensor, statistics: Tensor) -> Tensor:
        """Embed standardised states `[N, 768]` and statistics `[N, 8]` (NaN = undefined) to `[N, dim]`.

        The statistics are those of `centred`: intensity relative to the recording.
        """
        scaled = (self._scale(statistics) - self.statistics_mean) / self.statistics_std
        undefined = scaled.isnan()
        scaled = torch.where(undefined, 0.0, scaled).clamp(-4, 4)
        joined = torch.cat([self.dropout(relative), scaled, undefined.to(scaled.dtype)], -1)
        embedded: Tensor = self.project(joined)
        return embedded

    def embed_pooled(self, pooled: Tensor, statistics: np.ndarray) -> Tensor:
        """Embed all turns of one recording to `[T, dim]`.

        :param pooled: `[T, 768]` of `pool_features`; NaN = the sound is missing.
        :param statistics: float32 `[T, 8]` as measured, intensity absolute; NaN = undefined.
        """
        device = self.missing_sound.device
        table = torch.from_numpy(centred(statistics)).to(device)
        pooled = pooled.to(device)
        return self.join(self.relative(pooled), self._beside(pooled, table))

    def forward(self, mels: Tensor, lengths: Tensor, statistics: Tensor, recording: Tensor) -> Tensor:
        """Embed the turns of some recordings to `[R, dim]`, given what `collate` returns."""
        pooled = self.pooled(mels, lengths)
        if self.training:
            self._learn_typical(pooled.detach())
        relative = torch.zeros_like(pooled)
        for number in recording.unique():
            own = recording == number
            relative[own] = self.relative(pooled[own])
        return self.join(relative, self._beside(pooled, statistics))

    def _beside(self, pooled: Tensor, statistics: Tensor) -> Tensor:
        """Statistics `[T, 8]` as they count beside sound, which is where `pooled` `[T, 768]` is no NaN."""
        if self.config.loudness:
            return statistics
        level = torch.zeros_like(statistics).index_fill(1, _INTENSITY.to(statistics.device), 1.0).bool()
        sounding = ~pooled.isnan().any(-1, keepdim=True)
        return torch.where(level & sounding & ~statistics.isnan(), 0.0, statistics)

    @torch.no_grad()
    def _learn_typical(self, pooled: Tensor) -> None:
        """Let typical mean and deviation follow the turns of a training batch."""
        there = pooled[~pooled.isnan().any(-1)]
        if len(there) > 1:
            self.typical_mean.lerp_(there.mean(0), _FOLLOW)
            self.typical_spread.lerp_(there.std(0), _FOLLOW)

    def _scale(self, statistics: Tensor) -> Tensor:
        """Put durations and pitches on scales on which equal steps sound equal; decibels stay."""
        return torch.where(self.logarithmic, statistics.clamp(min=1e-2).log(), statistics)

    @torch.inference_mode()
    def pool_features(self, turns: Sequence[AudioFeatures], *, batch_rows: int = ROWS) -> Tensor:
        """Pool the states of turns, in batches of like length.

        :param turns: N turns of the frontend.
        :param batch_rows: mel rows in a batch, pads included.
        :return: float32 `[N, 768]`, in the given order; NaN where the sound is missing.
        """
        result = torch.full((len(turns), self.pool.width), torch.nan)
        device = self.missing_sound.device
        for batch in by_length([turn.length for turn in turns], batch_rows):
            mels, lengths, _ = collate([turns[i] for i in batch])
            result[batch] = self.pooled(mels.to(device), lengths.to(device)).float().cpu()
        return result
