"""The folder of a run: what it is for, who may write to it, and what several of them give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mister_e.errors import InputError
from mister_e.files import write_text


def claim(run: Path, facts: Mapping[str, Any]) -> None:
    """Say what a run folder is for; a folder of another run is refused.

    :param run: the folder; gets `run.json`.
    :param facts: all that decides the run, JSON-ready.
    :raises InputError: names the first field that differs.
    """
    path = run / "run.json"
    facts = json.loads(json.dumps(facts))
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: not JSON ({error}); choose another output folder") from None
        if field := difference(before, facts):
            raise InputError(
                f"{run}: holds a run with another {field[0]} ({field[1]!r}, now {field[2]!r});"
                " choose another output folder, or undo the change"
            )
    elif is_main():
        run.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(facts, indent=2) + "\n")


def difference(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Find the first field that differs.

    :return: its path, what it was and what it is; None = there is none.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            here = f"{place}.{name}".lstrip(".")
            if found := difference(before.get(name), now.get(name), here):
                return found
        return None
    return None if before == now else (place, before, now)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds (0 for one)."""
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
    }


def is_main() -> bool:
    """Whether this process is the one that writes."""
    from accelerate import PartialState

    return bool(PartialState(cpu=True).is_main_process)


def wait_for_everyone() -> None:
    """Let processes meet: what the main one wrote is there for all of them."""
    from accelerate import PartialState

    PartialState(cpu=True).wait_for_everyone()
