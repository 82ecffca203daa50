"""The recurrence against torch's own GRU, results and gradients."""

import pytest
import torch
from batches import batch, conversations, few
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mister_e.model import Packing
from mister_e.model.dropout import dropout
from mister_e.model.recurrence import recur


def alone(gru, rows):
    return gru(rows[None])[0][0]


@given(parts=conversations(), layers=st.integers(1, 3), extra=st.integers(0, 2))
@few
def test_results_and_gradients_are_those_of_torch(parts, layers, extra):
    torch.manual_seed(layers)
    grus = [nn.GRU(6, 4, layers, batch_first=True, bidirectional=True).double() for _ in range(2)]
    parameters = [p for gru in grus for p in gru.parameters()]
    packing = Packing.of(batch(parts, extra).mask)
    turns = [torch.cat([part.text for part in parts]).requires_grad_() for _ in grus]

    found = recur(grus, turns, packing)
    rows = [each.split(packing.lengths.tolist()) for each in turns]
    expected = [
        torch.cat([alone(gru, turn_rows) for turn_rows in each]) for gru, each in zip(grus, rows, strict=True)
    ]

    torch.testing.assert_close(found, expected)
    weigh = torch.randn_like(expected[0])
    gradients = [
        torch.autograd.grad(sum((output * weigh).sum() for output in each), [*parameters, *turns])
        for each in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_its_gradient_is_that_of_small_differences():
    torch.manual_seed(0)
    gru = nn.GRU(3, 2, 2, batch_first=True, bidirectional=True).double()
    packing = Packing.of(torch.tensor([[True, True, True], [True, False, False]]))
    turns = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: recur([gru], [x], packing)[0], (turns,))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_fraction_and_keeps_the_mean(probability):
    torch.manual_seed(0)
    values = torch.ones(200_001, requires_grad=True)
    dropped = dropout(values, probability)
    dropped.sum().backward()
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(values.grad, dropped.detach())
    assert torch.equal(dropout(values, 0.0), values)
