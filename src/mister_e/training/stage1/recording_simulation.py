"""Simulated recordings: mean and standard deviation that pooled states would have among other clips.

A speech encoder standardises the pooled states of a turn by those of its recording. Corpora of acted clips
have no recordings, and are balanced where a call is mostly neutral. So that the encoder masters both, a clip
of training is standardised by a random recording: of its corpus, with random weights of the emotions, or as
if it were alone. Some clips are put among clips of another corpus: how a clip differs from those must not
tell its emotion, or all that is unlike the training corpora would be taken for one emotion.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mister_e.training.settings import RecordingSimulationConfig

#: Of how many clips the running means of a corpus and an emotion are made, about.
_MEMORY = 10


class RecordingSimulator:
    """Running first and second moments of pooled states, by corpus and emotion.

    :param corpora: G of them.
    :param classes: C emotions.
    :param width: D of a pooled state.
    :param config: what recordings are drawn.
    :param neutral: position of its `neutral_label`; None = there is none.
    """

    def __init__(
        self,
        corpora: int,
        classes: int,
        width: int,
        config: RecordingSimulationConfig,
        neutral: int | None = None,
    ) -> None:
        self.mean = torch.zeros(corpora, classes, width)
        self.square = torch.ones(corpora, classes, width)
        self.seen = torch.zeros(corpora, classes)
        self.config, self.neutral = config, neutral

    @torch.no_grad()
    def update(self, pooled: Tensor, corpora: Tensor, labels: Tensor) -> None:
        """Take clips into the running moments.

        :param pooled: `[N, D]`, no NaN.
        :param corpora: int64 `[N]`.
        :param labels: int64 `[N]`.
        """
        for corpus, label in {*zip(corpora.tolist(), labels.tolist(), strict=True)}:
            rows = pooled[(corpora == corpus) & (labels == label)]
            seen = float(self.seen[corpus, label])
            weight = len(rows) / (len(rows) + min(seen, _MEMORY))
            self.mean[corpus, label].lerp_(rows.mean(0), weight)
            self.square[corpus, label].lerp_(rows.square().mean(0), weight)
            self.seen[corpus, label] += len(rows)

    @property
    def typical(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[D]` over all corpora, each with its emotions in equal weights."""
        there = self.seen.sum(1) > 0
        mean, std = self._moments(torch.arange(len(self.seen)), self._equal)
        mean, std = mean[there], std[there]
        return mean.mean(0), (std.square().mean(0) + mean.var(0, correction=0)).sqrt()

    def draw(self, corpora: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw mean and standard deviation `[N, D]` of a recording for each of some clips.

        A clip that is alone has the typical ones; one in a long recording has those of the recording; one in
        a short recording has a mixture of both. Those put among another corpus are of any corpus of which
        enough was met.

        :param corpora: int64 `[N]`, those of the clips.
        """
        config, count, classes = self.config, len(corpora), self.seen.shape[1]
        moved = torch.from_numpy(random.random(count) < config.other_corpus_fraction)
        met = (self.seen.sum(1) >= _MEMORY).nonzero().flatten()
        if len(met):  # the standard deviation of a few clips is next to none
            corpora = torch.where(
                moved, met[torch.from_numpy(random.integers(len(met), size=count))], corpora
            )
        weights = torch.from_numpy(
            random.dirichlet([config.concentration] * classes, count).astype(np.float32)
        )
        kind, among, length = torch.from_numpy(random.random((3, count, 1)).astype(np.float32))
        if self.neutral is not None:
            neutral = torch.zeros(classes)
            neutral[self.neutral] = 1.0
            mostly = (1 - config.neutral_weight) * weights + config.neutral_weight * neutral
            weights = torch.where(kind < config.mostly_neutral, mostly, weights)
        weights = torch.where(kind > 1 - config.balanced, self._equal[corpora], weights)
        mean, std = self._moments(corpora, weights)
        alone, long = config.alone_fraction, config.alone_fraction + config.long_fraction
        own = torch.where(among < alone, 0.0, torch.where(among < long, 1.0, length))
        typical_mean, typical_std = self.typical
        return own * mean + (1 - own) * typical_mean, own * std + (1 - own) * typical_std

    def weights(self) -> Mapping[str, Tensor]:
        """What a checkpoint keeps."""
        return {"recordings.mean": self.mean, "recordings.square": self.square, "recordings.seen": self.seen}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take what a checkpoint kept."""
        for name, value in self.weights().items():
            value.copy_(weights[name])

    @property
    def _equal(self) -> Tensor:
        """Equal weights of the emotions that a corpus has, `[G, C]`."""
        there = (self.seen > 0).float()
        return there / there.sum(1, keepdim=True).clamp(min=1)

    def _moments(self, corpora: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[N, D]` among clips of a corpus, its emotions weighted.

        :param corpora: int64 `[N]`.
        :param weights: `[N, C]`; an emotion that the corpus lacks counts nothing.
        """
        weights = weights * (self.seen[corpora] > 0)
        lost = weights.sum(1, keepdim=True) < 1e-6
        weights = torch.where(lost, self._equal[corpora], weights)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
        mean = torch.einsum("nc,ncd->nd", weights, self.mean[corpora])
        square = torch.einsum("nc,ncd->nd", weights, self.square[corpora])
        return mean, (square - mean.square()).clamp(min=1e-4).sqrt()
