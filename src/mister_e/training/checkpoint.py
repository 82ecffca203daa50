"""Checkpoints of a training run: safetensors and JSON, no pickle.

A run that is resumed from one sees the same losses as a run that was never interrupted.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mister_e.errors import InputError
from mister_e.files import write_text


@dataclass
class Position:
    """How far a run is, and its scores so far.

    :param step: optimizer steps done.
    :param epoch: number of the current epoch, from 0.
    :param batch: optimizer steps done in the current epoch.
    :param total: sum of the losses of those steps.
    :param history: scores of the finished epochs, one row each.
    :param best: highest validation score so far, 0 to 100; below 0 = none yet.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    total: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0


def save_checkpoint(
    folder: Path,
    position: Position,
    weights: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint, then remove the older ones.

    It is written to a temporary folder and renamed, so that one complete checkpoint exists at any time.

    :param folder: gets a folder `step-N`.
    :param position: how far the run is.
    :param weights: trained weights after the last step.
    :param best: weights of the best epoch; empty = none yet.
    :param optimizer: whose moments are saved; its learning rates follow from the step.
    :param average: averaged weights; None or empty = there are none.
    """
    target = folder / f"step-{position.step:08d}-{position.epoch:04d}-{position.batch:06d}"
    if target.is_dir():
        return
    temporary = folder / ".part"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, temporary / "weights.safetensors"
    )
    save_file({name: value.contiguous() for name, value in best.items()}, temporary / "best.safetensors")
    if average:
        averaged = {name: value.contiguous() for name, value in average.items()}
        save_file(averaged, temporary / "average.safetensors")
    moments = {
        f"{number}.{name}": torch.as_tensor(value).contiguous()
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    save_file(moments, temporary / "optimizer.safetensors")
    rng_states = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        rng_states["cuda"] = torch.cuda.get_rng_state()
    save_file(rng_states, temporary / "random.safetensors")
    kind, words, *rest = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    state = {
        "position": vars(position),
        "python": random.getstate(),
        "numpy": [kind, np.asarray(words).tolist(), *rest],
    }
    write_text(temporary / "state.json", json.dumps(state))
    temporary.rename(target)
    for old in folder.glob("step-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    :param folder: where it lies.
    :param position: how far the run was.
    :param weights: trained weights after the last step.
    :param best: weights of the best epoch; empty = none yet.
    :param moments: of the optimizer, as `number of the parameter.name`.
    :param average: averaged weights; empty = there are none.
    """

    folder: Path
    position: Position
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    _state: Mapping[str, Any]

    def restore(self, optimizer: torch.optim.Optimizer, *, randomness: bool) -> None:
        """Restore the optimizer's moments and the state of the random number generators.

        :param optimizer: with the same parameters in the same order as in the run that was saved.
        :param randomness: restore the generators too; False in processes other than the main one, whose
            states were not saved.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self.moments.items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        if randomness:
            version, words, gauss = self._state["python"]
            random.setstate((version, tuple(words), gauss))
            kind, numbers, *rest = self._state["numpy"]
            np.random.set_state((kind, np.array(numbers, dtype=np.uint32), *rest))  # noqa: NPY002
            rng_states = load_file(self.folder / "random.safetensors")
            torch.set_rng_state(rng_states["torch"])
            if "cuda" in rng_states and torch.cuda.is_available():
                torch.cuda.set_rng_state(rng_states["cuda"])


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest complete checkpoint of a run.

    :param folder: what `save_checkpoint` wrote to.
    :return: None where there is none.
    :raises InputError: the checkpoint is damaged.
    """
    found = sorted(folder.glob("step-*"))
    if not found:
        return None
    newest = found[-1]
    try:
        state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
        read = {name: load_file(newest / f"{name}.safetensors") for name in ("weights", "best", "optimizer")}
        averaged = newest / "average.safetensors"
        average = load_file(averaged) if averaged.is_file() else {}
        position = Position(**state["position"])
    except Exception as error:
        raise InputError(f"{newest}: a damaged checkpoint ({error}); remove it and run again") from error
    return Checkpoint(newest, position, read["weights"], read["best"], read["optimizer"], average, state)
