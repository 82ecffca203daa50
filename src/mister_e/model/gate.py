"""The gate: how far each expert is trusted at each turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.experts import EXPERTS
from mister_e.model.config import MixtureConfig


def expert_presence(has_speech: Tensor, has_text: Tensor, experts: Sequence[str] = EXPERTS) -> Tensor:
    """Tell which experts have something to judge.

    The fusion expert needs both modalities; where it is the only one, it judges from either.

    :param has_speech: bool `[...]`.
    :param has_text: bool `[...]`.
    :param experts: those that there are.
    :return: bool `[..., 3]` in the order of `EXPERTS`.
    """
    alone = tuple(experts) == ("fusion",)
    judges = [has_speech, has_text, has_speech | has_text if alone else has_speech & has_text]
    there = [
        one if name in experts else torch.zeros_like(one) for name, one in zip(EXPERTS, judges, strict=True)
    ]
    return torch.stack(there, dim=-1)


class Gate(nn.Module):
    """A small network over what all experts say, softened by a temperature.

    It needs no flags of presence: a turn with one modality has one expert, which gets all the
    weight whatever the scores, so the scores only matter where all experts are there.

    :param config: sizes.
    :param width: of what it looks at, over all experts; None = their logits.
    """

    def __init__(self, config: MixtureConfig, width: int | None = None) -> None:
        super().__init__()
        self.temperature = config.gate_temperature
        self.used = [EXPERTS.index(name) for name in config.experts]
        self.scores = nn.Sequential(
            nn.Linear(width or len(self.used) * config.classes, config.gate_hidden),
            nn.ReLU(),
            nn.Linear(config.gate_hidden, len(self.used)),
        )

    def forward(self, experts: Tensor, present: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Weigh the experts of each turn.

        :param experts: logits `[..., 3, C]`; those of absent experts are not looked at.
        :param present: bool `[..., 3]`.
        :param hidden: representations of the experts side by side `[..., W]`, looked at in place of
            the logits; None = the logits.
        :return: weights `[..., 3]`: they sum to 1, or to 0 where no expert is present; exactly 0 for
            an absent expert; float32 at least.
        """
        if hidden is None:
            experts = torch.where(present.unsqueeze(-1), experts, 0.0)
            hidden = experts[..., self.used, :].flatten(-2)
        found: Tensor = self.scores(hidden)
        found = found.to(torch.promote_types(found.dtype, torch.float32)) / self.temperature
        scores = found.new_zeros(present.shape)
        scores[..., self.used] = found
        # a finite floor: the softmax of a turn that no expert judges stays a number
        scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        return torch.where(present, scores.softmax(dim=-1), 0.0)


def equal_weights(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Trust every expert that judges a turn alike.

    :param present: bool `[..., 3]`.
    :param dtype: of the result.
    :return: weights `[..., 3]`; zeros where no expert is present.
    """
    there = present.to(dtype)
    return there / there.sum(dim=-1, keepdim=True).clamp_min(1)


def majority_weights(experts: Tensor, present: Tensor) -> Tensor:
    """GateSummary, alike, the experts that name the class most of them name.

    The mean of their logits is highest at that class, so that weighing is voting. Of classes with
    as many votes, the one with the higher mean probability wins.

    :param experts: logits `[..., 3, C]`.
    :param present: bool `[..., 3]`.
    :return: weights `[..., 3]`; zeros where no expert is present; no gradient flows through them.
    """
    with torch.no_grad():
        opinions = torch.where(present.unsqueeze(-1), experts.softmax(dim=-1), 0.0)
        choices = experts.argmax(dim=-1)
        ballots = F.one_hot(choices, experts.shape[-1]) * present.unsqueeze(-1)
        votes = ballots.sum(dim=-2) + opinions.mean(dim=-2) / 2  # the mean is at most 1: it only breaks ties
        winners = present & (choices == votes.argmax(dim=-1, keepdim=True))
        return equal_weights(winners, experts.dtype)
