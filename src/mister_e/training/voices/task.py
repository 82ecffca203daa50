"""The network that tells changes of voice as the training loop wants it: new stretches for every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mister_e.encoders.speech.frontend import SpeechFrontend
from mister_e.encoders.voices.network import VoiceChangeNetwork
from mister_e.training.voices.clips import Voices
from mister_e.training.voices.settings import VoicesRecipe
from mister_e.training.voices.stretches import Stretch, draw_stretch

#: Score that the epoch is chosen by: area under the curve of changes, and of overlap, 0 to 100.
SCORE = "validation_auc"
# Of the validation stretches, in the key of their random draws.
_VALIDATION = 2**31


class VoiceTask:
    """Network, stretches and score.

    :param network: changed in place.
    :param train: voices of the training split.
    :param validation: voices of the validation split.
    :param recipe: how.
    """

    name = "voices"

    def __init__(
        self,
        network: VoiceChangeNetwork,
        train: Sequence[Voices],
        validation: Sequence[Voices],
        recipe: VoicesRecipe,
    ) -> None:
        self.network = network
        self.model: nn.Module = network
        self.train, self.recipe = train, recipe
        self.frontend = SpeechFrontend()
        self.validation = draw_validation(validation, recipe)

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW; biases and norms have no decay."""
        settings = self.recipe.train
        groups: dict[bool, list[nn.Parameter]] = {}
        for parameter in self.model.parameters():
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
        """Batches of an epoch; what is drawn for them follows from the step, not from these numbers."""
        settings = self.recipe.train
        return [list(range(settings.batch_size))] * settings.steps

    def batch_weight(self, batch: Sequence[int]) -> float:
        """Stretches in a batch."""
        return float(len(batch))

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Cross-entropy of changes, and of overlap."""
        random = np.random.default_rng(rng_key)
        recipe = self.recipe
        seconds = random.uniform(*recipe.stretches.seconds)  # the same for all: no pads are computed
        stretches = [
            draw_stretch(self.train, recipe.stretches, recipe.augmentation, seconds, random) for _ in batch
        ]
        inputs = collate(stretches, self.frontend)
        moved = {name: value.to(device) for name, value in inputs.items()}
        half = recipe.train.precision == "bfloat16"
        with torch.autocast(moved["mels"].device.type, torch.bfloat16, enabled=half):
            change, overlap = model(moved["mels"], moved["lengths"], moved["moments"])
        asked, there = moved["change"] >= 0, moved["overlap"] >= 0
        loss = F.binary_cross_entropy_with_logits(change[asked], moved["change"][asked])
        shared = F.binary_cross_entropy_with_logits(overlap[there], moved["overlap"][there])
        return loss + recipe.train.overlap_weight * shared

    def weights(self) -> Mapping[str, Tensor]:
        """All but the frozen base."""
        return self.model.state_dict()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights."""
        self.model.load_state_dict(dict(weights))

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score the validation stretches."""
        return scores(self.network, self.validation, self.frontend, self.recipe)


def draw_validation(voices: Sequence[Voices], recipe: VoicesRecipe) -> list[Stretch]:
    """Draw the stretches that are scored; the same for every seed and epoch.

    :param voices: of the split.
    :param recipe: how many, and of what.
    """
    found = []
    for number in range(recipe.train.validation_stretches):
        random = np.random.default_rng((_VALIDATION, number))
        seconds = random.uniform(*recipe.stretches.seconds)
        found.append(draw_stretch(voices, recipe.stretches, recipe.augmentation, seconds, random))
    return found


def collate(stretches: Sequence[Stretch], frontend: SpeechFrontend) -> dict[str, Tensor]:
    """Pad stretches to one batch.

    :return: `mels` `[N, M, 80]`, `lengths` `[N]`, `moments` and `change` `[N, K]`, `overlap` `[N, V]`;
        below 0 in the last two = not asked.
    """
    mels = [torch.from_numpy(frontend.mel(stretch.sound)) for stretch in stretches]
    values = [-(-((len(mel) + 1) // 2) // 5) for mel in mels]
    overlaps = [
        np.pad(stretch.overlap, (0, max(0, count - len(stretch.overlap))), "edge")[:count]
        for stretch, count in zip(stretches, values, strict=True)
    ]

    def padded(rows: Sequence[np.ndarray], fill: float) -> Tensor:
        tensors = [torch.from_numpy(np.asarray(row, np.float32)) for row in rows]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)

    return {
        "mels": nn.utils.rnn.pad_sequence(mels, batch_first=True),
        "lengths": torch.tensor([len(mel) for mel in mels]),
        "moments": padded([stretch.moments for stretch in stretches], 0.0),
        "change": padded([stretch.change for stretch in stretches], -1.0),
        "overlap": padded(overlaps, -1.0),
    }


@torch.inference_mode()
def scores(
    network: VoiceChangeNetwork, stretches: Sequence[Stretch], frontend: SpeechFrontend, recipe: VoicesRecipe
) -> dict[str, float]:
    """Score a network on stretches.

    :return: `validation_auc` of all moments that were asked about; `joins_auc` of those where two pieces
        meet, of one voice or of two; `overlap_auc` of tenths of a second; `change_recall`: how many changes
        are found where 3 % of the other moments are taken for one; all 0 to 100.
    """
    network.eval()
    change, truth, joins, shared, really = [], [], [], [], []
    size = recipe.train.batch_size
    order = sorted(range(len(stretches)), key=lambda i: len(stretches[i].sound))
    for first in range(0, len(order), size):
        batch = [stretches[i] for i in order[first : first + size]]
        inputs = collate(batch, frontend)
        half = recipe.train.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found, overlap = network(inputs["mels"], inputs["lengths"], inputs["moments"])
        asked, there = inputs["change"] >= 0, inputs["overlap"] >= 0
        change.append(found[asked].numpy())
        truth.append(inputs["change"][asked].numpy())
        joins.append(np.concatenate([stretch.joins for stretch in batch]))
        shared.append(overlap[there].numpy())
        really.append(inputs["overlap"][there].numpy())
    network.train()
    return measured(*(np.concatenate(rows) for rows in (change, truth, joins, shared, really)))


def measured(
    change: np.ndarray, truth: np.ndarray, joins: np.ndarray, shared: np.ndarray, really: np.ndarray
) -> dict[str, float]:
    """Measure logits against what is true; see `scores`.

    :param change: logits `[K]` of changes.
    :param truth: 1 = a change, `[K]`.
    :param joins: bool `[K]`.
    :param shared: logits `[V]` of overlap.
    :param really: fraction of the tenth in which several speak, `[V]`; above 0.5 counts.
    """
    from sklearn.metrics import roc_auc_score

    others = np.sort(change[truth < 0.5])
    limit = others[int(0.97 * (len(others) - 1))]
    return {
        SCORE: 100 * float(roc_auc_score(truth, change)),
        "joins_auc": 100 * float(roc_auc_score(truth[joins], change[joins])),
        "overlap_auc": 100 * float(roc_auc_score(really > 0.5, shared)),
        "change_recall": 100 * float((change[truth > 0.5] > limit).mean()),
    }
