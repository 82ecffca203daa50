"""Dropout whose masks are cheap on a CPU, where torch draws them number by number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Steps that a probability is rounded to: each number is kept or dropped by 16 random bits.
_STEPS = 1 << 16


def dropout(values: Tensor, share: float) -> Tensor:
    """Set a random share of numbers to zero, and scale the others so that the mean stays.

    :param values: any shape.
    :param share: below 1; on a CPU it is rounded to a multiple of 1 / 65536.
    """
    if values.device.type != "cpu":
        return F.dropout(values, share)
    steps = min(round(share * _STEPS), _STEPS - 1)
    if steps == 0 or values.numel() == 0:
        return values
    # four decisions out of each random number
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = bits.view(torch.int16)[: values.numel()].view(values.shape) >= steps - _STEPS // 2
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - steps))
