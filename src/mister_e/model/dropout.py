"""Dropout that draws 16 bits a number instead of a float: torch's own is slow on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Steps that a probability is rounded to: each number is kept or dropped by 16 random bits.
_STEPS = 1 << 16


def dropout(values: Tensor, probability: float) -> Tensor:
    """Set random numbers to zero, and divide the others by `1 - probability`, so that the mean stays.

    :param values: any shape.
    :param probability: of dropping a number, below 1; on a CPU it is rounded to a multiple of 1 / 65536.
    :return: the shape and type of `values`.
    """
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    dropped_steps = min(round(probability * _STEPS), _STEPS - 1)
    if dropped_steps == 0 or values.numel() == 0:
        return values
    # each random int64 is read as four int16, uniform over -32768 … 32767: four decisions a draw
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = bits.view(torch.int16)[: values.numel()].view(values.shape) >= dropped_steps - _STEPS // 2
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - dropped_steps))
