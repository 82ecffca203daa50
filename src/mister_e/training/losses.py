"""Losses of the mixture; each is a mean over real turns, so that padding changes nothing."""

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
    """Weights of the parts of the mixture's loss; defaults as published (arXiv 2602.23300, section 3.5).

    `loss = focal(mixture) + focal(speech) + focal(text) + focal(fusion) + contrastive * SupCon
    + consistency * KL`. The public code sums the KL over the turns of a conversation, so that its 0.1 acts
    like about 5 at 50 turns. Here it is a mean over turns: 5 is nearest to the published runs, 0.1 is mild.

    :param gamma: focal exponent; 0 is cross-entropy.
    :param contrastive: weight β of the supervised contrastive loss between speech and text.
    :param consistency: weight λ of the symmetric KL divergence between experts, per turn.
    :param temperature: divides the similarities in the contrastive loss.
    :param class_weights: one weight a class; or a power p: (mean count / count of the class in train) ** p,
        "balanced" = 1; None = equal weights.
    :param label_smoothing: fraction of the target that is distributed evenly over all classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gamma: float = Field(3.0, ge=0)
    contrastive: float = Field(2.0, ge=0)
    consistency: float = Field(0.1, ge=0)
    temperature: float = Field(1.0, gt=0)
    class_weights: ClassWeights | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)

    def resolve(self, counts: NDArray[np.int64]) -> LossConfig:
        """Copy with one weight a class for a corpus; a class without training turns gets the weight 0.

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
    """Focal loss: cross-entropy that counts turns less the better they are classified already.

    `-(1 - p) ** gamma * log(p)` for the probability p of the true class (Lin et al. 2017, "Focal Loss for
    Dense Object Detection", equation 4). With label smoothing, p is still that of the true class.

    :param logits: `[..., C]`.
    :param labels: int64 `[...]`; below 0 = unlabelled.
    :param mask: bool `[...]`, True = a real turn.
    :param gamma: focal exponent; 0 gives `torch.nn.functional.cross_entropy`.
    :param class_weights: `[C]`; a turn counts in the mean by the weight of its label.
    :param label_smoothing: fraction of the target that is distributed evenly over all classes.
    :return: mean over labelled real turns, in float32 at least; 0 without any.
    """
    chosen = mask & (labels >= 0)
    logits, labels = _at_least_float32(logits[chosen]), labels[chosen]
    weights = logits.new_ones(logits.shape[-1]) if class_weights is None else class_weights.to(logits)
    losses = F.cross_entropy(
        logits, labels, weight=weights, label_smoothing=label_smoothing, reduction="none"
    )
    if gamma > 0:
        log_p = logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1)
        # 1 - p by expm1: no cancellation near p = 1. The floor keeps the gradient of x ** gamma finite at
        # x = 0 for gamma below 1.
        one_minus_p = -torch.expm1(log_p)
        losses = losses * one_minus_p.clamp_min(torch.finfo(one_minus_p.dtype).tiny) ** gamma
    return losses.sum() / _or_one(weights[labels].sum())


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
    """Supervised contrastive loss: makes speech and text of turns with the same label similar.

    The speech and the text of a turn are two views. For each view i with positives P(i), the other views
    of its label: `-mean_{p in P(i)} log(exp(s_ip / t) / sum_{a != i} exp(s_ia / t))` with cosine
    similarities s and temperature t (Khosla et al. 2020, "Supervised Contrastive Learning", equation 2,
    the form with the sum outside of the logarithm).

    :param speech: representations `[B, T, H]`.
    :param text: representations `[B, T, H]`.
    :param labels: int64 `[B, T]`; below 0 = unlabelled.
    :param mask: bool `[B, T]`, True = a real turn.
    :param has_speech: bool `[B, T]`.
    :param has_text: bool `[B, T]`.
    :param temperature: t, divides the cosine similarities.
    :return: mean over the views that have a positive, in float32 at least; 0 without any.
    """
    chosen = mask & (labels >= 0)
    with_speech, with_text = chosen & has_speech, chosen & has_text
    views = F.normalize(_at_least_float32(torch.cat([speech[with_speech], text[with_text]])), dim=-1)
    classes = torch.cat([labels[with_speech], labels[with_text]])

    same_view = torch.eye(len(views), dtype=torch.bool, device=views.device)
    positive = (classes[:, None] == classes) & ~same_view
    anchors = positive.any(dim=1)
    positive = positive[anchors]
    with torch.autocast(views.device.type, enabled=False):
        similarity = (views[anchors] @ views.T / temperature).masked_fill(same_view[anchors], -torch.inf)
    losses = torch.where(positive, similarity.logsumexp(dim=1, keepdim=True) - similarity, 0.0)
    return (losses.sum(dim=1) / positive.sum(dim=1)).sum() / _or_one(anchors.sum())


def expert_consistency(experts: Tensor, *, mask: Tensor, present: Tensor) -> Tensor:
    """Consistency loss: the symmetric KL divergence between the experts' distributions of a turn.

    For two experts p and q it is `KL(p || q) + KL(q || p) = sum_c (p_c - q_c) * (log p_c - log q_c)`; for
    a turn the mean over its pairs of experts (arXiv 2602.23300, section 3.5).

    :param experts: logits `[B, T, 3, C]`.
    :param mask: bool `[B, T]`, True = a real turn.
    :param present: bool `[B, T, 3]`, the experts that classified the turn.
    :return: mean over real turns with at least two experts, in float32 at least; 0 without any.
    """
    chosen = mask & (present.sum(dim=-1) >= 2)
    present = present[chosen]
    logits = torch.where(present.unsqueeze(-1), _at_least_float32(experts[chosen]), 0.0)
    log_p = logits.log_softmax(dim=-1)
    pairs = list(combinations(range(len(EXPERTS)), 2))
    first, second = log_p[:, [a for a, _ in pairs]], log_p[:, [b for _, b in pairs]]
    both_present = torch.stack([present[:, a] & present[:, b] for a, b in pairs], dim=1)
    divergence = ((first.exp() - second.exp()) * (first - second)).sum(dim=-1)
    per_turn = torch.where(both_present, divergence, 0.0).sum(dim=1) / both_present.sum(dim=1)
    return per_turn.sum() / _or_one(chosen.sum())


def mixture_loss(
    output: MixtureOutput,
    labels: Tensor,
    *,
    mask: Tensor,
    weights: LossConfig,
) -> Tensor:
    """Total loss of the mixture: the weighted sum that `LossConfig` describes.

    A part with weight 0 is not computed; an expert without any turn adds nothing.

    :param output: output of `MisterE` for the batch.
    :param labels: int64 `[B, T]`; below 0 = unlabelled.
    :param mask: bool `[B, T]`, True = a real turn.
    :param weights: of the parts, after `LossConfig.resolve` where class weights depend on the corpus.
    :return: the loss to minimise, in float32 at least.
    :raises ValueError: the class weights were not resolved.
    """
    class_weights = None
    if weights.class_weights is not None:
        if not isinstance(weights.class_weights, tuple):
            raise ValueError("class_weights: call LossConfig.resolve with the counts of the corpus first")
        class_weights = output.logits.new_tensor(weights.class_weights)

    def focal(logits: Tensor, classified: Tensor) -> Tensor:
        return focal_loss(
            logits,
            labels,
            mask=classified,
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


def _at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32, in which a log of a softmax is safe; float64 stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _or_one(total: Tensor) -> Tensor:
    """The divisor of a mean: the total, or 1 where it is 0 and so is the sum."""
    return torch.where(total > 0, total, 1)
