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
from mister_e.training.stage2.conditions import selection_scores
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
        self.conversations: Sequence[StoredConversation] = ()
        #: What the labelled turns of each conversation count in the mean.
        self.counted: list[float] = []
        self.epoch = -1
        self._begin(0)

    def _begin(self, epoch: int) -> None:
        """Take the conversations of an epoch."""
        if epoch == self.epoch:
            return
        self.epoch, self.conversations = epoch, self.data.epoch(self.settings.seed, epoch)
        weights = torch.tensor(self.loss_weights.class_weights or (1.0,) * len(self.data.labels))
        labels = [conversation.labels for conversation in self.conversations]
        self.counted = [float(weights[own[own >= 0]].sum()) for own in labels]

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
        """Batches of conversations of like length; where they are paired, of any length.

        A paired epoch holds many single clips: batches of these alone would count as much in the training
        as batches of whole conversations.
        """
        self._begin(epoch)
        lengths = [len(conversation) for conversation in self.conversations]
        if self.data.sampler is not None:
            places = list(range(len(lengths)))  # in random order already
            size = self.settings.batch_size
            return [places[first : first + size] for first in range(0, len(places), size)]
        return budgeted(
            lengths,
            budget=self.settings.batch_turns or self.settings.batch_size * max(lengths),
            max_items=self.settings.batch_size,
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
            augment(self.conversations[i], self.settings, np.random.default_rng((seed, step, i)))
            for i in batch
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
        """Score the mixture on whole conversations of the validation split.

        Of a paired mixture, the score is the mean over the conditions that select.
        """
        if self.data.conditions:
            scores = selection_scores(self.mixture, self.data.conditions)
            return {SCORE: float(np.mean(list(scores.values()))), **scores}
        predictions = predict(self.mixture, self.data.validation)
        chosen = predictions.scored
        labels, predicted = predictions.labels[chosen], predictions.logits[chosen].argmax(1)
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
    conversation: StoredConversation, settings: MixtureSettings, random: np.random.Generator
) -> StoredConversation:
    """Show a conversation as use may find it: cut short, or with modalities missing.

    A turn never loses what it has alone.

    :param conversation: each turn has text or speech.
    :param settings: how often.
    :param random: the same draws whatever the settings.
    """
    cut, length, whole, which = random.random(4).tolist()
    lost = random.random((3, len(conversation)))
    if cut < settings.prefixes:
        # at least one turn, and a label to learn from
        first = int((conversation.labels >= 0).nonzero()[0])
        keep = max(first + 1, 1 + int(length * len(conversation)))
        conversation, lost = select_turns(conversation, torch.arange(keep)), lost[:, :keep]
    no_text, no_speech = lost[0] < settings.drop_text, lost[1] < settings.drop_speech
    if whole < settings.drop_conversation:
        (no_text if which < 0.5 else no_speech)[:] = True
        (no_speech if which < 0.5 else no_text)[:] = False
    both = no_text & no_speech
    no_text &= ~(both & (lost[2] < 0.5))
    no_speech &= ~(both & (lost[2] >= 0.5))
    two = (conversation.has_text & conversation.has_speech).numpy()
    return replace(
        conversation,
        has_text=conversation.has_text & torch.from_numpy(~(no_text & two)),
        has_speech=conversation.has_speech & torch.from_numpy(~(no_speech & two)),
    )
