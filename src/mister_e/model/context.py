"""Context network: the speech expert or the text expert, which classifies turns in their context."""

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
    """Parallel convolutions over the turns, then a bidirectional GRU, plus a linear skip of the input.

    One network a modality (MiSTER-E, arXiv 2602.23300, "context network"):
    `hidden = BiGRU(sum_k relu(conv_k(x))) + skip(x)`, `logits = classifier(hidden)`.

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
        """Classify every turn from this modality alone.

        :param turns: embeddings `[N, D]`, packed.
        :param packing: which turns make which conversation.
        :return: logits `[N, C]` and representations `[N, H]`, packed.
        """
        (result,) = forward_together([self], [turns], packing)
        return result

    def convolve(self, turns: Inputs, packing: Packing) -> Tensor | None:
        """Sum of the rectified convolutions `[N, H]`; None where there are none."""
        convolved = [F.relu(turns.convolve(convolution, packing)) for convolution in self.convolutions]
        return torch.stack(convolved).sum(dim=0) if convolved else None


def forward_together(
    networks: Sequence[ContextNetwork], turns: Sequence[Inputs], packing: Packing
) -> list[tuple[Tensor, Tensor]]:
    """Run networks of one configuration side by side, each on its own modality.

    The result is that of running one after the other; only the GRUs' steps are shared, which is faster.

    :param networks: of one configuration.
    :param turns: embeddings `[N, D]` for each, packed.
    :param packing: which turns make which conversation.
    :return: logits `[N, C]` and representations `[N, H]` of each, packed.
    """
    skips = [inputs.linear(network.skip) for network, inputs in zip(networks, turns, strict=True)]
    states = [network.convolve(inputs, packing) for network, inputs in zip(networks, turns, strict=True)]
    grus = [network.gru for network in networks if network.gru is not None]
    if grus:
        gru_inputs = [
            inputs.with_placeholder() if convolved is None else convolved
            for inputs, convolved in zip(turns, states, strict=True)
        ]
        states = list(recur(grus, gru_inputs, packing))
    hidden = [skip if state is None else skip + state for skip, state in zip(skips, states, strict=True)]
    return [
        (network.classifier(representation), representation)
        for network, representation in zip(networks, hidden, strict=True)
    ]
