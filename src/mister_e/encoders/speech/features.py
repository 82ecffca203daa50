"""Numeric columns of a table as a speech encoder, standardised on the training turns.

In use, where no table tells them, the columns that are prosody statistics are measured from the sound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.audio.format import LONGEST
from mister_e.audio.prosody import STATISTICS
from mister_e.conversation import Clip, Conversation, Utterance
from mister_e.encoders.backbones.description import built
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.persistence import fill, read, write
from mister_e.encoders.speech.frontend import measure_statistics
from mister_e.encoders.speech.preprocess import sound_keys
from mister_e.errors import InputError

#: Standardised features beyond this many standard deviations are cut.
LIMIT = 5.0


class FeaturesConfig(BaseModel):
    """Which columns, and what is made of them.

    :param names: columns in their order; empty = those of the training turns, by `fit`.
    :param embedding_dim: width of a learned projection; None = the standardised columns themselves.
    :param dropout: before the classifier, in training only.
    :param classes: size of the classifier that fine-tuning uses; 0 = none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = ()
    embedding_dim: int | None = Field(None, gt=0, le=16384)
    dropout: float = Field(0.1, ge=0, lt=1)
    classes: int = Field(0, ge=0, le=10_000)


class FeaturesEncoder(UtteranceEncoder):
    """Standardises features; an undefined one counts as average, and a flag beside it says so.

    `fit` decides columns, means and deviations, and so the width.
    """

    modality: ClassVar[Literal["speech"]] = "speech"
    kind: ClassVar[str] = "features"
    batch_cost: ClassVar[int] = 1024
    config: FeaturesConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: FeaturesConfig) -> None:
        super().__init__()
        self.config = config
        self._build()

    def _build(self) -> None:
        """Make what depends on the number of columns."""
        config, count = self.config, len(self.config.names)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        self.dim = config.embedding_dim or 2 * count
        self.project: nn.Module = (
            nn.Linear(2 * count, self.dim) if config.embedding_dim and count else nn.Identity()
        )
        self.classify = (
            nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(self.dim, config.classes))
            if config.classes and count
            else None
        )

    @classmethod
    def from_base(cls, config: FeaturesConfig) -> Self:
        """Start with nothing learned; `fit` comes first."""
        return cls(config)

    @property
    def max_seconds(self) -> float:
        """Seconds of sound that are measured at most."""
        return LONGEST

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Give each turn with features, or with sound that they can be measured from; the cost is 1.

        Each turn counts by itself, whatever the others bring: a column that it lacks is undefined.

        :raises InputError: a turn brings sound alone, and a column is none that can be measured.
        """
        examples = []
        turns = (turn for conversation in conversations for turn in conversation)
        for number, turn in enumerate(turns):
            told = turn.custom.get("features")
            if told:
                examples.append(Example((number,), 1, _numbers(turn)))
            elif turn.audio is not None and self.config.names:
                self._check_measurable()
                examples.append(Example((number,), 1, turn.audio))
        return examples

    def _check_measurable(self) -> None:
        """Refuse sound where a column is no prosody statistic."""
        foreign = [name for name in self.config.names if name not in STATISTICS]
        if foreign:
            raise InputError(
                f"feature {foreign[0]!r} is no statistic that can be measured from sound"
                f" ({', '.join(STATISTICS)}): give a corpus that tells it, or take a model with another"
                " speech encoder"
            )

    def check_corpus(self, conversations: Sequence[Conversation]) -> None:
        """Refuse a corpus that tells features, but nowhere one that the encoder knows.

        :raises InputError: names the column.
        """
        told = [turn.custom.get("features") for conversation in conversations for turn in conversation]
        known = {name for features in told if features for name in features}
        lacking = [name for name in self.config.names if name not in known]
        if lacking and known:
            raise InputError(
                f"feature {lacking[0]!r} was there in training and is in none of these turns;"
                " prepare the corpus with the same --features"
            )

    def fit(self, examples: Sequence[Example]) -> None:
        """Take columns, means and deviations (over the turns where a column is defined) from training turns.

        :raises InputError: no turn has features.
        """
        if not examples:
            raise InputError("no turn of the training split has features: prepare with --features")
        rows = _rows(examples)
        if not self.config.names:
            names = sorted({name for row in rows if row for name in row})
            self.config = self.config.model_copy(update={"names": tuple(names)})
            self._build()
        values = self._values(rows).astype(np.float64)
        defined = ~np.isnan(values)
        count = np.maximum(defined.sum(0), 1)
        mean = np.where(defined, values, 0).sum(0) / count
        std = np.sqrt((np.where(defined, values - mean, 0) ** 2).sum(0) / count)
        self.mean = torch.tensor(mean, dtype=torch.float32)
        # a constant column tells nothing: it becomes 0, not noise
        self.std = torch.tensor(np.where(std > 1e-9 * np.abs(mean) + 1e-12, std, np.inf), dtype=torch.float32)

    def collate(
        self, examples: Sequence[Example], *, random: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Stack features: `values` `[R, F]`, NaN = undefined, and `absent` `[R]`: silence was measured.

        :raises InputError: a recording cannot be read.
        """
        rows = _rows(examples)
        absent = torch.tensor([row is None for row in rows], dtype=torch.bool)
        return {"values": torch.from_numpy(self._values(rows)), "absent": absent}

    def forward(self, values: Tensor) -> Tensor:
        """Embed features `[R, F]` to `[R, dim]`."""
        scaled = ((values - self.mean) / self.std).clamp(-LIMIT, LIMIT)
        undefined = scaled.isnan()
        both = torch.cat([torch.where(undefined, 0.0, scaled), undefined.to(scaled.dtype)], -1)
        embedded: Tensor = self.project(both)
        return embedded

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the features of each turn, or the sound that they are measured from."""
        keys: list[str | None] = [None] * sum(map(len, conversations))
        sounds: list[str | None] | None = None
        for example in self.examples(conversations):
            turn = example.turns[0]
            if isinstance(example.content, Clip):
                sounds = sound_keys(conversations) if sounds is None else sounds
                keys[turn] = sounds[turn]
                continue
            row = json.dumps([example.content.get(name) for name in self.config.names])
            keys[turn] = hashlib.sha256(row.encode()).hexdigest()
        return keys

    @property
    def identity(self) -> str:
        """One SHA-256 over columns, means, deviations and weights."""
        return fingerprint(self.kind, self.config, "", self.state_dict())

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, then `encoder.json`."""
        write(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        :raises InputError: a file or a weight is missing, or one is unexpected.
        """
        saved = read(folder, FeaturesConfig, "features encoder")
        path = folder / "model.safetensors"
        encoder = cast("Self", built(lambda: cls(saved.config), saved.weights, path))
        fill(encoder, saved.weights, folder)
        return encoder

    def _values(self, rows: Sequence[Mapping[str, float] | None]) -> NDArray[np.float32]:
        """Lay features out as `[R, F]`; NaN = undefined."""
        names = self.config.names
        values = [[(row or {}).get(name, np.nan) for name in names] for row in rows]
        return np.array(values, dtype=np.float32).reshape(len(rows), len(names))


def _numbers(turn: Utterance) -> dict[str, float]:
    """Features that a corpus tells of a turn.

    :raises InputError: they are not numbers.
    """
    try:
        told = turn.custom["features"]
        return {str(name): float(value) for name, value in told.items() if value is not None}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"turn {turn.id}: custom 'features' are the names of columns and their numbers"
        ) from None


def _rows(examples: Sequence[Example]) -> list[Mapping[str, float] | None]:
    """Features of examples as they are told, or measured from their sound; None = silence."""
    return [
        _measured(example.content) if isinstance(example.content, Clip) else example.content
        for example in examples
    ]


def _measured(clip: Clip) -> dict[str, float] | None:
    """Statistics of a clip by name; None = silence."""
    row = measure_statistics(clip.load())
    return None if row is None else dict(zip(STATISTICS, row.tolist(), strict=True))
