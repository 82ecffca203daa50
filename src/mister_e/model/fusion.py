"""Fusion expert: cross-attention between speech and text of a conversation, then self-attention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.model.config import MixtureConfig
from mister_e.model.dropout import dropout
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing


class TurnAttention(nn.Module):
    """Multi-head attention of every turn to the turns of its own conversation.

    Post-norm residual: `LayerNorm(query + dropout(output(attention(query, context))))`.

    :param config: sizes; the attention itself is narrower than the turns (`attention_dim`).
    """

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        self.dropout = config.dropout
        self.query = nn.Linear(config.fusion_dim, config.attention_dim)
        self.key = nn.Linear(config.fusion_dim, config.attention_dim)
        self.value = nn.Linear(config.fusion_dim, config.attention_dim)
        self.output = nn.Linear(config.attention_dim, config.fusion_dim)
        self.head_dropout = config.head_dropout
        self.norm = nn.LayerNorm(config.fusion_dim)

    def forward(self, query: Tensor, context: Tensor, packing: Packing) -> Tensor:
        """Attend from one sequence of turns to another; the same twice is self-attention.

        :param query: the turns that attend `[N, F]`, packed.
        :param context: the turns attended to `[N, F]`, packed.
        :param packing: which turns make which conversation.
        :return: the query turns with what they attended to added `[N, F]`, packed.
        """

        def split(rows: Tensor) -> Tensor:
            """[N, A] to [B, heads, T, A / heads]."""
            return packing.unpack(rows.reshape(len(rows), self.heads, -1)).transpose(1, 2)

        attended = self._attend(
            split(self.query(query)), split(self.key(context)), split(self.value(context)), packing
        )
        attended = self.output(packing.pack(attended.transpose(1, 2).flatten(2)))
        if self.training:
            attended = dropout(attended, self.head_dropout)
        result: Tensor = self.norm(query + attended)
        return result

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
        """Scaled dot-product attention `[B, heads, T, A / heads]`; pads get the weight 0."""
        mask = packing.mask[:, None, None, :] if packing.padded else None
        if not self.training or self.dropout == 0:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        # with dropout the weights are computed here: torch's kernel has only its own dropout, slow on a CPU
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return dropout(scores.softmax(dim=-1), self.dropout).to(value.dtype) @ value


class FusionBlock(nn.Module):
    """Cross-attention in both directions at once, then self-attention within each modality."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        # the names are those in saved weights: "speech asks text" has speech as query, text as context
        self.speech_asks_text = TurnAttention(config)
        self.text_asks_speech = TurnAttention(config)
        self.speech_asks_speech = TurnAttention(config)
        self.text_asks_text = TurnAttention(config)

    def forward(self, speech: Tensor, text: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Apply the four attentions.

        :param speech: `[N, F]`, packed.
        :param text: `[N, F]`, packed.
        :param packing: which turns make which conversation.
        :return: speech and text, `[N, F]` each, packed.
        """
        speech, text = (
            self.speech_asks_text(speech, text, packing),
            self.text_asks_speech(text, speech, packing),
        )
        return self.speech_asks_speech(speech, speech, packing), self.text_asks_text(text, text, packing)


class FusionExpert(nn.Module):
    """Blocks of cross-attention and self-attention over both modalities, plus a linear skip of each."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        width = config.fusion_dim
        self.speech_input = nn.Linear(config.speech_dim, width)
        self.text_input = nn.Linear(config.text_dim, width)
        self.blocks = nn.ModuleList(FusionBlock(config) for _ in range(config.fusion_blocks))
        self.speech_skip = nn.Linear(config.speech_dim, width)
        self.text_skip = nn.Linear(config.text_dim, width)
        self.head = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, config.classes)
        )

    def forward(self, speech: Inputs, text: Inputs, packing: Packing) -> tuple[Tensor, Tensor]:
        """Classify every turn from both modalities.

        :param speech: embeddings `[N, Ds]`, packed.
        :param text: embeddings `[N, Dt]`, packed.
        :param packing: which turns make which conversation.
        :return: logits `[N, C]` and representations `[N, F]`, packed.
        """
        speech_turns, text_turns = speech.linear(self.speech_input), text.linear(self.text_input)
        for block in self.blocks:
            speech_turns, text_turns = block(speech_turns, text_turns, packing)
        speech_turns = speech_turns + speech.linear(self.speech_skip)
        text_turns = text_turns + text.linear(self.text_skip)
        hidden: Tensor = self.head[:-1](torch.cat([speech_turns, text_turns], dim=-1))
        return self.head[-1](hidden), hidden
