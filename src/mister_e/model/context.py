"""The expert of one modality: its turns, each read in the context of the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.model.config import MixtureConfig
from mister_e.model.inputs import Inputs
from mister_e.model.packing import Packing
from mister_e.model.recurrence import recur


class ContextNetwork(nn.Module):
    """Parallel convolutions over the turns, then a bidirectional GRU, beside a linear skip of the input.

    :param config: sizes, and which of these parts there are.
    :param input_dim: width D of the modality's embeddings.
    """

    def __init__(self, config: MixtureConfig, input_dim: int) -> None:
        super().__init__()
        kernels = config.kernels if config.convolutions else ()
        self.convolutions: Iterable[nn.Conv1d] = nn.ModuleList(  # type: ignore[assignment]
            nn.Conv1d(input_dim, config.hidden, kernel, padding=kernel // 2) for kernel in kernels
        )
        self.gru = (
            nn.GRU(
                config.hidden if kernels else input_dim,
                config.gru_hidden,
                config.gru_layers,
                batch_first=True,
                bidirectional=True,
            )
            if config.gru
            else None
        )
        self.skip = nn.Linear(input_dim, config.hidden)
        self.classifier = nn.Linear(config.hidden, config.classes)

    def forward(self, turns: Inputs, packing: Packing) -> tuple[Tensor, Tensor]:
        """Judge every turn from this modality alone.

        :param turns: embeddings `[N, D]`, packed.
        :param packing: which turns make which conversation.
        :return: logits `[N, C]` and representations `[N, H]`, packed.
        """
        (result,) = read_together([self], [turns], packing)
        return result

    def convolve(self, turns: Inputs, packing: Packing) -> Tensor | None:
        """Sum the convolutions `[N, H]`; None where there are none."""
        views = [F.relu(turns.convolve(one, packing)) for one in self.convolutions]
        return torch.stack(views).sum(dim=0) if views else None


def read_together(
    networks: Sequence[ContextNetwork], turns: Sequence[Inputs], packing: Packing
) -> list[tuple[Tensor, Tensor]]:
    """Let networks of one shape read, each its own modality; side by side is faster than in turn.

    :param networks: of one configuration.
    :param turns: embeddings `[N, D]` for each, packed.
    :param packing: which turns make which conversation.
    :return: logits `[N, C]` and representations `[N, H]` of each, packed.
    """
    skipped = [one.linear(network.skip) for network, one in zip(networks, turns, strict=True)]
    views = [network.convolve(one, packing) for network, one in zip(networks, turns, strict=True)]
    grus = [network.gru for network in networks if network.gru is not None]
    if grus:
        read = [one.whole() if view is None else view for one, view in zip(turns, views, strict=True)]
        views = list(recur(grus, read, packing))
    hidden = [skip if view is None else skip + view for skip, view in zip(skipped, views, strict=True)]
    return [(network.classifier(one), one) for network, one in zip(networks, hidden, strict=True)]
