"""The one training loop, on `accelerate`: resumable, and the best epoch on validation is kept.

What is trained is a `Task`: stage 1 has one for encoders, stage 2 one for the mixture. The loop is
given no test data.
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


#: The score that epochs are chosen by.
SCORE = "validation_weighted_f1"


class Task(Protocol):
    """What the loop trains: data, a model, a loss and a score."""

    #: What the loop is called in progress, logs and messages.
    name: str
    #: Called by `loss`; the loop wraps it where several processes share it.
    model: nn.Module

    def optimizer(self) -> torch.optim.Optimizer:
        """Make it; each group has the `scale` of its rate."""

    def plan(self, epoch: int) -> list[list[int]]:
        """Batches of an epoch as positions of examples: the same in every process."""

    def weight(self, batch: Sequence[int]) -> float:
        """What examples count in the mean over a step."""

    def loss(self, model: Any, batch: Sequence[int], device: Any, chance: tuple[int, ...]) -> Tensor:
        """Mean loss of examples.

        :param model: `self.model`, as it is shared.
        :param chance: seed, step, number of the batch in the step, process: what is drawn follows from it.
        """

    def weights(self) -> Mapping[str, Tensor]:
        """What is trained, by name."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take such weights."""

    def validate(self, accelerator: Any) -> dict[str, float]:
        """Scores on validation, `validation_weighted_f1` among them."""


@dataclass(frozen=True)
class Trained:
    """What came of a run; the model itself holds the kept epoch's weights.

    :param history: one row an epoch: `epoch, train_loss, validation_weighted_f1` and other scores.
    :param best_epoch: the one that was kept.
    """

    history: Sequence[dict[str, float]]
    best_epoch: int

    @property
    def validation_weighted_f1(self) -> float:
        """Score of the kept epoch, 0 to 100."""
        return self.history[self.best_epoch][SCORE]


class Loop:
    """One run. One that was killed is continued to the same losses.

    :param task: what is trained; changed in place.
    :param settings: how.
    :param run: folder of the run: `log.jsonl`, `checkpoint/`, and what the trackers write.
    :param average: weights to validate and to keep in place of the last step's; None = no averaging.
    :param each_epoch: write a checkpoint after every epoch, and not only every so many steps.
    """

    def __init__(
        self,
        task: Task,
        settings: LoopSettings,
        run: Path,
        *,
        average: WeightAverage | None = None,
        each_epoch: bool = True,
    ) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs

        self.task, self.settings, self.folder = task, settings, run
        self.average = average or WeightAverage(0.0, None)
        self.each_epoch = each_epoch
        run.mkdir(parents=True, exist_ok=True)
        tolerant = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            cpu=on_cpu(),
            log_with=list(settings.trackers) or None,
            project_dir=str(run),
            kwargs_handlers=[tolerant],
        )
        self.optimizer: Any = self.accelerator.prepare(task.optimizer())
        self.model: Any = self.accelerator.prepare(task.model)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.steps_an_epoch = -(-len(task.plan(0)) // settings.gradient_accumulation)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.log = RunLog(run, self.accelerator)
        self.saved = 0

    def go(self, progress: Progress = silent) -> Trained:
        """Train from the last checkpoint, or the start, to the end.

        :param progress: told of optimizer steps, by the name of the task.
        :raises MisterEError: the loss is no number any more.
        """
        keep_freed_memory()
        seed_everything(self.settings.seed + 1000 * self.accelerator.process_index)
        found = load_checkpoint(self.folder / "checkpoint")
        if found is not None:
            self.position, self.best = found.position, dict(found.best)
            device = self.accelerator.device
            self.average.weights = {name: value.to(device) for name, value in found.average.items()}
            self.task.load(found.weights)
            found.restore(self.optimizer, randomness=self.accelerator.is_main_process)
            self.saved = self.position.step
        self.log.start(self.position.step, len(self.position.history))
        while not self.finished:
            self._epoch(progress)
        self.task.load(self.best)
        self.task.model.eval()
        self.log.end()
        scores = [row[SCORE] for row in self.position.history]
        return Trained(self.position.history, int(np.argmax(scores)))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing."""
        scores = [row[SCORE] for row in self.position.history]
        waited = len(scores) - 1 - int(np.argmax(scores)) if scores else 0
        patience = self.settings.patience
        return len(scores) >= self.settings.epochs or (patience is not None and waited >= patience)

    def _epoch(self, progress: Progress) -> None:
        """Do what is left of an epoch, then judge it on validation."""
        position, settings = self.position, self.settings
        plan = self.task.plan(position.epoch)
        steps = [
            plan[i : i + settings.gradient_accumulation]
            for i in range(0, len(plan), settings.gradient_accumulation)
        ]
        self.model.train()
        while position.batch < len(steps):
            rate = self._rate()
            loss, norm = self._step(steps[position.batch])
            self.average.after_step(position.step, self.task.weights())
            position.step += 1
            position.batch += 1
            position.total += loss
            self.log.step(position.step, position.epoch, loss, rate, norm)
            progress(self.task.name, position.step, len(steps) * settings.epochs)
            if position.step % settings.checkpoint_every == 0:
                self._save()
        self.average.after_epoch(position.epoch, self.task.weights())
        row = {"epoch": position.epoch, "train_loss": position.total / len(steps), **self._judge()}
        log.info("%s: %s", self.task.name, row)
        self.log.epoch(position.step, row)
        position.history.append(row)
        position.epoch, position.batch, position.total = position.epoch + 1, 0, 0.0
        if self.each_epoch or self.finished or position.step - self.saved >= settings.checkpoint_every:
            self._save()

    def _judge(self) -> dict[str, float]:
        """Score on validation; keep the weights where they are the best so far."""
        judged, own = self.task.weights(), None
        if self.average.used:
            own = {name: value.detach().clone() for name, value in judged.items()}
            self.task.load(self.average.weights)
        scores = self.task.validate(self.accelerator)
        if scores[SCORE] > self.position.best:
            self.position.best = scores[SCORE]
            self.best = {name: value.detach().clone() for name, value in self.task.weights().items()}
        if own is not None:
            self.task.load(own)
        return scores

    def _step(self, batches: Sequence[Sequence[int]]) -> tuple[float, float]:
        """One optimizer step; the loss is the weighted mean over all batches and processes."""
        accelerator, settings, task = self.accelerator, self.settings, self.task
        processes, process = accelerator.num_processes, accelerator.process_index
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        whole = sum(task.weight(batch) for batch in batches)
        total = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(batches):
            mine = batch[process::processes]
            # fewer examples than processes: go along with one that does not count
            share = task.weight(mine) / whole if mine and whole else 0.0
            chance = (settings.seed, self.position.step, number, process)
            last = number == len(batches) - 1
            # gradients are exchanged with the last batch of a step only
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss = task.loss(self.model, mine or batch[:1], accelerator.device, chance) * share
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
        norm = accelerator.clip_grad_norm_(self.parameters, settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value, float(norm)

    def _rate(self) -> float:
        """Learning rate of the step that is next."""
        settings, step = self.settings, self.position.step
        steps = self.steps_an_epoch * settings.epochs
        rise = max(1, round(steps * settings.warmup))
        if step < rise:
            return settings.learning_rate * (step + 1) / (rise + 1)
        left = max(0.0, (steps - step) / max(1, steps - rise))
        shape = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}
        return settings.learning_rate * shape[settings.schedule]

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
        self.saved = self.position.step
        self.accelerator.wait_for_everyone()
