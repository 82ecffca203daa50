"""What training minimises; every loss is a mean over real turns, whatever the padding."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mister_e.experts import EXPERTS
from mister_e.model.mixture import MixtureOutput
from mister_e.training.class_weights import ClassWeights, resolve_class_weights


class LossConfig(BaseModel):
    """Weights of the parts of the mixture's loss; defaults as published (paper, section 3.5).

    The public code sums `consistency` over the turns of a conversation, so that its 0.1 acts like
    about 5 at 50 turns. Here it is a mean over turns: 0.1 is mild, 5 is nearest to the published runs.

    :param gamma: focal exponent; 0 is cross-entropy.
    :param contrastive: weight β of the supervised contrastive loss between speech and text.
    :param consistency: weight λ of the divergence between experts, per turn.
    :param temperature: of the contrastive loss.
    :param class_weights: one weight a class; or a power p: inverse to how often a class is in train, to the
        p-th ("balanced" = 1); None = equal weights.
    :param label_smoothing: fraction of the target spread over all classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gamma: float = Field(3.0, ge=0)
    contrastive: float = Field(2.0, ge=0)
    consistency: float = Field(0.1, ge=0)
    temperature: float = Field(1.0, gt=0)
    class_weights: ClassWeights | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def resolve(self, counts: NDArray[np.int64]) -> LossConfig:
        """Give the same with one weight a class, for a corpus; a class that training lacks weighs 0.

        :param counts: labelled training turns of each class `[C]`.
        :raises InputError: the number of class weights is not that of the classes.
        """
        weights = resolve_class_weights(self.class_weights, counts)
        if not counts.all():
            weights = weights or (1.0,) * len(counts)
            weights = tuple(
                weight if count else 0.0 for weight, count in zip(weights, counts.tolist(), strict=True)
            )
        return self.model_copy(update={"class_weights": weights})


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    mask: Tensor,
    gamma: float,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy that turns away from what is already known (Lin et al. 2017).

    :param logits: `[..., C]`.
    :param labels: int64 `[...]`; below 0 = unlabelled.
    :param mask: bool `[...]`, True = a real turn.
    :param gamma: focal exponent; 0 gives `torch.nn.functional.cross_entropy`.
    :param class_weights: `[C]`; a turn counts in the mean by the weight of its label.
    :param label_smoothing: share of the target spread over all classes.
    :return: mean over labelled real turns, in float32 at least; 0 without any.
    """
    chosen = mask & (labels >= 0)
    logits, labels = _precise(logits[chosen]), labels[chosen]
    weights = logits.new_ones(logits.shape[-1]) if class_weights is None else class_weights.to(logits)
    losses = F.cross_entropy(
        logits, labels, weight=weights, label_smoothing=label_smoothing, reduction="none"
    )
    if gamma > 0:
        known = logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
        # 1 - p without cancellation; the floor keeps the slope of a power below 1 finite at p = 1
        missed = -torch.expm1(known)
        losses = losses * missed.clamp_min(torch.finfo(missed.dtype).tiny) ** gamma
    return losses.sum() / _count(weights[labels].sum())


def supervised_contrastive_loss(
    speech: Tensor,
    text: Tensor,
    labels: Tensor,
    *,
    mask: Tensor,
    has_speech: Tensor,
    has_text: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Draw speech and text of the same emotion together (Khosla et al. 2020, the form with the sum outside).

    :param speech: representations `[B, T, H]`.
    :param text: representations `[B, T, H]`.
    :param labels: int64 `[B, T]`; below 0 = unlabelled.
    :param mask: bool `[B, T]`, True = a real turn.
    :param has_speech: bool `[B, T]`.
    :param has_text: bool `[B, T]`.
    :param temperature: what the cosine similarities are divided by.
    :return: mean over the views that have a positive, in float32 at least; 0 without any.
    """
    chosen = mask & (labels >= 0)
    heard, read = chosen & has_speech, chosen & has_text
    views = F.normalize(_precise(torch.cat([speech[heard], text[read]])), dim=-1)
    classes = torch.cat([labels[heard], labels[read]])

    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    positive = (classes[:, None] == classes) & ~itself
    anchors = positive.any(dim=1)
    positive = positive[anchors]
    with torch.autocast(views.device.type, enabled=False):
        similarity = (views[anchors] @ views.T / temperature).masked_fill(itself[anchors], -torch.inf)
    distance = torch.where(positive, similarity.logsumexp(dim=1, keepdim=True) - similarity, 0.0)
    return (distance.sum(dim=1) / positive.sum(dim=1)).sum() / _count(anchors.sum())


def expert_consistency(experts: Tensor, *, mask: Tensor, present: Tensor) -> Tensor:
    """Keep the experts' opinions of a turn near each other.

    The divergence of two experts is KL(p‖q) + KL(q‖p); a turn's is the mean over its pairs.

    :param experts: logits `[B, T, 3, C]`.
    :param mask: bool `[B, T]`, True = a real turn.
    :param present: bool `[B, T, 3]`, the experts that judged the turn.
    :return: mean over real turns with at least two experts, in float32 at least; 0 without any.
    """
    chosen = mask & (present.sum(dim=-1) >= 2)
    present = present[chosen]
    logits = torch.where(present.unsqueeze(-1), _precise(experts[chosen]), 0.0)
    opinions = logits.log_softmax(dim=-1)
    pairs = list(combinations(range(len(EXPERTS)), 2))
    first, second = opinions[:, [a for a, _ in pairs]], opinions[:, [b for _, b in pairs]]
    judged = torch.stack([present[:, a] & present[:, b] for a, b in pairs], dim=1)
    divergence = ((first.exp() - second.exp()) * (first - second)).sum(dim=-1)
    per_turn = torch.where(judged, divergence, 0.0).sum(dim=1) / judged.sum(dim=1)
    return per_turn.sum() / _count(chosen.sum())


def mixture_loss(
    output: MixtureOutput,
    labels: Tensor,
    *,
    mask: Tensor,
    weights: LossConfig,
) -> Tensor:
    """Sum the focal losses of the mixture and of each expert, the contrastive loss and the consistency.

    A part that weighs 0 is not computed; an expert that judged nothing adds nothing.

    :param output: what `MisterE` said of the batch.
    :param labels: int64 `[B, T]`; below 0 = unlabelled.
    :param mask: bool `[B, T]`, True = a real turn.
    :param weights: of the parts.
    :return: the loss to minimise, in float32 at least.
    """
    class_weights = None
    if weights.class_weights is not None:
        if not isinstance(weights.class_weights, tuple):
            raise ValueError("class_weights: call LossConfig.resolve with the counts of the corpus first")
        class_weights = output.logits.new_tensor(weights.class_weights)

    def focal(logits: Tensor, judged: Tensor) -> Tensor:
        return focal_loss(
            logits,
            labels,
            mask=judged,
            gamma=weights.gamma,
            class_weights=class_weights,
            label_smoothing=weights.label_smoothing,
        )

    present = output.present & mask.unsqueeze(-1)
    loss = focal(output.logits, present.any(dim=-1))
    for expert in range(len(EXPERTS)):
        loss = loss + focal(output.experts[:, :, expert], present[:, :, expert])
    if weights.contrastive > 0:
        loss = loss + weights.contrastive * supervised_contrastive_loss(
            output.speech_hidden,
            output.text_hidden,
            labels,
            mask=mask,
            has_speech=present[:, :, EXPERTS.index("speech")],
            has_text=present[:, :, EXPERTS.index("text")],
            temperature=weights.temperature,
        )
    if weights.consistency > 0:
        loss = loss + weights.consistency * expert_consistency(output.experts, mask=mask, present=present)
    return loss


def _precise(x: Tensor) -> Tensor:
    """Raise half precision to float32; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _count(total: Tensor) -> Tensor:
    """Divide by this: the total, or 1 where there is nothing to divide."""
    return torch.where(total > 0, total, 1)
