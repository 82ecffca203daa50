"""Packing: the real turns of a batch one after another, so that no layer computes on pads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mister_e.errors import InputError


@dataclass(frozen=True)
class Packing:
    """Layout of a batch: where its real turns stand. Made from the mask with `Packing.of`.

    Packed tensors are `[N, ...]`: the N real turns, conversation after conversation.

    :param mask: bool `[B, T]`, True = a real turn.
    :param index: int64 `[N]`, place of each real turn among the B * T places of the padded batch.
    :param lengths: int64 `[B]` on the CPU, number of real turns of each conversation.
    """

    mask: Tensor
    index: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> Packing:
        """Read the layout of a batch from its mask.

        :param mask: bool `[B, T]`, True = a real turn; each conversation's turns come first, pads after.
        :raises ValueError: the mask is not bool `[B, T]`, or has a pad before a real turn.
        :raises InputError: the batch or one of its conversations is empty.
        """
        if mask.dtype != torch.bool or mask.ndim != 2:
            raise ValueError(f"mask is bool [B, T], got {mask.dtype} {list(mask.shape)}")
        if len(mask) == 0:
            raise InputError("the batch has no conversation; give at least one")
        lengths = mask.sum(1)
        prefix = torch.arange(mask.shape[1], device=mask.device) < lengths[:, None]
        misplaced = (mask != prefix).any(1).nonzero()
        if len(misplaced):
            raise ValueError(
                f"conversation {int(misplaced[0])} of the batch has a pad before a real turn; "
                "move its pads to the end"
            )
        lengths = lengths.cpu()
        if not lengths.all():
            empty = int((lengths == 0).nonzero()[0])
            raise InputError(f"conversation {empty} of the batch has no turns; leave it out")
        return cls(mask, mask.flatten().nonzero().squeeze(1), lengths)

    @property
    def padded(self) -> bool:
        """Whether the batch has any pad."""
        return len(self.index) < self.mask.numel()

    def place(self, row: int) -> tuple[int, int]:
        """Find the conversation and the turn of a packed row, both 0-based."""
        return divmod(int(self.index[row]), self.mask.shape[1])

    def pack(self, turns: Tensor) -> Tensor:
        """Take the real turns.

        :param turns: `[B, T, ...]`; values at pads are ignored.
        :return: `[N, ...]`.
        """
        places = turns.flatten(0, 1)
        return places.index_select(0, self.index) if self.padded else places

    def unpack(self, rows: Tensor) -> Tensor:
        """Put packed rows back at their places: undoes `pack`.

        :param rows: `[N, ...]`.
        :return: `[B, T, ...]` with zeros (False) at pads.
        """
        places = rows.new_zeros(self.mask.numel(), *rows.shape[1:])
        return places.index_copy(0, self.index, rows).reshape(*self.mask.shape, *rows.shape[1:])

    def spaced(self, gap: int) -> Tensor:
        """Places of the packed rows in one line with `gap` empty rows between conversations.

        :return: int64 `[N]`, 0 … N - 1 + gap * (B - 1).
        """
        conversation = self.index // self.mask.shape[1]
        return torch.arange(len(self.index), device=self.index.device) + gap * conversation
