"""The log of a training run: `log.jsonl`, and the trackers of `accelerate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mister_e.files import write_text


class RunLog:
    """Writes one row a step and one an epoch; only the main process writes.

    :param run: folder of the run.
    :param accelerator: of the run; it passes rows on to its trackers.
    """

    def __init__(self, run: Path, accelerator: Any) -> None:
        self.path = run / "log.jsonl"
        self.accelerator = accelerator
        self.main = accelerator.is_main_process

    def start(self, step: int, epochs: int) -> None:
        """Open the log, without the rows that a resumed run is going to repeat.

        :param step: optimizer steps done.
        :param epochs: epochs finished.
        """
        if self.main:
            rows = (
                self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
            )
            kept = [row for row in rows if row.endswith("\n") and _is_before(json.loads(row), step, epochs)]
            write_text(self.path, "".join(kept))
        if self.accelerator.log_with:
            self.accelerator.init_trackers("trackers")

    def step(self, step: int, epoch: int, loss: float, learning_rate: float, norm: float) -> None:
        """Write the row of a step.

        :param step: optimizer steps done.
        :param epoch: number of the epoch, from 0.
        :param loss: mean over the step's batches.
        :param learning_rate: of the step, before the `scale` of a parameter group.
        :param norm: of the gradient before clipping.
        """
        row = {"step": step, "epoch": epoch, "loss": loss, "learning_rate": learning_rate}
        self._write(step, {**row, "gradient_norm": norm})

    def epoch(self, step: int, row: Mapping[str, float]) -> None:
        """Write the row of an epoch.

        :param step: optimizer steps done.
        :param row: `epoch` and its scores.
        """
        self._write(step, row)

    def end(self) -> None:
        """Close the trackers."""
        if self.accelerator.log_with:
            self.accelerator.end_training()

    def _write(self, step: int, row: Mapping[str, float]) -> None:
        if self.main:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if self.accelerator.log_with:
            self.accelerator.log({k: v for k, v in row.items() if k not in {"step", "epoch"}}, step=step)


def _is_before(row: Mapping[str, Any], step: int, epochs: int) -> bool:
    return bool(row["step"] <= step if "step" in row else row["epoch"] < epochs)
