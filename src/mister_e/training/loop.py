"""The training loop of both stages, on `accelerate`: it can be resumed, and it keeps the best epoch.

The loop trains a `Task`: stage 1 has one for encoders, stage 2 one for the mixture. Epochs are compared by
their score on validation; the loop is given no test data.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mister_e.errors import MisterEError
from mister_e.progress import Progress, silent
from mister_e.training.checkpoint import Position, load_checkpoint, save_checkpoint
from mister_e.training.runlog import RunLog
from mister_e.training.runs import on_cpu
from mister_e.training.runtime import keep_freed_memory, seed_everything
from mister_e.training.settings import LoopSettings
from mister_e.training.weight_averaging import WeightAverage

log = logging.getLogger(__name__)


#: Name of the score that the best epoch is chosen by unless another is named, 0 to 100.
SCORE = "validation_weighted_f1"


class Task(Protocol):
    """What the loop trains: data, a model, a loss and a score."""

    #: Name of the task in progress, logs and messages.
    name: str
    #: The module that `loss` calls; with several processes the loop wraps it.
    model: nn.Module

    def optimizer(self) -> torch.optim.Optimizer:
        """Make the optimizer; each parameter group has a `scale`, its factor on the learning rate."""

    def batches(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch, as positions of examples; every process must get the same ones."""

    def batch_weight(self, batch: Sequence[int]) -> float:
        """Weight of a batch in the mean loss of a step, such as its number of labelled turns."""

    def loss(self, model: Any, batch: Sequence[int], device: Any, rng_key: tuple[int, ...]) -> Tensor:
        """Mean loss of a batch.

        :param model: `self.model`, wrapped where several processes share it.
        :param batch: positions of examples.
        :param device: of the model.
        :param rng_key: seed, step, number of the batch in the step, process; seeds all random draws.
        """

    def weights(self) -> Mapping[str, Tensor]:
        """The trained weights, by name."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load such weights into the model."""

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Score the model on validation; the loop's `score` is one of the scores."""


@dataclass(frozen=True)
class Trained:
    """History of a finished run; the model itself holds the weights of the best epoch.

    :param history: one row an epoch: `epoch, train_loss, validation_weighted_f1` and other scores.
    :param best_epoch: number of the epoch whose weights were kept, from 0.
    """

    history: Sequence[dict[str, float]]
    best_epoch: int

    @property
    def validation_weighted_f1(self) -> float:
        """Score of the best epoch, 0 to 100."""
        return self.history[self.best_epoch][SCORE]


class Loop:
    """One training run; a run that was killed is resumed from its checkpoint and sees the same losses.

    :param task: what is trained; its model is changed in place.
    :param settings: epochs, learning rate and the like.
    :param run: folder of the run: `log.jsonl`, `checkpoint/`, and what the trackers write.
    :param average: averaged weights, validated and kept in place of the last step's; None = no averaging.
    :param each_epoch: write a checkpoint after every epoch too, not only every `checkpoint_every` steps.
    :param score: name of the score that the best epoch is chosen by, 0 to 100.
    """

    def __init__(
        self,
        task: Task,
        settings: LoopSettings,
        run: Path,
        *,
        average: WeightAverage | None = None,
        each_epoch: bool = True,
        score: str = SCORE,
    ) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        self.task, self.settings, self.folder = task, settings, run
        self.average = average or WeightAverage(0.0, None)
        self.each_epoch, self.score = each_epoch, score
        run.mkdir(parents=True, exist_ok=True)
        # a batch without speech, say, gives the speech expert's parameters no gradient
        unused_allowed = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            cpu=on_cpu(),
            log_with=list(settings.trackers) or None,
            project_dir=str(run),
            kwargs_handlers=[unused_allowed],
        )
        self.optimizer: Any = self.accelerator.prepare(task.optimizer())
        self.model: Any = self.accelerator.prepare(task.model)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.steps_per_epoch = math.ceil(len(task.batches(0)) / settings.gradient_accumulation)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.log = RunLog(run, self.accelerator)
        self.saved_step = 0

    def fit(self, progress: Progress = silent) -> Trained:
        """Train to the end, from the last checkpoint where there is one.

        :param progress: called after every optimizer step, with the name of the task as the stage.
        :raises MisterEError: the loss is infinite or not a number.
        """
        keep_freed_memory()
        seed_everything(self.settings.seed + 1000 * self.accelerator.process_index)
        checkpoint = load_checkpoint(self.folder / "checkpoint")
        if checkpoint is not None:
            self.position, self.best = checkpoint.position, dict(checkpoint.best)
            device = self.accelerator.device
            self.average.weights = {name: value.to(device) for name, value in checkpoint.average.items()}
            self.task.load(checkpoint.weights)
            checkpoint.restore(self.optimizer, randomness=self.accelerator.is_main_process)
            self.saved_step = self.position.step
        self.log.start(self.position.step, len(self.position.history))
        while not self.finished:
            self._epoch(progress)
        self.task.load(self.best)
        self.task.model.eval()
        self.log.end()
        scores = [row[self.score] for row in self.position.history]
        return Trained(self.position.history, int(np.argmax(scores)))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last `patience` of them did not improve the score."""
        scores = [row[self.score] for row in self.position.history]
        since_best = len(scores) - 1 - int(np.argmax(scores)) if scores else 0
        patience = self.settings.patience
        return len(scores) >= self.settings.epochs or (patience is not None and since_best >= patience)

    def _epoch(self, progress: Progress) -> None:
        """Do the steps that are left of an epoch, then validate."""
        position, settings = self.position, self.settings
        batches = self.task.batches(position.epoch)
        steps = [
            batches[i : i + settings.gradient_accumulation]
            for i in range(0, len(batches), settings.gradient_accumulation)
        ]
        self.model.train()
        while position.batch < len(steps):
            learning_rate = self._learning_rate()
            loss, norm = self._step(steps[position.batch])
            self.average.after_step(position.step, self.task.weights())
            position.step += 1
            position.batch += 1
            position.total += loss
            self.log.step(position.step, position.epoch, loss, learning_rate, norm)
            progress(self.task.name, position.step, len(steps) * settings.epochs)
            if position.step % settings.checkpoint_every == 0:
                self._save()
        self.average.after_epoch(position.epoch, self.task.weights())
        row = {"epoch": position.epoch, "train_loss": position.total / len(steps), **self._validate()}
        log.info("%s: %s", self.task.name, row)
        self.log.epoch(position.step, row)
        position.history.append(row)
        position.epoch, position.batch, position.total = position.epoch + 1, 0, 0.0
        if self.each_epoch or self.finished or position.step - self.saved_step >= settings.checkpoint_every:
            self._save()

    def _validate(self) -> dict[str, float]:
        """Score on validation, with the averaged weights if any; keep the best so far."""
        last_step = None
        if self.average.used:
            last_step = {name: value.detach().clone() for name, value in self.task.weights().items()}
            self.task.load(self.average.weights)
        scores = self.task.validate(self.accelerator)
        if scores[self.score] > self.position.best:
            self.position.best = scores[self.score]
            self.best = {name: value.detach().clone() for name, value in self.task.weights().items()}
        if last_step is not None:
            self.task.load(last_step)
        return scores

    def _step(self, batches: Sequence[Sequence[int]]) -> tuple[float, float]:
        """Do one optimizer step.

        :param batches: batches whose gradients are accumulated.
        :return: the loss, a mean over all batches and processes weighted by `Task.batch_weight`, and the norm
            of its gradient before clipping.
        """
        accelerator, settings, task = self.accelerator, self.settings, self.task
        processes, process = accelerator.num_processes, accelerator.process_index
        learning_rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["scale"]
        total_weight = sum(task.batch_weight(batch) for batch in batches)
        total = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(batches):
            mine = batch[process::processes]
            # with fewer examples than processes some have none: they compute one that weighs nothing
            weight = task.batch_weight(mine) / total_weight if mine and total_weight else 0.0
            rng_key = (settings.seed, self.position.step, number, process)
            last = number == len(batches) - 1
            # gradients are exchanged with the last batch of a step only
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss = task.loss(self.model, mine or batch[:1], accelerator.device, rng_key) * weight
                # gradients are averaged over processes; times their number, that is the sum wanted here
                accelerator.backward(loss * processes)
            total += loss.detach()
        if processes > 1:
            total = accelerator.reduce(total, "sum")
        value = float(total)
        if not math.isfinite(value):
            raise MisterEError(
                f"step {self.position.step}: the loss is {value};"
                " lower `learning_rate`, or set precision: float32"
            )
        norm = accelerator.clip_grad_norm_(self.parameters, settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value, float(norm)

    def _learning_rate(self) -> float:
        """Learning rate of the next step: a linear warm-up, then the schedule.

        "linear" and "cosine" fall to 0, which they would reach one step after the last.
        """
        settings, step = self.settings, self.position.step
        steps = self.steps_per_epoch * settings.epochs
        # at least one step: AdamW's first update has the size of the learning rate, whatever the gradient
        warmup = max(1, round(steps * settings.warmup))
        if step < warmup:
            return settings.learning_rate * (step + 1) / (warmup + 1)
        remaining = max(0.0, (steps - step) / max(1, steps - warmup))
        factors = {
            "constant": 1.0,
            "linear": remaining,
            "cosine": 0.5 - 0.5 * math.cos(math.pi * remaining),
        }
        return settings.learning_rate * factors[settings.schedule]

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.folder / "checkpoint",
                self.position,
                self.task.weights(),
                self.best,
                self.optimizer,
                average=self.average.weights,
            )
        self.saved_step = self.position.step
        self.accelerator.wait_for_everyone()
