"""Fine-tune a text encoder to classify single turns (stage 1, text)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mister_e.encoders.text import TextEncoder
from mister_e.evaluation.metrics import weighted_f1
from mister_e.losses import focal_loss
from mister_e.training.seeds import generator, seed_everything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledTexts:
    """Turns and their labels, as positions in a label set."""

    texts: Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class TextTuning:
    """How a text encoder is fine-tuned.

    `gamma` is the focal loss's, `warmup` the share of steps over which the rate rises.
    """

    epochs: int = 3
    batch: int = 32
    rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    gamma: float = 1.0
    clip: float = 1.0
    seed: int = 0


def length_bucketed(lengths: Sequence[int], batch: int, seed: int) -> list[list[int]]:
    """Shuffle into batches of like length, so that little of a batch is pads.

    :param lengths: length of each item.
    :param batch: items in a batch.
    :param seed: order of this epoch.
    :return: batches of positions, in random order.
    """
    random = generator(seed)
    shuffled = torch.randperm(len(lengths), generator=random).tolist()
    batches = []
    pool = batch * 50
    for first in range(0, len(shuffled), pool):
        bucket = sorted(shuffled[first : first + pool], key=lambda i: lengths[i])
        batches += [bucket[i : i + batch] for i in range(0, len(bucket), batch)]
    return [batches[i] for i in torch.randperm(len(batches), generator=random).tolist()]


def finetune_text(
    encoder: TextEncoder, train: LabelledTexts, validation: LabelledTexts, tuning: TextTuning
) -> list[dict[str, float]]:
    """Fine-tune every weight; keep the epoch that is best on validation.

    :param encoder: has a classifier; changed in place.
    :param train: turns to learn from.
    :param validation: turns to choose the epoch by weighted F1.
    :param tuning: the settings.
    :return: one row an epoch; the kept one has the highest `validation_weighted_f1`.
    """
    seed_everything(tuning.seed)
    optimizer = torch.optim.AdamW(
        encoder.parameters(), tuning.rate, betas=(0.9, 0.99), weight_decay=tuning.weight_decay
    )
    steps = tuning.epochs * -(-len(train) // tuning.batch)
    rise = max(1, round(steps * tuning.warmup))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))
    )
    history: list[dict[str, float]] = []
    best = -1.0
    best_weights = encoder.state_dict()
    for epoch in range(tuning.epochs):
        encoder.train()
        total = 0.0
        batches = length_bucketed([len(text) for text in train.texts], tuning.batch, tuning.seed + epoch)
        for number, batch in enumerate(batches):
            logits = encoder.logits(encoder(**encoder.tokenize([train.texts[i] for i in batch])))
            labels = torch.tensor([train.labels[i] for i in batch])
            loss = focal_loss(
                logits, labels, mask=torch.ones_like(labels, dtype=torch.bool), gamma=tuning.gamma
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), tuning.clip)
            optimizer.step()
            schedule.step()
            total += loss.item()
            if number % 50 == 0:
                log.info(
                    "text: epoch %d, batch %d of %d, loss %.3f", epoch, number, len(batches), loss.item()
                )
        score = weighted_f1(validation.labels, classify_texts(encoder, validation.texts))
        row = {"epoch": epoch, "train_loss": total / len(batches), "validation_weighted_f1": score}
        log.info("text: %s", row)
        history.append(row)
        if score > best:
            best, best_weights = score, copy.deepcopy(encoder.state_dict())
    encoder.load_state_dict(best_weights)
    return history


@torch.inference_mode()
def classify_texts(encoder: TextEncoder, texts: Sequence[str]) -> list[int]:
    """Position of the likeliest label of each turn."""
    encoder.eval()
    labels: list[int] = encoder.logits(encoder.embed(texts)).argmax(-1).tolist()
    return labels
