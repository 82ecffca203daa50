"""Embeddings of turns as the first layers read them, with a learned one where a modality is missing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.model.packing import Packing


@dataclass(frozen=True)
class Inputs:
    """One modality of packed turns.

    The first layers are half of the model's work, and a gradient of what they read would be half as
    much again, needed by nothing but the stand-in. So they read it as a constant, and its gradient
    takes a short way: all missing turns look alike to a linear layer.

    :param rows: `[N, D]`, the stand-in where the modality is missing; no gradient goes back to it.
    :param missing: bool `[N]`.
    :param stand_in: learned, `[D]`; None = no turn that the layers see is missing.
    """

    rows: Tensor
    missing: Tensor
    stand_in: Tensor | None

    @classmethod
    def of(cls, embeddings: Tensor, there: Tensor, stand_in: Tensor) -> Inputs:
        """Put the stand-in where nothing is.

        :param embeddings: `[N, D]`; any value may stand where nothing is.
        :param there: bool `[N]`.
        :param stand_in: `[D]`.
        """
        # `where` and not a product: no value at an absent input, not even NaN, gets through or back
        rows = embeddings if there.all() else torch.where(there[:, None], embeddings, stand_in.detach())
        return cls(rows, ~there, stand_in)

    def select_turns(self, turns: Tensor) -> Inputs:
        """Some of the turns.

        :param turns: int64 `[M]`, their rows.
        """
        return Inputs(self.rows[turns], self.missing[turns], self.stand_in)

    def whole(self) -> Tensor:
        """The embeddings `[N, D]`, for a layer of another kind: the gradient goes all the way."""
        if self.stand_in is None:
            return self.rows
        return torch.where(self.missing[:, None], self.stand_in, self.rows)

    def linear(self, layer: nn.Linear) -> Tensor:
        """Put the turns through a linear layer.

        :return: `[N, O]`.
        """
        result = F.linear(self.rows, layer.weight, layer.bias)
        return self._echoed(result, layer.weight[..., None], self.missing[:, None])

    def convolve(self, layer: nn.Conv1d, packing: Packing) -> Tensor:
        """Put each conversation through a convolution, with zeros beyond its ends.

        :return: `[N, O]`.
        """
        (kernel,) = layer.kernel_size
        reach = kernel // 2
        if kernel == 1:
            columns, near = self.rows, self.missing[:, None]
        else:
            # All conversations make one line, with zeros between them as wide as the kernel reaches:
            # each sees the zeros it would see alone, and no work is done on pads.
            places = packing.spaced(reach) + reach
            length = len(self.rows) + reach * (len(packing.mask) + 1)
            line = self.rows.new_zeros(length, self.rows.shape[1]).index_copy(0, places, self.rows)
            columns = line.unfold(0, kernel, 1).index_select(0, places - reach).flatten(1)
            flags = self.missing.new_zeros(length).index_copy(0, places, self.missing)
            near = flags.unfold(0, kernel, 1).index_select(0, places - reach)
        result = F.linear(columns, layer.weight.flatten(1), layer.bias)
        return self._echoed(result, layer.weight, near)

    def _echoed(self, result: Tensor, weight: Tensor, near: Tensor) -> Tensor:
        """Add zeros that have the gradient of the stand-in.

        :param result: of a layer `[N, O]`.
        :param weight: of the layer `[O, D, K]`.
        :param near: bool `[N, K]`, whether the turn at each place of the kernel is missing.
        """
        if self.stand_in is None or not torch.is_grad_enabled():
            return result
        if not self.missing.any():
            # a gradient of zero: several processes wait for one
            return result + 0 * self.stand_in.sum().to(result.dtype)
        with torch.autocast(weight.device.type, enabled=False):
            said = torch.einsum("odk,d->ko", weight.detach(), self.stand_in)
            return result + (near.to(said.dtype) @ (said - said.detach())).to(result.dtype)
