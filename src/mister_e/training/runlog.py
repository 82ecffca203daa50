"""What a run says of itself: `log.jsonl`, and the trackers of `accelerate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mister_e.files import write_text


class RunLog:
    """One row a step and one an epoch; only the main process writes."""

    def __init__(self, run: Path, accelerator: Any) -> None:
        self.path = run / "log.jsonl"
        self.accelerator = accelerator
        self.main = accelerator.is_main_process

    def start(self, step: int, epochs: int) -> None:
        """Go on after a step and some epochs: what was logged later is forgotten, for it is done again."""
        if self.main:
            rows = (
                self.path.read_text(encoding="utf-8").splitlines(keepends=True) if self.path.exists() else []
            )
            kept = [row for row in rows if row.endswith("\n") and _is_before(json.loads(row), step, epochs)]
            write_text(self.path, "".join(kept))
        if self.accelerator.log_with:
            self.accelerator.init_trackers("trackers")

    def step(self, step: int, epoch: int, loss: float, rate: float, norm: float) -> None:
        """Write a step: its loss, its learning rate, the norm of its gradient before clipping."""
        self._write(step, {"step": step, "epoch": epoch, "loss": loss, "rate": rate, "gradient_norm": norm})

    def epoch(self, step: int, row: Mapping[str, float]) -> None:
        """Write an epoch."""
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
