"""The folder of a run: what it is for, who may write to it, and what several of them give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mister_e.errors import InputError
from mister_e.files import write_text


def check_run_config(run: Path, facts: Mapping[str, Any]) -> None:
    """Say what a run folder is for; a folder of another run is refused.

    Runs in folders `seed-N` side by side are scored together, so they may differ in the seed alone.

    :param run: the folder; gets `run.json`.
    :param facts: all that decides the run, JSON-ready.
    :raises InputError: names the first field that differs.
    """
    path = run / "run.json"
    facts = json.loads(json.dumps(facts))
    beside = sorted(run.parent.glob("seed-*/run.json")) if run.name.startswith("seed-") else []
    for claimed in dict.fromkeys([path, *beside]):
        if not claimed.is_file() or not _begun(claimed.parent):
            continue
        try:
            before = json.loads(claimed.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{claimed}: not JSON ({error}); choose another output folder") from None
        if claimed != path and isinstance(before, dict):
            before["seed"] = facts.get("seed")
        if field := first_difference(before, facts):
            raise InputError(
                f"{claimed.parent}: holds a run with another {field[0]} ({field[1]!r}, now {field[2]!r});"
                " choose another output folder, or undo the change"
            )
    if is_main() and not (path.is_file() and _begun(run)):
        try:
            run.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InputError(f"{run}: a file is in its way; choose another output folder") from None
        write_text(path, json.dumps(facts, indent=2) + "\n")


def _begun(run: Path) -> bool:
    """Whether a run holds more than its name: one that failed before its first step does not."""
    return any(path.name not in ("run.json", "trackers") for path in run.iterdir())


def first_difference(before: Any, now: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Find the first field that differs.

    :return: its path, what it was and what it is; None = there is none.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            here = f"{place}.{name}".lstrip(".")
            if found := first_difference(before.get(name), now.get(name), here):
                return found
        return None
    return None if before == now else (place, before, now)


def check_unique(seeds: Sequence[int]) -> tuple[int, ...]:
    """Check that no seed is named twice: it would count twice in a mean, and say that nothing varies.

    :raises InputError: one is.
    """
    twice = [seed for number, seed in enumerate(seeds) if seed in seeds[:number]]
    if twice:
        raise InputError(f"seed {twice[0]} is named twice; name each once")
    return tuple(seeds)


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return bool(_processes().is_main_process)


def wait_for_everyone() -> None:
    """Let processes meet: what the main one wrote is there for all of them."""
    _processes().wait_for_everyone()


def on_cpu() -> bool:
    """Whether training runs on the CPU: there is no GPU, or `accelerate` was told to leave it."""
    from accelerate.utils import parse_flag_from_env

    return not torch.cuda.is_available() or bool(parse_flag_from_env("ACCELERATE_USE_CPU"))


def _processes() -> Any:
    """The processes that share the run.

    The first to ask decides their device, also for the loop that trains.
    """
    from accelerate import PartialState

    return PartialState(cpu=on_cpu())
