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
from torch import nn

import mister_e.model.fusion as fusion
from mister_e.model import FusionExpert, Inputs, Packing


@pytest.fixture(scope="module")
def expert():
    torch.manual_seed(2)
    return FusionExpert(SMALL).double()


def embedded(rows):
    """Embeddings of which none is missing."""
    return Inputs(rows, torch.zeros(len(rows), dtype=torch.bool), None)


def attend_alone(attention, query, context):
    """One attention on one conversation `[T, F]` by torch's own multi-head attention."""
    heads = nn.MultiheadAttention(SMALL.attention_dim, SMALL.attention_heads, batch_first=True).double()
    with torch.no_grad():
        heads.in_proj_weight.copy_(torch.eye(SMALL.attention_dim).repeat(3, 1))
        heads.out_proj.weight.copy_(torch.eye(SMALL.attention_dim))
        heads.in_proj_bias.zero_()
        heads.out_proj.bias.zero_()
    attended, _ = heads(
        attention.query(query)[None], attention.key(context)[None], attention.value(context)[None]
    )
    return attention.norm(query + attention.output(attended[0]))


def fuse_alone(expert, speech, text):
    """The expert's formula on one conversation, with nothing packed or masked."""
    speech_turns, text_turns = expert.speech_input(speech), expert.text_input(text)
    for block in expert.blocks:
        crossed = attend_alone(block.speech_asks_text, speech_turns, text_turns)
        text_turns = attend_alone(block.text_asks_speech, text_turns, speech_turns)
        speech_turns = attend_alone(block.speech_asks_speech, crossed, crossed)
        text_turns = attend_alone(block.text_asks_text, text_turns, text_turns)
    return expert.head(
        torch.cat([speech_turns + expert.speech_skip(speech), text_turns + expert.text_skip(text)], -1)
    )


@given(parts=conversations(), extra=st.integers(0, 3))
@few
def test_a_batch_is_each_conversation_fused_alone(expert, parts, extra):
    turns = batch(parts, extra, garbage=torch.nan)
    packing = Packing.of(turns.mask)

    logits, hidden = expert(embedded(packing.pack(turns.speech)), embedded(packing.pack(turns.text)), packing)

    expected = torch.cat([fuse_alone(expert, part.speech, part.text) for part in parts])
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(expert.head[-1](hidden), logits)


MASK = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] + [False] * 4])


def dropping_attention(probability):
    """An attention in training that drops weights; nothing is dropped of its output."""
    torch.manual_seed(4)
    config = SMALL.model_copy(update={"dropout": probability, "head_dropout": 0.0})
    return fusion.TurnAttention(config).double().train()


def test_with_dropout_the_weights_of_pads_are_zero_and_the_others_those_of_the_formula():
    probability = 0.3
    attention = dropping_attention(probability)
    packing = Packing.of(MASK)
    query, key = (torch.randn(3, 3, 5, 2, dtype=torch.float64) for _ in range(2))
    one_hot = torch.eye(5, dtype=torch.float64).expand(3, 3, 5, 5)  # the values name the turn they come from

    weights = attention._attend(query, key, one_hot, packing)

    assert (weights.transpose(2, 3)[~MASK[:, None].expand(3, 3, 5)] == 0).all()
    dropped = (weights == 0) & MASK[:, None, None]
    assert 0 < dropped.sum() < 0.6 * weights[MASK[:, None, None].expand_as(weights)].numel()
    for row, length in enumerate(MASK.sum(1).tolist()):
        scores = query[row] @ key[row, :, :length].transpose(1, 2) / 2**0.5
        expected = scores.softmax(-1) / (1 - probability)
        kept = weights[row, :, :, :length] != 0
        # dropout rounds its probability to a multiple of 1 / 65536
        torch.testing.assert_close(weights[row, :, :, :length][kept], expected[kept], rtol=2 / 65536, atol=0)


def test_with_dropout_no_gradient_reaches_a_pad():
    attention = dropping_attention(0.3)
    tensors = [torch.randn(3, 3, 5, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    real = MASK[:, None, :, None].expand(3, 3, 5, 2)

    attended = attention._attend(*tensors, Packing.of(MASK))
    attended[real].square().sum().backward()

    for tensor in tensors:
        assert tensor.grad.isfinite().all()
        assert (tensor.grad[~real] == 0).all()
        assert (tensor.grad[real] != 0).any()


def fixed_dropout(values, probability):
    """Dropout whose decision on a number depends on its indices alone, and not on the tensor's shape."""
    if probability == 0:
        return values
    numbers = torch.zeros(values.shape, dtype=torch.float64)
    for dimension, size in enumerate(values.shape):
        steps = torch.arange(size, dtype=torch.float64).mul(0.7548776662 + 0.1 * dimension)
        numbers += steps.reshape([-1 if d == dimension else 1 for d in range(values.ndim)])
    kept = numbers.mul(12.9898).sin().mul(43758.5453).remainder(1) >= probability
    return values * kept.to(values.dtype) / (1 - probability)


@given(parts=conversations(min_size=2), extra=st.integers(1, 4))
@few
def test_with_the_same_random_masks_padding_changes_no_loss_and_no_gradient(parts, extra):
    model = small_model(dropout=0.4, head_dropout=0.3).train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "dropout", fixed_dropout)
        loss = training_loss(model, batch(parts))
        padded = training_loss(model, batch(parts, extra, garbage=torch.nan))

        torch.testing.assert_close(loss, padded)
        torch.testing.assert_close(gradients(model, loss), gradients(model, padded))


def test_the_fixed_masks_do_drop():
    part = conversation("bbbbbb", [0, 1, 2, 3, 0, 1], seed=1)
    model = small_model(dropout=0.4, head_dropout=0.3).train()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "dropout", fixed_dropout)
        dropped = model(**batch([part]).inputs).experts
    whole = model.eval()(**batch([part]).inputs).experts

    assert torch.equal(dropped[:, :, :2], whole[:, :, :2])
    assert (dropped[:, :, 2] != whole[:, :, 2]).any()
    assert (fixed_dropout(torch.ones(200, 200), 0.4) == 0).float().mean().item() == pytest.approx(
        0.4, abs=0.02
    )


def test_dropout_is_for_training_alone():
    torch.manual_seed(3)
    config = SMALL.model_copy(update={"dropout": 0.5, "head_dropout": 0.5})
    expert = FusionExpert(config)
    packing = Packing.of(torch.ones(1, 6, dtype=torch.bool))
    speech, text = embedded(torch.randn(6, SMALL.speech_dim)), embedded(torch.randn(6, SMALL.text_dim))

    assert not torch.equal(expert(speech, text, packing)[0], expert(speech, text, packing)[0])
    expert.eval()
    assert torch.equal(expert(speech, text, packing)[0], expert(speech, text, packing)[0])
