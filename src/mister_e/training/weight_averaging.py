"""Weights averaged over training: validation scores vary less with them than with the last step's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class WeightAverage:
    """A running mean of the trained weights, over steps or over epochs.

    Over steps the mean is exponential (EMA). Its decay at step n, from 0, is at most (n + 1) / (n + 10), so
    that the untrained weights do not stay in it for long (the rule of TensorFlow's
    `ExponentialMovingAverage`). Over epochs it is the plain mean of the weights at the ends of epochs
    (stochastic weight averaging, Izmailov et al. 2018).

    :param decay: of the mean over steps; 0 = no mean over steps.
    :param first_epoch: first epoch in the mean over epochs; None = no mean over epochs.
    """

    def __init__(self, decay: float, first_epoch: int | None) -> None:
        self.decay = decay
        self.first_epoch = first_epoch
        self.weights: dict[str, Tensor] = {}

    @property
    def used(self) -> bool:
        """Whether there is a mean yet."""
        return bool(self.weights)

    def after_step(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Update the mean over steps.

        :param step: number of the step, from 0.
        :param weights: after the step.
        """
        if self.decay > 0:
            self._update(weights, 1 - min(self.decay, (1 + step) / (10 + step)))

    def after_epoch(self, epoch: int, weights: Mapping[str, Tensor]) -> None:
        """Update the mean over epochs.

        :param epoch: number of the epoch, from 0.
        :param weights: after the epoch's last step.
        """
        if self.first_epoch is not None and epoch >= self.first_epoch:
            self._update(weights, 1 / (epoch - self.first_epoch + 1))

    @torch.no_grad()
    def _update(self, weights: Mapping[str, Tensor], fraction: float) -> None:
        if not self.weights:
            self.weights = {name: value.detach().clone() for name, value in weights.items()}
            return
        for name, value in weights.items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), fraction)
            else:
                self.weights[name].copy_(value)
