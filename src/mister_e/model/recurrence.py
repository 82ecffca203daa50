"""Bidirectional GRUs over packed turns, whose backward pass works in large products.

The weights are those of `torch.nn.GRU`, and so are the results. Torch's own backward pass adds
every weight's gradient up turn by turn, which costs more than all the rest of a training step on a
CPU; here a layer's gradients are one product over all turns. Both directions, and the GRUs of several
experts, go side by side: one small product a step in place of four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.model.packing import Packing


@dataclass(frozen=True)
class Steps:
    """The order in which a recurrence meets packed turns: first turns first, long conversations first.

    :param rows: int64 `[2, N]`, packed rows in that order, onwards and backwards.
    :param places: int64 `[2, N]`, where each packed row stands in it.
    :param sizes: conversations that have a turn at each step, falling.
    """

    rows: Tensor
    places: Tensor
    sizes: list[int]

    @classmethod
    def of(cls, packing: Packing) -> Steps:
        """Work the order out."""
        lengths, order = packing.lengths.sort(descending=True, stable=True)
        starts = (packing.lengths.cumsum(0) - packing.lengths)[order]
        step = torch.arange(int(lengths[0]))[:, None]
        there = step < lengths
        onwards = (starts + step)[there]
        backwards = (starts + lengths - 1 - step)[there]
        rows = torch.stack([onwards, backwards]).to(packing.index.device)
        return cls(rows, rows.argsort(dim=1), there.sum(1).tolist())


def recur(grus: Sequence[nn.GRU], turns: Sequence[Tensor], packing: Packing) -> list[Tensor]:
    """Run GRUs of one shape side by side over each conversation, to its own last turn and back.

    :param grus: bidirectional, with biases, without dropout; at least one.
    :param turns: `[N, D]` for each of them, packed.
    :param packing: which turns make which conversation.
    :return: `[N, 2H]` of each: both directions of its last layer, packed.
    """
    steps = Steps.of(packing)
    half = torch.is_autocast_enabled(turns[0].device.type)
    for layer in range(grus[0].num_layers):
        lines = [(gru, each, way) for gru, each in zip(grus, turns, strict=True) for way in (0, 1)]

        def weight(gru: nn.GRU, name: str, way: int, layer: int = layer) -> Tensor:
            found: Tensor = getattr(gru, f"{name}_l{layer}{'_reverse' * way}")
            return found

        inputs = [
            F.linear(
                each.index_select(0, steps.rows[way]),
                weight(gru, "weight_ih", way),
                weight(gru, "bias_ih", way),
            )
            for gru, each, way in lines
        ]
        states: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
            torch.stack(inputs),
            torch.stack([weight(gru, "weight_hh", way) for gru, _, way in lines]),
            torch.stack([weight(gru, "bias_hh", way) for gru, _, way in lines]),
            steps.sizes,
            half,
        )
        placed = [one.index_select(0, steps.places[number % 2]) for number, one in enumerate(states)]
        turns = [torch.cat(placed[i : i + 2], dim=1) for i in range(0, len(placed), 2)]
    return list(turns)


class _Recurrence(torch.autograd.Function):
    """States of a layer in R directions side by side; the states before the first turn are zeros."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int], half: bool
    ) -> Tensor:
        """Go through the turns.

        :param inputs: what the turns give to the gates `[R, N, 3H]`, in the order of steps.
        :param weight: of the states before `[R, 3H, H]`.
        :param bias: `[R, 3H]`.
        :param sizes: conversations at each step.
        :param half: multiply in bfloat16.
        :return: states `[R, N, H]`.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            inputs = inputs.to(weight.dtype)
            directions, turns, width = inputs.shape
            hidden = width // 3
            used = _transposed(weight).to(torch.bfloat16 if half else weight.dtype)
            states = inputs.new_empty(directions, turns, hidden)
            gates = inputs.new_empty(directions, turns, width)  # reset, update, candidate
            recalled = inputs.new_empty(directions, turns, hidden)  # the candidate's part of the state
            state = inputs.new_zeros(directions, sizes[0], hidden)
            first = 0
            for size in sizes:
                here = slice(first, first + size)
                state = state[:, :size]
                heard = torch.bmm(state.to(used.dtype), used).to(inputs.dtype) + bias[:, None]
                gate = gates[:, here]
                torch.add(inputs[:, here], heard, out=gate)
                both = gate[..., : 2 * hidden].sigmoid_()
                kept = recalled[:, here].copy_(heard[..., 2 * hidden :])
                candidate = gate[..., 2 * hidden :]
                torch.addcmul(inputs[:, here, 2 * hidden :], both[..., :hidden], kept, out=candidate)
                candidate.tanh_()
                state = torch.lerp(candidate, state, both[..., hidden:])
                states[:, here] = state
                first += size
        ctx.save_for_backward(weight, gates, recalled, states)
        ctx.sizes, ctx.half = sizes, half
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Go back through the turns, then make the weights' gradients of all turns at once."""
        weight, gates, recalled, states = ctx.saved_tensors
        (given,) = gradients
        sizes, hidden = ctx.sizes, states.shape[-1]
        with torch.autocast(states.device.type, enabled=False):
            given = given.to(states.dtype)
            before = _before(states, sizes)
            reset, update, candidate = gates.split(hidden, dim=-1)
            # what does not depend on the order of turns is done for all of them together
            to_candidate = (1 - update) * (1 - candidate.square())
            to_update = (before - candidate) * update * (1 - update)
            to_reset = recalled * reset * (1 - reset)
            used = weight.to(torch.bfloat16 if ctx.half else weight.dtype)
            into = torch.empty_like(gates)  # gradients of what the turns give
            back = torch.empty_like(gates)  # and of what the states give
            carried = given.new_zeros(len(given), sizes[-1], hidden)
            last = given.shape[1]
            for size in reversed(sizes):
                here = slice(last - size, last)
                if carried.shape[1] < size:
                    carried = F.pad(carried, (0, 0, 0, size - carried.shape[1]))
                gradient = given[:, here] + carried
                wanted = into[:, here]
                torch.mul(gradient, to_candidate[:, here], out=wanted[..., 2 * hidden :])
                torch.mul(gradient, to_update[:, here], out=wanted[..., hidden : 2 * hidden])
                torch.mul(wanted[..., 2 * hidden :], to_reset[:, here], out=wanted[..., :hidden])
                backwards = back[:, here]
                backwards[..., : 2 * hidden] = wanted[..., : 2 * hidden]
                torch.mul(wanted[..., 2 * hidden :], reset[:, here], out=backwards[..., 2 * hidden :])
                carried = torch.bmm(backwards.to(used.dtype), used).to(given.dtype)
                carried.addcmul_(gradient, update[:, here])
                last -= size
            narrow = used.dtype
            of_weight = torch.bmm(back.transpose(1, 2).to(narrow), before.to(narrow)).to(weight.dtype)
        return into, of_weight, back.sum(dim=1), None, None


def _transposed(matrices: Tensor) -> Tensor:
    """Copy `[R, A, B]` as `[R, B, A]`, one at a time: torch is several times faster at that."""
    return torch.stack([one.t().contiguous() for one in matrices])


def _before(states: Tensor, sizes: list[int]) -> Tensor:
    """State that each step began with."""
    before = torch.zeros_like(states)
    first = 0
    for size, following in pairwise(sizes):
        before[:, first + size : first + size + following] = states[:, first : first + following]
        first += size
    return before
