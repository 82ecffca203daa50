"""Embeddings of packed turns as input of the first layers, a learned one where a modality is missing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.model.packing import Packing


@dataclass(frozen=True)
class Inputs:
    """One modality of packed turns.

    The first layers take half of the model's time. A gradient with respect to their input would add
    half of that again, and only the placeholder needs one. So the input counts as a constant, and the
    placeholder's gradient is computed apart, cheaply: it is the same embedding at every missing turn.

    :param rows: `[N, D]`, the placeholder where the modality is missing; no gradient goes back to it.
    :param missing: bool `[N]`.
    :param placeholder: learned embedding `[D]` of a missing turn; None = none is missing.
    """

    rows: Tensor
    missing: Tensor
    placeholder: Tensor | None

    @classmethod
    def of(cls, embeddings: Tensor, present: Tensor, placeholder: Tensor) -> Inputs:
        """Put the placeholder where the modality is missing.

        :param embeddings: `[N, D]`; any value may stand where the modality is missing.
        :param present: bool `[N]`.
        :param placeholder: `[D]`.
        """
        # `where` and not a product: no value at a missing turn, not even NaN, gets through or back
        rows = (
            embeddings if present.all() else torch.where(present[:, None], embeddings, placeholder.detach())
        )
        return cls(rows, ~present, placeholder)

    def select_turns(self, turns: Tensor) -> Inputs:
        """Take some of the turns.

        :param turns: int64 `[M]`, their rows.
        """
        return Inputs(self.rows[turns], self.missing[turns], self.placeholder)

    def with_placeholder(self) -> Tensor:
        """Embeddings `[N, D]` through which the placeholder gets its gradient, for any layer."""
        if self.placeholder is None:
            return self.rows
        return torch.where(self.missing[:, None], self.placeholder, self.rows)

    def linear(self, layer: nn.Linear) -> Tensor:
        """Apply a linear layer to the turns.

        :return: `[N, O]`.
        """
        result = F.linear(self.rows, layer.weight, layer.bias)
        return self._with_placeholder_gradient(result, layer.weight[..., None], self.missing[:, None])

    def convolve(self, layer: nn.Conv1d, packing: Packing) -> Tensor:
        """Apply a convolution to each conversation, with zeros beyond its ends.

        :return: `[N, O]`.
        """
        (kernel,) = layer.kernel_size
        reach = kernel // 2
        if kernel == 1:
            columns, missing = self.rows, self.missing[:, None]
        else:
            # All conversations make one line, with zeros between them as wide as the kernel reaches:
            # each sees the zeros it would see alone, and no work is done on pads.
            places = packing.spaced(reach) + reach
            length = len(self.rows) + reach * (len(packing.mask) + 1)
            line = self.rows.new_zeros(length, self.rows.shape[1]).index_copy(0, places, self.rows)
            columns = line.unfold(0, kernel, 1).index_select(0, places - reach).flatten(1)
            flags = self.missing.new_zeros(length).index_copy(0, places, self.missing)
            missing = flags.unfold(0, kernel, 1).index_select(0, places - reach)
        result = F.linear(columns, layer.weight.flatten(1), layer.bias)
        return self._with_placeholder_gradient(result, layer.weight, missing)

    def _with_placeholder_gradient(self, result: Tensor, weight: Tensor, missing: Tensor) -> Tensor:
        """Add zeros whose gradient is that of the placeholder.

        The layer is linear, so a missing turn at place k of the kernel adds `weight[:, :, k] @ placeholder`
        to the output. That term minus its own constant value is 0, and has the right gradient.

        :param result: output of a layer `[N, O]`.
        :param weight: of the layer `[O, D, K]`.
        :param missing: bool `[N, K]`, whether the turn at each place of the kernel is missing.
        """
        if self.placeholder is None or not torch.is_grad_enabled():
            return result
        if not self.missing.any():
            # a gradient of zero and not none: data-parallel processes wait for every parameter's
            return result + 0 * self.placeholder.sum().to(result.dtype)
        with torch.autocast(weight.device.type, enabled=False):
            terms = torch.einsum("odk,d->ko", weight.detach(), self.placeholder)
            return result + (missing.to(terms.dtype) @ (terms - terms.detach())).to(result.dtype)
