"""Train the speech encoder on what the front end heard (stage 1, speech)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mister_e.encoders.front_end import Heard
from mister_e.encoders.speech import SpeechEncoder, collate
from mister_e.evaluation.metrics import weighted_f1
from mister_e.losses import focal_loss
from mister_e.training.batching import length_bucketed
from mister_e.training.seeds import generator, seed_everything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledSpeech:
    """Turns heard, their labels, and the group (corpus) each came from.

    Groups only balance training: every class of every group is drawn equally often.
    """

    heard: Sequence[Heard]
    labels: Sequence[int]
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.heard)


@dataclass(frozen=True)
class SpeechTuning:
    """How the speech encoder is trained.

    `crop` is the longest stretch of frames shown in training (random; evaluation sees all),
    `frameless` the share of turns whose frames are hidden, as in a corpus of statistics alone.
    """

    epochs: int = 20
    draws: int = 8000
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.01
    gamma: float = 1.0
    crop: int = 200
    frameless: float = 0.1
    seed: int = 0


def balanced_draws(labels: Sequence[int], groups: Sequence[str], draws: int, seed: int) -> list[int]:
    """Positions drawn with replacement, each (group, class) equally likely.

    Within reason: a cell gets at most four times its share, so that rare clips are not learned by heart.
    """
    cells = [f"{group}/{label}" for group, label in zip(groups, labels, strict=True)]
    names, counts = np.unique(cells, return_counts=True)
    weight = dict(zip(names.tolist(), np.minimum(1 / counts, 4 * len(names) / len(cells)), strict=True))
    weights = torch.tensor([weight[cell] for cell in cells])
    drawn: list[int] = torch.multinomial(weights, draws, replacement=True, generator=generator(seed)).tolist()
    return drawn


def train_speech(
    encoder: SpeechEncoder, train: LabelledSpeech, validation: LabelledSpeech, tuning: SpeechTuning
) -> list[dict[str, float]]:
    """Train pooling, projection and classifier; keep the epoch that is best on validation.

    :param encoder: changed in place.
    :param train: turns to learn from.
    :param validation: turns to choose the epoch by the mean of the groups' weighted F1.
    :param tuning: the settings.
    :return: one row an epoch; the kept one has the highest `validation_weighted_f1`.
    """
    seed_everything(tuning.seed)
    random = np.random.default_rng(tuning.seed)
    encoder.fit_statistics(torch.from_numpy(np.stack([turn.statistics for turn in train.heard])))
    optimizer = torch.optim.AdamW(encoder.parameters(), tuning.rate, weight_decay=tuning.weight_decay)
    steps = tuning.epochs * -(-tuning.draws // tuning.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.rate, total_steps=steps + 1)
    history: list[dict[str, float]] = []
    best, best_weights = -1.0, encoder.state_dict()
    for epoch in range(tuning.epochs):
        encoder.train()
        drawn = balanced_draws(train.labels, train.groups, tuning.draws, tuning.seed + epoch)
        lengths = [min(tuning.crop, train.heard[i].length) for i in drawn]
        for batch in length_bucketed(lengths, tuning.batch, tuning.seed + epoch):
            chosen = [drawn[i] for i in batch]
            heard = [_varied(train.heard[i], tuning, random) for i in chosen]
            logits = encoder.logits(encoder(*collate(heard)))
            labels = torch.tensor([train.labels[i] for i in chosen])
            real = torch.ones_like(labels, dtype=torch.bool)
            loss = focal_loss(logits, labels, mask=real, gamma=tuning.gamma, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        scores = group_scores(encoder, validation)
        row = {"epoch": epoch, **scores, "validation_weighted_f1": float(np.mean(list(scores.values())))}
        log.info("speech: %s", row)
        history.append(row)
        if row["validation_weighted_f1"] > best:
            best, best_weights = row["validation_weighted_f1"], copy.deepcopy(encoder.state_dict())
    encoder.load_state_dict(best_weights)
    return history


def group_scores(encoder: SpeechEncoder, turns: LabelledSpeech) -> dict[str, float]:
    """Weighted F1 of each group, 0 to 100."""
    predictions = np.array(classify_speech(encoder, turns.heard))
    labels, groups = np.array(turns.labels), np.array(turns.groups)
    return {
        str(group): weighted_f1(labels[groups == group], predictions[groups == group])
        for group in np.unique(groups)
    }


@torch.inference_mode()
def classify_speech(encoder: SpeechEncoder, heard: Sequence[Heard]) -> list[int]:
    """Position of the likeliest label of each turn, heard alone."""
    encoder.eval()
    statistics = torch.from_numpy(np.stack([turn.statistics for turn in heard]))
    labels: list[int] = (
        encoder.logits(encoder.join(encoder.pool_heard(heard), statistics)).argmax(-1).tolist()
    )
    return labels


def _varied(turn: Heard, tuning: SpeechTuning, random: np.random.Generator) -> Heard:
    """Show a random stretch of a turn, or its statistics alone."""
    if turn.frames is None or random.random() < tuning.frameless:
        return Heard(None, turn.statistics)
    extra = len(turn.frames) - tuning.crop
    first = int(random.integers(extra + 1)) if extra > 0 else 0
    return Heard(turn.frames[first : first + tuning.crop].astype(np.float32), turn.statistics)
