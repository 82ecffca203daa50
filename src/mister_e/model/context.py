"""The expert of one modality: its turns, each read in the context of the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mister_e.config import MixtureConfig
from mister_e.model.packing import Packing


class ContextNetwork(nn.Module):
    """Parallel convolutions over the turns, then a bidirectional GRU, beside a linear skip of the input.

    :param config: sizes.
    :param input_dim: width D of the modality's embeddings.
    """

    def __init__(self, config: MixtureConfig, input_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(input_dim, config.hidden, kernel, padding=kernel // 2) for kernel in config.kernels
        )
        self.gru = nn.GRU(
            config.hidden, config.gru_hidden, config.gru_layers, batch_first=True, bidirectional=True
        )
        self.skip = nn.Linear(input_dim, config.hidden)
        self.classifier = nn.Linear(config.hidden, config.classes)
        self.reach = max(config.kernels) // 2

    def forward(self, turns: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Judge every turn from this modality alone.

        :param turns: embeddings `[N, D]`, packed.
        :param packing: which turns make which conversation.
        :return: logits `[N, C]` and representations `[N, H]`, packed.
        """
        hidden = self._recur(self._convolve(turns, packing), packing) + self.skip(turns)
        return self.classifier(hidden), hidden

    def _convolve(self, turns: Tensor, packing: Packing) -> Tensor:
        """Sum the convolutions over the turns of each conversation."""
        # All conversations make one line, with zeros between them as wide as the widest kernel
        # reaches: each sees the zeros it would see alone, and no work is done on pads.
        rows = packing.spaced(self.reach)
        line = turns.new_zeros(len(turns) + self.reach * (len(packing.mask) - 1), turns.shape[1])
        line = line.index_copy(0, rows, turns).T.unsqueeze(0)
        views = torch.stack([F.relu(convolution(line)) for convolution in self.convolutions])
        return views.sum(dim=0).squeeze(0).T.index_select(0, rows)

    def _recur(self, turns: Tensor, packing: Packing) -> Tensor:
        """Run the GRU over each conversation, to its own last turn and back."""
        sequences = pack_padded_sequence(
            packing.unpack(turns), packing.lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = self.gru(sequences)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=packing.mask.shape[1])
        return packing.pack(padded)
