"""Bidirectional GRUs over packed turns, with a backward pass in a few large matrix products.

Weights and results are those of `torch.nn.GRU`. Torch's own backward pass on a CPU adds every weight's
gradient up turn by turn, which takes longer than all the rest of a training step; here a layer's
weight gradients are one product over all turns. Both directions, and the GRUs of several experts,
run side by side: one small product a step in place of four.

The cell (as in `torch.nn.GRU`), with input x and the state before h:

    reset     r = sigmoid(W_r x + b_r + U_r h + c_r)
    update    z = sigmoid(W_z x + b_z + U_z h + c_z)
    candidate n = tanh(W_n x + b_n + r * (U_n h + c_n))
    state     h' = (1 - z) * n + z * h
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
    """Order of the packed turns in a recurrence: by step, and within a step longest conversation first.

    :param rows: int64 `[2, N]`, packed rows in that order: forward direction, backward direction.
    :param places: int64 `[2, N]`, place of each packed row in that order.
    :param sizes: number of conversations that have a turn at each step; never increases.
    """

    rows: Tensor
    places: Tensor
    sizes: list[int]

    @classmethod
    def of(cls, packing: Packing) -> Steps:
        """Derive the order from the lengths of the conversations."""
        lengths, order = packing.lengths.sort(descending=True, stable=True)
        starts = (packing.lengths.cumsum(0) - packing.lengths)[order]
        step = torch.arange(int(lengths[0]))[:, None]
        exists = step < lengths
        forward = (starts + step)[exists]
        backward = (starts + lengths - 1 - step)[exists]
        rows = torch.stack([forward, backward]).to(packing.index.device)
        return cls(rows, rows.argsort(dim=1), exists.sum(1).tolist())


def recur(grus: Sequence[nn.GRU], turns: Sequence[Tensor], packing: Packing) -> list[Tensor]:
    """Run GRUs of one shape side by side over each conversation, in both directions, without pads.

    :param grus: bidirectional, with biases, without dropout; at least one.
    :param turns: `[N, D]` for each of them, packed.
    :param packing: which turns make which conversation.
    :return: `[N, 2H]` of each: both directions of its last layer, packed.
    """
    steps = Steps.of(packing)
    half = torch.is_autocast_enabled(turns[0].device.type)
    for layer in range(grus[0].num_layers):
        runs = [(gru, rows, way) for gru, rows in zip(grus, turns, strict=True) for way in (0, 1)]

        def weight(gru: nn.GRU, name: str, way: int, layer: int = layer) -> Tensor:
            parameter: Tensor = getattr(gru, f"{name}_l{layer}{'_reverse' * way}")
            return parameter

        inputs = [
            F.linear(
                rows.index_select(0, steps.rows[way]),
                weight(gru, "weight_ih", way),
                weight(gru, "bias_ih", way),
            )
            for gru, rows, way in runs
        ]
        states: Tensor = _Recurrence.apply(  # type: ignore[no-untyped-call]
            torch.stack(inputs),
            torch.stack([weight(gru, "weight_hh", way) for gru, _, way in runs]),
            torch.stack([weight(gru, "bias_hh", way) for gru, _, way in runs]),
            steps.sizes,
            half,
        )
        # back to packed order; even numbers are forward, odd ones backward
        packed = [run.index_select(0, steps.places[number % 2]) for number, run in enumerate(states)]
        turns = [torch.cat(packed[i : i + 2], dim=1) for i in range(0, len(packed), 2)]
    return list(turns)


class _Recurrence(torch.autograd.Function):
    """One layer of R runs (a GRU in one direction) side by side; every run starts from a zero state."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int], half: bool
    ) -> Tensor:
        """Compute the states.

        :param inputs: the inputs' part of the gates, `W x + b`, `[R, N, 3H]`, in the order of `Steps`;
            reset, update, candidate.
        :param weight: U, by which the state before is multiplied, `[R, 3H, H]`.
        :param bias: c, `[R, 3H]`.
        :param sizes: number of conversations at each step.
        :param half: multiply in bfloat16.
        :return: states `[R, N, H]`.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            inputs = inputs.to(weight.dtype)
            directions, turns, width = inputs.shape
            hidden = width // 3
            used = _transposed(weight).to(torch.bfloat16 if half else weight.dtype)
            states = inputs.new_empty(directions, turns, hidden)
            gates = inputs.new_empty(directions, turns, width)  # r, z, n
            candidate_states = inputs.new_empty(directions, turns, hidden)  # U_n h + c_n
            state = inputs.new_zeros(directions, sizes[0], hidden)
            first = 0
            for size in sizes:
                here = slice(first, first + size)
                state = state[:, :size]
                recurrent = torch.bmm(state.to(used.dtype), used).to(inputs.dtype) + bias[:, None]
                gate = gates[:, here]
                torch.add(inputs[:, here], recurrent, out=gate)
                reset_update = gate[..., : 2 * hidden].sigmoid_()
                candidate_state = candidate_states[:, here].copy_(recurrent[..., 2 * hidden :])
                candidate = gate[..., 2 * hidden :]
                reset = reset_update[..., :hidden]
                torch.addcmul(inputs[:, here, 2 * hidden :], reset, candidate_state, out=candidate)
                candidate.tanh_()
                state = torch.lerp(candidate, state, reset_update[..., hidden:])
                states[:, here] = state
                first += size
        ctx.save_for_backward(weight, gates, candidate_states, states)
        ctx.sizes, ctx.half = sizes, half
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Go back through the steps, then compute the weights' gradients from all turns at once."""
        weight, gates, candidate_states, states = ctx.saved_tensors
        (of_states,) = gradients
        sizes, hidden = ctx.sizes, states.shape[-1]
        with torch.autocast(states.device.type, enabled=False):
            of_states = of_states.to(states.dtype)
            before = _states_before(states, sizes)
            reset, update, candidate = gates.split(hidden, dim=-1)
            # the factors that do not depend on later steps are computed for all turns at once
            to_candidate = (1 - update) * (1 - candidate.square())
            to_update = (before - candidate) * update * (1 - update)
            to_reset = candidate_states * reset * (1 - reset)
            used = weight.to(torch.bfloat16 if ctx.half else weight.dtype)
            of_inputs = torch.empty_like(gates)  # gradient of W x + b
            of_recurrent = torch.empty_like(gates)  # gradient of U h + c; differs in the candidate, by r
            carried = of_states.new_zeros(len(of_states), sizes[-1], hidden)
            last = of_states.shape[1]
            for size in reversed(sizes):
                here = slice(last - size, last)
                if carried.shape[1] < size:
                    carried = F.pad(carried, (0, 0, 0, size - carried.shape[1]))
                gradient = of_states[:, here] + carried
                of_input = of_inputs[:, here]
                of_candidate = of_input[..., 2 * hidden :]
                torch.mul(gradient, to_candidate[:, here], out=of_candidate)
                torch.mul(gradient, to_update[:, here], out=of_input[..., hidden : 2 * hidden])
                torch.mul(of_candidate, to_reset[:, here], out=of_input[..., :hidden])
                of_gate = of_recurrent[:, here]
                of_gate[..., : 2 * hidden] = of_input[..., : 2 * hidden]
                torch.mul(of_candidate, reset[:, here], out=of_gate[..., 2 * hidden :])
                carried = torch.bmm(of_gate.to(used.dtype), used).to(of_states.dtype)
                carried.addcmul_(gradient, update[:, here])
                last -= size
            precision = used.dtype
            of_weight = torch.bmm(of_recurrent.transpose(1, 2).to(precision), before.to(precision))
        return of_inputs, of_weight.to(weight.dtype), of_recurrent.sum(dim=1), None, None


def _transposed(matrices: Tensor) -> Tensor:
    """Copy `[R, A, B]` as `[R, B, A]`, matrix by matrix: torch is several times faster at that."""
    return torch.stack([matrix.t().contiguous() for matrix in matrices])


def _states_before(states: Tensor, sizes: list[int]) -> Tensor:
    """State before each turn `[R, N, H]`: that of the step before, or zeros."""
    before = torch.zeros_like(states)
    first = 0
    for size, following in pairwise(sizes):
        before[:, first + size : first + size + following] = states[:, first : first + following]
        first += size
    return before
