import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mister_e.encoders.layers import classifier, pooling, projection

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


def test_attentive_pooling_against_a_loop():
    torch.manual_seed(0)
    pool = pooling("attentive", 4).double()
    states = torch.randn(3, 6, 4, dtype=torch.double)
    mask = torch.arange(6) < torch.tensor([6, 2, 1])[:, None]
    first, _, second = pool.attention
    for row, length in enumerate((6, 2, 1)):
        scores = [second(torch.tanh(first(state))).item() for state in states[row, :length]]
        weights = torch.tensor(scores, dtype=torch.double).exp()
        weights = weights / weights.sum()
        mean = sum(w * s for w, s in zip(weights, states[row, :length], strict=True))
        variance = sum(w * (s - mean) ** 2 for w, s in zip(weights, states[row, :length], strict=True))
        # the deviation of one state is that of the floor: its slope must not be infinite
        expected = torch.cat([mean, variance.clamp(min=1e-6).sqrt()])
        torch.testing.assert_close(pool(states, mask)[row], expected)
    assert torch.allclose(pool(states, mask)[2, 4:], torch.tensor(1e-3, dtype=torch.double))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_without_anything_real_is_finite_and_so_is_its_gradient(name):
    states = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[False] * 3, [True] * 3])
    pooled = pooling(name, 4)(states, mask)
    assert torch.isfinite(pooled).all()
    pooled.square().sum().backward()
    assert torch.isfinite(states.grad).all()


def test_the_projection_is_a_norm_and_a_linear_map():
    states = 5 + 3 * torch.randn(4, 6)
    project = projection(6, 3)
    normed = (states - states.mean(1, keepdim=True)) / (
        states.var(1, keepdim=True, correction=0) + 1e-5
    ).sqrt()
    linear = project[-1]
    torch.testing.assert_close(project(states), normed @ linear.weight.T + linear.bias)
    assert torch.equal(projection(6, None)(states), states)


def test_the_classifier_drops_in_training_only():
    head = classifier(1000, 0.25, 3)
    embeddings = torch.randn(1, 1000)
    last = head[-1]
    plain = embeddings.clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head.eval()(embeddings), plain)
    assert last.weight.shape == (3, 1000)
    inputs = []
    last.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    head.train()(embeddings)
    kept = inputs[0] != 0
    assert kept.sum() / (embeddings > 0).sum() == pytest.approx(0.75, abs=0.08)
    torch.testing.assert_close(inputs[0][kept], embeddings[kept] / 0.75)
    assert classifier(1000, 0.25, 0) is None
