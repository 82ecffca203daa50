"""Sound to one embedding a turn: Whisper frames pooled over the real ones, and prosody."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import SAMPLE_RATE, Clip, Conversation, Utterance
from mister_e.encoders import plain_folder
from mister_e.encoders.backbone import identify
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.content import sound_keys
from mister_e.encoders.front_end import (
    FRAME_DIM,
    SAMPLES_A_FRAME,
    Heard,
    SpeechFrontEnd,
    centred,
    load_heard,
    load_whisper,
    save_heard,
)
from mister_e.encoders.pooling import AttentiveStatisticsPooling
from mister_e.encoders.weights import load_strictly
from mister_e.errors import InputError

_LOGARITHMIC = {"duration", "avg_pitch", "pitch_std", "pitch_range"}
#: A clip that does not say how long it is counts as one of this length when batches are made.
_USUAL_SECONDS = 4.0


class SpeechEncoderConfig(BaseModel):
    """Sizes of the speech encoder.

    :param base: the frozen encoder that makes the frames.
    :param embedding_dim: width of the embedding.
    :param attention_hidden: hidden width of the attentive pooling.
    :param dropout: on the pooled vector and before the classifier, in training only.
    :param crop_seconds: in fine-tuning a random stretch of this length stands for a longer turn.
    :param classes: size of the classifier that fine-tuning uses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "whisper-tiny.en"
    embedding_dim: int = Field(128, gt=0)
    attention_hidden: int = Field(64, gt=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    crop_seconds: float = Field(4.0, gt=0.1)
    classes: int = Field(7, ge=2)


@dataclass(frozen=True)
class _Sound:
    """What a turn brings: a clip, or the statistics that a table holds."""

    clip: Clip | None
    statistics: dict[str, float]

    @classmethod
    def of(cls, turn: Utterance) -> Self | None:
        """Take it from a turn; None = neither is there."""
        features = turn.custom.get("features") or {}
        known = {name: float(features[name]) for name in STATISTICS if features.get(name) is not None}
        return cls(turn.audio, known) if turn.audio is not None or known else None

    @property
    def length(self) -> int:
        """Frames, about; 1 without a clip."""
        if self.clip is None:
            return 1
        if self.clip.samples is not None:
            return 1 + len(self.clip.samples) // SAMPLES_A_FRAME
        seconds = _USUAL_SECONDS if self.clip.end is None else self.clip.end - self.clip.start
        return 1 + int(seconds * SAMPLE_RATE / SAMPLES_A_FRAME)

    def as_heard(self) -> Heard:
        """Statistics without frames."""
        return Heard(None, np.array([self.statistics.get(name, np.nan) for name in STATISTICS], np.float32))


class SpeechEncoder(UtteranceEncoder):
    """Attentive statistics pooling of frames, joined with prosody, projected to the embedding.

    A conversation is one example: loudness counts relative to the others of its turns.

    Frames may be missing (a corpus that holds statistics alone): a learned vector stands for them.
    Statistics that are undefined (NaN) count as average, and a flag says so.
    """

    modality: ClassVar[Literal["speech"]] = "speech"
    kind: ClassVar[str] = "frames"
    batch_cost: ClassVar[int] = 20_000
    config: SpeechEncoderConfig
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
        self._front_end: SpeechFrontEnd | None = None
        self._kept: Path | None = None

    @classmethod
    def from_base(cls, config: SpeechEncoderConfig) -> Self:
        """Start with a new pooling head; the base hears, and is not trained.

        :raises InputError: the base is not the bundled Whisper.
        """
        if config.base != "whisper-tiny.en":
            raise InputError(
                f"base {config.base!r}: frames come from the bundled 'whisper-tiny.en';"
                " for other bases take an encoder of kind speech-model or audio-llm"
            )
        return cls(config)

    def keep_in(self, folder: Path) -> None:
        """Let frames be kept in a folder: every epoch and every seed hears the same."""
        self._kept = folder

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Give each conversation, with the turns that bring a clip or statistics; the cost is in frames."""
        found, first = [], 0
        for one in conversations:
            sounds = {first + i: sound for i, turn in enumerate(one) if (sound := _Sound.of(turn))}
            first += len(one)
            if sounds:
                longest = max(sound.length for sound in sounds.values())
                found.append(Example(tuple(sounds), longest * len(sounds), tuple(sounds.values())))
        return found

    def fit(self, examples: Sequence[Example]) -> None:
        """Standardise by the statistics of the training turns."""
        rows = [centred(self._statistics(self._hear(one.content))) for one in examples]
        self.fit_statistics(torch.from_numpy(np.concatenate(rows)))

    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Hear conversations.

        :return: `frames` `[R, F, 384]`, `frame_mask` `[R, F]`, `statistics` `[R, 8]` and `absent` `[R]`.
        """
        heard: list[Heard] = []
        absent: list[bool] = []
        for one in examples:
            turns = self._hear(one.content)
            for turn, statistics in zip(turns, centred(self._statistics(turns)), strict=True):
                absent.append(turn is None)
                heard.append(Heard(None if turn is None else turn.frames, statistics))
        if random is not None:
            most = int(self.config.crop_seconds * SAMPLE_RATE / SAMPLES_A_FRAME)
            heard = [_cropped(turn, most, random) for turn in heard]
        frames, mask, table = collate(heard)
        return {"frames": frames, "frame_mask": mask, "statistics": table, "absent": torch.tensor(absent)}

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the sound of each turn and of its conversation, to which loudness is relative."""
        keys: list[str | None] = []
        for one in conversations:
            sounds = [_Sound.of(turn) for turn in one]
            own = [
                None if sound is None else _key(sound, heard)
                for sound, heard in zip(sounds, sound_keys([one]), strict=True)
            ]
            whole = _digest(own)
            keys += [None if key is None else _digest([key, whole]) for key in own]
        return keys

    @property
    def identity(self) -> str:
        """One SHA-256 over configuration, the bundled Whisper and the weights."""
        return fingerprint(self.kind, self.config, identify(self.config.base), self.state_dict())

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, then `encoder.json`."""
        plain_folder.save(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        :raises InputError: a file or a weight is missing, or one is unexpected.
        """
        config, weights, _ = plain_folder.load(folder, SpeechEncoderConfig)
        encoder = cls.from_base(config)
        load_strictly(encoder, weights, folder / "model.safetensors")
        return encoder

    def _hear(self, sounds: Sequence[_Sound]) -> list[Heard | None]:
        """Hear the turns of a conversation; what is kept is not heard again."""
        result: list[Heard | None] = [sound.as_heard() for sound in sounds]
        clips = {i: sound.clip for i, sound in enumerate(sounds) if sound.clip is not None}
        if not clips:
            return result
        turns = tuple(Utterance(str(i), audio=clip) for i, clip in clips.items())
        path = None
        if self._kept is not None:
            path = self._kept / f"{_digest(sound_keys([Conversation('kept', turns)]))}.npz"
        if path is not None and path.is_file():
            heard = load_heard(path)
        else:
            if self._front_end is None:
                self._front_end = SpeechFrontEnd(load_whisper())
            heard = self._front_end.hear([clip.load() for clip in clips.values()])
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                save_heard(path, heard)
                heard = load_heard(path)  # in its half precision, as every later epoch hears it
        for i, turn in zip(clips, heard, strict=True):
            result[i] = turn
        return result

    @staticmethod
    def _statistics(heard: Sequence[Heard | None]) -> np.ndarray:
        silent = np.full(len(STATISTICS), np.nan, dtype=np.float32)
        return np.stack([silent if turn is None else turn.statistics for turn in heard])

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


def _cropped(turn: Heard, most: int, random: np.random.Generator) -> Heard:
    """Show a random stretch of at most so many frames."""
    extra = turn.length - most
    if turn.frames is None or extra <= 0:
        return turn
    first = int(random.integers(extra + 1))
    return replace(turn, frames=turn.frames[first : first + most])


def _key(sound: _Sound, heard: str | None) -> str:
    return heard if heard is not None else _digest([json.dumps(sound.statistics, sort_keys=True)])


def _digest(keys: Sequence[str | None]) -> str:
    return hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()
