"""First layers on turns that lack a modality: results and gradients against torch's own layers."""

import pytest
import torch
from batches import SMALL, batch, conversations, few
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mister_e.model import Inputs, Packing


def learned(layer, placeholder):
    return [placeholder, *layer.parameters()]


def check(parts, extra, layer, apply, apply_alone):
    """Compare a layer on packed turns with the same layer on each conversation, placeholders put in."""
    turns = batch(parts, extra, garbage=torch.nan)
    packing = Packing.of(turns.mask)
    embeddings, present = packing.pack(turns.text), packing.pack(turns.has_text)
    embeddings = torch.where(present[:, None], embeddings, torch.nan)  # any value may stand at a missing turn
    placeholder = torch.randn(SMALL.text_dim, dtype=torch.float64, requires_grad=True)

    found = apply(Inputs.of(embeddings, present, placeholder), packing)
    expected = torch.cat(
        [apply_alone(torch.where(part.has_text[:, None], part.text, placeholder)) for part in parts]
    )

    torch.testing.assert_close(found, expected)
    weigh = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weigh).sum(), learned(layer, placeholder)),
        torch.autograd.grad((expected * weigh).sum(), learned(layer, placeholder)),
    )


@given(parts=conversations(), extra=st.integers(0, 2), kernel=st.sampled_from([1, 3, 5]))
@few
def test_a_convolution_is_that_of_torch_with_the_gradient_of_the_placeholder(parts, extra, kernel):
    torch.manual_seed(kernel)
    layer = nn.Conv1d(SMALL.text_dim, 7, kernel, padding=kernel // 2).double()
    check(
        parts,
        extra,
        layer,
        lambda inputs, packing: inputs.convolve(layer, packing),
        lambda rows: layer(rows.T[None])[0].T,
    )


@given(parts=conversations(), extra=st.integers(0, 2))
@few
def test_a_linear_layer_is_that_of_torch_with_the_gradient_of_the_placeholder(parts, extra):
    torch.manual_seed(0)
    layer = nn.Linear(SMALL.text_dim, 7).double()
    check(parts, extra, layer, lambda inputs, _: inputs.linear(layer), layer)


@given(parts=conversations())
@few
def test_other_layers_get_the_placeholder_itself(parts):
    layer = nn.Identity()
    check(parts, 0, layer, lambda inputs, _: inputs.with_placeholder(), layer)


def test_selected_turns_keep_what_is_missing():
    rows, present = torch.arange(8.0).reshape(4, 2), torch.tensor([True, False, True, False])
    inputs = Inputs.of(rows, present, torch.tensor([-1.0, -2.0])).select_turns(torch.tensor([3, 2]))

    assert inputs.rows.tolist() == [[-1, -2], [4, 5]]
    assert inputs.missing.tolist() == [True, False]


@pytest.mark.parametrize("present", [True, False])
def test_the_placeholder_always_has_a_gradient_in_training_and_costs_nothing_in_use(present):
    placeholder = torch.ones(3, requires_grad=True)
    inputs = Inputs.of(torch.randn(2, 3), torch.tensor([True, present]), placeholder)
    layer = nn.Linear(3, 4)

    (gradient,) = torch.autograd.grad(inputs.linear(layer).sum(), placeholder)
    assert (gradient != 0).any() == (not present)
    with torch.no_grad():
        expected = nn.functional.linear(inputs.rows, layer.weight, layer.bias)
        assert torch.equal(inputs.linear(layer), expected)
