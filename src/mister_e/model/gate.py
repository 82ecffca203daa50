"""The gate: the weight of each expert at each turn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mister_e.experts import EXPERTS
from mister_e.model.config import MixtureConfig


def expert_presence(has_speech: Tensor, has_text: Tensor, experts: Sequence[str] = EXPERTS) -> Tensor:
    """Tell which experts have the input they need.

    The fusion expert needs both modalities; where it is the only expert, either is enough.

    :param has_speech: bool `[...]`.
    :param has_text: bool `[...]`.
    :param experts: names of the experts that the model has.
    :return: bool `[..., 3]` in the order of `EXPERTS`.
    """
    fusion_alone = tuple(experts) == ("fusion",)
    has_fusion = has_speech | has_text if fusion_alone else has_speech & has_text
    present = [
        has_input if name in experts else torch.zeros_like(has_input)
        for name, has_input in zip(EXPERTS, (has_speech, has_text, has_fusion), strict=True)
    ]
    return torch.stack(present, dim=-1)


class Gate(nn.Module):
    """A two-layer perceptron over the experts' logits, with a softmax over the experts.

    `weights = softmax(MLP(logits) / temperature)`: a temperature above 1 (the paper has 2) makes the
    weights more even. The network needs no flags of presence: a turn with one modality has one expert,
    which gets all the weight whatever the scores, so scores only matter where all experts are present.

    :param config: sizes.
    :param width: of the input over all experts, where it is their representations; None = their logits.
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

        :param experts: logits `[..., 3, C]`; those of absent experts are ignored.
        :param present: bool `[..., 3]`.
        :param hidden: representations of the experts side by side `[..., W]`, used in place of the
            logits; None = the logits.
        :return: weights `[..., 3]`: they sum to 1, or to 0 where no expert is present; exactly 0 for
            an absent expert; float32 at least.
        """
        if hidden is None:
            experts = torch.where(present.unsqueeze(-1), experts, 0.0)
            hidden = experts[..., self.used, :].flatten(-2)
        used_scores: Tensor = self.scores(hidden)
        used_scores = used_scores.to(torch.promote_types(used_scores.dtype, torch.float32)) / self.temperature
        scores = used_scores.new_zeros(present.shape)
        scores[..., self.used] = used_scores
        # the lowest finite number and not -inf: the softmax of a turn without any expert is no NaN
        scores = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
        return torch.where(present, scores.softmax(dim=-1), 0.0)


def equal_weights(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Give every present expert of a turn the same weight.

    :param present: bool `[..., 3]`.
    :param dtype: of the result.
    :return: weights `[..., 3]`; zeros where no expert is present.
    """
    counted = present.to(dtype)
    return counted / counted.sum(dim=-1, keepdim=True).clamp_min(1)


def majority_weights(experts: Tensor, present: Tensor) -> Tensor:
    """Give equal weight to the experts that predict the class which most experts predict.

    The mean of those experts' logits is highest at that class, so that weighing is a majority vote.
    Of classes with as many votes, the one with the higher mean probability wins.

    :param experts: logits `[..., 3, C]`.
    :param present: bool `[..., 3]`.
    :return: weights `[..., 3]`; zeros where no expert is present; no gradient flows through them.
    """
    with torch.no_grad():
        probabilities = torch.where(present.unsqueeze(-1), experts.softmax(dim=-1), 0.0)
        predicted = experts.argmax(dim=-1)
        ballots = F.one_hot(predicted, experts.shape[-1]) * present.unsqueeze(-1)
        # half of a mean probability is below 1, so that it breaks ties and never outvotes
        votes = ballots.sum(dim=-2) + probabilities.mean(dim=-2) / 2
        winners = present & (predicted == votes.argmax(dim=-1, keepdim=True))
        return equal_weights(winners, experts.dtype)
