import pytest
import torch
from batches import SMALL, batch, conversation, conversations, few, gradients, small_model, training_loss
from hypothesis import given
from hypothesis import strategies as st

from mister_e.errors import InputError
from mister_e.model import MisterE, expert_presence
from mister_e.training.losses import expert_consistency, focal_loss

OUTPUTS = ("logits", "experts", "gate", "speech_hidden", "text_hidden")
CLOSE = {"rtol": 1e-5, "atol": 1e-8}


@pytest.fixture(scope="module")
def model():
    return small_model()


def summed_losses(model, turns):
    """Focal loss and consistency, as sums over the turns that they are means of."""
    output = model(**turns.inputs)
    labelled = turns.mask & (turns.labels >= 0)
    paired = turns.mask & turns.has_text & turns.has_speech
    present = expert_presence(turns.has_speech, turns.has_text)
    focal = focal_loss(output.logits, turns.labels, mask=turns.mask, gamma=2.0)
    consistency = expert_consistency(output.experts, mask=turns.mask, present=present)
    return focal * labelled.sum() + consistency * paired.sum()


@given(parts=conversations(), extra=st.integers(0, 4), random=st.randoms(use_true_random=False))
@few
def test_alone_batched_permuted_and_over_padded_are_the_same(model, parts, extra, random):
    order = random.sample(range(len(parts)), len(parts))
    together = model(**batch(parts).inputs)
    shuffled = model(**batch([parts[i] for i in order], extra, garbage=torch.nan).inputs)

    for place, i in enumerate(order):
        alone = model(**batch([parts[i]]).inputs)
        length = len(parts[i].mask)
        for name in OUTPUTS:
            expected = getattr(alone, name)[0]
            torch.testing.assert_close(getattr(together, name)[i, :length], expected, **CLOSE)
            torch.testing.assert_close(getattr(shuffled, name)[place, :length], expected, **CLOSE)


@given(parts=conversations(), extra=st.integers(0, 4), random=st.randoms(use_true_random=False))
@few
def test_the_training_loss_and_its_gradient_ignore_padding_and_order(model, parts, extra, random):
    shuffled = random.sample(parts, len(parts))
    loss = training_loss(model, batch(parts))
    other = training_loss(model, batch(shuffled, extra, garbage=torch.nan))

    torch.testing.assert_close(loss, other, **CLOSE)
    torch.testing.assert_close(gradients(model, loss), gradients(model, other), **CLOSE)


@given(parts=conversations(min_size=2), extra=st.integers(0, 4))
@few
def test_the_losses_of_turns_and_their_gradients_add_up_over_conversations(model, parts, extra):
    together = summed_losses(model, batch(parts, extra, garbage=torch.nan))
    alone = sum(summed_losses(model, batch([part])) for part in parts)

    torch.testing.assert_close(together, alone, **CLOSE)
    torch.testing.assert_close(gradients(model, together), gradients(model, alone), **CLOSE)


@given(parts=conversations(), extra=st.integers(0, 4))
@few
def test_gate_weights_sum_to_one_and_are_zero_for_absent_experts(model, parts, extra):
    turns = batch(parts, extra)
    output = model(**turns.inputs)
    present = expert_presence(turns.has_speech, turns.has_text) & turns.mask[..., None]

    torch.testing.assert_close(output.gate.sum(-1), turns.mask.double())
    assert (output.gate[~present] == 0).all()
    assert (output.gate[present] > 0).all()
    text_alone = turns.mask & turns.has_text & ~turns.has_speech
    assert (output.gate[text_alone] == torch.tensor([0.0, 1.0, 0.0])).all()
    mixed = (output.gate[..., None] * output.experts).sum(-2)
    torch.testing.assert_close(output.logits, mixed)


@given(parts=conversations(), garbage=st.sampled_from([torch.nan, torch.inf, 1e300]))
@few
def test_nothing_at_pads_or_absent_inputs_gets_through_or_back(model, parts, garbage):
    clean, dirty = batch(parts, extra_pads=2), batch(parts, extra_pads=2)
    with_text, with_speech = dirty.mask & dirty.has_text, dirty.mask & dirty.has_speech
    dirty.text[~with_text], dirty.speech[~with_speech] = garbage, garbage
    dirty.text.requires_grad_()
    dirty.speech.requires_grad_()
    expected, output = model(**clean.inputs), model(**dirty.inputs)

    for name in OUTPUTS:
        assert torch.equal(getattr(output, name), getattr(expected, name))
        assert (getattr(output, name)[~dirty.mask] == 0).all()
    everything = sum(getattr(output, name).square().sum() for name in OUTPUTS)
    everything.backward(inputs=[dirty.text, dirty.speech])
    assert (dirty.text.grad[~with_text] == 0).all()
    assert (dirty.speech.grad[~with_speech] == 0).all()
    assert dirty.text.grad.isfinite().all()
    assert dirty.speech.grad.isfinite().all()


@given(parts=conversations())
@few
def test_experts_that_are_skipped_change_nothing(model, parts):
    turns = batch(parts)
    turns.has_text[:], turns.has_speech[:] = True, False
    trained = model.train()(**turns.inputs)
    used = model.eval()(**turns.inputs)
    model.train()

    for name in OUTPUTS:
        assert torch.equal(getattr(trained, name), getattr(used, name))


def test_the_first_turn_reaches_the_fourth_and_no_other_conversation(model):
    parts = [conversation("bbbb", [0] * 4, seed=5), conversation("bbbb", [0] * 4, seed=6)]
    for modality, expert in (("text", 1), ("speech", 0)):
        turns = batch(parts)
        before = model(**turns.inputs)
        getattr(turns, modality)[0, 0] += 1
        after = model(**turns.inputs)

        moved = (after.experts - before.experts).abs().amax(-1)
        assert (moved[0, :, [expert, 2]] > 1e-6).all()
        assert (moved[0, :, 1 - expert] == 0).all()
        assert (moved[1] == 0).all()


def test_missing_is_not_zero(model):
    turns = batch([conversation("bbb", [0] * 3, seed=7)])
    turns.speech[0, 1] = 0
    zero = model(**turns.inputs)
    turns.has_speech[0, 1] = False
    missing = model(**turns.inputs)

    assert missing.gate[0, 1].tolist() == [0, 1, 0]
    assert (zero.gate[0, 1] > 0).all()
    # the neighbours meet the learned embedding where they met zeros
    assert (missing.experts[0, 0, [0, 2]] - zero.experts[0, 0, [0, 2]]).abs().amax() > 1e-6


def test_every_parameter_learns():
    model = small_model()
    turns = batch([conversation("bsbtb", [0, 1, 2, 3, 0], seed=8), conversation("bbb", [1, 1, 2], seed=9)])

    dead = [
        name
        for (name, _), gradient in zip(
            model.named_parameters(), gradients(model, training_loss(model, turns)), strict=True
        )
        # a constant added to all keys shifts every score of a query alike, which softmax ignores
        if not name.endswith("key.bias") and gradient.abs().max() < 1e-12
    ]

    assert dead == []


def test_a_batch_without_one_modality_still_reaches_every_parameter_in_training(model):
    loss = training_loss(model.train(), batch([conversation("ttt", [0, 1, 0], seed=10)]))

    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    assert all(gradient is not None and gradient.isfinite().all() for gradient in found)


def test_single_and_half_precision_agree_with_double():
    turns = batch([conversation("bsbtb", [0] * 5, seed=11), conversation("bt", [0] * 2, seed=12)])
    exact = small_model()(**turns.inputs)
    model = small_model().float()
    turns.text, turns.speech = turns.text.float(), turns.speech.float()
    single = model(**turns.inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(**turns.inputs)
        loss = training_loss(model, turns)
        unheard = batch([conversation("tt", [0] * 2, seed=13)])
        unheard.text, unheard.speech = unheard.text.float(), unheard.speech.float()
        text_alone = model.eval()(**unheard.inputs)
    loss.backward()

    torch.testing.assert_close(single.logits.double(), exact.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(half.logits.double(), exact.logits, rtol=0.1, atol=0.05)
    outputs = (single, half, text_alone)
    assert {o.logits.dtype for o in outputs} | {o.experts.dtype for o in outputs} == {torch.float32}
    assert loss.dtype == torch.float32
    assert text_alone.gate[0, 0].tolist() == [0, 1, 0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_changes_nothing():
    turns = batch([conversation("bsbtb", [0] * 5, seed=14), conversation("bt", [0] * 2, seed=15)])
    model = small_model()
    expected = model(**turns.inputs)

    found = model.cuda()(**{name: tensor.cuda() for name, tensor in turns.inputs.items()})

    for name in OUTPUTS:
        torch.testing.assert_close(getattr(found, name).cpu(), getattr(expected, name))


def test_a_turn_with_neither_modality_is_named(model):
    turns = batch([conversation("bb", [0] * 2, seed=16), conversation("bbb", [0] * 3, seed=17)])
    turns.has_text[1, 2] = turns.has_speech[1, 2] = False

    with pytest.raises(InputError, match=r"conversation 1 .*, turn 2: neither text nor speech"):
        model(**turns.inputs)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("text", torch.zeros(1, 2, 5), r"text has shape \[1, 2, 5\], expected \[1, 2, 6\]"),
        ("speech", torch.zeros(1, 3, 5), r"speech has shape \[1, 3, 5\], expected \[1, 2, 5\]"),
        ("has_text", torch.ones(2, dtype=torch.bool), "has_text has shape"),
        ("has_speech", torch.ones(1, 2), "has_speech is bool"),
        ("mask", torch.tensor([[False, True]]), "pad before a real turn"),
    ],
)
def test_wrong_tensors_are_named(model, name, wrong, message):
    inputs = batch([conversation("bb", [0] * 2, seed=18)]).inputs
    with pytest.raises(ValueError, match=message):
        model(**{**inputs, name: wrong})


def test_weights_come_back_from_their_names_alone():
    model, other = small_model(), MisterE(SMALL).double()
    other.load_state_dict(model.state_dict(), strict=True)
    turns = batch([conversation("bst", [0] * 3, seed=19)])

    assert torch.equal(other(**turns.inputs).logits, model(**turns.inputs).logits)


@pytest.mark.parametrize("experts", [("text",), ("speech",), ("text", "fusion")])
def test_an_expert_that_is_not_there_has_a_representation_of_its_size(experts):
    output = small_model(experts=experts, hidden=8, fusion_dim=12)(
        **batch([conversation("bts", [0, 1, 2], 0)]).inputs
    )
    for name, hidden in (("speech", output.speech_hidden), ("text", output.text_hidden)):
        assert hidden.shape[-1] == 8
        assert name in experts or not hidden.any()
