"""Train the mixture on turns that are already embedded (stage 2)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mister_e.inference.batch import pad, run
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE
from mister_e.training.losses import LossConfig, mixture_loss
from mister_e.training.runtime import seed_everything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embedded:
    """One conversation as the mixture sees it.

    :param text: `[T, Dt]`; rows of turns without text are ignored.
    :param speech: `[T, Ds]`, likewise.
    :param has_text: bool `[T]`.
    :param has_speech: bool `[T]`.
    :param labels: int64 `[T]`, positions in the label set.
    """

    text: Tensor
    speech: Tensor
    has_text: Tensor
    has_speech: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


#: Milder than the published weights: these embeddings are small, and half of them are statistics.
WEIGHTS = LossConfig(gamma=1.0, contrastive=0.1, consistency=0.1, label_smoothing=0.05)


@dataclass(frozen=True)
class MixtureTuning:
    """How the mixture is trained; conversations come anew each epoch from a function."""

    epochs: int = 8
    batch: int = 32
    rate: float = 3e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    weights: LossConfig = WEIGHTS


def train_mixture(
    mixture: MisterE,
    draw: Callable[[int], Sequence[Embedded]],
    validate: Callable[[MisterE], dict[str, float]],
    tuning: MixtureTuning,
) -> list[dict[str, float]]:
    """Train; keep the epoch whose mean validation score is best.

    :param mixture: changed in place.
    :param draw: gives the conversations of an epoch, in random order.
    :param validate: scores on validation, each 0 to 100, that count alike.
    :param tuning: the settings.
    :return: one row an epoch; the kept one has the highest `validation`.
    """
    seed_everything(tuning.seed)
    optimizer = torch.optim.AdamW(mixture.parameters(), tuning.rate, weight_decay=tuning.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, tuning.epochs)
    history: list[dict[str, float]] = []
    best, best_weights = -1.0, mixture.state_dict()
    for epoch in range(tuning.epochs):
        mixture.train()
        conversations = draw(epoch)
        losses = []
        for first in range(0, len(conversations), tuning.batch):
            batch = pad(conversations[first : first + tuning.batch])
            loss = mixture_loss(run(mixture, batch), batch.labels, mask=batch.mask, weights=tuning.weights)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(mixture.parameters(), tuning.clip)
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        mixture.eval()
        scores = validate(mixture)
        row = {"epoch": epoch, "loss": float(np.mean(losses)), **scores}
        row["validation"] = float(np.mean(list(scores.values())))
        log.info("mixture: %s", {name: round(value, 3) for name, value in row.items()})
        history.append(row)
        if row["validation"] > best:
            best, best_weights = row["validation"], copy.deepcopy(mixture.state_dict())
    mixture.load_state_dict(best_weights)
    mixture.eval()
    return history


@dataclass(frozen=True)
class Judgement:
    """What a mixture says of N labelled turns.

    :param logits: `[N, C]`.
    :param experts: `[N, 3, C]`.
    :param gate: `[N, 3]`.
    :param labels: int64 `[N]`.
    :param conversations: int64 `[N]`, which conversation each turn is of.
    """

    logits: Tensor
    experts: Tensor
    gate: Tensor
    labels: Tensor
    conversations: Tensor


@torch.inference_mode()
def judge(mixture: MisterE, conversations: Sequence[Embedded]) -> Judgement:
    """Judge labelled turns, batch after batch.

    :param conversations: any number.
    """
    mixture.eval()
    parts = []
    for first in range(0, len(conversations), 64):
        batch = pad(conversations[first : first + 64])
        output = run(mixture, batch)
        rows = torch.arange(first, first + len(batch.mask))[:, None].expand_as(batch.mask)
        parts.append(
            [one[batch.mask] for one in (output.logits, output.experts, output.gate, batch.labels, rows)]
        )
    return Judgement(*(torch.cat(column) for column in zip(*parts, strict=True)))


def score(mixture: MisterE, conversations: Sequence[Embedded]) -> float:
    """Weighted F1 over all turns, 0 to 100."""
    judged = judge(mixture, conversations)
    return weighted_f1(judged.labels.tolist(), judged.logits.argmax(-1).tolist())
