import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.encoders.layers import pooling

NAMES = ["mean", "last", "attentive"]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    extra=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_pads_and_batching_change_nothing(name, lengths, extra, seed):
    torch.manual_seed(seed)
    pool = pooling(name, 5).double()
    rows = [torch.randn(length, 5, dtype=torch.double) for length in lengths]
    longest = max(lengths) + extra
    states = torch.full((len(rows), longest, 5), float("nan"), dtype=torch.double)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        states[i, : len(row)] = row
        mask[i, : len(row)] = True
    alone = torch.cat([pool(row[None], torch.ones(1, len(row), dtype=torch.bool)) for row in rows])
    batched = pool(states, mask)
    assert batched.shape == (len(rows), pool.width)
    torch.testing.assert_close(batched, alone, atol=1e-10, rtol=0)


def test_mean_and_last_against_slices():
    states = torch.arange(12.0).reshape(1, 4, 3)
    mask = torch.tensor([[True, True, True, False]])
    assert torch.equal(pooling("mean", 3)(states, mask), states[:, :3].mean(1))
    assert torch.equal(pooling("last", 3)(states, mask), states[:, 2])
    left_padded = mask.flip(1)
    assert torch.equal(pooling("last", 3)(states, left_padded), states[:, 3])


def test_attentive_with_equal_weights_is_mean_and_spread():
    pool = pooling("attentive", 3)
    for parameter in pool.parameters():
        torch.nn.init.zeros_(parameter)
    states = torch.randn(2, 7, 3)
    mask = torch.ones(2, 7, dtype=torch.bool)
    expected = torch.cat([states.mean(1), states.std(1, unbiased=False)], -1)
    torch.testing.assert_close(pool(states, mask), expected)


def test_gradients_do_not_flow_through_pads():
    for name in NAMES:
        states = torch.randn(2, 5, 4, requires_grad=True)
        mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
        pooling(name, 4)(states, mask).square().sum().backward()
        assert states.grad[0, 3:].abs().max() == 0
        assert states.grad[0, :3].abs().max() > 0
