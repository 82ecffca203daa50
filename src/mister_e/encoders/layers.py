"""From the states of real tokens (or frames) to one vector a turn; pads never count.

Every pooling maps states `[N, L, D]` and a bool mask `[N, L]` (True = real) to `[N, width(D)]`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

PoolingName = Literal["mean", "last", "attentive"]


def real_only(states: Tensor, mask: Tensor) -> Tensor:
    """Zero the pads, whatever stands in them.

    :param states: `[N, L, D]`.
    :param mask: bool `[N, L]`.
    """
    return torch.where(mask[..., None], states, states.new_zeros(()))


class MeanPooling(nn.Module):
    """Mean over the real tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool `[N, L, D]` to `[N, D]`."""
        count = mask.sum(1, keepdim=True).clamp(min=1)
        return real_only(states, mask).sum(1) / count


class LastTokenPooling(nn.Module):
    """State of the last real token: the one that a causal model has told everything."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool `[N, L, D]` to `[N, D]`; the mask may stand left or right."""
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, positions, -1).amax(1).clamp(min=0)
        return states[torch.arange(len(states), device=states.device), last]


class AttentiveStatisticsPooling(nn.Module):
    """Weighted mean and deviation over the real tokens, weights learned (Okabe et al. 2018).

    The paper pools its text LLM with it.
    """

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.width = 2 * dim
        self.attention = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool `[N, L, D]` to `[N, 2 D]`."""
        states = real_only(states, mask)
        scores = self.attention(states).squeeze(-1).masked_fill(~mask, float("-inf"))
        weights = torch.where(mask.any(1, keepdim=True), scores, 0.0).softmax(1)[..., None]
        mean = (weights * states).sum(1)
        variance = (weights * (states - mean[:, None]).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], -1)


Pooling = MeanPooling | LastTokenPooling | AttentiveStatisticsPooling


def pooling(name: PoolingName, dim: int) -> Pooling:
    """Make a pooling by name.

    :param name: `mean`, `last` or `attentive`.
    :param dim: width D of the states; the result's `width` is that of the pooled vector.
    """
    kinds: dict[PoolingName, type[Pooling]] = {
        "mean": MeanPooling,
        "last": LastTokenPooling,
        "attentive": AttentiveStatisticsPooling,
    }
    return kinds[name](dim)


def projection(width: int, dim: int | None) -> nn.Module:
    """Map pooled vectors `[N, width]` to embeddings `[N, dim]`.

    :param width: of a pooled vector.
    :param dim: of an embedding; None = the pooled vector itself.
    """
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim)) if dim else nn.Identity()


def classifier(dim: int, dropout: float, classes: int) -> nn.Module | None:
    """Map embeddings `[N, dim]` to logits `[N, classes]`.

    :param dim: of an embedding.
    :param dropout: in training only.
    :param classes: C; 0 = no classifier.
    """
    return nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, classes)) if classes else None
