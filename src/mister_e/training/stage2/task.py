"""The mixture, its conversations and its score, as the loop wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mister_e.encoders.conversations import StoredConversation, select_turns
from mister_e.inference.batch import pad
from mister_e.inference.predict import predict
from mister_e.metrics.classification import weighted_f1
from mister_e.model import MisterE, MixtureOutput
from mister_e.model.dropout import dropout
from mister_e.training.batching import budgeted
from mister_e.training.loop import SCORE
from mister_e.training.losses import LossConfig, mixture_loss
from mister_e.training.settings import MixtureSettings
from mister_e.training.stage2.data import TrainingData


class MixtureTraining:
    """Trains a mixture on stored conversations.

    What is drawn for a conversation follows from the seed, the step and the conversation, so that it
    is the same in whichever process. Pairs of the contrastive loss are those within a batch of one
    process; the means of accumulated batches and of processes are weighed by their labelled turns.
    """

    name = "train"

    def __init__(
        self, mixture: MisterE, data: TrainingData, settings: MixtureSettings, weights: LossConfig
    ) -> None:
        self.mixture, self.data, self.settings, self.loss_weights = mixture, data, settings, weights
        self.model: nn.Module = _Shown(mixture, settings)
        shares = weights.class_weights or (1.0,) * len(data.labels)
        each = torch.tensor(shares)
        self.counted = [float(each[one.labels[one.labels >= 0]].sum()) for one in data.train]

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW; biases, norms and learned embeddings do not decay."""
        groups: dict[bool, list[nn.Parameter]] = {}
        for parameter in self.mixture.parameters():
            groups.setdefault(parameter.ndim > 1, []).append(parameter)
        decay = self.settings.weight_decay
        return torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": decay if matrices else 0.0, "scale": 1.0}
                for matrices, parameters in groups.items()
            ],
            self.settings.learning_rate,
            betas=self.settings.betas,
            fused=True,
        )

    def batches(self, epoch: int) -> list[list[int]]:
        """Batches of conversations of like length."""
        lengths = [len(one) for one in self.data.train]
        return budgeted(
            lengths,
            budget=self.settings.batch_turns or self.settings.batch_size * max(lengths),
            most=self.settings.batch_size,
            seed=self.settings.seed,
            epoch=epoch,
        )

    def batch_weight(self, batch: Sequence[int]) -> float:
        """What the labelled turns of conversations count in the mean."""
        return sum(self.counted[i] for i in batch)

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Loss of the mixture on conversations as they are shown at this step."""
        seed, step, *_ = rng_key
        shown = [
            augment(self.data.train[i], self.settings, np.random.default_rng((seed, step, i))) for i in batch
        ]
        turns = pad(shown).to(device)
        output: MixtureOutput = model(**turns.inputs())
        return mixture_loss(output, turns.labels, mask=turns.mask, weights=self.loss_weights)

    def weights(self) -> Mapping[str, Tensor]:
        """Everything."""
        found: Mapping[str, Tensor] = self.mixture.state_dict()
        return found

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights, all of them."""
        self.mixture.load_state_dict(weights)

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score the mixture on whole conversations of the validation split."""
        said = predict(self.mixture, self.data.validation)
        labels, predicted = said.labels[said.scored], said.logits.argmax(1)[said.scored]
        return {
            SCORE: weighted_f1(labels.tolist(), predicted.tolist()),
            "validation_accuracy": 100 * float((labels == predicted).mean()),
        }


class _Shown(nn.Module):
    """The mixture as training runs it: some numbers of the embeddings dropped, in the precision wanted."""

    def __init__(self, mixture: MisterE, settings: MixtureSettings) -> None:
        super().__init__()
        self.mixture = mixture
        self.halved = settings.precision == "bfloat16"
        self.dropped = settings.input_dropout

    def forward(self, text: Tensor, speech: Tensor, **flags: Tensor) -> MixtureOutput:
        """Judge a batch."""
        if self.training and self.dropped > 0:
            text, speech = dropout(text, self.dropped), dropout(speech, self.dropped)
        with torch.autocast(text.device.type, torch.bfloat16, enabled=self.halved):
            output: MixtureOutput = self.mixture(text, speech, **flags)
        return output


def augment(
    one: StoredConversation, settings: MixtureSettings, random: np.random.Generator
) -> StoredConversation:
    """Show a conversation as use may find it: cut short, or with modalities missing.

    A turn never loses what it has alone.

    :param one: each turn has text or speech.
    :param settings: how often.
    :param random: the same draws whatever the settings.
    """
    cut, length, whole, which = random.random(4).tolist()
    lost = random.random((3, len(one)))
    if cut < settings.prefixes:
        # at least one turn, and a label to learn from
        first = int((one.labels >= 0).nonzero()[0])
        keep = max(first + 1, 1 + int(length * len(one)))
        one, lost = select_turns(one, torch.arange(keep)), lost[:, :keep]
    no_text, no_speech = lost[0] < settings.drop_text, lost[1] < settings.drop_speech
    if whole < settings.drop_conversation:
        (no_text if which < 0.5 else no_speech)[:] = True
        (no_speech if which < 0.5 else no_text)[:] = False
    both = no_text & no_speech
    no_text &= ~(both & (lost[2] < 0.5))
    no_speech &= ~(both & (lost[2] >= 0.5))
    two = (one.has_text & one.has_speech).numpy()
    return replace(
        one,
        has_text=one.has_text & torch.from_numpy(~(no_text & two)),
        has_speech=one.has_speech & torch.from_numpy(~(no_speech & two)),
    )
