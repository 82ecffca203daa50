"""Neural baselines: an MLP of single turns, bc-LSTM, and a plain transformer over the turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from mister_e.evaluation.baselines.classic import weighted_f1_of
from mister_e.evaluation.baselines.inputs import BaselineInput, Fit, Fitted
from mister_e.training.batching import length_bucketed
from mister_e.training.runtime import seed_everything

#: Learning rates that validation chooses from.
LEARNING_RATES = (3e-4, 1e-3)


@dataclass(frozen=True)
class Settings:
    """Training settings of a network.

    :param epochs: number of epochs at most.
    :param patience: epochs without a better validation score before training stops.
    :param batch_size: conversations in a step.
    :param weight_decay: of AdamW.
    :param max_grad_norm: norm that gradients are clipped to.
    """

    epochs: int = 40
    patience: int = 5
    batch_size: int = 16
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0


class Mlp(nn.Module):
    """Two layers for each turn by itself."""

    def __init__(self, features: int, classes: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes)
        )

    def forward(self, turns: Tensor, mask: Tensor) -> Tensor:
        """Give logits `[B, T, C]`."""
        logits: Tensor = self.layers(turns)
        return logits


class BcLstm(nn.Module):
    """A bidirectional LSTM over the turns (Poria et al. 2017), on packed sequences."""

    def __init__(self, features: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.4)
        self.lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(2 * hidden, classes))

    def forward(self, turns: Tensor, mask: Tensor) -> Tensor:
        """Give logits `[B, T, C]`."""
        lengths = mask.sum(1).cpu()
        packed = pack_padded_sequence(self.drop(turns), lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=mask.shape[1])
        logits: Tensor = self.head(hidden)
        return logits


class TurnTransformer(nn.Module):
    """A plain transformer encoder over the turns; attention ignores padding."""

    def __init__(self, features: int, classes: int, width: int = 128, layers: int = 2) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Dropout(0.3), nn.Linear(features, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.3, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(0.3), nn.Linear(width, classes))

    def forward(self, turns: Tensor, mask: Tensor) -> Tensor:
        """Give logits `[B, T, C]`."""
        entered = self.enter(turns)
        entered = entered + _positions(entered.shape[1], entered.shape[2])
        logits: Tensor = self.head(self.encoder(entered, src_key_padding_mask=~mask))
        return logits


def network(make: Callable[[int, int], nn.Module], settings: Settings = Settings()) -> Fit:
    """The `Fit` of a network; its learning rate and epoch are chosen on validation.

    :param make: makes a new network from a number of features and a number of classes.
    :param settings: of its training.
    """

    def fit(
        train: Sequence[BaselineInput], validation: Sequence[BaselineInput], classes: int, seed: int
    ) -> Fitted:
        runs = []
        for learning_rate in LEARNING_RATES:
            seed_everything(seed)
            model = make(train[0].features.shape[1], classes)
            with _one_thread():
                score, epoch = _train(model, train, validation, classes, seed, learning_rate, settings)
            runs.append((score, model, {"learning_rate": learning_rate, "epoch": epoch}))
        _, model, chosen = max(runs, key=lambda run: run[0])
        return Fitted(lambda conversations: predict(model, conversations), chosen)

    return fit


@torch.inference_mode()
def predict(model: nn.Module, conversations: Sequence[BaselineInput]) -> NDArray[np.float32]:
    """Logits of all turns of conversations `[N, C]`.

    :param model: a network of this module.
    :param conversations: with N turns together.
    """
    model.eval()
    logits: dict[int, Tensor] = {}
    for batch in length_bucketed(list(map(len, conversations)), 32, 0):
        with _one_thread():
            output, mask = _run(model, [conversations[i] for i in batch])
        logits |= {i: row[real] for i, row, real in zip(batch, output, mask, strict=True)}
    return torch.cat([logits[i] for i in range(len(conversations))]).float().numpy()


def _train(
    model: nn.Module,
    train: Sequence[BaselineInput],
    validation: Sequence[BaselineInput],
    classes: int,
    seed: int,
    learning_rate: float,
    settings: Settings,
) -> tuple[float, int]:
    """Train, and keep the epoch with the best validation score.

    :return: that score, weighted F1 of 0 to 100, and the number of the epoch.
    """
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=settings.weight_decay)
    lengths = list(map(len, train))
    truth = torch.cat([conversation.labels for conversation in validation]).numpy()
    scored = torch.cat([conversation.scored for conversation in validation]).numpy()
    best: tuple[float, int, dict[str, Any]] = (-1.0, 0, {})
    for epoch in range(settings.epochs):
        model.train()
        for batch in length_bucketed(lengths, settings.batch_size, 1000 * seed + epoch):
            chosen = [train[i] for i in batch]
            learned = torch.cat([conversation.scored for conversation in chosen])
            if not learned.any():
                continue
            output, mask = _run(model, chosen)
            labels = torch.cat([conversation.labels for conversation in chosen])
            loss = nn.functional.cross_entropy(output[mask][learned], labels[learned])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
        predicted = predict(model, validation).argmax(1)
        score = weighted_f1_of(truth[scored], predicted[scored], classes)
        if score > best[0]:
            best = (score, epoch, copy.deepcopy(model.state_dict()))
        elif epoch - best[1] >= settings.patience:
            break
    model.load_state_dict(best[2])
    return best[0], best[1]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: in steps this small, threads wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(model: nn.Module, conversations: Sequence[BaselineInput]) -> tuple[Tensor, Tensor]:
    """Pad conversations to one batch and run: logits `[B, T, C]` and the mask of real turns `[B, T]`."""
    turns = pad_sequence([conversation.features for conversation in conversations], batch_first=True)
    real = [torch.ones(len(conversation), dtype=torch.bool) for conversation in conversations]
    mask = pad_sequence(real, batch_first=True)
    return model(turns, mask), mask


def _positions(turns: int, width: int) -> Tensor:
    """Sines and cosines of the position `[T, D]` (Vaswani et al. 2017, section 3.5)."""
    places = torch.arange(turns)[:, None]
    waves = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([torch.sin(places * waves), torch.cos(places * waves)], 2).flatten(1)
