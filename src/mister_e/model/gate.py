"""The gate: how far each expert is trusted at each turn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mister_e.analysis import EXPERTS
from mister_e.config import MixtureConfig


def expert_presence(has_speech: Tensor, has_text: Tensor) -> Tensor:
    """Tell which experts have something to judge; the fusion expert needs both modalities.

    :param has_speech: bool `[...]`.
    :param has_text: bool `[...]`.
    :return: bool `[..., 3]` in the order of `EXPERTS`.
    """
    return torch.stack([has_speech, has_text, has_speech & has_text], dim=-1)


class Gate(nn.Module):
    """A small network over the logits of all experts, softened by a temperature.

    It needs no flags of presence: a turn with one modality has one expert, which gets all the
    weight whatever the scores, so the logits only matter where all three experts are there.
    """

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.temperature = config.gate_temperature
        self.scores = nn.Sequential(
            nn.Linear(len(EXPERTS) * config.classes, config.gate_hidden),
            nn.ReLU(),
            nn.Linear(config.gate_hidden, len(EXPERTS)),
        )

    def forward(self, experts: Tensor, present: Tensor) -> Tensor:
        """Weigh the experts of each turn.

        :param experts: logits `[..., 3, C]`; those of absent experts are not looked at.
        :param present: bool `[..., 3]`, at least one True a turn.
        :return: weights `[..., 3]`: they sum to 1, exactly 0 for an absent expert; float32 at least.
        """
        experts = torch.where(present.unsqueeze(-1), experts, 0.0)
        scores: Tensor = self.scores(experts.flatten(-2))
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32)) / self.temperature
        return scores.masked_fill(~present, -torch.inf).softmax(dim=-1)
