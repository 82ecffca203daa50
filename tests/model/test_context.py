import pytest
import torch
from batches import SMALL, batch, conversations, few
from hypothesis import given
from hypothesis import strategies as st

from mister_e.model import ContextNetwork, Inputs, Packing
from mister_e.model.config import MixtureConfig


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return ContextNetwork(SMALL, SMALL.text_dim).double()


def embedded(rows):
    """Embeddings of which none is missing."""
    return Inputs(rows, torch.zeros(len(rows), dtype=torch.bool), None)


def read_alone(network, turns):
    """The network's formula on one conversation `[T, D]`, with nothing packed or masked."""
    line = turns.T[None]
    views = sum(convolution(line).relu() for convolution in network.convolutions)
    states, _ = network.gru(views.transpose(1, 2))
    hidden = states[0] + network.skip(turns)
    return network.classifier(hidden), hidden


@given(parts=conversations(), extra=st.integers(0, 3))
@few
def test_a_batch_is_each_conversation_read_alone(network, parts, extra):
    turns = batch(parts, extra, garbage=torch.nan)
    packing = Packing.of(turns.mask)

    logits, hidden = network(embedded(packing.pack(turns.text)), packing)

    expected = [read_alone(network, part.text) for part in parts]
    torch.testing.assert_close(logits, torch.cat([each for each, _ in expected]))
    torch.testing.assert_close(hidden, torch.cat([each for _, each in expected]))


def test_convolutions_reach_two_turns_and_no_further(network):
    packing = Packing.of(torch.ones(1, 9, dtype=torch.bool))
    before = torch.randn(9, SMALL.text_dim, dtype=torch.float64)
    after = before.clone()
    after[4] += 1

    convolved = [
        torch.stack([embedded(line).convolve(convolution, packing) for convolution in network.convolutions])
        for line in (before, after)
    ]
    changed = (convolved[0] != convolved[1]).any(dim=2).any(dim=0)

    assert changed.tolist() == [False] * 2 + [True] * 5 + [False] * 2


def test_published_size():
    with torch.device("meta"):
        network = ContextNetwork(MixtureConfig(classes=7), 2048)

    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == pytest.approx(35.2e6, rel=0.01)
