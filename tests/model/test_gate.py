import pytest
import torch
from batches import SMALL
from torch import nn

from mister_e.model import Gate, expert_presence
from mister_e.model.gate import equal_weights

BOTH, SPEECH, TEXT = [True] * 3, [True, False, False], [False, True, False]


@pytest.fixture
def gate():
    torch.manual_seed(4)
    return Gate(SMALL).double()


def test_fusion_needs_both_modalities():
    has_speech, has_text = torch.tensor([True, True, False]), torch.tensor([True, False, True])

    assert expert_presence(has_speech, has_text).tolist() == [BOTH, SPEECH, TEXT]


def test_weights_are_those_of_the_method_where_all_experts_are_there(gate):
    experts = torch.randn(5, 3, SMALL.classes, dtype=torch.float64)

    weights = gate(experts, torch.tensor([BOTH] * 5))

    first, _, last = gate.scores
    scores = last(nn.functional.relu(first(experts.reshape(5, -1))))
    torch.testing.assert_close(weights, (scores / 2.0).softmax(-1))


def test_a_gate_over_two_experts_weighs_those_two():
    torch.manual_seed(6)
    gate = Gate(SMALL.model_copy(update={"experts": ("speech", "fusion")})).double()
    experts = torch.randn(5, 3, SMALL.classes, dtype=torch.float64)

    weights = gate(experts, torch.tensor([[True, False, True]] * 5))

    first, _, last = gate.scores
    two = torch.cat([experts[:, 0], experts[:, 2]], dim=-1)
    expected = (last(nn.functional.relu(first(two))) / 2.0).softmax(-1)
    torch.testing.assert_close(weights[:, [0, 2]], expected)
    assert (weights[:, 1] == 0).all()


def test_a_gate_on_representations_ignores_the_logits():
    torch.manual_seed(7)
    gate = Gate(SMALL, 9).double()
    hidden = torch.randn(5, 9, dtype=torch.float64)
    logits = (torch.randn(5, 3, SMALL.classes, dtype=torch.float64) for _ in range(2))

    found = [gate(experts, torch.tensor([BOTH] * 5), hidden) for experts in logits]

    first, _, last = gate.scores
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], (last(nn.functional.relu(first(hidden))) / 2.0).softmax(-1))


def test_equal_weights_are_shared_by_the_experts_that_are_present():
    present = torch.tensor([BOTH, SPEECH, [False, True, True], [False] * 3])

    weights = equal_weights(present, torch.float64)

    assert weights.dtype == torch.float64
    assert weights.tolist() == [[1 / 3] * 3, [1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]]


def test_fusion_as_the_only_expert_needs_one_modality():
    has_speech, has_text = torch.tensor([True, True, False]), torch.tensor([True, False, False])

    present = expert_presence(has_speech, has_text, ("fusion",))
    assert present.tolist() == [[False, False, True], [False, False, True], [False] * 3]
    assert expert_presence(has_speech, has_text, ("text", "fusion")).tolist() == [
        [False, True, True],
        [False] * 3,
        [False] * 3,
    ]


def test_a_higher_temperature_trusts_more_evenly(gate):
    experts = torch.randn(5, 3, SMALL.classes, dtype=torch.float64)
    present = torch.tensor([BOTH] * 5)
    sharp = gate(experts, present)
    gate.temperature = 20.0

    assert (gate(experts, present).amax(-1) < sharp.amax(-1)).all()


@pytest.mark.parametrize("garbage", [0.0, 1e30, torch.inf, torch.nan])
def test_an_absent_expert_weighs_nothing_and_says_nothing(gate, garbage):
    experts = torch.randn(2, 3, SMALL.classes, dtype=torch.float64)
    present = torch.tensor([SPEECH, [True, True, False]])
    quiet = torch.where(present[..., None], experts, 0.0)
    loud = torch.where(present[..., None], experts, garbage).requires_grad_()

    weights = gate(loud, present)
    weights[:, 0].sum().backward()

    assert torch.equal(weights, gate(quiet, present))
    assert (weights[~present] == 0).all()
    assert weights[0].tolist() == [1, 0, 0]
    assert weights[1].sum().item() == pytest.approx(1)
    assert (loud.grad[~present] == 0).all()
    assert loud.grad.isfinite().all()
