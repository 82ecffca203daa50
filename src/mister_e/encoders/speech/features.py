"""Numeric columns of a prepared table as a speech encoder: standardised on the training turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.conversation import Conversation
from mister_e.encoders.base import Example, UtteranceEncoder, fingerprint
from mister_e.encoders.persistence import fill, read, write
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
    embedding_dim: int | None = Field(None, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    classes: int = Field(0, ge=0)


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

    def examples(self, conversations: Sequence[Conversation]) -> list[Example]:
        """Give each turn with features; the cost is 1.

        :raises InputError: a column that the encoder knows is nowhere in the conversations.
        """
        turns = [turn for one in conversations for turn in one]
        found = [turn.custom.get("features") for turn in turns]
        known = {name for features in found if features for name in features}
        lacking = [name for name in self.config.names if name not in known]
        if lacking and known:
            raise InputError(
                f"feature {lacking[0]!r} was there in training and is in none of these turns;"
                " prepare the corpus with the same --features"
            )
        return [Example((i,), 1, features) for i, features in enumerate(found) if features]

    def fit(self, examples: Sequence[Example]) -> None:
        """Take columns, means and deviations (over the turns where a column is defined) from training turns.

        :raises InputError: no turn has features.
        """
        if not examples:
            raise InputError("no turn of the training split has features: prepare with --features")
        if not self.config.names:
            names = sorted({name for one in examples for name in one.content})
            self.config = self.config.model_copy(update={"names": tuple(names)})
            self._build()
        values = self._values(examples).astype(np.float64)
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
        """Stack features: `values` `[R, F]`, NaN = undefined."""
        return {"values": torch.from_numpy(self._values(examples))}

    def forward(self, values: Tensor) -> Tensor:
        """Embed features `[R, F]` to `[R, dim]`."""
        scaled = ((values - self.mean) / self.std).clamp(-LIMIT, LIMIT)
        undefined = scaled.isnan()
        both = torch.cat([torch.where(undefined, 0.0, scaled), undefined.to(scaled.dtype)], -1)
        embedded: Tensor = self.project(both)
        return embedded

    def content_keys(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """Hash the features of each turn."""
        import hashlib

        keys: list[str | None] = [None] * sum(map(len, conversations))
        for example in self.examples(conversations):
            row = json.dumps([example.content.get(name) for name in self.config.names])
            keys[example.turns[0]] = hashlib.sha256(row.encode()).hexdigest()
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
        encoder = cls(saved.config)
        fill(encoder, saved.weights, folder)
        return encoder

    def _values(self, examples: Sequence[Example]) -> np.ndarray:
        names = self.config.names
        rows = [[example.content.get(name, np.nan) for name in names] for example in examples]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(names))
