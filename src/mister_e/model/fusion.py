"""The fusion expert: speech and text of a conversation ask each other, then themselves."""

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
    """Attention of every turn to the turns of its own conversation, added to a normalised residual."""

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

    def forward(self, asking: Tensor, asked: Tensor, packing: Packing) -> Tensor:
        """Let turns gather from turns.

        :param asking: the turns that gather `[N, F]`, packed.
        :param asked: the turns gathered from `[N, F]`, packed.
        :param packing: which turns make which conversation.
        :return: the asking turns with what they gathered `[N, F]`.
        """

        def split(rows: Tensor) -> Tensor:
            """[N, A] to [B, heads, T, A / heads]."""
            return packing.unpack(rows.reshape(len(rows), self.heads, -1)).transpose(1, 2)

        gathered = self._attend(
            split(self.query(asking)), split(self.key(asked)), split(self.value(asked)), packing
        )
        gathered = self.output(packing.pack(gathered.transpose(1, 2).flatten(2)))
        if self.training:
            gathered = dropout(gathered, self.head_dropout)
        joined: Tensor = self.norm(asking + gathered)
        return joined

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, packing: Packing) -> Tensor:
        """Let queries gather values `[B, heads, T, A / heads]` of the real turns."""
        mask = packing.mask[:, None, None, :] if packing.padded else None
        if not self.training or self.dropout == 0:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return dropout(scores.softmax(dim=-1), self.dropout).to(value.dtype) @ value


class FusionBlock(nn.Module):
    """Each modality asks the other, both at once; then each asks itself."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.speech_asks_text = TurnAttention(config)
        self.text_asks_speech = TurnAttention(config)
        self.speech_asks_speech = TurnAttention(config)
        self.text_asks_text = TurnAttention(config)

    def forward(self, speech: Tensor, text: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Pass both modalities on.

        :param speech: `[N, F]`, packed.
        :param text: `[N, F]`, packed.
        :param packing: which turns make which conversation.
        :return: speech and text, `[N, F]` each.
        """
        speech, text = (
            self.speech_asks_text(speech, text, packing),
            self.text_asks_speech(text, speech, packing),
        )
        return self.speech_asks_speech(speech, speech, packing), self.text_asks_text(text, text, packing)


class FusionExpert(nn.Module):
    """Blocks of cross-attention and self-attention over both modalities, beside a linear skip of each."""

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
        """Judge every turn from both modalities.

        :param speech: embeddings `[N, Ds]`, packed.
        :param text: embeddings `[N, Dt]`, packed.
        :param packing: which turns make which conversation.
        :return: logits `[N, C]` and representations `[N, F]`, packed.
        """
        heard, read = speech.linear(self.speech_input), text.linear(self.text_input)
        for block in self.blocks:
            heard, read = block(heard, read, packing)
        skipped = speech.linear(self.speech_skip), text.linear(self.text_skip)
        both = torch.cat([heard + skipped[0], read + skipped[1]], dim=-1)
        hidden: Tensor = self.head[:-1](both)
        return self.head[-1](hidden), hidden
