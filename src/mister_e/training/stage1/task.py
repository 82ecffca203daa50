"""Fine-tune any utterance encoder to classify turns (stage 1).

It is given no test data: what it selects, it selects on validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mister_e.conversation import Conversation
from mister_e.encoders.backbones.lora import adapter_weights
from mister_e.encoders.base import UtteranceEncoder
from mister_e.errors import InputError
from mister_e.labels import LabelSet
from mister_e.metrics.classification import weighted_f1
from mister_e.progress import Progress, silent
from mister_e.training.batching import budgeted
from mister_e.training.class_weights import resolve_class_weights
from mister_e.training.loop import Loop, Trained
from mister_e.training.losses import focal_loss
from mister_e.training.settings import FinetuneSettings
from mister_e.training.stage1.classify import classify, positions_of
from mister_e.training.weight_averaging import WeightAverage

#: What comes of fine-tuning; the encoder itself holds the best epoch's weights.
Finetuned = Trained


class _Classifier(nn.Module):
    """An encoder and its classifier, called as one: what several processes share."""

    def __init__(self, encoder: UtteranceEncoder, half: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.autocast = half

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits `[R, C]` in float32."""
        device = next(iter(inputs.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.autocast):
            logits = self.encoder.logits(self.encoder(**inputs))
        return logits.float()


def finetune(
    encoder: UtteranceEncoder,
    train: Sequence[Conversation],
    validation: Sequence[Conversation],
    labels: LabelSet,
    settings: FinetuneSettings,
    run: Path,
    *,
    progress: Progress = silent,
) -> Finetuned:
    """Fine-tune; keep the epoch that is best on validation. A run that was killed is continued.

    :param encoder: changed in place.
    :param train: turns without a label are context only.
    :param validation: to choose the epoch by weighted F1.
    :param labels: in the order of the classifier.
    :param settings: how.
    :param run: folder of the run: `log.jsonl`, `checkpoint/`, and what the trackers write.
    :param progress: told of optimizer steps, as stage "finetune".
    :raises InputError: nothing to learn from, or nothing to choose by.
    :raises MisterEError: the loss is no number any more.
    """
    task = _Finetuning(encoder, train, validation, labels, settings)
    average = WeightAverage(settings.ema, None) if settings.ema else None
    return Loop(task, settings, run, average=average).fit(progress)


class _Finetuning:
    """An encoder, its examples and its score, as the loop wants them."""

    name = "finetune"

    def __init__(
        self,
        encoder: UtteranceEncoder,
        train: Sequence[Conversation],
        validation: Sequence[Conversation],
        labels: LabelSet,
        settings: FinetuneSettings,
    ) -> None:
        self.encoder, self.settings = encoder, settings
        self.validation, self.truth = validation, positions_of(validation, labels)
        self.targets = positions_of(train, labels)
        self.examples = [
            example for example in encoder.examples(train) if (self.targets[list(example.turns)] >= 0).any()
        ]
        if not self.examples:
            raise InputError(f"no turn of the training split has a label and {encoder.modality}")
        there = {turn for example in encoder.examples(validation) for turn in example.turns}
        chosen_by = {label for turn, label in enumerate(self.truth.tolist()) if label >= 0 and turn in there}
        if len(chosen_by) < 2:
            found = f"only the label {list(labels)[chosen_by.pop()]!r}" if chosen_by else "no label"
            raise InputError(
                f"the turns of the validation split with {encoder.modality} have {found}:"
                " no epoch can be chosen by it; prepare the corpus with another validation split"
            )
        encoder.fit(self.examples)
        self.model: nn.Module = _Classifier(encoder, settings.precision == "bfloat16")
        self.class_weights = class_weights(self.targets, len(labels), settings)

    def optimizer(self) -> torch.optim.Optimizer:
        """Make AdamW, with another rate for what is new."""
        return adamw(self.encoder, self.settings)

    def batches(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch, none dearer than the encoder's budget."""
        return budgeted(
            [example.cost for example in self.examples],
            budget=self.settings.batch_cost or self.encoder.batch_cost,
            max_items=self.settings.batch_examples,
            seed=self.settings.seed,
            epoch=epoch,
        )

    def batch_weight(self, batch: Sequence[int]) -> float:
        """What the labelled turns of examples count in the mean."""
        targets = self._targets(batch)
        targets = targets[targets >= 0]
        return float(len(targets) if self.class_weights is None else self.class_weights[targets].sum())

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Focal loss of the labelled turns of examples."""
        settings = self.settings
        examples = [self.examples[i] for i in batch]
        inputs = self.encoder.collate(examples, random=np.random.default_rng(rng_key))
        inputs.pop("absent", None)  # such a turn is learned as one of which nothing is known
        targets = torch.from_numpy(self._targets(batch)).to(device)
        logits = model(**{name: value.to(device) for name, value in inputs.items()})
        return focal_loss(
            logits,
            targets,
            mask=torch.ones_like(targets, dtype=torch.bool),
            gamma=settings.gamma,
            class_weights=None if self.class_weights is None else self.class_weights.to(logits),
            label_smoothing=settings.label_smoothing,
        )

    def weights(self) -> Mapping[str, Tensor]:
        """Adapters, pooling, projection, classifier; everything where nothing is frozen."""
        return adapter_weights(self.encoder)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights; the frozen base stays."""
        self.encoder.load_state_dict(weights, strict=False)

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score the encoder's own classifier."""
        predicted = classify(self.encoder, self.validation, accelerator=accelerator)
        scored = (self.truth >= 0) & (predicted >= 0)
        if not scored.any():
            raise InputError(f"no turn of the validation split has a label and {self.encoder.modality}")
        score = weighted_f1(self.truth[scored].tolist(), predicted[scored].tolist())
        return {"validation_weighted_f1": score}

    def _targets(self, batch: Sequence[int]) -> np.ndarray:
        return self.targets[[turn for i in batch for turn in self.examples[i].turns]]


def adamw(encoder: UtteranceEncoder, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW; each group knows the `scale` of its rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    head = (settings.head_learning_rate or settings.learning_rate) / settings.learning_rate
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": settings.weight_decay if matrices else 0.0,
                "scale": 1.0 if pretrained else head,
            }
            for (pretrained, matrices), parameters in groups.items()
        ],
        settings.learning_rate,
        betas=settings.betas,
        fused=True,
    )


def class_weights(targets: np.ndarray, classes: int, settings: FinetuneSettings) -> Tensor | None:
    """Weights `[C]` of the classes in the loss; None = equal ones.

    :param targets: positions of labels; below 0 = none.
    :raises InputError: their number is not that of the classes.
    """
    counts = np.bincount(targets[targets >= 0], minlength=classes)
    weights = resolve_class_weights(settings.class_weights, counts)
    return None if weights is None else torch.tensor(weights, dtype=torch.float32)
