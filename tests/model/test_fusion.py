import pytest
import torch
from batches import SMALL, batch, conversations, few
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

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


def test_dropout_is_for_training_alone():
    torch.manual_seed(3)
    config = SMALL.model_copy(update={"dropout": 0.5, "head_dropout": 0.5})
    expert = FusionExpert(config)
    packing = Packing.of(torch.ones(1, 6, dtype=torch.bool))
    speech, text = embedded(torch.randn(6, SMALL.speech_dim)), embedded(torch.randn(6, SMALL.text_dim))

    assert not torch.equal(expert(speech, text, packing)[0], expert(speech, text, packing)[0])
    expert.eval()
    assert torch.equal(expert(speech, text, packing)[0], expert(speech, text, packing)[0])
