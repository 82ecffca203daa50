"""The network that tells changes of voice as the training loop wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mister_e.encoders.voices.network import VoiceChangeNetwork
from mister_e.training.settings.voices import VoiceTraining
from mister_e.training.voices.states import Batch, load_batch

#: Score that the epoch is chosen by: area under the curve of changes, 0 to 100.
SCORE = "validation_auc"
#: Fraction of the moments without a change that may be taken for one: talk has about three gaps between words
#: a second, and a change every few seconds.
FALSE_ALARMS = 0.01


class VoiceTask:
    """Network, stretches and score.

    :param network: changed in place; its base is frozen.
    :param train: files of `keep_states`.
    :param validation: files of `keep_states`.
    :param settings: how.
    """

    name = "voices"

    def __init__(
        self,
        network: VoiceChangeNetwork,
        train: Sequence[Path],
        validation: Sequence[Path],
        settings: VoiceTraining,
    ) -> None:
        self.network = network
        self.model: nn.Module = _Judge(network)
        self.train, self.validation, self.settings = train, validation, settings

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW; biases and norms have no decay."""
        settings = self.settings
        groups: dict[bool, list[nn.Parameter]] = {}
        for parameter in self.network.parameters():
            groups.setdefault(parameter.ndim > 1, []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": own, "weight_decay": settings.weight_decay if matrices else 0.0, "scale": 1.0}
                for matrices, own in groups.items()
            ],
            settings.learning_rate,
            betas=settings.betas,
            fused=True,
        )

    def batches(self, epoch: int) -> list[list[int]]:
        """Positions of the files, one a batch, in an order that follows from seed and epoch."""
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.train))
        return [[number] for number in order.tolist()]

    def batch_weight(self, batch: Sequence[int]) -> float:
        """Files in a batch."""
        return float(len(batch))

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Cross-entropy of changes, and of overlap."""
        torch.manual_seed(int(np.random.default_rng(rng_key).integers(2**31)))
        total = torch.zeros((), device=device)
        for number in batch:
            there = load_batch(self.train[number])
            change, overlap = self._logits(model, there, device)
            asked = there.change >= 0
            loss = F.binary_cross_entropy_with_logits(change[asked], there.change[asked].to(device))
            shared = F.binary_cross_entropy_with_logits(overlap, there.overlap.to(device))
            total = total + loss + self.settings.overlap_weight * shared
        return total / len(batch)

    def weights(self) -> Mapping[str, Tensor]:
        """All but the frozen base."""
        return self.network.state_dict()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights."""
        self.network.load_state_dict(dict(weights))

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score the validation stretches."""
        return scores(judged(self.network, self.validation))

    def _logits(self, model: Any, batch: Batch, device: Any) -> tuple[Tensor, Tensor]:
        """Logits of moments `[N, K]` and of tenths `[N, V]`, as many as are told of."""
        half = self.settings.precision == "bfloat16"
        device = torch.device(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            change, overlap = model(batch.states.to(device).float(), batch.moments.to(device))
        return change, overlap[:, : batch.overlap.shape[1]]


class _Judge(nn.Module):
    """The network on states that the base has read: stretches of one length, without pads."""

    def __init__(self, network: VoiceChangeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, states: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of moments and of tenths of a second."""
        return self.network.judge(states, torch.full(states.shape[:2], 2, device=states.device), moments)


@torch.inference_mode()
def judged(network: VoiceChangeNetwork, files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Judge stretches whose states were kept.

    :param network: put into evaluation, and back.
    :param files: of `keep_states`.
    :return: `change` logits, `truth` (1 = a change) and `joins` of every moment, `overlap` logits and
        `shared` (fraction of time) of every tenth of a second.
    """
    device, before = network.project.weight.device, network.training
    model = _Judge(network.eval())
    found: dict[str, list[np.ndarray]] = {}
    for file in files:
        batch = load_batch(file)
        change, overlap = model(batch.states.to(device).float(), batch.moments.to(device))
        asked = batch.change >= 0
        rows = {
            "change": change.cpu()[asked],
            "truth": batch.change[asked],
            "joins": batch.joins[asked] > 0,
            "overlap": overlap[:, : batch.overlap.shape[1]].cpu(),
            "shared": batch.overlap,
        }
        for name, value in rows.items():
            found.setdefault(name, []).append(value.flatten().numpy())
    network.train(before)
    return {name: np.concatenate(rows) for name, rows in found.items()}


def limit_of(found: Mapping[str, np.ndarray]) -> float:
    """Logit above which `FALSE_ALARMS` of the moments without a change lie."""
    others = np.sort(found["change"][found["truth"] < 0.5])
    return float(others[int((1 - FALSE_ALARMS) * (len(others) - 1))])


def scores(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Score what `judged` gives.

    :return: `validation_auc` of all moments that were asked about; `joins_auc` of those where two pieces
        meet, of one voice or of two; `overlap_auc` of tenths of a second; `change_recall`: how many changes
        are found where `FALSE_ALARMS` of the other moments are taken for one; all 0 to 100.
    """
    from sklearn.metrics import roc_auc_score

    change, truth, joins = found["change"], found["truth"], found["joins"]
    return {
        SCORE: 100 * float(roc_auc_score(truth, change)),
        "joins_auc": 100 * float(roc_auc_score(truth[joins], change[joins])),
        "overlap_auc": 100 * float(roc_auc_score(found["shared"] > 0.5, found["overlap"])),
        "change_recall": 100 * float((change[truth > 0.5] > limit_of(found)).mean()),
    }
