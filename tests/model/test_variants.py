"""The parts of the mixture that can be left out or changed: each keeps the invariants of the whole."""

import pytest
import torch
from batches import (
    SMALL,
    batch,
    conversation,
    conversations,
    few,
    gradients,
    small_model,
    training_loss,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mister_e.model import MisterE
from mister_e.model.config import MixtureConfig
from mister_e.model.gate import majority_weights

OUTPUTS = ("logits", "experts", "gate", "speech_hidden", "text_hidden", "present")
CLOSE = {"rtol": 1e-5, "atol": 1e-8}
VARIANTS = {
    "speech alone": {"experts": ("speech",)},
    "text alone": {"experts": ("text",)},
    "fusion alone": {"experts": ("fusion",)},
    "two experts": {"experts": ("speech", "text")},
    "average": {"gate": "average"},
    "vote": {"gate": "vote"},
    "concatenation": {"gate": "concatenation"},
    "representations": {"gate_input": "representations"},
    "no convolutions": {"convolutions": False},
    "no gru": {"gru": False},
    "neither": {"gru": False, "convolutions": False},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def changes(request):
    return request.param


@pytest.fixture(scope="module")
def model(changes):
    return small_model(**changes)


@given(parts=conversations(), extra=st.integers(0, 4), random=st.randoms(use_true_random=False))
@few
def test_padding_and_order_change_nothing(model, parts, extra, random):
    order = random.sample(range(len(parts)), len(parts))
    shuffled = model(**batch([parts[i] for i in order], extra, garbage=torch.nan).inputs)
    for place, i in enumerate(order):
        alone = model(**batch([parts[i]]).inputs)
        length = len(parts[i].mask)
        for name in OUTPUTS:
            torch.testing.assert_close(
                getattr(shuffled, name)[place, :length], getattr(alone, name)[0], **CLOSE
            )


@given(parts=conversations(), extra=st.integers(0, 4))
@few
def test_the_gradient_ignores_padding(model, parts, extra):
    loss, other = (training_loss(model, batch(parts, pads, garbage=torch.nan)) for pads in (0, extra))
    torch.testing.assert_close(loss, other, **CLOSE)
    torch.testing.assert_close(gradients(model, loss), gradients(model, other), **CLOSE)


@given(parts=conversations())
@few
def test_absent_experts_weigh_nothing(model, changes, parts):
    output = model(**batch(parts).inputs)
    used = changes.get("experts", ("speech", "text", "fusion"))
    for place, name in enumerate(("speech", "text", "fusion")):
        if name not in used:
            assert not output.present[..., place].any()
    assert (output.gate[~output.present] == 0).all()
    assert (output.experts[~output.present] == 0).all()
    classified = output.present.any(-1)
    assert (output.logits[~classified] == 0).all()
    if changes.get("gate") != "concatenation":
        torch.testing.assert_close(output.gate.sum(-1), classified.double())
        mixed = (output.gate[..., None] * output.experts).sum(-2)
        torch.testing.assert_close(output.logits, mixed)


def test_no_parameter_is_dead(changes):
    model = small_model(**changes)
    turns = batch([conversation("bsbtb", [0, 1, 2, 3, 0], seed=8), conversation("bbb", [1, 1, 2], seed=9)])
    found = torch.autograd.grad(training_loss(model, turns), list(model.parameters()), allow_unused=True)
    dead = [
        name
        for (name, _), gradient in zip(model.named_parameters(), found, strict=True)
        if not name.endswith("key.bias") and (gradient is None or gradient.abs().max() < 1e-12)
    ]
    assert dead == []


def test_defaults_are_the_whole_method():
    assert (
        MisterE(MixtureConfig(**SMALL.model_dump())).state_dict().keys() == small_model().state_dict().keys()
    )
    assert MixtureConfig(classes=3).experts == ("speech", "text", "fusion")


def test_experts_come_in_their_order_and_once():
    assert MixtureConfig(classes=3, experts=("fusion", "speech")).experts == ("speech", "fusion")
    with pytest.raises(ValidationError, match="named twice"):
        MixtureConfig(classes=3, experts=("text", "text"))
    with pytest.raises(ValidationError, match="experts"):
        MixtureConfig(classes=3, experts=())


def test_the_vote_is_that_of_the_majority():
    random = torch.Generator().manual_seed(0)
    experts = torch.randn(200, 3, 4, generator=random)
    present = torch.rand(200, 3, generator=random) < 0.7
    weights = majority_weights(experts, present)
    mixed = (weights[..., None] * experts).sum(-2).argmax(-1)
    for row in range(200):
        voters = [e for e in range(3) if present[row, e]]
        if not voters:
            assert (weights[row] == 0).all()
            continue
        votes = [int(experts[row, e].argmax()) for e in voters]
        most = max(map(votes.count, votes))
        tied = {vote for vote in votes if votes.count(vote) == most}
        confidence = experts[row, voters].softmax(-1).sum(0)
        assert int(mixed[row]) == max(tied, key=lambda vote: confidence[vote])
