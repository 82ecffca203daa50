"""Fine-tune any utterance encoder to classify turns (stage 1): one loop, on `accelerate`.

It is given no test data: what it selects, it selects on validation.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mister_e.conversation import Conversation
from mister_e.encoders.base import Example, UtteranceEncoder
from mister_e.encoders.lora import adapter_weights
from mister_e.errors import InputError, MisterEError
from mister_e.evaluation.metrics import weighted_f1
from mister_e.hooks import Progress, silent
from mister_e.labels import LabelSet
from mister_e.losses import focal_loss
from mister_e.training.batching import budgeted
from mister_e.training.checkpoint import Position, load_checkpoint, save_checkpoint
from mister_e.training.classify import classify, positions_of
from mister_e.training.runlog import RunLog
from mister_e.training.seeds import seed_everything

log = logging.getLogger(__name__)


class FinetuneSettings(BaseModel):
    """How an encoder is fine-tuned.

    :param epochs: at most.
    :param patience: epochs without a better validation score before it stops; None = never.
    :param rate: learning rate of AdamW at its highest.
    :param head_rate: that of pooling, projection and classifier; None = `rate`.
    :param betas: of AdamW.
    :param weight_decay: of matrices; biases and norms have none.
    :param schedule: of the rate after the warm-up.
    :param warmup: share of all steps over which the rate rises.
    :param gamma: of the focal loss; 0 = cross-entropy.
    :param class_weights: one a class, or "balanced" = inverse to how often a class is in train.
    :param label_smoothing: share of the target spread over all classes.
    :param clip: norm of the gradient at most.
    :param batch_cost: of a batch, pads included, in the encoder's unit; None = the encoder's own.
    :param batch_examples: examples in a batch at most.
    :param accumulate: batches in one optimizer step.
    :param precision: of the forward pass; the loss is float32 always.
    :param checkpoint_every: optimizer steps between two checkpoints.
    :param trackers: of `accelerate`, such as "tensorboard" or "wandb".
    :param seed: decides order, new weights, dropout and crops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(3, gt=0)
    patience: int | None = Field(None, gt=0)
    rate: float = Field(1e-4, gt=0)
    head_rate: float | None = Field(None, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)
    gamma: float = Field(1.0, ge=0)
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    batch_cost: int | None = Field(None, gt=0)
    batch_examples: int | None = Field(None, gt=0)
    accumulate: int = Field(1, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = Field(200, gt=0)
    trackers: tuple[str, ...] = ("tensorboard",)
    seed: int = 0


@dataclass(frozen=True)
class Finetuned:
    """What came of a run; the encoder itself holds the best epoch's weights.

    :param history: one row an epoch: `epoch, train_loss, validation_weighted_f1`.
    :param best_epoch: the one that was kept.
    """

    history: Sequence[dict[str, float]]
    best_epoch: int

    @property
    def validation_weighted_f1(self) -> float:
        """Score of the kept epoch, 0 to 100."""
        return self.history[self.best_epoch]["validation_weighted_f1"]


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
    return _Run(encoder, train, validation, labels, settings, run).go(progress)


class _Run:
    """One run of the loop."""

    def __init__(
        self,
        encoder: UtteranceEncoder,
        train: Sequence[Conversation],
        validation: Sequence[Conversation],
        labels: LabelSet,
        settings: FinetuneSettings,
        run: Path,
    ) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        self.settings, self.folder, self.classes = settings, run, len(labels)
        self.validation, self.labels = validation, labels
        self.targets = positions_of(train, labels)
        self.examples = [one for one in encoder.examples(train) if (self.targets[list(one.turns)] >= 0).any()]
        if not self.examples:
            raise InputError(f"no turn of the training split has a label and {encoder.modality}")
        run.mkdir(parents=True, exist_ok=True)
        tolerant = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            log_with=list(settings.trackers) or None,
            project_dir=str(run),
            kwargs_handlers=[tolerant],
        )
        encoder.fit(self.examples)
        self.encoder = encoder
        self.optimizer: Any = self.accelerator.prepare(_optimizer(encoder, settings))
        self.model: Any = self.accelerator.prepare(_Classifier(encoder, settings.precision == "bfloat16"))
        self.weights = class_weights(self.targets, self.classes, settings)
        self.steps_an_epoch = -(-len(self.plan(0)) // settings.accumulate)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.log = RunLog(run, self.accelerator)

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch: the same in every process."""
        settings = self.settings
        return budgeted(
            [one.cost for one in self.examples],
            budget=settings.batch_cost or self.encoder.batch_cost,
            most=settings.batch_examples,
            seed=settings.seed,
            epoch=epoch,
        )

    def go(self, progress: Progress) -> Finetuned:
        """Train from the last checkpoint, or the start, to the end."""
        seed_everything(self.settings.seed + 1000 * self.accelerator.process_index)
        found = load_checkpoint(self.folder / "checkpoint")
        if found is not None:
            self.position, self.best = found.position, dict(found.best)
            self.encoder.load_state_dict(found.weights, strict=False)
            found.restore(self.optimizer, randomness=self.accelerator.is_main_process)
        self.log.start(self.position.step, len(self.position.history))
        while not self.finished:
            self._epoch(progress)
        self.encoder.load_state_dict(self.best, strict=False)
        self.encoder.eval()
        self.log.end()
        scores = [row["validation_weighted_f1"] for row in self.position.history]
        return Finetuned(self.position.history, int(np.argmax(scores)))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing."""
        scores = [row["validation_weighted_f1"] for row in self.position.history]
        waited = len(scores) - 1 - int(np.argmax(scores)) if scores else 0
        patience = self.settings.patience
        return len(scores) >= self.settings.epochs or (patience is not None and waited >= patience)

    def _epoch(self, progress: Progress) -> None:
        """Do what is left of an epoch, then judge it on validation."""
        position, settings = self.position, self.settings
        plan = self.plan(position.epoch)
        steps = [plan[i : i + settings.accumulate] for i in range(0, len(plan), settings.accumulate)]
        self.model.train()
        while position.batch < len(steps):
            loss, norm = self._step(steps[position.batch])
            position.step += 1
            position.batch += 1
            position.total += loss
            self.log.step(position.step, position.epoch, loss, self._rate(), norm)
            progress("finetune", position.step, len(steps) * settings.epochs)
            if position.step % settings.checkpoint_every == 0:
                self._save()
        predicted = classify(self.encoder, self.validation, accelerator=self.accelerator)
        truth = positions_of(self.validation, self.labels)
        judged = (truth >= 0) & (predicted >= 0)
        if not judged.any():
            raise InputError(f"no turn of the validation split has a label and {self.encoder.modality}")
        score = weighted_f1(truth[judged].tolist(), predicted[judged].tolist())
        row = {
            "epoch": position.epoch,
            "train_loss": position.total / len(steps),
            "validation_weighted_f1": score,
        }
        log.info("finetune: %s", row)
        self.log.epoch(position.step, row)
        position.history.append(row)
        position.epoch, position.batch, position.total = position.epoch + 1, 0, 0.0
        if score > position.best:
            position.best = score
            self.best = {
                name: value.detach().clone() for name, value in adapter_weights(self.encoder).items()
            }
        self._save()

    def _step(self, batches: Sequence[Sequence[int]]) -> tuple[float, float]:
        """One optimizer step; the loss is the mean over the labelled turns of all batches and processes."""
        accelerator, settings = self.accelerator, self.settings
        processes = accelerator.num_processes
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        whole = sum(self._weight([self.examples[i] for i in batch]) for batch in batches)
        total = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(batches):
            mine = [self.examples[i] for i in batch[accelerator.process_index :: processes]]
            idle = not mine  # fewer examples than processes: go along with one that does not count
            chosen = mine or [self.examples[batch[0]]]
            random = np.random.default_rng(
                (settings.seed, self.position.step, number, accelerator.process_index)
            )
            inputs = self.encoder.collate(chosen, random=random)
            inputs.pop("absent", None)  # such a turn is learned as one of which nothing is known
            turns = [turn for example in chosen for turn in example.turns]
            targets = torch.from_numpy(self.targets[turns]).to(accelerator.device)
            last = number == len(batches) - 1
            with _together(accelerator, self.model, last):
                logits = self.model(**{name: value.to(accelerator.device) for name, value in inputs.items()})
                mean = focal_loss(
                    logits,
                    targets,
                    mask=torch.full_like(targets, not idle, dtype=torch.bool),
                    gamma=settings.gamma,
                    class_weights=self.weights.to(logits) if self.weights is not None else None,
                    label_smoothing=settings.label_smoothing,
                )
                loss = mean * (0.0 if idle else self._weight(chosen) / whole)
                # processes average their gradients: times their number, that is a sum
                accelerator.backward(loss * processes)
            total += loss.detach()
        if processes > 1:
            total = accelerator.reduce(total, "sum")
        value = float(total)
        if not math.isfinite(value):
            raise MisterEError(
                f"step {self.position.step}: the loss is {value}; lower `rate`, or set precision: float32"
            )
        norm = accelerator.clip_grad_norm_(
            [p for p in self.model.parameters() if p.requires_grad], settings.clip
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value, float(norm)

    def _weight(self, examples: Sequence[Example]) -> float:
        """What the labelled turns of examples count in the mean."""
        targets = self.targets[[turn for one in examples for turn in one.turns]]
        targets = targets[targets >= 0]
        return float(len(targets) if self.weights is None else self.weights[targets].sum())

    def _rate(self) -> float:
        """Learning rate of the step that is next."""
        settings, step = self.settings, self.position.step
        steps = self.steps_an_epoch * settings.epochs
        rise = max(1, round(steps * settings.warmup))
        if step < rise:
            return settings.rate * (step + 1) / (rise + 1)
        left = max(0.0, (steps - step) / max(1, steps - rise))
        shape = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}
        return settings.rate * shape[settings.schedule]

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            weights = adapter_weights(self.encoder)
            save_checkpoint(self.folder / "checkpoint", self.position, weights, self.best, self.optimizer)
        self.accelerator.wait_for_everyone()


def _together(accelerator: Any, model: nn.Module, last: bool) -> Any:
    """Gradients are exchanged with the last batch of a step only."""
    from contextlib import nullcontext

    return nullcontext() if last else accelerator.no_sync(model)


def _optimizer(encoder: UtteranceEncoder, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW; each group knows the `scale` of its rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    head = (settings.head_rate or settings.rate) / settings.rate
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": settings.weight_decay if matrices else 0.0,
                "scale": 1.0 if pretrained else head,
            }
            for (pretrained, matrices), parameters in groups.items()
        ],
        settings.rate,
        betas=settings.betas,
    )


def class_weights(targets: np.ndarray, classes: int, settings: FinetuneSettings) -> Tensor | None:
    """Weights `[C]` of the classes in the loss; None = equal ones.

    :param targets: positions of labels; below 0 = none.
    :raises InputError: their number is not that of the classes.
    """
    chosen = settings.class_weights
    if chosen is None:
        return None
    if chosen == "balanced":
        counts = np.bincount(targets[targets >= 0], minlength=classes)
        return torch.tensor(counts.sum() / (classes * np.maximum(counts, 1)), dtype=torch.float32)
    if len(chosen) != classes:
        raise InputError(f"class_weights: {len(chosen)} weights, but there are {classes} classes")
    return torch.tensor(chosen, dtype=torch.float32)
