"""What follows the pooling in every encoder on a transformer: a projection, and a classifier to learn by."""

from __future__ import annotations

from torch import nn


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
