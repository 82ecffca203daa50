"""Recordings that were never made: what mean and spread clips would have among others, of any emotions.

A corpus of acted clips is balanced, a call is mostly neutral. So that an encoder which takes the recording
off its turns masters both, a clip of training is shown among a random company: of its corpus, in random
shares of the emotions, or as if alone. Some are put among clips of another corpus: how a clip differs from
those must not tell its emotion, or all that is like no corpus of training would be taken for one emotion.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

#: Of how many clips the running means of a corpus and an emotion are made, about.
_MEMORY = 10


class Recordings:
    """Running first and second moments of pooled states, by corpus and emotion.

    :param corpora: G of them.
    :param classes: C emotions.
    :param width: D of a pooled state.
    :param neutral: position of the emotion that most of a call has; None = there is none.
    :param other_corpus_fraction: fraction of the clips that go among clips of any corpus.
    """

    def __init__(
        self,
        corpora: int,
        classes: int,
        width: int,
        neutral: int | None,
        *,
        other_corpus_fraction: float = 0.0,
    ) -> None:
        self.mean = torch.zeros(corpora, classes, width)
        self.square = torch.ones(corpora, classes, width)
        self.seen = torch.zeros(corpora, classes)
        self.neutral, self.other_corpus_fraction = neutral, other_corpus_fraction

    @torch.no_grad()
    def update(self, pooled: Tensor, corpora: Tensor, labels: Tensor) -> None:
        """Take clips in.

        :param pooled: `[N, D]`, no NaN.
        :param corpora: int64 `[N]`.
        :param labels: int64 `[N]`.
        """
        for corpus, label in {*zip(corpora.tolist(), labels.tolist(), strict=True)}:
            rows = pooled[(corpora == corpus) & (labels == label)]
            seen = float(self.seen[corpus, label])
            share = len(rows) / (len(rows) + min(seen, _MEMORY))
            self.mean[corpus, label].lerp_(rows.mean(0), share)
            self.square[corpus, label].lerp_(rows.square().mean(0), share)
            self.seen[corpus, label] += len(rows)

    @property
    def typical(self) -> tuple[Tensor, Tensor]:
        """Mean and spread `[D]` over all corpora, each with its emotions in equal shares."""
        there = self.seen.sum(1) > 0
        mean, spread = self._among(torch.arange(len(self.seen)), self._equal)
        mean, spread = mean[there], spread[there]
        return mean.mean(0), (spread.square().mean(0) + mean.var(0, correction=0)).sqrt()

    def draw(self, corpora: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mean and spread `[N, D]` of a recording for each of some clips.

        Of three clips about one is alone, and has the typical ones; one is in a whole recording; one is in
        a short one, and has a mixture of both. In the recordings of four in ten, most turns are neutral.
        Those put among another corpus are of any corpus of which enough was met.

        :param corpora: int64 `[N]`, those of the clips.
        """
        count, classes = len(corpora), self.seen.shape[1]
        strange = torch.from_numpy(random.random(count) < self.other_corpus_fraction)
        met = (self.seen.sum(1) >= _MEMORY).nonzero().flatten()
        if len(met):  # the spread of a few clips is next to none
            corpora = torch.where(
                strange, met[torch.from_numpy(random.integers(len(met), size=count))], corpora
            )
        # shares of the emotions: from the simplex, and rather from near its corners
        shares = torch.from_numpy(random.dirichlet([0.7] * classes, count).astype(np.float32))
        kind, company, length = torch.from_numpy(random.random((3, count, 1)).astype(np.float32))
        if self.neutral is not None:
            calm = torch.zeros(classes)
            calm[self.neutral] = 1.0
            shares = torch.where(kind < 0.4, 0.3 * shares + 0.7 * calm, shares)
        shares = torch.where(kind > 0.7, self._equal[corpora], shares)
        mean, spread = self._among(corpora, shares)
        own = torch.where(company < 1 / 3, 0.0, torch.where(company < 2 / 3, 1.0, length))
        usual_mean, usual_spread = self.typical
        return own * mean + (1 - own) * usual_mean, own * spread + (1 - own) * usual_spread

    def weights(self) -> Mapping[str, Tensor]:
        """What a checkpoint keeps."""
        return {"recordings.mean": self.mean, "recordings.square": self.square, "recordings.seen": self.seen}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take what a checkpoint kept."""
        for name, value in self.weights().items():
            value.copy_(weights[name])

    @property
    def _equal(self) -> Tensor:
        """Equal shares of the emotions that a corpus has, `[G, C]`."""
        there = (self.seen > 0).float()
        return there / there.sum(1, keepdim=True).clamp(min=1)

    def _among(self, corpora: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread among clips of a corpus in given shares of the emotions."""
        shares = shares * (self.seen[corpora] > 0)
        lost = shares.sum(1, keepdim=True) < 1e-6
        shares = torch.where(lost, self._equal[corpora], shares)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-6)
        mean = torch.einsum("nc,ncd->nd", shares, self.mean[corpora])
        square = torch.einsum("nc,ncd->nd", shares, self.square[corpora])
        return mean, (square - mean.square()).clamp(min=1e-4).sqrt()
