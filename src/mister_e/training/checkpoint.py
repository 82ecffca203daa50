"""The state of a run, so that a killed one goes on to the same losses. Never a pickle."""

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
    """Where a run is, and what it has seen.

    :param step: optimizer steps done.
    :param epoch: epoch that is under way.
    :param batch: steps done in it.
    :param total: sum of the losses of those steps.
    :param history: one row a finished epoch.
    :param best: highest validation score; below 0 = none.
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
    """Write a checkpoint; whatever kills the process, the newest whole one stays.

    :param folder: holds one folder a checkpoint, `step-N`.
    :param weights: the trained weights as they are.
    :param best: those of the best epoch; empty = none yet.
    :param optimizer: its moments; its rates follow from the step.
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
    drawn = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        drawn["cuda"] = torch.cuda.get_rng_state()
    save_file(drawn, temporary / "random.safetensors")
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
    """A checkpoint as it was read."""

    folder: Path
    position: Position
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    _state: Mapping[str, Any]

    def restore(self, optimizer: torch.optim.Optimizer, *, randomness: bool) -> None:
        """Put the moments back, and the state of chance.

        :param optimizer: with the parameters of the run that wrote this, in their order.
        :param randomness: False in helper processes: what they draw is theirs.
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
            drawn = load_file(self.folder / "random.safetensors")
            torch.set_rng_state(drawn["torch"])
            if "cuda" in drawn and torch.cuda.is_available():
                torch.cuda.set_rng_state(drawn["cuda"])


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest whole checkpoint of a run; None where there is none.

    :raises InputError: it is damaged.
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
