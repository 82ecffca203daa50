"""Weights averaged over a run: they swing less than those of its last step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class WeightAverage:
    """A running mean of weights, over steps or over the ends of epochs.

    Over steps it is exponential, and young at first: step n counts at least 9 / (n + 10), so that
    the start is forgotten soon. Over epochs all from one on count alike (Izmailov et al. 2018).

    :param decay: of the mean over steps; 0 = none.
    :param first_epoch: the first epoch whose end counts; None = no mean over epochs.
    """

    def __init__(self, decay: float, first_epoch: int | None) -> None:
        self.decay = decay
        self.first_epoch = first_epoch
        self.weights: dict[str, Tensor] = {}

    @property
    def used(self) -> bool:
        """Whether there is a mean yet, in place of the weights themselves."""
        return bool(self.weights)

    def after_step(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Take a step's weights in.

        :param step: steps done before it.
        :param weights: as the step left them.
        """
        if self.decay > 0:
            self._mix(weights, 1 - min(self.decay, (1 + step) / (10 + step)))

    def after_epoch(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        """Take the end of an epoch in.

        :param epoch: which, from 0.
        :param weights: as the epoch left them.
        """
        if self.first_epoch is not None and epoch >= self.first_epoch:
            self._mix(weights, 1 / (epoch - self.first_epoch + 1))

    @torch.no_grad()
    def _mix(self, weights: Mapping[str, Tensor], share: float) -> None:
        if not self.weights:
            self.weights = {name: value.detach().clone() for name, value in weights.items()}
            return
        for name, value in weights.items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), share)
            else:
                self.weights[name].copy_(value)
